"""`assess(ecg)`: can this recording be read at all, and which of its leads cannot be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ecgqa.record import ECG, LEADS

FLAT_MV = 0.03  # a lead that stays within this band shows no heart beat
GAP_SHARE = 0.01  # missing samples worth mentioning
RAIL_RUN_S = 0.04  # this long at the very same extreme value is an amplifier at its limit
RAIL_TOTAL_S = 0.1
RAIL_LEAST_MV = 1.0  # a smaller flat top is more likely a quantised T wave
NOISE_MV = 0.06  # typical sample-to-sample noise between the beats
WANDER_MV = 1.5  # how far the baseline may travel
SHORT_S = 5.0
RESIDUAL_MV = 0.1  # I + III - II is zero in a consistent recording


@dataclass(frozen=True)
class Quality:
    """What is wrong with a recording; nothing, in the best case.

    readable: False where every lead is flat or missing: there is nothing to answer from.
    reasons: plain-word remarks about the whole recording, the gravest first.
    leads: lead -> its faults, out of "missing", "flat", "gaps", "clipped", "noisy", "wandering
        baseline". Leads without a fault are left out.
    limb_residual_mv: root mean square of I + III - II (Einthoven), or None where one is missing.
    """

    readable: bool
    reasons: tuple[str, ...]
    leads: dict[str, tuple[str, ...]]
    limb_residual_mv: float | None


def assess(ecg: ECG) -> Quality:
    """Look for missing, flat, clipped and noisy leads, a short recording and swapped limb leads."""
    leads = {lead: _faults(ecg.lead(lead), ecg.rate_hz) for lead in LEADS}
    leads = {lead: faults for lead, faults in leads.items() if faults}
    dead = [lead for lead, faults in leads.items() if {"missing", "flat"} & set(faults)]
    readable = len(dead) < len(LEADS)
    residual_mv = _limb_residual_mv(ecg)
    reasons = []
    if not readable:
        reasons.append("No lead carries a signal: this recording cannot be read.")
    if ecg.seconds < SHORT_S:
        reasons.append(f"Only {ecg.seconds:.1f} s long: too short for a rhythm.")
    if residual_mv is not None and residual_mv > RESIDUAL_MV:
        reasons.append(
            f"I + III does not equal II (they differ by {residual_mv:.2f} mV): "
            "the limb leads do not belong together."
        )
    return Quality(readable, tuple(reasons), leads, residual_mv)


def _faults(lead_mv: np.ndarray, rate_hz: float) -> tuple[str, ...]:
    """Faults of one lead, [n] mV with NaN."""
    present = lead_mv[np.isfinite(lead_mv)].astype(np.float64)
    if present.size == 0:
        return ("missing",)
    low, high = np.percentile(present, [0.5, 99.5])
    if high - low < FLAT_MV:
        return ("flat",)
    faults = []
    if 1 - present.size / lead_mv.size > GAP_SHARE:
        faults.append("gaps")
    if _is_clipped(present, rate_hz):
        faults.append("clipped")
    if _noise_mv(present, rate_hz) > NOISE_MV:
        faults.append("noisy")
    if _wander_mv(present, rate_hz) > WANDER_MV:
        faults.append("wandering baseline")
    return tuple(faults)


def _is_clipped(lead_mv: np.ndarray, rate_hz: float) -> bool:
    """True where the lead rests at its own largest or smallest value again and again."""
    least_run = max(3, round(RAIL_RUN_S * rate_hz))
    for rail in (lead_mv.max(), lead_mv.min()):
        if abs(rail - np.median(lead_mv)) < RAIL_LEAST_MV:
            continue
        edges = np.flatnonzero(np.diff(np.pad(lead_mv == rail, 1).astype(np.int8)))
        runs = edges[1::2] - edges[::2]
        if runs[runs >= least_run].sum() >= RAIL_TOTAL_S * rate_hz:
            return True
    return False


def _noise_mv(lead_mv: np.ndarray, rate_hz: float) -> float:
    """Robust standard deviation of what is faster than about 20 Hz.

    The median ignores the QRS complexes, which fill less than a fifth of the time.
    """
    smooth = ndimage.uniform_filter1d(lead_mv, max(3, round(0.03 * rate_hz) | 1))
    return float(1.4826 * np.median(np.abs(lead_mv - smooth)))


def _wander_mv(lead_mv: np.ndarray, rate_hz: float) -> float:
    """How far the one-second average travels; complexes of 1 s and less average out."""
    second = max(1, round(rate_hz))
    if lead_mv.size < 2 * second:
        return 0.0
    baseline = ndimage.uniform_filter1d(lead_mv, second)[second // 2 : -(second // 2) or None]
    return float(np.ptp(baseline))


def _limb_residual_mv(ecg: ECG) -> float | None:
    """Root mean square of I + III - II in mV, without its constant part."""
    residual = (ecg.lead("I") + ecg.lead("III") - ecg.lead("II")).astype(np.float64)
    residual = residual[np.isfinite(residual)]
    return float(np.std(residual)) if residual.size else None
