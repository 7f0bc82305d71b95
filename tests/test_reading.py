"""What is written in signs and digits, and the line that says what was understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgqa.question import kinds
from ecgqa.question.reading import (
    Limit,
    Reading,
    formula_in,
    leads_in,
    limit_in,
    phrase,
    understood,
)
from ecgqa.record import LEADS


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("and in V2?", ("V2",)),
        ("ST in V1-V3", ("V1", "V2", "V3")),
        ("T waves in I, aVL and v6", ("I", "aVL", "V6")),
        ("Q in II, III, aVF?", ("II", "III", "aVF")),
        ("what about lead 2?", ("II",)),
        ("I think I see AF", ()),
        ("Did I miss something?", ()),
        ("R in a V L", ("aVL",)),
        ("0.5 V1x", ()),
    ],
)
def test_leads_are_taken_as_they_are_written(text, leads):
    assert leads_in(text) == leads


@given(st.sets(st.sampled_from(LEADS), min_size=1))
def test_every_list_of_leads_is_read_in_order(some):
    assert leads_in(f"ST level in {', '.join(some)}?") == tuple(x for x in LEADS if x in some)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("QTc above 500 ms?", Limit(500, "ms")),
        ("PR > 0.2 s?", Limit(200, "ms")),
        ("rate over 100 bpm", Limit(100, "per min")),
        ("rate between 60 and 100/min", Limit(60, "per min", 100)),
        ("ST in V2 up by 2 mm", Limit(0.2, "mV")),
        ("is the axis below -30°?", Limit(-30, "°")),
        ("72 year old, BP 120/80: QRS over 120 ms?", Limit(120, "ms")),
        ("68M, K 5.9. PR above 200?", Limit(200)),
        ("does it stop for over two seconds", Limit(2000, "ms")),
        ("a pause of two and a half seconds?", Limit(2500, "ms")),
        ("taller than half a millivolt", Limit(0.5, "mV")),
        ("QT above four hundred and fifty-five ms", Limit(455, "ms")),
        ("rate over a hundred beats per minute", Limit(100, "per min")),
        ("axis beyond minus thirty degrees", Limit(-30, "°")),
        ("is it in a second ECG? in one of the two?", None),
        ("12-lead, is V2 ok?", None),
        ("Is the QTc normal in ECG 1 and in tracing 2?", None),
        ("QTc long?", None),
    ],
)
def test_limits_are_taken_with_their_unit(text, limit):
    assert limit_in(text) == limit


@given(st.integers(20, 900), st.sampled_from(["ms", " ms", " msec", " milliseconds"]))
def test_every_limit_in_ms_is_read(value, unit):
    assert limit_in(f"Is the QTc in this ECG above {value}{unit}?") == Limit(float(value), "ms")


def test_a_threshold_without_a_limit_is_understood_as_a_question_for_the_value():
    read = Reading("does it stop?", kinds.THRESHOLD, quantities=("longest pause",))
    assert understood(read) == "value of longest pause?"


def test_formulas_are_known_by_name():
    assert formula_in("QTc by fridericia please") == "Fridericia"
    assert formula_in("QTc?") == "" and formula_in("what is qtcF") == "Fridericia"


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (Reading("", kinds.THRESHOLD, quantities=("qt corrected",), side="above",
                 limit=Limit(500, "ms")), "QTc above 500 ms?"),
        (Reading("", "yes or no", ("myocardial infarction in inferior leads",)),
         "myocardial infarction in inferior leads?"),
        (Reading("", "yes or no", ("atrial fibrillation",), absent=True),
         "absence of atrial fibrillation?"),
        (Reading("", "yes or no", quantities=("pr interval",), side="above"),
         "PR interval above the normal range?"),
        (Reading("", kinds.NUMBER, quantities=("st level",), leads=("V2",)),
         "value of ST level in V2?"),
        (Reading("", kinds.OUTSIDE), ""),
    ],
)  # fmt: skip
def test_what_was_understood_is_said_in_one_line(read, words):
    assert understood(read) == words


def test_names_read_as_clinicians_write_them():
    assert phrase("ischemic in inferior leads") == "ischemic changes in inferior leads"
    assert phrase("first degree av block") == "first degree AV block"
    assert "unknown origin" not in phrase(
        "bigeminal pattern (unknown origin, supraventricular, or ventricular)"
    )
