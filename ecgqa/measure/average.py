"""`average(beats)`: beats of one shape -> one beat per lead with little noise in it.

The median over the beats, then two things that true waves have and noise has not: they are common
to the leads, and they are smooth except at QRS. The leads are turned into their principal
components; in each, the wavelet coefficients above 30 Hz that are no larger than chance are shrunk
(non-negative garrote, Gao 1998, doi 10.1080/10618600.1998.10474789; translation-invariant, Coifman
& Donoho 1995, doi 10.1007/978-1-4612-2544-7_9). What chance is, the beats' own spread says, so a
clean recording stays as it is.
"""

from __future__ import annotations

import numpy as np
import pywt

WAVELET, LEVELS = "sym4", 3  # at 500 Hz: down to 31 Hz, so that P and T are left alone
CHANCE = 3.0  # standard deviations
FEWEST = 4  # beats whose spread says how much noise there is
TO_SD, OF_MEDIAN = 1 / 0.6745, 1.2533  # of a median absolute deviation; of a median over a mean


def average(beats: np.ndarray) -> np.ndarray:
    """[b, leads, m] mV, finite -> [leads, m] mV."""
    median: np.ndarray = np.median(beats, axis=0)
    if len(beats) < FEWEST:
        return median
    level = np.median(median, axis=1, keepdims=True)
    spread = beats - median
    spread_mv = TO_SD * np.median(np.abs(spread), axis=(0, 2))[:, None] + 1e-4
    turn, _, _ = np.linalg.svd((median - level) / spread_mv, full_matrices=False)
    parts, noise = (turn.T @ (x / spread_mv) for x in (median - level, spread))
    block = 2**LEVELS
    edge = block + (-parts.shape[1]) % block
    kept, chance = (_details(np.pad(x, _at_end(x, block, edge), "edge")) for x in (parts, noise))
    for own, by_chance in zip(kept[1:], chance[1:], strict=True):
        sd = TO_SD * OF_MEDIAN * np.median(np.abs(by_chance), axis=(0, 2)) / np.sqrt(len(beats))
        for row, least in zip(own, CHANCE * sd, strict=True):
            row[:] = pywt.threshold(row, least, "garrote")
    even = pywt.iswt(kept, WAVELET, norm=True, axis=-1)[:, block : block + parts.shape[1]]
    cleaned: np.ndarray = (turn @ even) * spread_mv + level
    return cleaned


def _details(x: np.ndarray) -> list[np.ndarray]:
    """Approximation and details, coarse to fine, of the stationary wavelet transform."""
    return list(pywt.swt(x, WAVELET, LEVELS, axis=-1, trim_approx=True, norm=True))


def _at_end(x: np.ndarray, before: int, after: int) -> list[tuple[int, int]]:
    return [(0, 0)] * (x.ndim - 1) + [(before, after)]
