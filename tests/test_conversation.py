"""Follow-ups are completed from the question before; several questions are taken apart."""

from __future__ import annotations

import pytest

from ecgqa.answer.assistant import CHECKPOINT
from ecgqa.model.ecg_model import YES_OR_NO
from ecgqa.model.reader import Reader
from ecgqa.question import kinds
from ecgqa.question.conversation import _last, completed, understand
from ecgqa.question.reading import Limit, Reading

ST_V1 = Reading("ST level in V1?", kinds.NUMBER, quantities=("st level",), leads=("V1",))
AF = Reading("AF?", YES_OR_NO, ("atrial fibrillation",))
LONG_PR = Reading("PR long?", YES_OR_NO, quantities=("pr interval",), side="above")
OVER = Reading("QTc above 450?", kinds.THRESHOLD, quantities=("qt corrected",), side="above",
               limit=Limit(450, "ms"))  # fmt: skip


def follow(**said) -> Reading:
    return Reading("and …?", kinds.FOLLOW_UP, **said)


@pytest.mark.parametrize(
    ("read", "before", "meant"),
    [
        (follow(leads=("V2",)), ST_V1, (kinds.NUMBER, (), ("st level",), ("V2",))),
        (follow(quantities=("qrs duration",)), ST_V1,
         (kinds.NUMBER, (), ("qrs duration",), ("V1",))),
        (follow(quantities=("qt corrected",)), LONG_PR, (YES_OR_NO, (), ("qt corrected",), ())),
        (follow(quantities=("heart rate",)), AF, (kinds.NUMBER, (), ("heart rate",), ())),
        (follow(findings=("atrial flutter",)), AF, (YES_OR_NO, ("atrial flutter",), (), ())),
        (follow(findings=("atrial flutter",)), OVER, (YES_OR_NO, ("atrial flutter",), (), ())),
    ],
)  # fmt: skip
def test_a_follow_up_takes_what_it_leaves_out_from_the_question_before(read, before, meant):
    done = completed(read, before)
    assert (done.kind, done.findings, done.quantities, done.leads) == meant


def test_another_limit_or_formula_is_asked_of_the_same_quantity():
    assert completed(follow(limit=Limit(480, "ms")), OVER).limit == Limit(480, "ms")
    assert completed(follow(formula="Fridericia"), OVER).formula == "Fridericia"


def test_talk_about_an_answer_is_not_what_a_follow_up_leans_on():
    why = Reading("why?", kinds.WHY)
    assert _last([ST_V1, why]) is ST_V1
    assert _last([ST_V1, Reading("both", kinds.SEVERAL, parts=(AF, OVER)), why]) is OVER


def test_a_follow_up_to_nothing_stands_alone_or_stays_one():
    assert completed(follow(quantities=("heart rate",)), None).kind == kinds.NUMBER
    assert completed(follow(findings=("atrial flutter",)), None).kind == YES_OR_NO
    assert completed(follow(), None).kind == kinds.FOLLOW_UP


# The trained reader -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(CHECKPOINT / "reader")


@pytest.mark.parametrize(
    ("question", "kind", "name"),
    [
        ("What is the heart rate?", kinds.NUMBER, "heart rate"),
        ("Write a report.", kinds.REPORT, ""),
        ("What is the capital of France?", kinds.OUTSIDE, ""),
        ("Is this a dog?", kinds.OUTSIDE, ""),
        ("Should I activate the cath lab?", kinds.ADVICE, ""),
        ("Is there hyperkalaemia?", kinds.UNTRAINED, ""),
        ("Is the axis deviated to the left or the right?", "one of two", "left axis deviation"),
        ("Does this ECG show an old inferior infarct?", YES_OR_NO,
         "myocardial infarction in inferior leads"),
        ("Is the PR interval prolonged?", YES_OR_NO, "pr interval"),
        ("Is the QRS wide?", YES_OR_NO, "qrs duration"),
        ("Is the QTc above 500 ms?", kinds.THRESHOLD, "qt corrected"),
        ("Which rhythm does this ECG show?", "rhythm", ""),
        ("Ist Vorhofflimmern zu sehen?", kinds.LANGUAGE, ""),
        ("这个心电图正常吗?", kinds.LANGUAGE, ""),
        ("asdf qwe", kinds.OUTSIDE, ""),
    ],
)  # fmt: skip
def test_questions_in_plain_words_are_read_as_what_they_are(reader, question, kind, name):
    read = understand(reader, question)
    assert read.kind == kind
    assert not name or name in (*read.findings, *read.quantities)


@pytest.mark.parametrize(
    ("before", "question", "name"),
    [
        (
            "Is there an inferior infarct?",
            "or anterior?",
            "myocardial infarction in anterior leads",
        ),
        ("Is there AF?", "and flutter?", "atrial flutter"),
        ("Is the PR interval prolonged?", "and the QTc?", "qt corrected"),
    ],
)
def test_a_short_question_is_read_in_the_light_of_the_last_one(reader, before, question, name):
    first = understand(reader, before)
    read = understand(reader, question, before=[first])
    assert name in (*read.findings, *read.quantities)


def test_several_questions_are_taken_apart(reader):
    read = understand(reader, "What is the rate, and is there atrial fibrillation?")
    assert [part.kind for part in read.parts] == [kinds.NUMBER, YES_OR_NO]


@pytest.mark.parametrize("text", ["?", "a", "💥", "x" * 2000, "<b>${1}</b>", "\u202e", "0"])
def test_any_text_is_read_as_something(reader, text):
    assert understand(reader, text).kind in reader.config.kinds
