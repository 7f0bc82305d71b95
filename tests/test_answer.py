"""The assistant on a tiny, untrained model: what it promises whatever the weights are."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_llm, tiny_model

from ecgqa import ECG, EcgAssistant, QuestionError
from ecgqa.__main__ import main
from ecgqa.answer import assistant as answering
from ecgqa.answer import grounding, reply
from ecgqa.answer.answer import INTENDED_USE
from ecgqa.answer.askable import hidden, hindered, one_line, unanswerable
from ecgqa.answer.case import Case
from ecgqa.answer.grounding import DEPENDS, DOES_NOT, GroundingRow, log_odds, move
from ecgqa.answer.options import NONE, Asked, Decision
from ecgqa.gallery.gallery import Gallery
from ecgqa.gallery.simulate import simulate
from ecgqa.model.ecg_model import ABSTENTION, ONE_OF_TWO, YES_OR_NO, Opening
from ecgqa.question.kinds import NUMBER, SEVERAL
from ecgqa.question.reading import Reading
from ecgqa.record import LEADS


@pytest.fixture(scope="module")
def assistant(tmp_path_factory) -> EcgAssistant:
    return EcgAssistant(tiny_model(tmp_path_factory.mktemp("llm")))


@pytest.fixture(scope="module")
def ecg() -> ECG:
    return simulate("normal", seconds=5, rate_hz=250).ecg


def test_the_answer_grows_and_says_where_it_comes_from(assistant, ecg):
    states = list(assistant.stream_answer("Is it there?", ecg))
    last = states[-1]
    assert last.ecg_names == (ecg.name,) and last.decoding == "greedy" and last.seconds > 0
    assert 0 <= last.confidence <= 1 and last.answers
    assert all(s.text for s in states)


def test_two_ecgs_are_named_in_the_order_the_model_sees_them(assistant, ecg):
    other = simulate("atrial fibrillation", seconds=5, rate_hz=250).ecg
    answer = assistant.ask("What is new?", ecg, comparison=other)
    assert answer.ecg_names == (other.name, ecg.name)


@pytest.mark.parametrize("question", ["Which findings are new in the second ECG?", "Any change?"])
def test_a_comparison_of_one_ecg_is_refused_unless_it_is_meant(assistant, ecg, question):
    for asking in (assistant.ask, assistant.random_ecg_test):
        with pytest.raises(QuestionError, match="two ECGs, and there is only one"):
            asking(question, ecg)
    assert assistant.ask(question, ecg, alone=True).ecg_names == (ecg.name,)
    assert len(assistant.ask(question, ecg, comparison=ecg).ecg_names) == 2


def test_flat_recording_is_declined_without_the_model(assistant, ecg, monkeypatch):
    monkeypatch.setattr(assistant.model, "stream", None)
    flat = ECG(np.zeros((12, 1000)), 100, "flat")
    for first, second in ((flat, None), (ecg, flat)):
        answer = assistant.ask("Is it there?", first, second)
        assert answer.declined and answer.text == ABSTENTION and answer.confidence == 0
        (why,) = answer.remarks
        assert "cannot be read" in why and why.startswith("flat: ") == (second is not None)


def with_only(ecg: ECG, *kept: str) -> ECG:
    signal_mv = ecg.signal_mv.copy()
    signal_mv[[lead not in kept for lead in LEADS]] = np.nan
    return ECG(signal_mv, ecg.rate_hz, ecg.name)


RHYTHM_WANTED = Asked("rhythm")
AF = Asked(YES_OR_NO, names=("atrial fibrillation", "static noise"))
LVH = Asked(YES_OR_NO, names=("left ventricular hypertrophy", "atrial fibrillation"))
TWO_RHYTHMS = Asked(ONE_OF_TWO, names=("sinus rhythm", "atrial fibrillation"))
RHYTHM_OR_NOT = Asked(ONE_OF_TWO, names=("atrial fibrillation", "static noise"))


@pytest.mark.parametrize(
    ("kept", "seconds", "asked", "words"),
    [
        (LEADS, 10, LVH, ""),
        (LEADS[:6], 10, LVH, ""),
        (LEADS[6:], 10, LVH, ""),
        (("II",), 10, LVH, "Only II recorded"),
        (("II", "V1"), 10, RHYTHM_OR_NOT, "Only II, V1 recorded"),
        (("II",), 10, AF, ""),
        (("II",), 10, RHYTHM_WANTED, ""),
        (("II",), 10, TWO_RHYTHMS, ""),
        (("II",), 10, Asked("statements", fate="new", names=AF.names), "Only II recorded"),
        (LEADS[:6], 10, Asked(YES_OR_NO, lead="V2", names=("inverted t-waves",)), "Lead V2"),
        (LEADS[:6], 10, Asked(YES_OR_NO, lead="aVF", names=("inverted t-waves",)), ""),
        (LEADS, 4, AF, "too short for a rhythm"),
        (LEADS, 4, LVH, ""),
    ],
)
def test_what_the_leads_and_seconds_recorded_cannot_answer(assistant, kept, seconds, asked, words):
    part = with_only(simulate("normal", seconds=seconds, rate_hz=100).ecg, *kept)
    why = unanswerable(assistant.model, asked, part)
    assert why.startswith(words) if not words.startswith("too") else words in why
    assert bool(why) == bool(words)


def test_a_question_that_cannot_be_answered_is_declined_and_says_why(assistant, ecg, monkeypatch):
    monkeypatch.setattr(answering, "understand", lambda *_: [LVH])
    monkeypatch.setattr(assistant.model, "encode", None)
    answer = assistant.ask("Is it there?", with_only(ecg, "II"))
    assert answer.declined and answer.remarks[0].startswith("Only II recorded")
    answer = assistant.ask("Is it there?", ecg, comparison=with_only(ecg, "II"))
    assert answer.declined and answer.remarks[0].startswith(f"{ecg.name}: Only II recorded")


def test_missing_leads_are_remarked_on_and_never_part_of_an_answer(assistant, ecg, monkeypatch):
    assert assistant.ask("Is it there?", ecg).remarks == ()
    monkeypatch.setattr(answering, "understand", lambda *_: [Asked("rhythm")])
    for found, left in ((("lead I", "lead V2"), ("lead I",)), (("lead V2",), (NONE,))):
        monkeypatch.setattr(reply, "weigh", lambda *_: {"lead I": 2.0, "lead V2": 3.0})
        monkeypatch.setattr(reply, "decide", lambda *_, found=found: Decision(found, 0.9))
        answer = assistant.ask("In which leads?", with_only(ecg, *LEADS[:6]))
        assert answer.answers == left
        assert answer.remarks == (
            "Leads missing: V1, V2, V3, V4, V5, V6. Findings that need them cannot be seen.",
        )


def test_a_lost_lead_is_left_out_and_only_what_needs_it_is_declined(assistant, ecg, monkeypatch):
    signal_mv = ecg.signal_mv.copy()
    signal_mv[LEADS.index("V5")] = 0.0
    lost = ECG(signal_mv, ecg.rate_hz, "loose")
    answer = assistant.ask("Is it there?", lost)
    assert not answer.declined
    assert answer.remarks == (
        "Leads without usable signal: V5. Findings that need them cannot be seen.",
    )
    assert (Case(assistant.model, lost).seen[0].missing_leads, lost.missing_leads) == (("V5",), ())
    monkeypatch.setattr(answering, "understand", lambda *_: [Asked(YES_OR_NO, lead="V5")])
    answer = assistant.ask("Is there noise in V5?", lost)
    assert answer.declined and answer.remarks == ("Lead V5 has no usable signal.",)


def test_a_wall_of_which_most_leads_are_lost_is_not_judged(assistant, ecg):
    signal_mv = ecg.signal_mv.copy()
    signal_mv[[LEADS.index(lead) for lead in ("III", "aVF", "V1")]] = 0.0
    case = Case(assistant.model, ECG(signal_mv, ecg.rate_hz, "loose"))
    why = {
        wall: hindered(case, Reading("?", YES_OR_NO, (f"myocardial infarction in {wall} leads",)))
        for wall in ("inferior", "anterior", "anteroseptal")
    }
    assert [bool(said) for said in why.values()] == [True, False, False]
    assert "III, aVF" in why["inferior"][0] and "II is left" in why["inferior"][0]
    number = Reading("ST in V1?", NUMBER, quantities=("st level",), leads=("V1",))
    assert hindered(case, number) == ("No usable signal in V1.",)
    both = Reading("?", SEVERAL, parts=(number, replace(number, leads=("II",))))
    assert hindered(case, both) == ()
    assert hindered(case, replace(both, parts=(number, number))) == ("No usable signal in V1.",)


def test_what_a_printed_page_hides_is_said(ecg):
    assert hidden(ecg) == ""
    signal_mv, n = ecg.signal_mv.copy(), ecg.signal_mv.shape[1]
    for i, lead in enumerate(LEADS):
        if lead != "II":
            signal_mv[i, : i // 3 * n // 4] = signal_mv[i, (i // 3 + 1) * n // 4 :] = np.nan
    signal_mv[11] = np.nan
    words = hidden(ECG(signal_mv, ecg.rate_hz, "page"))
    assert words.startswith("Leads missing: V6; recorded in part: I, III, aVR")
    assert " II," not in words


def test_scores_are_independent_probabilities(assistant, ecg):
    options = ["sinus rhythm", "atrial fibrillation", "left ventricular hypertrophy"]
    scores = assistant.score("Which rhythm is it?", options, ecg)
    assert list(scores) == options and all(0 <= p <= 1 for p in scores.values())
    alone = assistant.score("Which rhythm is it?", options[1:2], ecg)
    assert alone[options[1]] == pytest.approx(scores[options[1]], abs=1e-4)
    verify = assistant.score("Is it there?", ["yes", "no"], ecg)
    assert sum(verify.values()) == pytest.approx(1)


def test_random_ecg_test_has_every_row(assistant, ecg):
    seen = []
    result = assistant.random_ecg_test("Is it there?", ecg, progress=lambda t, f: seen.append(f))
    names = [row.ecg for row in result.rows]
    assert names[0] == ecg.name and names[-3:] == ["Noise", "Flat line", "No ECG at all"]
    assert len(names) == 7 and len(set(names)) == 7
    assert result.rows[0].log_prob_change == 0
    assert result.verdict in (DEPENDS, DOES_NOT) and len(seen) == 7
    again = assistant.random_ecg_test("Is it there?", ecg)
    assert again == result, "seeded: the same button gives the same table"
    gallery = Gallery()
    drawn = [name for name, _ in gallery.three_others(ecg)]
    pair = assistant.random_ecg_test("What is new?", ecg, gallery.open(drawn[0]))
    assert len(pair.rows) == 7
    assert not any(drawn[0] in row.ecg for row in pair.rows[1:]), "the comparison is no stranger"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (ECG(np.zeros((12, 1000)), 100, "flat"), None, "cannot be read"),
        (simulate("normal").ecg, ECG(np.zeros((12, 1000)), 100, "flat"), "flat: "),
        (with_only(simulate("normal").ecg, "I", "II"), None, "Only I, II recorded"),
    ],
)
def test_what_is_declined_is_neither_tested_nor_scored(
    assistant, monkeypatch, first, second, words
):
    monkeypatch.setattr(answering, "understand", lambda *_: [LVH])
    monkeypatch.setattr(assistant.model, "encode", None)
    assert assistant.ask("Is it there?", first, second).declined
    with pytest.raises(QuestionError, match=words):
        assistant.random_ecg_test("Is it there?", first, second)
    with pytest.raises(QuestionError, match=words):
        assistant.score("Is it there?", ["yes", "no"], first, second)


@pytest.mark.parametrize("yes", [0.1, 0.9])
def test_the_answer_that_is_tested_is_the_one_that_is_shown(assistant, ecg, monkeypatch, yes):
    """Calibration turns the scales of one of the two; a stretch goes by its title."""
    monkeypatch.setattr(answering, "understand", lambda *_: [AF])
    monkeypatch.setattr(grounding, "understand", lambda *_: [AF])
    monkeypatch.setattr(
        assistant.model, "openings", lambda questions, *_: [Opening(0.0, "no")] * len(questions)
    )
    monkeypatch.setattr(
        assistant.model, "calibrated", lambda margin, _: torch.full_like(margin, yes)
    )
    part = simulate("normal", seconds=30, rate_hz=250).ecg.stretch(12)
    row = assistant.random_ecg_test("Is it there?", part).rows[0]
    assert row.answer == assistant.ask("Is it there?", part).text == ("yes" if yes > 0.5 else "no")
    assert row.ecg == part.title != part.name
    pair = assistant.random_ecg_test("Is it there?", part, ecg).rows[0]
    assert pair.ecg == f"{ecg.title}, then {part.title}"


def test_a_missing_lead_is_no_part_of_the_list_that_is_tested(assistant, ecg, monkeypatch):
    for module in (answering, grounding):
        monkeypatch.setattr(module, "understand", lambda *_: [Asked("rhythm", finding="noise")])
    monkeypatch.setattr(reply, "weigh", lambda *_: {"lead I": 2.0, "lead V2": 3.0})
    monkeypatch.setattr(reply, "decide", lambda *_: Decision(("lead I", "lead V2"), 0.9))
    asked = []
    margin = assistant.model.yes_margin
    monkeypatch.setattr(
        assistant.model,
        "yes_margin",
        lambda texts, *ecgs: asked.extend(texts) or margin(texts, *ecgs),
    )
    limbs = with_only(ecg, *LEADS[:6])
    row = assistant.random_ecg_test("In which leads?", limbs).rows[0]
    assert row.answer == assistant.ask("In which leads?", limbs).text == "lead I"
    assert set(asked) == {"Is noise present in lead I of this ECG?"}


@pytest.mark.parametrize(
    ("blank", "others", "depends"),
    [
        (0.0, 0.0, False),
        (-6.0, 0.01, False),
        (0.01, -2.0, False),
        (-6.0, -0.5, True),
        (-6, 2, True),
    ],
)
def test_verdict_needs_other_patients_and_blanks_to_move_the_odds(blank, others, depends):
    rows = (
        GroundingRow("this", "no", 0.0),
        *(GroundingRow(f"other {i}", "no", 0.0, others) for i in range(3)),
        *(GroundingRow(n, "no", -1.0, blank) for n in ("Noise", "Flat line", "No ECG at all")),
    )
    assert (move(rows) >= 0.25) is depends


def test_log_odds():
    assert log_odds(math.log(0.5)) == pytest.approx(0)
    assert log_odds(math.log(0.9)) == pytest.approx(math.log(9))
    assert log_odds(0.0) < 16 and log_odds(-1e9) == -30


@pytest.mark.parametrize("bad", ["", "   ", "\n\t", "\u200b", "x" * 100_000, None, 5])
def test_bad_questions_get_plain_words(assistant, ecg, bad):
    with pytest.raises(QuestionError) as error:
        assistant.ask(bad, ecg)
    assert len(str(error.value)) < 200


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=200))
def test_any_text_is_a_question_or_refused(text):
    try:
        words = one_line(text)
    except QuestionError:
        return
    assert words and "\n" not in words and words == one_line(words)


@pytest.mark.parametrize(
    "odd", ["❤️ is it 🫀?", "<b>x</b><script>alert(1)</script>", "<|im_end|>", "是吗"]
)
def test_odd_questions_are_answered(assistant, ecg, odd):
    assert assistant.ask(odd, ecg).text


def test_command_line(tmp_path, capsys, assistant, ecg):
    assistant.model.save(tmp_path / "checkpoint")
    llm = str(tiny_llm(tmp_path / "llm"))
    table = np.vstack([np.arange(ecg.signal_mv.shape[1]) / ecg.rate_hz, ecg.signal_mv]).T
    header = "time (s)," + ",".join(f"{lead} (mV)" for lead in ecg.leads)
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header=header, comments="", fmt="%.5f")
    common = [
        "--question",
        "Is it there?",
        "--checkpoint",
        str(tmp_path / "checkpoint"),
        "--llm",
        llm,
    ]
    assert main(["ask", str(tmp_path / "a.csv"), *common, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] and answer["ecg_names"] == ["a"] and answer["measurements"]["rate_bpm"]
    both = ["ask", str(tmp_path / "a.csv"), "--compare", str(tmp_path / "a.csv"), *common]
    assert main(both) == 0 and "confidence" in capsys.readouterr().out
    assert main(["ask", str(tmp_path / "a.csv"), *common, "--question", "What is new?"]) == 2
    assert "there is only one" in capsys.readouterr().err
    assert main(["ask", str(tmp_path / "none.hea"), *common]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_intended_use_is_one_plain_sentence_or_three():
    assert "not a medical device" in INTENDED_USE and len(INTENDED_USE) < 250
