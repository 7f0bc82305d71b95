"""`assess(ecg)`: can this recording be read at all, and which of its leads cannot be trusted.

A lead is lost where a cardiologist could not read it: no signal, contact that comes and goes, or
noise as high as the waves. One lost lead makes the recording unacceptable, as people judged those
of the CinC Challenge 2011 (Silva, Moody, Celi, Comput Cardiol 2011;38:273): the electrode that is
off belongs back on. What is there is read all the same, without the lost leads, as long as they are
no more than half of those recorded. A lead that was never recorded is "missing", which is no fault
of the recording.
The limits are round numbers, and none of them is critical: see `tests/bench_quality.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ecgqa.record import ECG, LEADS

PAGE_S = 10.0  # a longer recording is judged in pieces of about this length
PAGES_WITH_FAULT = 0.25  # of a recording's pieces, that a lead's fault is worth mentioning
PAGES_LOST = 0.5  # of them, that nothing can be made of a lead, or is made of the recording
LEADS_LOST = 0.5  # of the recorded leads; with more of them lost the others are not trusted either

FLAT_MV = 0.02  # a second that stays within this band shows no heart beat, and no amplifier noise
FLAT_SHARE = 0.9  # with so many of its seconds flat a lead has no signal at all
FLAT_RUN = 3  # so many on end, and contact was lost; a smooth recording may rest between slow beats
JUMP_MV = 10.0  # in a second; the input range of an electrocardiograph, ±5 mV (IEC 60601-2-25)
JUMP_SHARE = 0.2  # with so many seconds of jumps contact is poor

NOISE_MV = 0.06  # typical sample-to-sample noise between the beats
NOISE_LOST_MV = 0.1
WANDER_MV = 1.5  # how far the baseline may travel
WANDER_LOST_MV = 4.0  # 40 mm of paper: far into the rows of its neighbours
HUM_MV = 0.03  # amplitude of the mains; 0.6 mm of thicker line
HUM_OVER_NEIGHBOURS = 3.0  # times the amplitude 5 Hz beside it: a line in the spectrum, not noise
RAIL_RUN_S = 0.04  # this long at the very same extreme value is an amplifier at its limit
RAIL_TOTAL_S = 0.1
RAIL_LEAST_MV = 1.0  # a smaller flat top is more likely a quantised T wave

GAP_SHARE = 0.01  # missing samples worth mentioning
RHYTHM_S, STANDARD_S = 5.0, 9.5
RESIDUAL_MV = 0.1  # I + III - II is zero in a consistent recording

# Reversed limb electrodes. I and II as weighted sums of V1-V6: least squares over 2,178 ECGs of
# PTB-XL's folds 1 to 8, each scaled to the same power (`python tests/bench_quality.py --fit`).
FROM_CHEST = np.array(
    [
        [-0.566, 0.225, 0.053, -0.075, 0.100, 0.302],
        [0.001, -0.108, 0.147, 0.076, -0.045, 0.531],
    ]
)
OPPOSITE = -0.3  # correlation of a limb lead with that sum; 99 % of unswapped ECGs lie above
# A lead between the legs, beside the mean swing of the two other standard limb leads. From LEGS_LOW
# of it on a lead may be low as the others are; it then has LEGS_BEAT times as much in their beats
# as between them. So 4 % of 730 ECGs of PTB-XL at 0.3 of their voltage are suspected, not 15 %.
LEGS_MV, LEGS_SHARE, LEGS_BELOW, LEGS_LOW, LEGS_BEAT = 0.1, 0.15, 0.5, 0.25, 1.7
LOST = ("flat", "electrode off", "too noisy")


@dataclass(frozen=True)
class Quality:
    """What is wrong with a recording; nothing, in the best case.

    readable: False where more than half of the recorded leads are lost, or none was recorded:
        better no answer than one from such a recording.
    acceptable: False where any recorded lead is lost: it should be recorded again.
    lost: recorded leads that cannot be used.
    reasons: plain-word remarks about the whole recording, the gravest first.
    leads: lead -> its faults, out of "missing", "gaps", "flat", "electrode off", "too noisy",
        "noisy", "mains hum", "wandering baseline", "clipped". Leads without a fault are left out.
    limb_residual_mv: root mean square of I + III - II (Einthoven), or None where one is missing.
    """

    readable: bool
    acceptable: bool
    lost: tuple[str, ...]
    reasons: tuple[str, ...]
    leads: dict[str, tuple[str, ...]]
    limb_residual_mv: float | None


def assess(ecg: ECG) -> Quality:
    """Look for lost and disturbed leads, a short recording and reversed limb electrodes."""
    leads: dict[str, tuple[str, ...]] = {}
    count = max(1, round(ecg.seconds / PAGE_S))
    lost = np.zeros((len(LEADS), count), bool)
    for i, lead in enumerate(LEADS):
        pages = [
            _faults(page[np.isfinite(page)].astype(np.float64), ecg.rate_hz)
            for page in np.array_split(ecg.lead(lead), count)
        ]
        lost[i] = [bool(set(page) & set(LOST)) for page in pages]
        if faults := _whole(ecg.lead(lead)) + _often(pages):
            leads[lead] = faults
    recorded = len(LEADS) - len(ecg.missing_leads)
    acceptable = recorded > 0 and bool(lost.any(axis=0).mean() < PAGES_LOST)
    on = [lead for lead, pages in zip(LEADS, lost, strict=True) if pages.mean() >= PAGES_LOST]
    readable = recorded > 0 and len(on) <= LEADS_LOST * recorded
    residual_mv = _limb_residual_mv(ecg)
    reasons = []
    if not recorded:
        reasons.append("No lead carries a signal: this recording cannot be read.")
    elif not readable:
        reasons.append(
            f"This recording cannot be read: no usable signal in {', '.join(on)}. "
            "Please check the electrodes and record again."
        )
    elif on:
        reasons.append(
            f"No usable signal in {', '.join(on)}: what needs {'it' if len(on) == 1 else 'them'} "
            "is not answered. Please check the electrodes."
        )
    elif not acceptable:
        reasons.append("Leads come and go: no lead is lost throughout, but one or another often.")
    if ecg.seconds < RHYTHM_S:
        reasons.append(f"Only {ecg.seconds:.1f} s long: too short for a rhythm.")
    elif ecg.seconds < STANDARD_S:
        reasons.append(f"Only {ecg.seconds:.1f} s long: shorter than a standard ECG of 10 s.")
    if residual_mv is not None and residual_mv > RESIDUAL_MV:
        reasons.append(
            f"I + III does not equal II (they differ by {residual_mv:.2f} mV): "
            "the limb leads do not belong together."
        )
    if suspicion := _reversal(ecg) if readable else "":
        reasons.append(suspicion)
    return Quality(readable, acceptable, tuple(on), tuple(reasons), leads, residual_mv)


def without_lost(ecg: ECG, quality: Quality) -> ECG:
    """The recording as the model may see it: lost leads are empty, as if never recorded.

    Itself where none is lost, or where it is not readable at all.
    """
    if not quality.lost or not quality.readable:
        return ecg
    rows = [LEADS.index(lead) for lead in quality.lost]
    signal_mv = ecg.signal_mv.copy()
    signal_mv[rows] = np.nan
    return replace(ecg, signal_mv=signal_mv)


def _whole(lead_mv: np.ndarray) -> tuple[str, ...]:
    """What is absent of a lead, [n] mV with NaN."""
    share = np.isnan(lead_mv).mean()
    return ("missing",) if share == 1 else ("gaps",) if share > GAP_SHARE else ()


def _often(pages: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The faults of enough of a lead's pages."""
    found = dict.fromkeys(fault for page in pages for fault in page)
    least = PAGES_WITH_FAULT * len(pages)
    return tuple(fault for fault in found if sum(fault in page for page in pages) >= least)


def _faults(lead_mv: np.ndarray, rate_hz: float) -> tuple[str, ...]:
    """Faults of about ten seconds of one lead, [n] mV without NaN; none of less than a second."""
    second = round(rate_hz)
    if lead_mv.size < second:
        return ()
    seconds = lead_mv[: lead_mv.size // second * second].reshape(-1, second)
    swing_mv = np.ptp(seconds, axis=1)
    flat = swing_mv < FLAT_MV
    if flat.mean() >= FLAT_SHARE:
        return ("flat",)
    wander_mv = _wander_mv(lead_mv, second)
    noise_mv = _noise_mv(lead_mv, rate_hz)
    faults = []
    loose = max(_runs(flat), default=0) >= FLAT_RUN or np.mean(swing_mv > JUMP_MV) >= JUMP_SHARE
    if loose or wander_mv > WANDER_LOST_MV:
        faults.append("electrode off")
    elif wander_mv > WANDER_MV:
        faults.append("wandering baseline")
    if noise_mv > NOISE_LOST_MV:
        faults.append("too noisy")
    elif noise_mv > NOISE_MV:
        faults.append("noisy")
    if _has_hum(seconds, rate_hz):
        faults.append("mains hum")
    if _is_clipped(lead_mv, rate_hz):
        faults.append("clipped")
    return tuple(faults)


def _runs(there: np.ndarray) -> np.ndarray:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.pad(there, 1).astype(np.int8)))
    return edges[1::2] - edges[::2]


def _is_clipped(lead_mv: np.ndarray, rate_hz: float) -> bool:
    """True where the lead rests at its own largest or smallest value again and again."""
    least_run = max(3, round(RAIL_RUN_S * rate_hz))
    for rail in (lead_mv.max(), lead_mv.min()):
        if abs(rail - np.median(lead_mv)) < RAIL_LEAST_MV:
            continue
        runs = _runs(lead_mv == rail)
        if runs[runs >= least_run].sum() >= RAIL_TOTAL_S * rate_hz:
            return True
    return False


def _noise_mv(lead_mv: np.ndarray, rate_hz: float) -> float:
    """Robust standard deviation of what is faster than about 20 Hz.

    The median ignores the QRS complexes, which fill less than a fifth of the time.
    """
    smooth = ndimage.uniform_filter1d(lead_mv, max(3, round(0.03 * rate_hz) | 1))
    return float(1.4826 * np.median(np.abs(lead_mv - smooth)))


def _wander_mv(lead_mv: np.ndarray, second: int) -> float:
    """How far the one-second average travels; complexes of 1 s and less average out."""
    if lead_mv.size < 2 * second:
        return 0.0
    baseline = ndimage.uniform_filter1d(lead_mv, second)[second // 2 : -(second // 2) or None]
    return float(np.ptp(baseline))


def _has_hum(seconds_mv: np.ndarray, rate_hz: float) -> bool:
    """A steady line at 50 or 60 Hz, [seconds, n] mV; what the rate cannot show is not looked for.

    The median over the seconds leaves out bursts; a QRS is as strong 5 Hz beside the line as on it.
    """
    time_s = np.arange(seconds_mv.shape[1]) / rate_hz
    for mains_hz in (50.0, 60.0):
        if rate_hz < 2.2 * mains_hz:
            continue
        below, line, above = (
            2 * np.median(np.abs(seconds_mv @ np.exp(-2j * np.pi * hz * time_s))) / len(time_s)
            for hz in (mains_hz - 5, mains_hz, mains_hz + 5)
        )
        if line > HUM_MV and line > HUM_OVER_NEIGHBOURS * max(below, above):
            return True
    return False


def _limb_residual_mv(ecg: ECG) -> float | None:
    """Root mean square of I + III - II in mV, without its constant part."""
    residual = (ecg.lead("I") + ecg.lead("III") - ecg.lead("II")).astype(np.float64)
    residual = residual[np.isfinite(residual)]
    return float(np.std(residual)) if residual.size else None


def _beats(limb_mv: np.ndarray, i: int) -> bool:
    """Whether lead i of three, [3, n] mV, is higher in the beats of the others than between."""
    others = np.abs(np.delete(limb_mv, i, axis=0)).sum(axis=0)
    in_beat = others >= np.quantile(others, 0.9)
    return bool(limb_mv[i][in_beat].std() > LEGS_BEAT * limb_mv[i][~in_beat].std())


def _reversal(ecg: ECG) -> str:
    """A sentence where limb electrodes seem reversed, else "".

    Arms, or right arm and left leg, reversed: I, or II, upside down, so that it runs against what
    V1-V6 say of it (the idea of Kors and van Herpen, Am J Cardiol 2001;88:396). Right leg and an
    arm: the lead between the legs is nearly flat (Haisty et al., Am J Cardiol 1993;71:1490). Left
    arm and left leg reversed look like another heart's axis and are not looked for; overview:
    Batchvarov, Malik, Camm, Europace 2007;9:1081, doi 10.1093/europace/eum198.
    """
    step = max(1, round(ecg.rate_hz / 100))
    known = ecg.signal_mv[:, np.isfinite(ecg.signal_mv[:3]).all(axis=0)]
    known = known[:, : known.shape[1] // step * step].astype(np.float64)
    signal = known.reshape(len(LEADS), -1, step).mean(axis=2)  # [12, n] at about 100 Hz
    if signal.shape[1] * step < 2 * ecg.rate_hz:
        return ""
    signal -= ndimage.uniform_filter1d(signal, 61, axis=1)
    swing = np.ptp(np.percentile(signal[:3], [0.5, 99.5], axis=1), axis=0)
    for i, swapped in enumerate(
        ("arm and leg electrodes of both sides", "right arm and right leg electrodes",
         "left arm and right leg electrodes")
    ):  # fmt: skip
        others = np.delete(swing, i).mean()
        is_low = swing[i] < min(max(LEGS_MV, LEGS_SHARE * others), LEGS_BELOW * others)
        if is_low and (swing[i] < LEGS_LOW * others or not _beats(signal[:3], i)):
            return f"{LEADS[i]} is nearly flat, as where the {swapped} are reversed: please check."
    signal = signal[:, np.isfinite(signal[6:]).all(axis=0)]
    if signal.shape[1] * step < 2 * ecg.rate_hz:
        return ""
    expected = FROM_CHEST @ signal[6:]
    power = np.sqrt((expected**2).sum(axis=1) * (signal[:2] ** 2).sum(axis=1))
    agreement = (expected * signal[:2]).sum(axis=1) / np.maximum(power, 1e-9)
    worst = int(np.argmin(agreement))
    if agreement[worst] > OPPOSITE:
        return ""
    swapped = ("the arm electrodes", "the right arm and left leg electrodes")[worst]
    return (
        f"{LEADS[worst]} runs against V1-V6, as where {swapped} are reversed: please check "
        "(dextrocardia looks alike)."
    )
