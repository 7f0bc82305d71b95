"""`Layout`: which stretch of which row is which lead, and at what time.

The usual sheets show 10 s: 3 × 4 (three rows of four leads, 2.5 s each) with up to three rhythm
strips below, 6 × 2 or 12 × 1. The number of rows narrows the choice; the leads themselves decide:
a rhythm strip repeats a lead above it, and limb leads obey Einthoven's law (I + III = II) and
Goldberger's (aVR + aVL + aVF = 0; Am Heart J 1942;23:483).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgqa.record import LEADS

SHEET_S = 10.0
_LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
_STANDARD = {
    4: (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6")),
    2: tuple(zip(LEADS[:6], LEADS[6:], strict=True)),
    1: tuple((lead,) for lead in LEADS),
}
# Cabrera's order: the limb leads by their angle, aVR upside down ("-aVR").
_CABRERA = {
    4: (("aVL", "II", "V1", "V4"), ("I", "aVF", "V2", "V5"), ("-aVR", "III", "V3", "V6")),
    2: tuple(zip(("aVL", "I", "-aVR", "II", "aVF", "III"), LEADS[6:], strict=True)),
    1: tuple((lead,) for lead in ("aVL", "I", "-aVR", "II", "aVF", "III", *LEADS[6:])),
}
# Sums of limb leads that are zero, with Goldberger's definitions of the augmented ones.
_LAWS = (
    {"I": 1.0, "II": -1.0, "III": 1.0},
    {"aVR": 1.0, "aVL": 1.0, "aVF": 1.0},
    {"-aVR": -1.0, "aVL": 1.0, "aVF": 1.0},
    {"aVL": 1.0, "-aVR": 1.0, "I": -1.5},
    {"II": 1.0, "III": 1.0, "aVF": -2.0},
    {"I": 1.0, "II": 1.0, "aVR": 2.0},
)
_REPEATS = 0.7  # likeness of a rhythm strip and the lead it repeats
_USUAL = {"II": 0.06, "V1": 0.03, "V5": 0.03}  # leads usually repeated: how much the less they need
_CLIP_MV = 0.4  # QRS complexes of neighbouring rows cross; P, ST and T tell the leads apart as well
_STRANGE = 0.5  # misfit of the limb leads from which the reading is doubted


@dataclass(frozen=True)
class Layout:
    """How a sheet is divided.

    places: for each row, the leads of its columns; one name for a row that is one lead throughout;
        empty for a rhythm strip of which nobody can say what it repeats.
    misfit: how far the limb leads are from obeying their laws: 0 fully, 1 not at all; NaN unknown.
    """

    n_columns: int
    places: tuple[tuple[str, ...], ...]
    misfit: float

    @property
    def name(self) -> str:
        """In the words of the clinic: "3×4 with 1 rhythm strip"."""
        n_grid = {4: 3, 2: 6, 1: 12}[self.n_columns]
        n_strips = len(self.places) - n_grid
        strips = f" with {n_strips} rhythm strip{'s' * (n_strips > 1)}" if n_strips else ""
        order = ", Cabrera order" if any("-aVR" in row for row in self.places) else ""
        return f"{n_grid}×{self.n_columns}{strips}{order}"

    @property
    def doubtful(self) -> bool:
        """Whether the limb leads contradict the names the layout gives them."""
        return bool(self.misfit > _STRANGE)


def find_layout(rows_mv: np.ndarray) -> Layout | None:
    """The layout of a sheet's rows.

    rows_mv: float [rows, n] mV, from the left edge of the sheet's strips to the right edge, NaN
        where a row has no ink.
    Returns None where no layout has this number of rows.
    """
    n_rows = len(rows_mv)
    found: list[Layout] = []
    for n_columns, most_strips in ((4, 3), (2, 2), (1, 0)):
        for order in (_STANDARD, _CABRERA):
            grid = order[n_columns]
            if not 0 <= n_rows - len(grid) <= most_strips:
                continue
            strips = [_strip(row, rows_mv, grid) for row in rows_mv[len(grid) :]]
            misfit = _misfit(rows_mv, grid)
            found.append(Layout(n_columns, (*grid, *_named(strips)), misfit))
    if not found:
        return None
    # The usual layout comes first; another must fit clearly better.
    best = found[0]
    for other in found[1:]:
        if _cost(other) < 0.5 * _cost(best) and _cost(best) > 0.25:
            best = other
    return best


def pieces(layout: Layout, n: int) -> list[tuple[int, str, int, int]]:
    """Row, lead, first and last sample (exclusive) of every stretch of a sheet of n samples."""
    found = []
    for row, leads in enumerate(layout.places):
        edges = np.round(np.linspace(0, n, len(leads) + 1)).astype(int)
        found += [
            (row, lead, int(a), int(b)) for lead, a, b in zip(leads, edges, edges[1:], strict=False)
        ]
    return found


def _cost(layout: Layout) -> float:
    unnamed = sum(not row for row in layout.places)
    return (1.0 if np.isnan(layout.misfit) else layout.misfit) + 0.5 * unnamed


def _columns(rows_mv: np.ndarray, grid: Sequence[Sequence[str]]) -> list[dict[str, np.ndarray]]:
    """For each column of a layout, its leads [n / columns], each around its own level."""
    n_columns = len(grid[0])
    edges = np.round(np.linspace(0, rows_mv.shape[1], n_columns + 1)).astype(int)
    found = []
    for c in range(n_columns):
        inset = (edges[c + 1] - edges[c]) // 25  # leave out the marks between columns
        part = rows_mv[: len(grid), edges[c] + inset : edges[c + 1] - inset]
        found.append({leads[c]: _centred(row) for leads, row in zip(grid, part, strict=True)})
    return found


def _centred(row_mv: np.ndarray) -> np.ndarray:
    return row_mv - np.nanmedian(row_mv) if np.isfinite(row_mv).any() else row_mv


def _clipped(row_mv: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(_centred(row_mv), -_CLIP_MV, _CLIP_MV)
    return clipped


def _misfit(rows_mv: np.ndarray, grid: Sequence[Sequence[str]]) -> float:
    """Root mean square of the sums that should be zero over that of their terms."""
    error, power = 0.0, 0.0
    for leads in _columns(rows_mv, grid):
        for law in _LAWS:
            if not all(lead in leads for lead in law):
                continue
            terms = np.stack([factor * leads[lead] for lead, factor in law.items()])
            terms = terms[:, np.isfinite(terms).all(axis=0)]
            if terms.shape[1] < 50:
                continue
            error += float((terms.sum(axis=0) ** 2).mean())
            power += float((terms**2).sum(axis=0).mean())
    return float(np.sqrt(error / power)) if power > 0 else float("nan")


def _strip(
    row_mv: np.ndarray, rows_mv: np.ndarray, grid: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Likeness of a rhythm strip and each lead in the column where both are printed.

    The concordance of Lin (Biometrics 1989;45:255) without the offset: 1 where both are equal,
    less where they differ in shape or in size.
    """
    n_columns = len(grid[0])
    edges = np.round(np.linspace(0, rows_mv.shape[1], n_columns + 1)).astype(int)
    found = {}
    for c, leads in enumerate(_columns(rows_mv, grid)):
        inset = (edges[c + 1] - edges[c]) // 25
        part = _clipped(row_mv[edges[c] + inset : edges[c + 1] - inset])
        for lead, shape in leads.items():
            other = _clipped(shape)
            both = np.isfinite(part) & np.isfinite(other)
            power = part[both].var() + other[both].var() if both.sum() > 50 else 0.0
            if power > 0:
                found[lead] = float(1 - (part[both] - other[both]).var() / power)
    return found


def _named(strips: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    """The lead each strip repeats: the best match first, each lead once."""
    names: list[tuple[str, ...]] = [()] * len(strips)
    matches = sorted(
        (
            (r + _USUAL.get(lead, 0.0), i, lead)
            for i, strip in enumerate(strips)
            for lead, r in strip.items()
        ),
        reverse=True,
    )
    for r, i, lead in matches:
        if r >= _REPEATS and not names[i] and (lead,) not in names:
            names[i] = (lead,)
    return names
