"""What lies before a session, without a browser: races, refusals, and whose answer is whose."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.answer.answer import Answer
from ecgqa.gallery.simulate import simulate
from ecgqa.page.desk import Desk, Waiting, identity
from ecgqa.page.export import Said

ECGS = [simulate(finding, seconds=2, rate_hz=100).ecg for finding in ("normal", "long qt")]
A, B = ECGS


def say(desk: Desk, question: str, ecg, other=None):
    return desk.add(Waiting(question, ecg, other), f"shown {question}", Said(question, "a", "f"))


def test_an_answer_is_shown_only_beside_the_ecgs_it_is_about():
    desk = Desk()
    for place, ecg in enumerate((A, None)):
        assert desk.settle(place, desk.turn(place), ecg)
    of_a = say(desk, "of a", A)
    assert desk.shown == [of_a] and desk.folded == []
    desk.settle(0, desk.turn(0), B)
    of_b = say(desk, "of b", B)
    assert desk.shown == [of_b] and desk.folded == [of_a]
    desk.settle(1, desk.turn(1), A)
    both = say(desk, "of both", B, A)
    assert desk.shown == [of_a, of_b, both] and both.names == (A.name, B.name)
    desk.settle(1, desk.turn(1), None)
    assert desk.shown == [of_b] and desk.folded == [of_a, both]
    desk.forget_answers()
    assert desk.shown == desk.folded == []


def test_the_same_name_is_not_the_same_ecg():
    desk = Desk()
    desk.settle(0, desk.turn(0), dataclasses.replace(B, name=A.name))
    say(desk, "of a", A)
    assert desk.shown == []
    assert identity(A) != identity(B)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "end", "fail"]), st.integers(0, 5))))
def test_the_recording_asked_for_last_gets_the_place(events):
    desk, turns, last = Desk(), [], None
    for event, which in events:
        if event == "ask":
            turns.append(desk.turn(0))
        elif turns:
            turn = turns[which % len(turns)]
            if event == "end" and desk.settle(0, turn, ECGS[which % 2]):
                last = ECGS[which % 2]
            elif event == "fail" and desk.refuse(0, turn, "file"):
                last = None
            assert turn == turns[-1] or desk.ecgs[0] is last
        assert desk.ecgs[0] is last


def test_what_cannot_be_read_leaves_its_place_empty():
    desk = Desk()
    desk.settle(0, desk.turn(0), A)
    assert desk.refuse(0, desk.turn(0), "bad.hea")
    assert desk.ecgs == [None, None] and desk.refused == ["bad.hea", ""]
    assert desk.wait_for_facts(0, desk.turn(0), [("x.csv", b"1")])
    assert desk.refused == ["", ""] and desk.pending[0]
    desk.settle(0, desk.turn(0), A)
    assert desk.pending == [None, None]


def test_a_fuller_answer_takes_the_place_of_the_first_one_unless_all_were_thrown_away():
    desk = Desk()
    desk.settle(0, desk.turn(0), A)
    waiting = Waiting("q", A, None)
    turn = desk.add(waiting, "short", Said("q", "a", ""))
    desk.add(waiting, "full", Said("q", "a", "f"), instead=turn)
    assert [one.shown for one in desk.shown] == ["full"]
    desk.forget_answers()
    desk.add(waiting, "fuller", Said("q", "a", "f"), instead=turn)
    assert desk.shown == []


@pytest.mark.parametrize("drawing", ["other", "mine"])
def test_a_walk_counts_only_on_the_drawing_it_was_made_on(drawing):
    desk = Desk()
    long = simulate("normal", seconds=30, rate_hz=100).ecg
    desk.settle(0, desk.turn(0), long)
    desk.draw("mine")
    moved = desk.walk({"drawing": drawing, "start_s": [12, None]})
    assert moved == (drawing == "mine")
    assert desk.drawn.seen[0].start_s == (12 if moved else 0)


def test_stop_gives_up_what_waits():
    desk = Desk()
    desk.waiting = Waiting("q", A, None)
    assert desk.stop().text == "q" and desk.waiting is None and desk.stop() is None


def test_a_question_that_was_stopped_is_known_until_the_next():
    desk = Desk()
    first, second = Waiting("q", A, None), Waiting("r", A, None)
    desk.put(first)
    desk.stop()
    assert desk.given_up is first
    desk.stop()  # nothing waits: what was stopped before stays known
    assert desk.given_up is first
    desk.put(second)
    assert desk.waiting is second and desk.given_up is None
    desk.stop()
    desk.forget_answers()
    assert desk.given_up is None


def test_the_end_of_one_question_does_not_end_the_next():
    desk = Desk()
    first, second = Waiting("q", A, None), Waiting("q", A, None)
    desk.waiting = desk.answering = first
    desk.stop()
    desk.waiting = second
    desk.done(first)
    assert desk.waiting is second
    desk.done(second)
    assert desk.waiting is None


def test_a_follow_up_leans_only_on_answers_about_the_very_same_ecgs():
    desk = Desk()
    of_a, of_b = (Answer(text, (), 1.0, "m", "d", 0.0, ()) for text in ("a", "b"))
    desk.add(Waiting("q", A, None), "", Said("q", "a", ""), of_a)
    desk.add(Waiting("q", B, None), "", Said("q", "b", ""), of_b)
    desk.add(Waiting("q", A, B), "", Said("q", "both", ""), of_b)
    assert desk.before(Waiting("and?", A, None)) == [of_a]
    assert desk.before(Waiting("and?", A, B)) == [of_b]
    assert desk.before(Waiting("and?", B, A)) == []
