"""`moved(measurements, marks)`: the intervals where a reader has moved the marks of the waves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ecgqa.measure.measurements import Measurements, corrected
from ecgqa.record import EcgFileError

# In the order in which they follow each other in a beat.
MARKS = {
    "p_on": "P onset", "p_off": "P end", "qrs_on": "QRS onset", "qrs_off": "QRS end",
    "t_off": "T end",
}  # fmt: skip
NEAR_S = 0.0005  # nearer than that to where the algorithm has it a mark was not moved


def marks_of(m: Measurements) -> dict[str, float]:
    """Where the marks of the median beat are, in seconds from its first sample."""
    beat = m.median_beat
    found = {} if beat is None else {name: getattr(beat, name) for name in MARKS}
    return {name: at for name, at in found.items() if at is not None}


def moved(m: Measurements, marks: Mapping[str, float]) -> Measurements:
    """The measurements with these marks: P, PR, QRS, QT and QTc follow, axes and voltages stay.

    marks: seconds from the first sample of the median beat, of those that `marks_of` gives; one
    that is left out stays. `by_hand` of what is returned names those that were moved.
    Raises EcgFileError where a mark is none of the beat's, lies outside of it or out of order.
    """
    found = marks_of(m)
    if not set(marks) <= set(found) or not all(map(math.isfinite, marks.values())):
        raise EcgFileError("Only marks that are drawn on the median beat can be moved.")
    new = {**found, **marks}
    if m.median_beat is None or m.median_beat_mv is None or m.median_beat_rate_hz is None:
        return m
    places = list(new.values())
    whole_s = m.median_beat_mv.shape[1] / m.median_beat_rate_hz
    if places and (places != sorted(places) or places[0] < 0 or places[-1] > whole_s):
        raise EcgFileError("The marks of a beat must keep their order and stay on the beat.")
    hand = tuple(name for name in found if abs(new[name] - found[name]) >= NEAR_S)
    if not hand:
        return m
    between = {"p_ms": ("p_on", "p_off"), "pr_ms": ("p_on", "qrs_on"),
               "qrs_ms": ("qrs_on", "qrs_off"), "qt_ms": ("qrs_on", "t_off")}  # fmt: skip
    intervals = {
        name: 1000 * (new[end] - new[start])
        for name, (start, end) in between.items()
        if start in new and end in new
    }
    qt_ms, rr_ms = intervals.get("qt_ms"), m.rr_ms
    qtc_ms = m.qtc_ms if qt_ms is None or rr_ms is None else corrected(qt_ms, rr_ms / 1000)
    names = tuple(MARKS[name] for name in hand)
    beat = replace(m.median_beat, **new)
    return replace(m, **intervals, qtc_ms=qtc_ms, median_beat=beat, by_hand=names)
