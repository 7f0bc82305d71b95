"""`measure(ecg)`: heart rate, intervals and axes, from the signal alone, without a learned model.

How: all leads together find the beats; the beats of the most common shape are averaged (median)
into one beat per lead; waves are delineated once, globally, on that median beat, as the
AHA/ACCF/HRS recommendations ask for (Kligfield et al. 2007, doi 10.1161/CIRCULATIONAHA.106.180200:
intervals from time-aligned leads, earliest onset to latest offset). What cannot be found is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from scipy import signal as dsp

from ecgqa.record import ECG, LEADS

# Everything is measured at this rate, so that a 100 Hz recording is not read in steps of 10 ms.
RATE_HZ = 500
# A longer recording is measured on its first two minutes.
LONGEST_S = 120
# Part of a beat kept before and after its R, for the median beat.
BEFORE_R_S, AFTER_R_S = 0.45, 0.65
# The steepest tangent cuts off the rounded foot of a wave. Cardiologists' marks (LUDB,
# doi 10.1109/ACCESS.2020.3029211) lie farther out by these numbers of samples (8 and 12 ms).
FOOT_P, FOOT_T = 4, 6
# Derived limb leads carry nothing new; used only where the independent ones are missing.
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
# Each limb lead as (weight of I, weight of II): Einthoven's and Goldberger's definitions.
_FROM_I_II = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured on one ECG. None (or an empty list or dict) means: not measurable.

    rate_bpm: ventricular rate, 60000 / rr_ms.
    rr_ms, rr_spread_ms: mean and standard deviation of the intervals between beats.
    p_ms, pr_ms, qrs_ms, qt_ms: global durations on the median beat (P onset to P offset, P onset
        to QRS onset, QRS onset to QRS offset, QRS onset to T end).
    qtc_ms: QT corrected for rate: {"Bazett": QT / RR^(1/2), "Fridericia": QT / RR^(1/3)}, RR in s
        (Bazett 1920; Fridericia 1920).
    p_axis_deg, qrs_axis_deg, t_axis_deg: frontal axes from the net areas in I and aVF, -180..180.
    r_peaks_s: time of each detected beat in seconds from the start.
    median_beat_mv: float32 [12, m] in the order of `ecgqa.record.LEADS`, NaN rows where a lead is
        missing; the sample `median_beat_r_index` is R; sampled at `median_beat_rate_hz`.
    """

    rate_bpm: float | None = None
    rr_ms: float | None = None
    rr_spread_ms: float | None = None
    p_ms: float | None = None
    pr_ms: float | None = None
    qrs_ms: float | None = None
    qt_ms: float | None = None
    qtc_ms: dict[str, float] = field(default_factory=dict)
    p_axis_deg: float | None = None
    qrs_axis_deg: float | None = None
    t_axis_deg: float | None = None
    r_peaks_s: list[float] = field(default_factory=list)
    median_beat_mv: np.ndarray | None = None
    median_beat_r_index: int | None = None
    median_beat_rate_hz: float | None = None


def measure(ecg: ECG) -> Measurements:
    """Measure an ECG. Never raises for a valid `ECG`: what cannot be measured is None."""
    leads_mv = _clean(ecg)
    used = _informative(leads_mv)
    if not used.any():
        return Measurements()
    use_mv = _independent(leads_mv, used)
    peaks = _find_beats(use_mv)
    if len(peaks) == 0:
        return Measurements()
    peaks, dominant, agreement = _align(use_mv, peaks)
    # Beats that do not look like each other are noise (or fibrillation of the ventricles).
    if len(peaks) < 2 or dominant.sum() < 2 or agreement < 0.6:
        return Measurements()

    rr_s = np.diff(peaks) / RATE_HZ
    rr_mean_s = float(rr_s.mean())
    beats, r_index = _beats(leads_mv, peaks[dominant])
    if len(beats) < 2:
        return Measurements()
    median_mv = np.full((len(LEADS), beats.shape[2]), np.nan, dtype=np.float32)
    median_mv[used] = np.median(beats[:, used], axis=0)
    rhythm = _rhythm(peaks, dominant)
    waves = _delineate(beats[:, used], median_mv, used, r_index, rhythm)

    def ms(start: int | None, end: int | None) -> float | None:
        return None if start is None or end is None else 1000.0 * (end - start) / RATE_HZ

    qt_ms = ms(waves.qrs_on, waves.t_off)
    qtc_ms = {}
    if qt_ms is not None:
        qtc_ms = {
            "Bazett": qt_ms / rr_mean_s ** (1 / 2),
            "Fridericia": qt_ms / rr_mean_s ** (1 / 3),
        }
    return Measurements(
        rate_bpm=60.0 / rr_mean_s,
        rr_ms=1000.0 * rr_mean_s,
        rr_spread_ms=float(1000.0 * rr_s.std(ddof=1)) if len(rr_s) > 1 else None,
        p_ms=ms(waves.p_on, waves.p_off),
        pr_ms=ms(waves.p_on, waves.qrs_on),
        qrs_ms=ms(waves.qrs_on, waves.qrs_off),
        qt_ms=qt_ms,
        qtc_ms=qtc_ms,
        p_axis_deg=_axis_deg(median_mv, waves.p_on, waves.p_off),
        qrs_axis_deg=_axis_deg(median_mv, waves.qrs_on, waves.qrs_off),
        t_axis_deg=_axis_deg(median_mv, waves.t_on, waves.t_off),
        r_peaks_s=[float(p) / RATE_HZ for p in peaks],
        median_beat_mv=median_mv,
        median_beat_r_index=r_index,
        median_beat_rate_hz=float(RATE_HZ),
    )


# ---------------------------------------------------------------------------- the signal


def _clean(ecg: ECG) -> np.ndarray:
    """[12, n] at `RATE_HZ` without baseline wander; NaN rows for leads that cannot be used."""
    out_of_range = ecg.rate_hz < 50 or ecg.seconds < 1.5
    raw = np.asarray(ecg.signal_mv[:, : int(LONGEST_S * ecg.rate_hz)], dtype=np.float64)
    step = Fraction(RATE_HZ / ecg.rate_hz).limit_denominator(200)
    length = -(-raw.shape[1] * step.numerator // step.denominator) if step else 0
    clean = np.full((len(LEADS), max(length, 1)), np.nan)
    if out_of_range or not step:
        return clean
    known = np.isfinite(raw)
    rows = np.flatnonzero(known.mean(axis=1) > 0.5)
    if len(rows) == 0:
        return clean
    filled = np.stack([_bridge(raw[row], known[row]) for row in rows])
    filled = np.clip(filled - np.median(filled, axis=1, keepdims=True), -20, 20)
    if step != 1:
        filled = dsp.resample_poly(filled, step.numerator, step.denominator, axis=1, padtype="line")
    wander = dsp.butter(2, 0.5, "highpass", fs=RATE_HZ, output="sos")
    clean[rows] = dsp.sosfiltfilt(wander, filled, axis=1)
    return clean


def _bridge(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A lead with its gaps bridged by straight lines."""
    if known.all():
        return values
    at = np.arange(len(values))
    return np.interp(at, at[known], values[known])


def _informative(leads_mv: np.ndarray) -> np.ndarray:
    """[12] bool: leads that are there and not flat (20 microvolts peak to peak)."""
    there = np.isfinite(leads_mv).all(axis=1)
    spread = np.zeros(len(leads_mv))
    spread[there] = np.subtract(*np.percentile(leads_mv[there], [99.5, 0.5], axis=1))
    return there & (spread > 0.02)


def _independent(leads_mv: np.ndarray, used: np.ndarray) -> np.ndarray:
    """[k, n]: I, II, V1-V6 as far as they are there, other limb leads in place of I or II."""
    names = [lead for lead in INDEPENDENT if used[LEADS.index(lead)]]
    limb = [lead for lead in LIMB if used[LEADS.index(lead)]]
    spare = [lead for lead in limb if lead not in names]
    while spare and sum(lead in LIMB for lead in names) < 2:
        names.append(spare.pop(0))
    return leads_mv[[LEADS.index(lead) for lead in names]]


# ---------------------------------------------------------------------------- the beats


def _smooth(x: np.ndarray, width: int) -> np.ndarray:
    """Running mean along the last axis, the ends held."""
    if width <= 1:
        return x
    pad = [(0, 0)] * (x.ndim - 1) + [(width // 2, width - 1 - width // 2)]
    total = np.cumsum(np.pad(x, pad, mode="edge"), axis=-1)
    first = total[..., width - 1 : width]
    return np.concatenate([first, total[..., width:] - total[..., :-width]], axis=-1) / width


def _find_beats(use_mv: np.ndarray) -> np.ndarray:
    """Sample indices of QRS complexes: peaks of the energy of all leads in the QRS band.

    The band and the refractory rules follow Pan & Tompkins 1985 (doi 10.1109/TBME.1985.325532),
    with the energy summed over the leads, each weighted by how far it stands out of its own noise.
    """
    band = dsp.butter(2, [5, 25], "bandpass", fs=RATE_HZ, output="sos")
    energy = dsp.sosfiltfilt(band, use_mv, axis=1) ** 2
    top = np.percentile(energy, 98, axis=1)
    floor = np.percentile(energy, 40, axis=1)
    weight = np.minimum(top / (floor + 1e-6), 200) / (top + 1e-6)
    height = np.sqrt(_smooth((weight[:, None] * energy).sum(axis=0), int(0.09 * RATE_HZ)))
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


def _align(use_mv: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Peaks moved so that beats of the most common shape coincide.

    Returns the peaks, which of them have that shape, and how well those agree (mean correlation).
    """
    reach, slack = int(0.1 * RATE_HZ), int(0.04 * RATE_HZ)
    n = use_mv.shape[1]
    smooth_mv = _smooth(use_mv, 5)
    inside = (peaks >= reach + 2 * slack) & (peaks < n - reach - 2 * slack)
    if inside.sum() < 2:
        return peaks, np.zeros(len(peaks), dtype=bool), 0.0
    found, peaks = peaks.copy(), peaks.copy()

    def cut(at: int) -> np.ndarray:
        piece = smooth_mv[:, at - reach : at + reach + 1]
        piece = piece - piece.mean(axis=1, keepdims=True)
        return piece.ravel() / (np.linalg.norm(piece) + 1e-9)

    good = np.flatnonzero(inside)
    shapes = np.stack([cut(peaks[i]) for i in good])
    alike = (shapes @ shapes.T > 0.85).sum(axis=1)
    template = shapes[alike.argmax()]
    correlation = np.zeros(len(peaks))
    for _ in range(2):
        for i in good:
            shifts = range(peaks[i] - slack, peaks[i] + slack + 1)
            shifts = [s for s in shifts if reach <= s < n - reach]
            scores = [float(template @ cut(s)) for s in shifts[::2]]
            best = int(np.argmax(scores))
            peaks[i], correlation[i] = shifts[::2][best], scores[best]
        same = correlation > 0.85
        if same.sum() < 2:
            break
        template = np.mean([cut(peaks[i]) for i in np.flatnonzero(same)], axis=0)
        template /= np.linalg.norm(template) + 1e-9
    # R is where the average QRS of all leads is farthest from its own mean.
    form = np.sqrt((template.reshape(len(use_mv), -1) ** 2).sum(axis=0))
    moved = peaks + int(form.argmax()) - reach
    # Beats too near an end to be compared move as far as the others did.
    found[~inside] += int(np.median((moved - found)[inside]))
    peaks = np.where(inside, moved, found)
    inside_record = (peaks >= 0) & (peaks < n)
    peaks, correlation = peaks[inside_record], correlation[inside_record]
    good = np.flatnonzero(inside[inside_record])
    # When hardly any beats agree, say how (badly) all beats agree instead.
    dominant = correlation > 0.85
    agreement = float(
        correlation[good].mean() if dominant.sum() < 3 else correlation[dominant].mean()
    )
    if dominant.sum() < 0.3 * len(good):
        agreement = float(correlation[good].mean())
    return peaks, dominant, agreement


def _beats(leads_mv: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, int]:
    """Beats as [beats, 12, m] around each R; those cut off by the ends only if there are few."""
    before, after = int(BEFORE_R_S * RATE_HZ), int(AFTER_R_S * RATE_HZ)
    n = leads_mv.shape[1]
    whole = [p for p in peaks if p - before >= 0 and p + after <= n]
    if len(whole) < 2:
        # Short recordings: hold the ends, so that two cut-off beats can still be used.
        leads_mv = np.pad(leads_mv, ((0, 0), (before, after)), mode="edge")
        whole = [p + before for p in peaks]
    return np.stack([leads_mv[:, p - before : p + after] for p in whole]), before


@dataclass(frozen=True)
class _Rhythm:
    """The RR interval that beats of the common shape follow, and whether it varies much."""

    rr_s: float
    irregular: bool


def _rhythm(peaks: np.ndarray, dominant: np.ndarray) -> _Rhythm:
    """Rhythm of the beats of the common shape; pauses around ectopic beats do not count."""
    rr_s = np.diff(peaks) / RATE_HZ
    ending = rr_s[dominant[1:]]
    plain = rr_s[dominant[1:] & dominant[:-1]]
    irregular = len(plain) > 1 and float(plain.std() / plain.mean()) > 0.1
    return _Rhythm(float(np.median(ending if len(ending) else rr_s)), irregular)


# ---------------------------------------------------------------------------- the waves


@dataclass(frozen=True)
class _Waves:
    """Sample indices in the median beat; None where a wave was not found."""

    p_on: int | None = None
    p_off: int | None = None
    qrs_on: int | None = None
    qrs_off: int | None = None
    t_on: int | None = None
    t_off: int | None = None


def _delineate(
    beats: np.ndarray, median_mv: np.ndarray, used: np.ndarray, r_index: int, rhythm: _Rhythm
) -> _Waves:
    """Global onsets and offsets on the median beat [12, m]; beats [b, used leads, m] for noise."""
    rows = [i for i, lead in enumerate(np.array(LEADS)[used]) if lead in INDEPENDENT]
    if len(rows) == 0:
        rows = list(range(int(used.sum())))
    beat = median_mv[used][rows].astype(np.float64)
    qrs_on, qrs_off = _qrs(beat, r_index)
    if qrs_on is None or qrs_off is None:
        return _Waves()
    t_on, t_off = _t_wave(beat, qrs_on, qrs_off, rhythm.rr_s)
    p_on, p_off = _p_wave(beats[:, rows], beat, qrs_on, t_off, rhythm)
    return _Waves(p_on, p_off, qrs_on, qrs_off, t_on, t_off)


def _speed(beat: np.ndarray, width_ms: int) -> np.ndarray:
    """Spatial velocity [m] in mV/s: the slope of all leads together."""
    smooth = _smooth(beat, width_ms * RATE_HZ // 1000)
    return np.sqrt((np.gradient(smooth, axis=1) ** 2).sum(axis=0)) * RATE_HZ


def _qrs(beat: np.ndarray, r_index: int) -> tuple[int | None, int | None]:
    """QRS onset and offset: where the spatial velocity falls to near its level outside."""
    speed = _speed(beat, 8)
    reach = int(0.14 * RATE_HZ)
    around = slice(max(r_index - reach, 0), r_index + reach)
    top = float(speed[around].max())
    quiet_before = float(np.percentile(speed[max(r_index - 2 * reach, 0) : r_index - 20], 20))
    quiet_after = float(np.percentile(speed[r_index + 20 : r_index + 2 * reach], 20))
    hold = int(0.012 * RATE_HZ)

    strong = np.flatnonzero(speed[around] > 0.25 * top) + around.start

    def walk(step: int, level: float) -> int | None:
        # Start at the outermost strong slope, then go away from R until it stays quiet.
        at = int(strong.min() if step < 0 else strong.max())
        for _ in range(int(0.15 * RATE_HZ)):
            ahead = speed[at - hold + 1 : at + 1] if step < 0 else speed[at : at + hold]
            if len(ahead) < hold:
                return None
            if ahead.max() < level:
                return at
            at += step
        return None

    def edge(step: int, quiet: float, part: float) -> int | None:
        near = walk(step, quiet + 3 * part * (top - quiet))
        far = walk(step, quiet + part * (top - quiet))
        # A slow ST segment or wander can keep the speed up: then the near edge is the better one.
        if far is None or (near is not None and abs(far - near) > 0.08 * RATE_HZ):
            return near
        return far

    onset = edge(-1, quiet_before, 0.035)
    offset = edge(+1, quiet_after, 0.04)
    return onset, offset


def _t_wave(
    beat: np.ndarray, qrs_on: int, qrs_off: int, rr_s: float
) -> tuple[int | None, int | None]:
    """T onset (roughly) and end: the steepest descent's tangent (Lepeschkin & Surawicz 1952).

    Each lead with a clear T gives an end; the late ones among them (85th percentile) count, so
    that one lead with a wandering baseline does not decide.
    """
    start = qrs_off + int(0.05 * RATE_HZ)
    stop = min(beat.shape[1], qrs_on + int(min(0.64, 0.85 * rr_s) * RATE_HZ))
    if stop - start < int(0.1 * RATE_HZ):
        return None, None
    smooth = _smooth(beat, int(0.03 * RATE_HZ))
    # From the middle of ST to the end of the search: the T of a lead stands out of that line.
    left, _, _ = np.linalg.svd(smooth[:, start:stop] - smooth[:, stop - 1 : stop], False)
    ends, peaks, heights = [], [], []
    for wave in (left[:, 0] @ smooth, *smooth):
        found = _t_end(wave, start, stop)
        if found is not None:
            peak, end, height = found
            peaks.append(peak)
            ends.append(end)
            heights.append(height)
    if not ends or max(heights) < 0.05:
        return None, None
    clear = np.array(heights) >= max(0.05, 0.2 * max(heights))
    ends, peaks = np.array(ends)[clear], np.array(peaks)[clear]
    centre = ends[np.abs(ends - np.median(ends)).argmin()]
    near = np.abs(ends - centre) <= 0.06 * RATE_HZ
    t_off = round(float(np.percentile(ends[near], 85))) + FOOT_T
    t_on = max(qrs_off, round(2 * float(np.median(peaks)) - t_off))
    return (t_on, t_off) if t_on < t_off <= beat.shape[1] else (None, None)


def _t_end(wave: np.ndarray, start: int, stop: int) -> tuple[int, float, float] | None:
    """Peak, end and height of the last clear wave between start and stop of one lead."""
    body = wave[start:stop]
    base = float(np.median(body[-int(0.03 * RATE_HZ) :]))
    peak = start + int(np.abs(body - base).argmax())
    height = abs(float(wave[peak]) - base)
    if height <= 0 or not start + 3 < peak < stop - 10:
        return None
    sign = 1.0 if wave[peak] > base else -1.0
    fall = sign * wave[peak : min(stop, peak + int(0.18 * RATE_HZ))]
    slope = np.gradient(fall)
    steepest = int(slope.argmin())
    if slope[steepest] >= 0:
        return None
    after = sign * wave[peak + steepest : min(len(wave), peak + steepest + int(0.12 * RATE_HZ))]
    end = peak + steepest + (float(after.min()) - fall[steepest]) / slope[steepest]
    return peak, end, height


def _p_wave(
    beats: np.ndarray, beat: np.ndarray, qrs_on: int, t_off: int | None, rhythm: _Rhythm
) -> tuple[int | None, int | None]:
    """P onset and offset, only if nearly every beat has the same P before it."""
    start = max(qrs_on - int(0.34 * RATE_HZ), 0)
    if t_off is not None:
        start = max(start, t_off - int(rhythm.rr_s * RATE_HZ) + 5)
    stop = qrs_on - int(0.008 * RATE_HZ)
    if stop - start < int(0.09 * RATE_HZ):
        return None, None

    def level(x: np.ndarray) -> np.ndarray:
        # Without its straight line from the first to the last 10 ms: tail of T, wander.
        first = x[..., :5].mean(axis=-1, keepdims=True)
        last = x[..., -5:].mean(axis=-1, keepdims=True)
        return x - first - (last - first) * np.linspace(0, 1, x.shape[-1])

    piece = level(_smooth(beat, 8)[:, start:stop])
    each = level(_smooth(beats, 8)[:, :, start:stop])
    flat = each.reshape(len(each), -1)
    others = (flat.sum(axis=0) - flat) / (len(flat) - 1)
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(others, axis=1) + 1e-9
    agreement = float(np.median((flat * others).sum(axis=1) / norms))
    # Fibrillating atria agree by chance: 0.2 in the median, rarely above 0.5; an irregular rhythm
    # makes that more likely and asks for more.
    if agreement < (0.65 if rhythm.irregular else 0.45):
        return None, None
    left, _, _ = np.linalg.svd(piece, full_matrices=False)
    wave = left[:, 0] @ piece
    if abs(wave.min()) > wave.max():
        wave = -wave
    peak = int(wave.argmax())
    highest_mv = float(np.abs(piece[:, peak]).max())
    if highest_mv < 0.025 or wave[peak] < 0.04 or (highest_mv < 0.05 and agreement < 0.6):
        return None, None
    p_on, p_off = _foot(wave[: peak + 1][::-1]), _foot(wave[peak:])
    if p_on is None or p_off is None:
        return None, None
    p_on, p_off = start + peak - p_on, start + peak + p_off
    if not 0.03 * RATE_HZ <= p_off - p_on <= 0.15 * RATE_HZ:
        return None, None
    # In flutter the waves go on between T and QRS: then none of them is a P.
    whole = left[:, 0] @ _smooth(beat, 8)
    t_end = 0 if t_off is None else max(0, t_off - int(rhythm.rr_s * RATE_HZ) + 5)
    for rest in (whole[t_end : max(p_on - 5, 0)], whole[p_off + 5 : stop]):
        if len(rest) > 0.08 * RATE_HZ:
            level_rest = rest - np.linspace(rest[0], rest[-1], len(rest))
            if np.ptp(level_rest) > 0.8 * wave[peak]:
                return None, None
    return max(p_on - FOOT_P, 0), min(p_off + FOOT_P, qrs_on)


def _foot(side: np.ndarray) -> int | None:
    """Samples from a wave's top to its foot: the steepest tangent meets the lowest level near."""
    slope = np.gradient(side[: int(0.11 * RATE_HZ)]) if len(side) > 5 else np.zeros(1)
    steepest = int(slope.argmin())
    if slope[steepest] >= 0:
        return None
    floor = float(side[steepest : steepest + int(0.07 * RATE_HZ)].min())
    return round(steepest + (floor - side[steepest]) / slope[steepest])


# ---------------------------------------------------------------------------- the axes


def _limb_pair(beat_mv: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """I and aVF [m], computed from any two limb leads that are there."""
    there = [lead for lead in LIMB if np.isfinite(beat_mv[LEADS.index(lead)]).all()]
    weights = np.array([_FROM_I_II[lead] for lead in there])
    if len(there) < 2 or np.linalg.matrix_rank(weights) < 2:
        return None
    rows = beat_mv[[LEADS.index(lead) for lead in there]].astype(np.float64)
    lead_i, lead_ii = np.linalg.lstsq(weights, rows, rcond=None)[0]
    return lead_i, lead_ii - lead_i / 2


def _axis_deg(beat_mv: np.ndarray, start: int | None, end: int | None) -> float | None:
    """Frontal axis of the net area between start and end, degrees, 0 = lead I, +90 = aVF.

    aVF is an augmented lead, shorter than I by sqrt(3)/2; the factor undoes that
    (Novosel, Noll & Luscher 1999, Croatian Medical Journal 40:77).
    """
    pair = _limb_pair(beat_mv)
    if pair is None or start is None or end is None or end - start < 3:
        return None
    area = []
    for lead in pair:
        piece = lead[start : min(end, len(lead))]
        base = np.linspace(lead[start], piece[-1], len(piece))
        area.append(float((piece - base).sum()) / RATE_HZ)
    in_i, in_avf = area[0], area[1] * 2 / np.sqrt(3)
    # Less than 0.5 microvolt-seconds in both: no direction.
    if np.hypot(in_i, in_avf) < 0.0005:
        return None
    return float(np.degrees(np.arctan2(in_avf, in_i)))
