"""`Trace`: one row of the printout followed from left to right.

In every column the ink falls into vertical runs. A trace is the path through these runs that keeps
its height from column to column, bridges gaps and stays near its row: the cheapest path, found by
dynamic programming (Viterbi 1967), as for tracing curves in other digitised records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage, signal

from ecgqa.digitise.grid import Grid

INK = 0.4  # covered more than this belongs to a line; half, less what thin lines lose
_SEED = 0.7
_WIDE_MM = 12.0  # wider than a letter or a word: a piece of a trace
_REACH_MM = 45.0  # from the middle of the row: more than any R wave
_GAP, _LARGEST_GAP = 2.0, 4.0  # cost of a jump, per mm, and of any jump: to the next lead
_SKIP = 1.0  # cost of a stretch without ink, per mm
_SMALL = 0.8  # cost of ink that hangs with nothing wide, per mm: a letter, or a broken trace
_AWAY = 0.02  # cost of being away from the row's middle, per mm of height and mm of length
_PROLONGED_MM = 4.0
_MOST_WAITING = 12  # paths kept alive over a gap

Ends = tuple[np.ndarray, np.ndarray]  # upper and lower ends of a row's ink, float [width] each


@dataclass(frozen=True, eq=False)
class Runs:
    """Vertical runs of ink, in the order of their columns.

    x: column; top, bottom: first row and the row after the last; all int [n].
    first: int [width + 1], where each column's runs begin.
    """

    x: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    first: np.ndarray


@dataclass(frozen=True, eq=False)
class Trace:
    """A row's trace.

    middle: height of the row in pixels from the top: where its trace is most of the time.
    upper, lower: float [width], the two ends of the ink in each column, NaN where there is none.
    sure: bool [width], where the ink hangs with more than a letter would have.
    """

    middle: float
    upper: np.ndarray
    lower: np.ndarray
    sure: np.ndarray


def find_traces(covered: np.ndarray, grid: Grid) -> list[Trace]:
    """The rows of traces of a sheet, from top to bottom. covered: see `ink.ink`, [h, w]."""
    mask = _mask(covered, grid)
    runs = _runs(mask)
    wide = _wide(mask, runs, grid)
    middles = _middles(runs, wide, grid, mask.shape[0])
    paths = [_follow(runs, wide, middle, grid, mask.shape[1]) for middle in middles]
    for path in paths:
        _prolong(path, runs, wide, np.concatenate(paths), grid)
    return [
        Trace(middle, *_ends(covered, upper, lower), sure=(path >= 0) & wide[path])
        for middle, path, (upper, lower) in zip(
            middles, paths, _share(runs, paths, grid), strict=True
        )
    ]


def _mask(covered: np.ndarray, grid: Grid) -> np.ndarray:
    """Where lines were drawn, without specks."""
    labels, n = _labelled(covered > INK)
    if n == 0:
        return np.zeros(covered.shape, dtype=bool)
    boxes = ndimage.find_objects(labels)
    dark = np.bincount(labels[covered > _SEED], minlength=n + 1) > 0
    keep = np.zeros(n + 1, dtype=bool)
    for i, (rows, columns) in enumerate(boxes):
        size_mm = max(
            (rows.stop - rows.start) / grid.px_per_mm_y,
            (columns.stop - columns.start) / grid.px_per_mm_x,
        )
        keep[i + 1] = dark[i + 1] and size_mm > 0.5
    kept: np.ndarray = keep[labels]
    return kept


def _labelled(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Pieces of ink that hang together, also by corners: their numbers [h, w], and how many."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    n = ndimage.label(mask, structure=np.ones((3, 3)), output=labels)
    return labels, int(cast(int, n))


def _runs(mask: np.ndarray) -> Runs:
    step = np.diff(mask.T.astype(np.int8), axis=1, prepend=0, append=0)
    x, top = np.nonzero(step == 1)
    bottom = np.nonzero(step == -1)[1]
    return Runs(x, top, bottom, np.searchsorted(x, np.arange(mask.shape[1] + 1)))


def _wide(mask: np.ndarray, runs: Runs, grid: Grid) -> np.ndarray:
    """Whether each run hangs with ink that is wider than a word, over small gaps; bool [n]."""
    bridge = np.ones((1, max(1, round(0.4 * grid.px_per_mm_x)) * 2 + 1), dtype=bool)
    labels, n = _labelled(ndimage.binary_dilation(mask, bridge))
    wide = np.zeros(n + 1, dtype=bool)
    for i, (_, columns) in enumerate(ndimage.find_objects(labels)):
        wide[i + 1] = columns.stop - columns.start > _WIDE_MM * grid.px_per_mm_x
    is_wide: np.ndarray = wide[labels[runs.top, runs.x]]
    return is_wide


def _middles(runs: Runs, wide: np.ndarray, grid: Grid, height: int) -> list[float]:
    """The heights at which traces run, from top to bottom."""
    centre = (runs.top + runs.bottom - 1) / 2
    level = runs.bottom - runs.top < 1.5 * grid.px_per_mm_y
    counts = np.bincount(np.round(centre[wide & level]).astype(int), minlength=height)
    density = ndimage.gaussian_filter1d(counts.astype(float), 1.5 * grid.px_per_mm_y)
    span = grid.box[2] - grid.box[0]
    # A row that is level for a fifth of the sheet, within the width of the smoothing.
    needed = 0.2 * span / (1.5 * grid.px_per_mm_y * np.sqrt(2 * np.pi))
    peaks, _ = signal.find_peaks(np.pad(density, 1), height=needed, distance=7.0 * grid.px_per_mm_y)
    return [float(peak - 1) for peak in peaks]


def _follow(runs: Runs, wide: np.ndarray, middle: float, grid: Grid, width: int) -> np.ndarray:
    """The run that the row's trace takes in each column, int [width], -1 for none."""
    mm_x, mm_y = 1 / grid.px_per_mm_x, 1 / grid.px_per_mm_y
    centre = (runs.top + runs.bottom - 1) / 2
    away = np.minimum(np.abs(centre - middle) * mm_y, 20.0) * _AWAY * mm_x
    away = np.where(wide, away, _SMALL * mm_x)
    near = np.abs(centre - middle) * mm_y < _REACH_MM
    before = np.full(runs.x.size, -1)
    cost = np.empty(runs.x.size)
    start = int(runs.x[0]) if runs.x.size else 0
    waiting = np.empty(0, dtype=int)
    waiting_cost = np.empty(0)
    for x in range(start, width):
        here = np.arange(runs.first[x], runs.first[x + 1])
        here = here[near[here]]
        waiting_cost = waiting_cost + _SKIP * mm_x
        if here.size == 0:
            continue
        fresh = (x - start) * _SKIP * mm_x
        if waiting.size:
            gap = np.maximum(
                runs.top[here][:, None] - runs.bottom[waiting][None, :],
                runs.top[waiting][None, :] - runs.bottom[here][:, None],
            )
            jump = np.clip(_GAP * gap * mm_y, 0.0, _LARGEST_GAP)
            # The column itself is not skipped.
            total = waiting_cost[None, :] - _SKIP * mm_x + jump
            best = total.argmin(axis=1)
            least = total[np.arange(here.size), best]
            before[here] = np.where(least <= fresh, waiting[best], -1)
            cost[here] = np.minimum(least, fresh) + away[here]
        else:
            cost[here] = away[here] + fresh
        # Ink that was just reached always counts, however dear the jump to it was.
        kept = np.argsort(waiting_cost, kind="stable")[:_MOST_WAITING]
        waiting = np.concatenate([here, waiting[kept]])
        waiting_cost = np.concatenate([cost[here], waiting_cost[kept]])
    path = np.full(width, -1)
    if waiting.size:
        run = int(waiting[waiting_cost.argmin()])
        while run >= 0:
            path[runs.x[run]] = run
            run = int(before[run])
    return path


def _prolong(path: np.ndarray, runs: Runs, wide: np.ndarray, taken: np.ndarray, grid: Grid) -> None:
    """Goes on from both sides of every gap as far as the ink goes, in place.

    The cheapest path cuts a steep wave where a trace begins or ends, to jump less.
    taken: the runs that are on any path.
    """
    free = np.ones(runs.x.size, dtype=bool)
    free[taken[taken >= 0]] = False
    most = round(_PROLONGED_MM * grid.px_per_mm_x)
    for first, last in stretches((path >= 0) & wide[path]):
        for edge, step in ((first, -1), (last - 1, 1)):
            x = edge
            while abs(x - edge) < most and 0 <= x + step < path.size:
                here, near = path[x], np.arange(runs.first[x + step], runs.first[x + step + 1])
                touching = free[near] & (runs.top[near] <= runs.bottom[here])
                touching &= (runs.bottom[near] >= runs.top[here]) & wide[near]
                if (path[x + step] >= 0 and wide[path[x + step]]) or not touching.any():
                    break
                x += step
                path[x] = near[touching.argmax()]


def _share(runs: Runs, paths: Sequence[np.ndarray], grid: Grid) -> list[Ends]:
    """Ends of each row's ink, float [width] each; ink that two rows share is divided.

    Where traces cross, one run holds both. Each row is first drawn straight through the crossing;
    ink above belongs to the upper row, ink below to the lower one, and ink between to the one that
    was on its way to the other when they met.
    """
    ends = []
    for path in paths:
        upper = np.where(path >= 0, runs.top[path], np.nan).astype(float)
        lower = np.where(path >= 0, runs.bottom[path] - 1, np.nan).astype(float)
        ends.append((upper, lower))
    reach = max(2, round(1.0 * grid.px_per_mm_x))
    whole = [(upper.copy(), lower.copy()) for upper, lower in ends]
    for a in range(len(paths)):
        for b in range(a + 1, len(paths)):
            shared = (paths[a] == paths[b]) & (paths[a] >= 0)
            for first, last in stretches(shared):
                _divide(whole[a], whole[b], ends[a], ends[b], first, last, reach)
    return ends


def stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """First index and index after the last of every run of True."""
    step = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(step[::2].tolist(), step[1::2].tolist(), strict=True))


def _divide(
    upper_row: Ends, lower_row: Ends, upper_out: Ends, lower_out: Ends,
    first: int, last: int, reach: int,
) -> None:  # fmt: skip
    """Divides the columns [first, last) that two rows share. Rows: (upper ends, lower ends)."""
    around = [
        *range(max(first - reach, 0), first),
        *range(last, min(last + reach, len(upper_row[0]))),
    ]
    through = []
    for row in (upper_row, lower_row):
        known = [x for x in around if np.isfinite(row[0][x])]
        if not known:
            return
        # The level of a row beside the crossing: its ink nearest to itself, not what reaches over.
        through.append((np.median(row[0][known]), np.median(row[1][known]), known))
    (a_top, a_bottom, a_known), (b_top, b_bottom, b_known) = through
    a_down, a_up = np.max(upper_row[1][a_known]) - a_bottom, a_top - np.min(upper_row[0][a_known])
    b_down, b_up = np.max(lower_row[1][b_known]) - b_bottom, b_top - np.min(lower_row[0][b_known])
    thick = max(a_bottom - a_top, b_bottom - b_top) + 1
    for x in range(first, last):
        top, bottom = upper_row[0][x], upper_row[1][x]
        a_start, b_end = top, bottom
        if a_down >= b_up:
            a_end, b_start = b_bottom, b_top
            if b_down < thick and bottom > b_bottom + thick:
                a_end, b_end = bottom, b_bottom
        else:
            a_end, b_start = a_bottom, a_top
            if a_up < thick and top < a_top - thick:
                b_start, a_start = top, a_top
        a_start, a_end, b_start, b_end = np.clip([a_start, a_end, b_start, b_end], top, bottom)
        upper_out[0][x], upper_out[1][x] = a_start, max(a_start, a_end)
        lower_out[0][x], lower_out[1][x] = min(b_start, b_end), b_end


def _ends(
    covered: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ends moved to where the ink falls to half of its darkness, to a part of a pixel."""
    there = np.flatnonzero(np.isfinite(upper))
    out_upper, out_lower = upper.copy(), lower.copy()
    for ends, out, outward in ((upper, out_upper, -1), (lower, out_lower, 1)):
        rows = ends[there].astype(int)
        beyond = np.clip(rows + outward, 0, covered.shape[0] - 1)
        inner, outer = covered[rows, there], covered[beyond, there]
        crosses = (inner > INK) & (outer < INK)
        part = np.where(crosses, (inner - INK) / np.maximum(inner - outer, 1e-6), 0.0)
        out[there] = ends[there] + outward * part
    return out_upper, out_lower
