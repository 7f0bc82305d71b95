"""`clean(ecg)`: the recording as it is measured: one rate, no wander, no pacing spikes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import ndimage
from scipy import signal as dsp

from ecgqa.record import ECG, LEADS

# Everything is measured at this rate, so that a 100 Hz recording is not read in steps of 10 ms.
RATE_HZ = 500
# A longer recording is measured on its first two minutes.
LONGEST_S = 120
FLAT_MV = 0.02  # a lead that stays within this band says nothing
# Derived limb leads carry nothing new; used only where the independent ones are missing.
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB = LEADS[:6]
# A pacemaker's stimulus lasts about 2 ms: a slower recorder smears it until it is gone.
SPIKE_LEAST_HZ = 240
SPIKE_STEP_MV = 0.05  # per lead, from one sample of 2 ms to the next
SPIKE_TIMES = (2.5, 5.0)  # as steep as anything from 6 to 16 ms around, as the median of 24 ms


@dataclass(frozen=True, eq=False)
class Clean:
    """A recording at `RATE_HZ`.

    leads_mv: [12, n], NaN rows for leads that cannot be used; used: [12] bool, those that can.
    apart: rows of `leads_mv` that are independent of one another (I, II, V1-V6 as far as there).
    spikes: samples of pacing spikes, which are cut out of `leads_mv`.
    """

    leads_mv: np.ndarray
    used: np.ndarray
    apart: np.ndarray
    spikes: np.ndarray


def clean(ecg: ECG) -> Clean:
    """Resample, cut pacing spikes, remove wander below 0.5 Hz (zero phase, Kligfield 2007)."""
    raw = np.asarray(ecg.signal_mv[:, : int(LONGEST_S * ecg.rate_hz)], dtype=np.float64)
    step = Fraction(RATE_HZ / ecg.rate_hz).limit_denominator(200)
    known = np.isfinite(raw)
    rows = np.flatnonzero(known.mean(axis=1) > 0.5)
    if ecg.rate_hz < 50 or ecg.seconds < 1.5 or not step or len(rows) == 0:
        nothing = np.full((len(LEADS), 1), np.nan)
        return Clean(nothing, np.zeros(len(LEADS), bool), np.array([], int), np.array([], int))
    filled = np.stack([_bridge(raw[row], known[row]) for row in rows])
    filled = np.clip(filled - np.median(filled, axis=1, keepdims=True), -20, 20)
    spikes = np.array([], int)
    if ecg.rate_hz >= SPIKE_LEAST_HZ:
        spikes, filled = _without_spikes(filled, ecg.rate_hz)
    if step != 1:
        filled = dsp.resample_poly(filled, step.numerator, step.denominator, axis=1, padtype="line")
    leads_mv = np.full((len(LEADS), filled.shape[1]), np.nan)
    wander = dsp.butter(2, 0.5, "highpass", fs=RATE_HZ, output="sos")
    leads_mv[rows] = dsp.sosfiltfilt(wander, filled, axis=1)
    used = np.zeros(len(LEADS), bool)
    used[rows] = np.subtract(*np.percentile(leads_mv[rows], [99.5, 0.5], axis=1)) > FLAT_MV
    apart = _independent(used)
    spikes = np.unique(np.round(spikes * (RATE_HZ / ecg.rate_hz)).astype(int))
    return Clean(leads_mv, used, apart, spikes)


def smooth(x: np.ndarray, width: int) -> np.ndarray:
    """Running mean along the last axis, the ends held."""
    return ndimage.uniform_filter1d(x, width, axis=-1, mode="nearest") if width > 1 else x


def _bridge(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A lead with its gaps bridged by straight lines."""
    if known.all():
        return values
    at = np.arange(len(values))
    bridged: np.ndarray = np.interp(at, at[known], values[known])
    return bridged


def _independent(used: np.ndarray) -> np.ndarray:
    """Rows of I, II, V1-V6 as far as they are there, other limb leads in place of I or II."""
    names = [lead for lead in INDEPENDENT if used[LEADS.index(lead)]]
    spare = [lead for lead in LIMB if used[LEADS.index(lead)] and lead not in names]
    while spare and sum(lead in LIMB for lead in names) < 2:
        names.append(spare.pop(0))
    return np.array([LEADS.index(lead) for lead in names], dtype=int)


def _without_spikes(leads_mv: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples at which pacing spikes begin, and the leads with straight lines in their place."""
    steps = np.abs(np.diff(leads_mv, axis=1)).mean(axis=0)
    per_2_ms = rate_hz / RATE_HZ
    near, far = round(0.006 * rate_hz), round(0.016 * rate_hz)
    beside = ndimage.maximum_filter1d(steps, far - near + 1, mode="nearest")
    middle = (near + far) // 2
    before, after = np.roll(beside, middle), np.roll(beside, -middle)
    usual = ndimage.median_filter(steps, size=2 * round(0.024 * rate_hz) + 1, mode="nearest")
    around = np.maximum(SPIKE_TIMES[0] * np.maximum(before, after), SPIKE_TIMES[1] * usual)
    sharp = (steps * per_2_ms > SPIKE_STEP_MV) & (steps > around)
    sharp[: 2 * far], sharp[-2 * far :] = False, False
    at = np.flatnonzero(sharp)
    if len(at) == 0:
        return at, leads_mv
    known = np.ones(leads_mv.shape[1], bool)
    for i in at:
        known[max(i - round(0.001 * rate_hz), 1) : i + 1 + round(0.004 * rate_hz)] = False
    known[-1] = True
    first = at[np.diff(at, prepend=-rate_hz) > 0.02 * rate_hz]
    return first, np.stack([_bridge(lead, known) for lead in leads_mv])
