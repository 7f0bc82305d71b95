"""`Printout`: what a picture of a printed ECG holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ecgqa.digitise.grid import MIN_PX_PER_MM, Grid, even_light, find_grid, level
from ecgqa.digitise.ink import ink
from ecgqa.digitise.layout import SHEET_S, Layout, find_layout, pieces
from ecgqa.digitise.strip import Strip, strip_of
from ecgqa.digitise.trace import Trace, find_traces
from ecgqa.digitise.tracing import Line, draw
from ecgqa.record import EcgFileError

RATE_HZ = 500.0
SPEED_MM_S, GAIN_MM_MV = 25.0, 10.0
_GAINS = (5.0, 10.0, 20.0)  # mm per mV that carts print
_SHORTEST_S, _LONGEST_S = 8.0, 12.5
_MARK_MM = 4.0  # upright lines between leads are taller
_MARKS_DIFFER_MM = 2.0  # with the trace that crosses them
_SAME_MM = 4.0  # strips of one sheet begin and end together within this


@dataclass(frozen=True, eq=False)
class Printout:
    """The leads of a printed ECG.

    leads_mv: lead (as in `LEADS`) → float [n] mV around its own level, each at its time on the
        sheet, NaN where it was not printed.
    rate_hz: samples per second of the result, more than the picture holds.
    notes: what was found and what was taken for granted.
    tracing_png: the levelled picture with the digitised traces drawn over it.
    """

    leads_mv: Mapping[str, np.ndarray]
    rate_hz: float
    notes: tuple[str, ...]
    tracing_png: bytes


@dataclass(frozen=True)
class Span:
    """Where a sheet's strips stand: first column and the column after the last, to part of one."""

    left: float
    right: float


def digitise(picture: np.ndarray) -> Printout:
    """Reads the traces off a picture of a printed ECG.

    picture: uint8 [h, w, 3], straight on, turned by at most a few degrees.
    Raises EcgFileError when it shows no ECG paper, or not the rows of a 12-lead ECG.
    """
    lit = even_light(picture)
    levelled, turn_deg = level(lit)
    grid = find_grid(levelled)
    if grid is None:
        raise EcgFileError(
            "No ECG paper was found in the picture: its squares do not show. Please scan the "
            "printout, or photograph it straight from above, whole and sharp."
        )
    if min(grid.px_per_mm_x, grid.px_per_mm_y) < MIN_PX_PER_MM:
        raise EcgFileError(
            f"The picture is too small: {25.4 * grid.px_per_mm_x:.0f} dots per inch of paper. "
            "At least 100 are needed, 200 are better."
        )
    traces = find_traces(ink(levelled, grid), grid)
    strips = _of_sheet(traces, grid)
    if len(strips) < 3:
        raise EcgFileError(
            f"The picture shows squared paper, but {_rows(len(strips))} where a 12-lead ECG has at "
            "least 3. Please scan the whole printout."
        )
    span = _span(strips, grid)
    strips = _of_sheet(_without_marks(traces, span, grid), grid)
    seconds = _seconds(span, grid)
    gain, gain_note = _gain(strips)
    rows_mv = _rows_mv(strips, span, seconds, gain)
    layout = find_layout(rows_mv)
    if layout is None:
        raise EcgFileError(
            f"The picture shows {_rows(len(strips))} of traces. Printouts of 3×4, 6×2 and 12×1 "
            "leads can be read, with rhythm strips below."
        )
    if layout.doubtful:
        raise EcgFileError(
            "The traces were found, but the limb leads do not add up (I + III = II): the leads are "
            "in other places than usual, or the traces cannot be followed. Please scan the "
            "printout again, or export the recording itself."
        )
    leads_mv, lines = _leads(layout, rows_mv, strips, span, grid, gain)
    notes = (
        f"Read from a picture, {layout.name}: please check the red lines against the paper.",
        f"Lead names were taken from their usual places; {SPEED_MM_S:g} mm/s was assumed.",
        gain_note,
        *_doubts(layout, seconds, turn_deg),
    )
    return Printout(leads_mv, RATE_HZ, notes, draw(levelled, lines))


def _rows(n: int) -> str:
    return "no row" if n == 0 else "only one row" if n == 1 else f"{n} rows"


def _of_sheet(traces: Sequence[Trace], grid: Grid) -> list[Strip]:
    """The strips that are as long as most: not a rule, a line of text or a second graph."""
    strips = [strip for trace in traces if (strip := strip_of(trace, grid))]
    if not strips:
        return []
    longest = np.median(sorted(s.last - s.first for s in strips)[-3:])
    slack = max(0.15 * longest, _SAME_MM * grid.px_per_mm_x)
    return [s for s in strips if s.last - s.first > longest - slack]


def _without_marks(traces: Sequence[Trace], span: Span, grid: Grid) -> list[Trace]:
    """The traces without the upright lines that some carts print where the next lead begins.

    Such a line stands at a quarter of the sheet, in most rows, equally high in all of them and as
    thin as the pen. A QRS complex that happens to be there differs from lead to lead.
    """
    tall_px, reach = _MARK_MM * grid.px_per_mm_y, max(2, round(0.7 * grid.px_per_mm_x))
    height = np.stack([np.nan_to_num(t.lower - t.upper) for t in traces])
    beside = np.minimum(np.roll(height, reach, axis=1), np.roll(height, -reach, axis=1))
    marked = (height > tall_px) & (beside < 0.5 * height)
    here = np.zeros(height.shape[1], dtype=bool)
    for quarter in (0.25, 0.5, 0.75):
        middle = round(span.left + quarter * (span.right - span.left))
        for x in range(middle - reach, middle + reach + 1):
            heights = height[marked[:, x], x]
            alike = heights.size and np.ptp(heights) < _MARKS_DIFFER_MM * grid.px_per_mm_y
            here[x] = alike and heights.size >= max(2, 0.5 * len(traces))
    here = ndimage.binary_dilation(here, iterations=1)
    cleaned = []
    for trace, tall in zip(traces, height > 0.5 * tall_px, strict=True):
        gone = here & tall
        upper, lower = (np.where(gone, np.nan, ends) for ends in (trace.upper, trace.lower))
        cleaned.append(replace(trace, upper=upper, lower=lower))
    return cleaned


def _span(strips: Sequence[Strip], grid: Grid) -> Span:
    """Where the strips begin and end.

    Where their length is about that of 10 s, it is taken as exactly that: from the end that no
    calibration pulse runs into, else around the middle.
    """
    left = float(np.median([s.first for s in strips]))
    right = float(np.median([s.last for s in strips]))
    exact = SHEET_S * SPEED_MM_S * grid.px_per_mm_x
    joined = [s.pulse.at_right for s in strips if s.pulse and s.joined]
    if len(joined) * 2 > len(strips):
        if abs(right - left - exact) < 3 * _SAME_MM * grid.px_per_mm_x:
            return Span(left, left + exact) if joined[0] else Span(right - exact, right)
    elif abs(right - left - exact) < _SAME_MM * grid.px_per_mm_x:
        middle = (left + right) / 2
        return Span(middle - exact / 2, middle + exact / 2)
    return Span(left, right)


def _seconds(span: Span, grid: Grid) -> float:
    """Seconds on the sheet. Raises EcgFileError where it is not one of about 10 s."""
    length_mm = (span.right - span.left) / grid.px_per_mm_x
    seconds = length_mm / SPEED_MM_S
    if _SHORTEST_S <= seconds <= _LONGEST_S:
        return seconds
    raise EcgFileError(
        f"The strips on the paper are {length_mm:.0f} mm long. Sheets with 10 s can be read: "
        "250 mm at 25 mm/s. Please scan one whole ECG."
    )


def _gain(strips: Sequence[Strip]) -> tuple[float, str]:
    """Millimetres per millivolt, by the calibration pulse (1 mV) where most rows show one.

    Raises EcgFileError where the pulse has no usual height: the squares were misread then.
    """
    pulses = [s.pulse.height_mm for s in strips if s.pulse]
    if len(pulses) * 2 >= len(strips):
        height = float(np.median(pulses))
        nearest = min(_GAINS, key=lambda gain: abs(np.log(height / gain)))
        if abs(height / nearest - 1) < 0.12:
            return nearest, f"The calibration pulse shows {nearest:g} mm/mV."
        raise EcgFileError(
            f"The calibration pulse is {height:.1f} squares of 1 mm high; 5, 10 and 20 are in use. "
            "The scale of the picture is not sure enough to read it."
        )
    return GAIN_MM_MV, f"No calibration pulse was found; {GAIN_MM_MV:g} mm/mV was assumed."


def _rows_mv(strips: Sequence[Strip], span: Span, seconds: float, gain: float) -> np.ndarray:
    """Each row over the span, float [rows, n] mV at `RATE_HZ`; NaN where it has no ink."""
    n = round(seconds * RATE_HZ)
    at = span.left + np.arange(n) / n * (span.right - span.left) - 0.5
    rows = np.full((len(strips), n), np.nan)
    for i, strip in enumerate(strips):
        x = np.arange(strip.height_mm.size)
        height = strip.height_mm.copy()
        height[: max(int(min(strip.first, span.left)) - 1, 0)] = np.nan
        height[int(max(strip.last, span.right)) + 1 :] = np.nan
        known = np.isfinite(height)
        if not known.any():
            continue
        rows[i] = np.interp(at, x[known], height[known], left=np.nan, right=np.nan) / gain
        # Bridged only where the trace was too thin to see, not where it was interrupted.
        nearest = np.searchsorted(x[known], at).clip(1, max(known.sum() - 1, 1))
        hole = x[known][nearest] - x[known][nearest - 1]
        rows[i][hole > (span.right - span.left) / seconds * 0.06] = np.nan
    return rows


def _leads(
    layout: Layout,
    rows_mv: np.ndarray,
    strips: Sequence[Strip],
    span: Span,
    grid: Grid,
    gain: float,
) -> tuple[dict[str, np.ndarray], list[Line]]:
    """Leads at their times, and the lines to draw over the picture. Rhythm strips go before."""
    n = rows_mv.shape[1]
    leads_mv: dict[str, np.ndarray] = {}
    lines: list[Line] = []
    for row, name, first, last in pieces(layout, n):
        lead = name.removeprefix("-")
        strip, part = strips[row], rows_mv[row, first:last]
        x = span.left + np.arange(first, last) / n * (span.right - span.left) - 0.5
        y = strip.level - part * gain * grid.px_per_mm_y
        lines.append(Line(name, x, y))
        if not np.isfinite(part).any():
            continue
        part = part - _level_mv(part)
        part = -part if name.startswith("-") else part
        signal = leads_mv.setdefault(lead, np.full(n, np.nan))
        signal[first:last] = np.where(np.isfinite(part), part, signal[first:last])
    return leads_mv, lines


def _level_mv(part_mv: np.ndarray) -> float:
    """The level a lead is at most of the time."""
    known = np.sort(part_mv[np.isfinite(part_mv)])
    count = np.searchsorted(known, known + 0.05) - np.arange(known.size)
    best = int(count.argmax())
    return float(np.median(known[best : best + count[best]]))


def _doubts(layout: Layout, seconds: float, turn_deg: float) -> list[str]:
    found = []
    if any(not row for row in layout.places):
        found.append("A rhythm strip repeats none of the leads above it and was left out.")
    if abs(seconds - SHEET_S) > 0.2:
        found.append(f"The sheet holds {seconds:.1f} s instead of 10 s.")
    if abs(turn_deg) > 0.2:
        found.append(f"The picture was turned by {abs(turn_deg):.1f}° to level it.")
    return found
