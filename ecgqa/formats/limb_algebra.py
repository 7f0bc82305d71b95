"""Do the limb leads fit one another, and in which order would the rows of an array do so?

Two potentials make all six limb leads (Einthoven's law and Goldberger's definitions, see
`ecgqa.record.LIMB_OF_I_AND_II`), so three of them or more can contradict each other: then names or
order are wrong, or a lead is inverted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np

from ecgqa.record import LEADS, LIMB_OF_I_AND_II

CONTRADICTORY = 0.2
"""Part of the limb leads' amplitude that two potentials leave over; an exchange leaves more."""
FITS = 0.1
_PARTS = 10
_MOST_SAMPLES = 50_000


def misfit(leads_mv: Mapping[str, np.ndarray]) -> float | None:
    """What two potentials leave over of the limb leads, as a part of their root mean square.

    leads_mv: lead → float [n] mV. None where fewer than three limb leads share their samples, or
    nothing moves in them.
    """
    held = [lead for lead in LIMB_OF_I_AND_II if lead in leads_mv]
    if len(held) < 3:
        return None
    rows = _together([leads_mv[lead] for lead in held])
    if rows is None:
        return None
    weights = np.array([LIMB_OF_I_AND_II[lead] for lead in held])
    left = rows - weights @ np.linalg.lstsq(weights, rows, rcond=None)[0]
    # The median of ten parts: a calibration pulse or an artefact in one of them does not count.
    parts = [
        np.linalg.norm(left[:, part]) / power
        for part in np.array_split(np.arange(rows.shape[1]), _PARTS)
        if (power := np.linalg.norm(rows[:, part])) > 0
    ]
    return float(np.median(parts))


def order_that_fits(rows_mv: Sequence[np.ndarray]) -> tuple[str, ...] | None:
    """The order of twelve nameless leads in which the limb leads fit; the rest are V1 to V6.

    rows_mv: twelve float [n] mV. None where no order fits, or several fit alike.
    """
    rows = _together(rows_mv)
    if rows is None or len(rows) != len(LEADS):
        return None
    gram = rows @ rows.T
    wanted = np.array([LIMB_OF_I_AND_II[lead] for lead in LEADS[2:6]])
    found: dict[tuple[int, ...], float] = {}
    for pair in permutations(range(len(LEADS)), 2):
        at = list(pair)
        # |row - (w1 I + w2 II)|² for every wanted lead and row, from the products of the rows.
        own = np.einsum("wi,ij,wj->w", wanted, gram[np.ix_(at, at)], wanted)
        apart = np.maximum(own[:, None] + np.diag(gram)[None] - 2 * wanted @ gram[at], 0.0)
        apart[:, at] = np.inf
        chosen = apart.argmin(axis=1)
        limb = (*pair, *(int(row) for row in chosen))
        if len(set(limb)) == 6:
            power = float(np.diag(gram)[list(limb)].sum())
            left = float(apart[range(4), chosen].sum())
            found[limb] = float(np.sqrt(left / power)) if power else np.inf
    best = sorted(found, key=lambda limb: found[limb])[:2]
    if not best or found[best[0]] > FITS:
        return None
    if len(best) > 1 and found[best[1]] < max(2 * found[best[0]], 0.02):
        return None
    names = dict(zip(best[0], LEADS[:6], strict=True))
    chest = iter(LEADS[6:])
    return tuple(names.get(row) or next(chest) for row in range(len(LEADS)))


def _together(leads_mv: Sequence[np.ndarray]) -> np.ndarray | None:
    """[leads, n] of the samples that all have, around their medians; None where nothing moves."""
    rows = np.stack([np.asarray(lead, dtype=np.float64) for lead in leads_mv])
    rows = rows[:, np.isfinite(rows).all(axis=0)][:, :_MOST_SAMPLES]
    if rows.shape[1] < 100:
        return None
    rows = rows - np.median(rows, axis=1, keepdims=True)
    return rows if np.linalg.norm(rows) > 0 else None
