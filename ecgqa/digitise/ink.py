"""`ink`: what was drawn on the paper, without the paper's own lines."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ecgqa.digitise.grid import Grid

_EDGE_MM = 3.0  # a frame is no further inside the squares
_STRAIGHT = 0.8  # of the sheet's side: a line that long and straight is a frame, not a trace


def ink(picture: np.ndarray, grid: Grid) -> np.ndarray:
    """How much ink covers each pixel, float32 [h, w]: 0 paper, 1 the full darkness of the trace.

    picture: levelled, evenly lit, uint8 [h, w, 3]. A pixel is as dark as its brightest colour, so
    coloured lines count little and grey ones are taken off by their period: the median darkness
    along a line that returns with every square.
    """
    darkness = 1.0 - picture.max(axis=2) / np.float32(255.0)
    left, top, right, bottom = grid.box
    inside = darkness[top:bottom, left:right]
    across = _lines(np.median(inside, axis=1), 5 * grid.px_per_mm_y)
    along = _lines(np.median(inside, axis=0), 5 * grid.px_per_mm_x)
    paper = np.minimum(np.maximum(across[:, None], along[None, :]), 0.8).astype(np.float32)
    drawn = np.clip((inside - paper) / (1 - paper), 0, 1)
    full = _full_darkness(drawn)
    covered: np.ndarray = np.zeros_like(darkness)
    covered[top:bottom, left:right] = np.minimum(drawn / full, 1.0)
    _drop_frames(covered, grid)
    return covered


def _lines(profile: np.ndarray, period: float) -> np.ndarray:
    """The part of a profile that returns with every period.

    A trace's baseline that lies level for half the sheet is dark in one row only, so it is not in
    the median over all squares.
    """
    n = int(profile.size / period)
    phases = np.arange(round(period))
    at = (np.arange(n)[:, None] * period + phases[None, :]) % profile.size
    # Lines are drawn at whole pixels, up to one off the period.
    near = ndimage.maximum_filter1d(profile, 3)
    folded = np.median(np.interp(at, np.arange(profile.size), near), axis=0)
    folded = ndimage.maximum_filter1d(folded, 3, mode="wrap")
    expected = folded[np.round(np.arange(profile.size) % period).astype(int) % phases.size]
    lines: np.ndarray = np.minimum(profile, expected)
    return lines


def _full_darkness(drawn: np.ndarray) -> float:
    """The darkness of the middle of a drawn line: typical among the darkest pixel of columns."""
    peaks = drawn[(drawn > 0.12) & (drawn >= ndimage.maximum_filter1d(drawn, 5, axis=0))]
    if peaks.size < 100:
        return 1.0
    return float(np.clip(np.percentile(peaks, 75), 0.15, 1.0))


def _drop_frames(covered: np.ndarray, grid: Grid) -> None:
    """Erases straight lines along whole sides: upright ones anywhere, level ones at the edges.

    A level one further inside may be a flat trace.
    """
    left, top, right, bottom = grid.box
    dark = covered[top:bottom, left:right] > 0.4
    rows = np.flatnonzero(ndimage.maximum_filter1d(dark, 3, axis=0).mean(axis=1) > _STRAIGHT)
    edge = _EDGE_MM * grid.px_per_mm_y
    for row in top + rows[(rows < edge) | (rows > bottom - top - edge)]:
        covered[max(row - 1, 0) : row + 2] = 0
    columns = np.flatnonzero(ndimage.maximum_filter1d(dark, 3, axis=1).mean(axis=0) > _STRAIGHT)
    for column in left + columns:
        covered[:, max(column - 1, 0) : column + 2] = 0
