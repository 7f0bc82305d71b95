"""Marks that a reader moves, normal ranges, and numbers that should be checked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecgqa.gallery.simulate import simulate
from ecgqa.measure import Measurements, measure
from ecgqa.measure.by_hand import MARKS, marks_of, moved
from ecgqa.measure.normal import NORMAL_RANGES, implausible
from ecgqa.measure.numbers import MEASURED
from ecgqa.record import EcgFileError

FOUND = measure(simulate("normal", seed=1).ecg)
WHERE = marks_of(FOUND)


def test_every_mark_is_there_and_in_order():
    assert list(WHERE) == list(MARKS) and list(WHERE.values()) == sorted(WHERE.values())


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(list(MARKS)), st.floats(-0.06, 0.06), min_size=1))
def test_intervals_follow_the_marks(moves):
    new = {**WHERE, **{name: WHERE[name] + by for name, by in moves.items()}}
    assume(list(new.values()) == sorted(new.values()))
    assume(any(abs(by) >= 0.001 for by in moves.values()))
    m = moved(FOUND, new)
    assert m.p_ms == pytest.approx(1000 * (new["p_off"] - new["p_on"]))
    assert m.pr_ms == pytest.approx(1000 * (new["qrs_on"] - new["p_on"]))
    assert m.qrs_ms == pytest.approx(1000 * (new["qrs_off"] - new["qrs_on"]))
    assert m.qt_ms == pytest.approx(1000 * (new["t_off"] - new["qrs_on"]))
    assert FOUND.rr_ms is not None and m.qt_ms is not None
    assert m.qtc_ms["Bazett"] == pytest.approx(m.qt_ms / (FOUND.rr_ms / 1000) ** 0.5)
    assert marks_of(m) == pytest.approx(new) and m.rate_bpm == FOUND.rate_bpm
    back = moved(FOUND, WHERE)
    assert back is FOUND and back.by_hand == (), "undone is as if it had never been"
    assert {MARKS[name] for name, by in moves.items() if abs(by) >= 0.001} <= set(m.by_hand)


@pytest.mark.parametrize(
    "marks",
    [{"qrs_on": 5.0}, {"qrs_on": -1.0}, {"t_on": 0.5}, {"qrs_off": float("nan")}, {"p_on": 0.4}],
)
def test_marks_that_cannot_be_are_refused(marks):
    with pytest.raises(EcgFileError, match="mark"):
        moved(FOUND, marks)


def test_what_has_no_beat_has_no_marks():
    assert marks_of(Measurements()) == {} and moved(Measurements(), {}).by_hand == ()


def test_a_number_outside_of_its_normal_range_is_flagged():
    rows = {row.label: row for row in MEASURED}
    assert {row.normal(FOUND) for row in MEASURED} >= set(NORMAL_RANGES.values())
    pr = rows["PR interval"]
    shown = [pr.flagged(replace(FOUND, pr_ms=value)) for value in (119, 120, 200, 201, None)]
    assert shown == ["↓ 119", "120", "200", "↑ 201", "–"]
    normal = pr.normal(FOUND)
    assert normal and normal.text() == "120 to 200"
    assert rows["T axis"].flagged(replace(FOUND, t_axis_deg=170)) == "170"
    assert rows["P duration"].flagged(replace(FOUND, p_ms=0)) == "0"
    assert NORMAL_RANGES["p duration"].text() == "≤ 120"
    assert NORMAL_RANGES["qrs axis"].text() == "−30 to 90"
    assert pr.flagged(replace(FOUND, pr_ms=70), doubtful=True) == "⚠ check ↓ 70"


def test_implausible_numbers_are_to_be_checked():
    assert implausible(FOUND) == {}
    assert set(implausible(replace(FOUND, rr_ms=500.0, qt_ms=460.0))) == {"QT interval"}
    assert implausible(replace(FOUND, rr_ms=501.0, qt_ms=460.0)) == {}
    long = {**FOUND.qtc_ms, "Fridericia": 541.0}
    assert set(implausible(replace(FOUND, qtc_ms=long))) == {"QTc, Fridericia"}
    assert implausible(replace(FOUND, qtc_ms=long, qrs_ms=130.0)) == {}
    assert set(implausible(replace(FOUND, pr_ms=79.0))) == {"PR interval"}
