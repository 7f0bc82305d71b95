"""`Strip`: a row's trace as millimetres over the sheet, and its calibration pulse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from ecgqa.digitise.grid import Grid
from ecgqa.digitise.trace import Trace

_BREAK_MM = 0.5  # an interruption of a trace; letters are further apart
_LONG_MM = 5.0  # a stretch that is no letter
_BEFORE_MM, _INTO_MM = 20.0, 15.0  # where a calibration pulse stands, from the trace's beginning
_TIP_PX = 1.5  # how far the tip of a wave sticks out at least
_PULSE_MM = (3.5, 22.0)  # heights: 5, 10 and 20 mm are in use
_PULSE_WIDE_MM = (1.5, 11.0)


@dataclass(frozen=True, eq=False)
class Pulse:
    """A calibration pulse: its height, and whether it stands at the right end of its strip."""

    height_mm: float
    at_right: bool


@dataclass(frozen=True, eq=False)
class Strip:
    """A row.

    height_mm: float [width], the trace above the row's level, per column; NaN where there is none.
    level: the row's level, pixels from the top.
    first, last: where the trace begins and ends, in columns, without the pulse. Half the width of
        the pen is taken off.
    joined: whether a pulse runs into the trace, so that its edge there is not sure.
    pulse: the calibration pulse, None without one.
    """

    height_mm: np.ndarray
    level: float
    first: float
    last: float
    joined: bool
    pulse: Pulse | None


def strip_of(trace: Trace, grid: Grid) -> Strip | None:
    """The strip that a row's trace is, None where it is too short to be one."""
    height_px = -_centre(trace)
    pieces = [
        (first, last)
        for first, last in _pieces(trace.sure, _BREAK_MM * grid.px_per_mm_x)
        if last - first > _LONG_MM * grid.px_per_mm_x
    ]
    if not pieces:
        return None
    first, last = pieces[0][0], pieces[-1][1]
    level = _mode(height_px[first:last], 0.4 * grid.px_per_mm_y)
    height_mm = (height_px - level) / grid.px_per_mm_y
    pen = float(np.nanpercentile(trace.lower - trace.upper, 20)) / 2
    width = height_mm.size
    begin, end = first + pen, last - pen
    left = _pulse(height_mm, first, grid)
    right = None if left else _pulse(height_mm[::-1], width - last, grid)
    if left and left[1] > first:
        begin = float(left[1])
    elif right and right[1] > width - last:
        end = float(width - right[1])
    found = left or right
    return Strip(
        height_mm=height_mm,
        level=-level,
        first=begin,
        last=end,
        joined=bool((left and left[1] > first) or (right and right[1] > width - last)),
        pulse=Pulse(found[0], at_right=found is right) if found else None,
    )


def _mode(values: np.ndarray, width: float) -> float:
    """The value that most lie near."""
    values = np.sort(values[np.isfinite(values)])
    count = np.searchsorted(values, values + width) - np.arange(values.size)
    best = int(count.argmax())
    return float(np.median(values[best : best + count[best]]))


def _pieces(known: np.ndarray, most_missing: float) -> list[tuple[int, int]]:
    """Stretches of known columns, joined over short gaps."""
    at = np.flatnonzero(known)
    if at.size == 0:
        return []
    cuts = np.flatnonzero(np.diff(at) > most_missing)
    return list(
        zip(
            at[np.r_[0, cuts + 1]].tolist(),
            (at[np.r_[cuts, at.size - 1]] + 1).tolist(),
            strict=True,
        )
    )


def _centre(trace: Trace) -> np.ndarray:
    """The height of the line's middle in pixels from the top, float [width].

    A line is drawn with a round pen, which is taken off both ends of its ink. Where the ends do
    not meet then, the line is steep, or two flanks of a narrow wave are in one column. There the
    tips of waves are sure: where an end sticks out of its neighbours. Between them the line is
    drawn straight, but never outside its ink.
    """
    tall: np.ndarray = trace.lower - trace.upper
    known = np.isfinite(tall)
    if not known.any():
        return tall
    pen = np.nanpercentile(tall, 20) / 2
    upper = _without_pen(trace.upper, pen)
    lower = -_without_pen(-trace.lower, pen)
    line: np.ndarray = (upper + lower) / 2
    apart = known & (tall - 2 * pen > 1.0)
    anchors = np.where(apart, np.nan, line)
    tips: list[np.ndarray] = []
    for ends, sign in ((trace.upper, -1.0), (trace.lower, 1.0)):
        filled = np.interp(np.arange(ends.size), np.flatnonzero(known), ends[known])
        sticking = signal.find_peaks(sign * filled, prominence=_TIP_PX)[0]
        sticking = sticking[apart[sticking]]
        anchors[sticking] = ends[sticking] - sign * pen
        tips.append(sticking)
    at = np.flatnonzero(np.isfinite(anchors))
    if at.size == 0:
        return line
    between = np.interp(np.arange(anchors.size), at, anchors[at])
    between = np.clip(between, np.fmin(upper, lower), np.fmax(upper, lower))
    line = np.where(apart, between, line)
    tip = np.concatenate(tips)
    line[tip] = anchors[tip]
    return line


def _without_pen(upper: np.ndarray, pen: float) -> np.ndarray:
    """The upper end of the line itself, from the upper end of its ink: eroded by the pen.

    pen: half its width, pixels. Waves as narrow as the pen vanish.
    """
    reach = int(pen)
    shifted = [
        _shifted(upper, step) + np.sqrt(pen**2 - step**2) for step in range(-reach, reach + 1)
    ]
    return np.where(np.isfinite(upper), np.fmax.reduce(shifted), np.nan)


def _shifted(values: np.ndarray, step: int) -> np.ndarray:
    """values[i + step] at i, NaN beyond the ends."""
    out = np.full_like(values, np.nan)
    if step >= 0:
        out[: values.size - step] = values[step:]
    else:
        out[-step:] = values[:step]
    return out


def _pulse(height_mm: np.ndarray, begin: int, grid: Grid) -> tuple[float, int] | None:
    """A calibration pulse before a trace or at its very beginning.

    begin: column where the trace begins, with the pulse or without.
    Returns the pulse's height in mm and the column after it; None where there is no pulse.
    """
    start = max(begin - round(_BEFORE_MM * grid.px_per_mm_x), 0)
    part = height_mm[start : begin + round(_INTO_MM * grid.px_per_mm_x)]
    edge = max(2, round(0.8 * grid.px_per_mm_x))
    first = 0
    while first < part.size:
        if not (np.isfinite(part[first]) and _PULSE_MM[0] < part[first] < _PULSE_MM[1]):
            first += 1
            continue
        last = first
        while last + 1 < part.size and abs(part[last + 1] - part[first : last + 1].mean()) < 0.35:
            last += 1
        wide_mm = (last + 1 - first) / grid.px_per_mm_x
        if _PULSE_WIDE_MM[0] < wide_mm < _PULSE_WIDE_MM[1]:
            low = 0.25 * part[first]
            before, after = part[max(first - edge, 0) : first], part[last + 1 : last + 1 + edge]
            sharp = all(
                side.size < edge or not np.isfinite(side).all() or (np.abs(side) < low).any()
                for side in (before, after)
            )
            if sharp:
                return float(np.median(part[first : last + 1])), start + last + 1
        first = last + 1
    return None
