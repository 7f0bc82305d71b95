"""The steps of a session (choose, read, draw, walk, ask, stop, prove), without a browser."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate import PATIENCE_S
from test_app import FakeAssistant, FakeGallery

from ecgqa.answer.askable import QuestionError
from ecgqa.page import asking, looking
from ecgqa.page.desk import Desk
from ecgqa.page.html import answer_html
from ecgqa.page.loader import ModelLoader
from ecgqa.page.proof import can_be_tested
from ecgqa.question.kinds import ADVICE
from ecgqa.question.reading import Reading
from ecgqa.record import EcgFileError

GALLERY = FakeGallery()
ONE, OTHER = GALLERY.open("steady 75"), GALLERY.open("fast 100")


@pytest.fixture
def desk():
    """A session with one ECG on its paper."""
    made = Desk()
    assert looking.choose(made, 0, "steady 75", GALLERY)
    looking.draw(made)
    return made


@pytest.fixture(scope="module")
def loader():
    made = ModelLoader(lambda progress: FakeAssistant(), str)
    made.start()
    assert made.wait(PATIENCE_S)
    return made


def stands(desk):
    """What the page tells of its sliders."""
    return {"drawing": desk.drawn.drawing, "start_s": [0, 0]}


def test_a_gallery_choice_takes_its_place_and_none_empties_it(desk):
    assert desk.ecgs[0].sha256 == ONE.sha256 and desk.drawn.seen[0] is not None
    assert looking.choose(desk, 0, looking.NO_COMPARISON, GALLERY) and desk.ecgs[0] is None


def test_a_choice_that_cannot_be_opened_leaves_the_place_empty_and_named(desk):
    with pytest.raises(KeyError):  # what this gallery says to a name that it does not know
        looking.choose(desk, 0, "broken", GALLERY)
    assert desk.ecgs[0] is None and desk.refused[0] == "broken"
    assert "broken could not be read" in looking.quality_of(desk, (None, None))


def test_a_file_that_leaves_something_unsaid_waits_with_its_question(desk):
    def asks(taken):
        raise EcgFileError("Which lead is it?", wants=("leads",))

    taken = [("one.csv", b"1")]
    assert looking.read(desk, 0, lambda: taken, "one.csv", asks) == (True, "Which lead is it?")
    assert desk.ecgs[0] is None and desk.pending[0] == taken
    assert looking.read(desk, 0, lambda: taken, "one.csv", lambda taken: OTHER) == (True, "")
    assert desk.ecgs[0] is OTHER and desk.pending[0] is None


def test_a_slower_recording_does_not_take_the_place_of_a_later_one(desk):
    def slowly(taken):
        assert looking.choose(desk, 0, "fast 100", GALLERY)
        return ONE

    assert looking.read(desk, 0, list, "slow", slowly) == (False, "")
    assert desk.ecgs[0].sha256 == OTHER.sha256


def test_a_refused_recording_says_so_even_when_it_could_not_be_taken(desk):
    def gone():
        raise EcgFileError("This file is not here any more: please upload it again.")

    with pytest.raises(EcgFileError):
        looking.read(desk, 0, gone, "gone.csv", lambda taken: ONE)
    assert desk.ecgs[0] is None and desk.refused[0] == "gone.csv"


def test_sliders_of_an_older_drawing_move_nothing(desk):
    assert looking.walk(desk, {"drawing": "older", "start_s": [0, 0]}) is None
    assert looking.walk(desk, stands(desk)) is not None
    with pytest.raises(EcgFileError, match="no ECG here"):
        looking.walk(Desk(), None)


def test_what_is_measured_is_what_the_paper_shows(desk):
    table, beats, waves = looking.measure_both(desk)
    assert [one["slot"] for one in waves] == [0] and waves[0]["beats"]
    assert "75" in table and len(beats["ecgs"]) == 1


def test_one_question_at_a_time_is_answered_and_kept(desk, loader):
    asking.put(desk, stands(desk), "Is it regular?", asking.BY_WORDING)
    with pytest.raises(QuestionError, match="wait for the answer"):
        asking.put(desk, stands(desk), "And now?", asking.BY_WORDING)
    frames = list(asking.converse(desk, loader))
    assert frames[0][0][-1]["content"] == "…" and len(desk.shown) == 1
    assert desk.waiting is None and desk.answering is None
    assert frames[-1][0][-1]["content"] == desk.shown[0].shown


def test_stop_has_the_last_word_and_nothing_is_kept(desk, loader):
    asking.put(desk, stands(desk), "Is it regular?", asking.BY_WORDING)
    frames = asking.converse(desk, loader)
    next(frames)
    desk.stop()
    *_, last = frames
    assert "Stopped before it was answered" in last[0][-1]["content"] and desk.shown == []


def answered(desk, loader):
    asking.put(desk, stands(desk), "Is it regular?", asking.BY_WORDING)
    list(asking.converse(desk, loader))


def test_the_test_is_of_the_last_answer_and_is_printed_with_it(desk, loader):
    with pytest.raises(QuestionError, match="no answer about an ECG"):
        asking.put_to_test(desk, stands(desk))
    assert asking.prove(desk, loader, GALLERY, print) == ""
    answered(desk, loader)
    assert desk.shown[-1].said.test == ""
    asking.put_to_test(desk, stands(desk))
    told = []
    proof = asking.prove(desk, loader, GALLERY, lambda share, desc: told.append(desc))
    assert "Is it regular?" in proof and told[0] == "Waiting for the model"
    assert desk.to_prove is None
    assert desk.shown[-1].said.test in proof and "alone" in desk.shown[-1].said.test


def test_what_claims_nothing_about_an_ecg_is_not_put_to_the_test(desk, loader):
    answered(desk, loader)
    (turn,) = desk.answered
    for answer in (
        replace(turn.answer, reading=Reading("What to give?", ADVICE)),
        replace(turn.answer, declined=True),
    ):
        assert "testable" not in answer_html(answer, testable=can_be_tested(answer))
        desk.answered = [replace(turn, answer=answer)]
        with pytest.raises(QuestionError, match="no answer about an ECG"):
            asking.put_to_test(desk, stands(desk))


def test_the_test_is_of_the_very_ecg_that_the_answer_is_about(desk, loader):
    answered(desk, loader)
    looking.choose(desk, 0, "fast 100", GALLERY)
    looking.choose(desk, 1, "steady 75", GALLERY)
    looking.draw(desk)
    with pytest.raises(QuestionError, match="about steady 75: please ask again"):
        asking.put_to_test(desk, stands(desk))


def test_a_proof_about_an_ecg_that_left_is_not_shown(desk, loader):
    answered(desk, loader)
    asking.put_to_test(desk, stands(desk))
    looking.choose(desk, 0, "fast 100", GALLERY)
    assert asking.prove(desk, loader, GALLERY, lambda share, desc: None) == ""


def test_a_question_needs_an_ecg():
    with pytest.raises(EcgFileError, match="no ECG here"):
        asking.put(Desk(), None, "Is it regular?", asking.BY_WORDING)


def test_marks_moved_by_hand_count_until_other_beats_are_on_the_page(desk):
    _, beats, _ = looking.measure_both(desk)
    marks = dict(beats["ecgs"][0]["waves"])
    marks["qrs_off"] += 0.02
    assert looking.move_marks(desk, {"id": "older", "marks": [marks, {}]}) is None
    assert looking.move_marks(desk, None) is None
    table = looking.move_marks(desk, {"id": beats["id"], "marks": [marks, {}]})
    assert table is not None and "Moved by hand: QRS end" in table
    with pytest.raises(EcgFileError, match="order"):
        looking.move_marks(desk, {"id": beats["id"], "marks": [{**marks, "qrs_off": 0.0}, {}]})
    assert "Moved" not in looking.measure_both(desk)[0]
    looking.move_marks(desk, {"id": desk.beats, "marks": [marks, {}]})
    looking.choose(desk, 0, "fast 100", GALLERY)
    looking.draw(desk)
    assert looking.move_marks(desk, {"id": beats["id"], "marks": [marks, {}]}) is None
    assert "Moved" not in looking.measure_both(desk)[0]
