"""`find_beats(signal)`: where every QRS is, and which beats have the same shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal as dsp

from ecgqa.measure.signal import RATE_HZ, Clean, smooth

# Part of a beat kept before and after its R, for the median beat.
BEFORE_R_S, AFTER_R_S = 0.45, 0.75
ALIKE = 0.85  # correlation over all leads from which two QRS have the same shape
REACH, SLACK = int(0.1 * RATE_HZ), int(0.04 * RATE_HZ)


@dataclass(frozen=True, eq=False)
class Found:
    """All beats of a recording.

    peaks: [b] samples of R, moved so that beats of one shape coincide.
    shape: [b] int, 0 for the shape that most beats have, then 1, 2 ...; -1 for beats that an end
        of the recording cuts off. agreement: mean correlation of the beats of shape 0 with it.
    """

    peaks: np.ndarray
    shape: np.ndarray
    agreement: float


def find_beats(signal: Clean) -> Found:
    """Find the QRS complexes of all leads together and sort them by shape."""
    peaks = _detect(signal.leads_mv[signal.apart])
    if len(peaks) < 2:
        return Found(peaks, np.full(len(peaks), -1), 0.0)
    return _sort_by_shape(signal.leads_mv[signal.apart], peaks)


def cut(leads_mv: np.ndarray, peaks: np.ndarray, before: int, after: int) -> np.ndarray:
    """[beats, leads, before + after] around each peak; the ends of the recording are held."""
    padded = np.pad(leads_mv, ((0, 0), (before, after)), mode="edge")
    return np.stack([padded[:, p : p + before + after] for p in peaks])


def _detect(leads_mv: np.ndarray) -> np.ndarray:
    """Sample indices of QRS complexes: peaks of the energy of all leads in the QRS band.

    The band and the refractory rules follow Pan & Tompkins 1985 (doi 10.1109/TBME.1985.325532),
    with the energy summed over the leads, each weighted by how far it stands out of its own noise.
    """
    band = dsp.butter(2, [5, 25], "bandpass", fs=RATE_HZ, output="sos")
    energy = dsp.sosfiltfilt(band, leads_mv, axis=1) ** 2
    top = np.percentile(energy, 98, axis=1)
    floor = np.percentile(energy, 40, axis=1)
    weight = np.minimum(top / (floor + 1e-6), 200) / (top + 1e-6)
    # The running mean adds and takes away: where nothing is left, rounding may fall below zero.
    summed = smooth((weight[:, None] * energy).sum(axis=0), int(0.09 * RATE_HZ))
    height = np.sqrt(np.maximum(summed, 0.0))
    window = 2 * RATE_HZ
    parts = [height[i : i + window] for i in range(0, len(height), window)]
    maxima = [part.max() for part in parts if len(part) > window // 2] or [height.max()]
    reference = float(np.median(maxima))
    # In a bare noise or a smooth wave nothing stands out.
    if reference < 2.0 * float(np.median(height)) or reference <= 0:
        return np.array([], dtype=int)
    peaks, _ = dsp.find_peaks(height, height=0.35 * reference, distance=int(0.2 * RATE_HZ))
    kept: list[int] = []
    for peak in peaks:
        # A T wave follows within 0.36 s and is much weaker in this band.
        if kept and peak - kept[-1] < 0.36 * RATE_HZ:
            if height[peak] > 1.6 * height[kept[-1]]:
                kept[-1] = int(peak)
                continue
            if height[peak] < 0.6 * height[kept[-1]]:
                continue
        kept.append(int(peak))
    return np.array(kept, dtype=int)


def _sort_by_shape(leads_mv: np.ndarray, peaks: np.ndarray) -> Found:
    """Each round takes the shape that most of the remaining beats share."""
    n = leads_mv.shape[1]
    inside = (peaks >= REACH + 2 * SLACK) & (peaks < n - REACH - 2 * SLACK)
    peaks, shape = peaks.copy(), np.full(len(peaks), -1)
    around = cut(smooth(leads_mv, 5), peaks, REACH + SLACK, REACH + SLACK + 1)
    left, agreement, moved_by = inside.copy(), 0.0, 0
    for number in range(int(inside.sum())):
        if not left.any():
            break
        rows = np.flatnonzero(left)
        middle = _unit(around[rows, :, SLACK:-SLACK])
        template = middle[(middle @ middle.T > ALIKE).sum(axis=1).argmax()]
        best, same = np.zeros(0, int), np.zeros(0, bool)
        fits = np.zeros(0)
        for _ in range(2):
            scores = _shifted(around[rows], template)
            best = np.asarray(scores.argmax(axis=1))
            fits = scores.max(axis=1)
            same = fits > ALIKE
            pieces = [around[i, :, s : s + 2 * REACH + 1] for i, s in zip(rows, best, strict=True)]
            units = _unit(np.stack(pieces))
            template = units[same].mean(axis=0)
            template /= np.linalg.norm(template) + 1e-9
        # R is where the average QRS of all leads is farthest from its own mean.
        form = np.sqrt((template.reshape(len(leads_mv), -1) ** 2).sum(axis=0))
        to_r = int(form.argmax()) - REACH
        moves = best - SLACK + to_r
        peaks[rows[same]] += moves[same]
        shape[rows[same]] = number
        if number == 0:
            moved_by = int(np.median(moves[same]))
            # When hardly any beats agree, say how (badly) all beats agree instead.
            few = same.sum() < max(3, 0.3 * len(rows))
            agreement = float(fits.mean() if few else fits[same].mean())
        left[rows[same]] = False
    # Beats too near an end to be compared move as far as the others did.
    peaks[~inside] += moved_by
    there = (peaks >= 0) & (peaks < n)
    peaks, shape = peaks[there], shape[there]
    order = peaks.argsort()
    return Found(peaks[order], shape[order], agreement)


def _unit(pieces: np.ndarray) -> np.ndarray:
    """[b, leads, m] -> [b, leads * m] of length 1, each lead without its mean."""
    flat = (pieces - pieces.mean(axis=2, keepdims=True)).reshape(len(pieces), -1)
    unit: np.ndarray = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-9)
    return unit


def _shifted(around: np.ndarray, template: np.ndarray) -> np.ndarray:
    """[b, shifts] correlation of each beat with the template at every shift within the slack."""
    width = 2 * REACH + 1
    windows = np.lib.stride_tricks.sliding_window_view(around, width, axis=2)
    form = template.reshape(around.shape[1], width)
    product = np.einsum("blsm,lm->bs", windows, form, optimize=True)
    power = ((windows - windows.mean(axis=3, keepdims=True)) ** 2).sum(axis=(1, 3))
    alike: np.ndarray = product / (np.sqrt(power) + 1e-9)
    return alike
