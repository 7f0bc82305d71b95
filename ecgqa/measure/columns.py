"""`measure(ecg)`, also of a recording whose leads were taken a few at a time.

Carts and printouts of 3 × 4 hold three leads for 2.5 s, then the next three. Each such column is
measured by itself; the intervals between its beats make the rate, and the column that holds two
limb leads gives the axes.
"""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from ecgqa.measure.measurements import Measurements, Times
from ecgqa.measure.measurements import measure as measure_together
from ecgqa.measure.signal import LIMB
from ecgqa.record import ECG

T = TypeVar("T", bound=Times)

SHORTEST_S = 1.5
MOST_COLUMNS = 12
_AXES = ("p_axis_deg", "qrs_axis_deg", "t_axis_deg")


def measure(ecg: ECG) -> Measurements:
    """Measure an ECG. Never raises for a valid `ECG`: what cannot be measured is None."""
    return replace(_measured(ecg), age_years=ecg.header.age_years, sex=ecg.header.sex)


def _measured(ecg: ECG) -> Measurements:
    """The numbers, without whose they are.

    Where no lead runs through, rate and RR come from the beats of all columns (RR within them
    only) and everything else from the column with the most limb leads. Where one does (a rhythm
    strip), only axes that it cannot give are taken from that column.
    """
    whole = measure_together(ecg)
    if whole.rate_bpm is not None and whole.qrs_axis_deg is not None:
        return whole
    columns = _columns(ecg)
    if len(columns) < 2:
        return whole
    found = [measure_together(column) for column in columns]
    limb = [sum(lead not in column.missing_leads for lead in LIMB) for column in columns]
    best = found[max(range(len(found)), key=lambda k: (found[k].rate_bpm is not None, limb[k]))]
    if whole.rate_bpm is not None:
        axes = {name: getattr(best, name) for name in _AXES if getattr(best, name) is not None}
        why = {name: text for name, text in whole.not_measurable.items() if name not in axes}
        return replace(whole, **axes, not_measurable=why)
    if best.rate_bpm is None:
        return whole
    peaks = [
        [column.start_s - ecg.start_s + at for at in one.r_peaks_s]
        for column, one in zip(columns, found, strict=True)
    ]
    rr_s = np.concatenate([np.diff(own) for own in peaks if len(own) > 1])
    rr_ms = 1000.0 * float(rr_s.mean())
    return replace(
        _at(best, columns[found.index(best)].start_s - ecg.start_s),
        rate_bpm=60000.0 / rr_ms,
        rr_ms=rr_ms,
        rr_spread_ms=float(1000.0 * rr_s.std(ddof=1)) if len(rr_s) > 1 else None,
        r_peaks_s=sorted(at for own in peaks for at in own),
    )


def _columns(ecg: ECG) -> list[ECG]:
    """The stretches in which the same leads are there, at least `SHORTEST_S` long; in order."""
    known = np.isfinite(ecg.signal_mv)
    changes = np.flatnonzero((known[:, 1:] != known[:, :-1]).any(axis=0)) + 1
    edges = [0, *changes.tolist(), known.shape[1]]
    columns = [
        replace(
            ecg,
            signal_mv=ecg.signal_mv[:, first:last],
            start_s=ecg.start_s + first / ecg.rate_hz,
        )
        for first, last in pairwise(edges)
        if last - first >= SHORTEST_S * ecg.rate_hz and known[:, first].any()
    ]
    return columns if len(columns) <= MOST_COLUMNS else []


def _at(one: Measurements, later_s: float) -> Measurements:
    """Measurements of a column, their beats in seconds from the start of the recording."""

    def moved(times: T) -> T:
        at = {
            f.name: getattr(times, f.name) + later_s
            for f in fields(times)
            if isinstance(getattr(times, f.name), float)
        }
        return replace(times, **at)

    beats = [
        replace(moved(beat), leads={lead: moved(own) for lead, own in beat.leads.items()})
        for beat in one.beats
    ]
    return replace(one, beats=beats)
