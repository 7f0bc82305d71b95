"""`delineate(beats)`: where waves begin, peak and end in an average beat, per lead and globally.

Global boundaries come from all leads together (Kligfield et al. 2007,
doi 10.1161/CIRCULATIONAHA.106.180200): QRS from the spatial velocity, P and T from tangents
(Lepeschkin & Surawicz 1952, Circulation 6:378). Each lead then moves them by a part of what it
says itself: alone it is too noisy, and the marks of cardiologists (LUDB) lie in between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecgqa.measure.average import average
from ecgqa.measure.signal import RATE_HZ, smooth

# The steepest tangent cuts off the rounded foot of a wave. Cardiologists' marks (LUDB,
# doi 10.1109/ACCESS.2020.3029211) lie farther out by 6 ms (3 samples) where P begins, and where T
# ends, whose width varies more, by this part of the way from the peak, within limits.
FOOT_P, FOOT_T, FOOT_T_WITHIN = 3, 0.1, (3.0, 9.0)
QUIET_AFTER = 30  # percentile of the speed after QRS that counts as quiet
T_WITHIN = 0.78  # of RR: later than that the next P begins
FOOT_QRS = 1  # samples by which the smoothing hides the beginning of QRS
# QRS begins at once, but the end of a right bundle branch block is slow.
FADE_IN_S, FADE_OUT_S = 0.03, 0.08
# By how much of what a lead says itself it moves the global boundary, and the most samples it may
# say; that of a P that is low in this lead says less.
OWN_QRS, OWN_P, OWN_T, OWN_MOST = 0.5, 0.9, 0.5, 25
LOW_P_MV = 0.01
LATE_T = 75  # percentile of the ends of T over the leads
AS_HIGH_T = 0.9  # part of the highest wave from which a later one is T instead
NOISE_HZ = 30, 45  # where P has nothing left, and recordings at 100 Hz still have noise
NOISE_MOST = 0.75  # of the power of P; what is left over must be there
NAMES = (
    "p_on", "p_peak", "p_off", "qrs_on", "r_peak", "qrs_off", "t_on", "t_peak", "t_off",
)  # fmt: skip


@dataclass(frozen=True)
class Waves:
    """Sample indices in the average beat; None where a wave was not found."""

    p_on: float | None = None
    p_peak: float | None = None
    p_off: float | None = None
    qrs_on: float | None = None
    r_peak: float | None = None
    qrs_off: float | None = None
    t_on: float | None = None
    t_peak: float | None = None
    t_off: float | None = None


@dataclass(frozen=True)
class Delineation:
    """whole: all leads together; leads: row -> its own; p_agreement: see `_p_wave`."""

    whole: Waves
    leads: dict[int, Waves]
    p_agreement: float | None = None


def delineate(
    beats: np.ndarray, rows: np.ndarray, apart: np.ndarray, r: int, rr_s: float, irregular: bool
) -> Delineation:
    """Boundaries on the average of some beats of one shape.

    beats: [b, 12, m] mV around R at sample `r`; rows: leads that can be used; apart: those of them
    that are independent; rr_s: the interval before such a beat; irregular: whether it varies much.
    """
    beat = average(beats[:, apart])
    leads_mv = dict(zip(rows, average(beats[:, rows]), strict=True))
    qrs_on, qrs_off = _qrs(beat, r)
    if qrs_on is None or qrs_off is None:
        return Delineation(Waves(), {})
    whole = Waves(qrs_on=qrs_on, r_peak=float(r), qrs_off=qrs_off)
    t_on, t_peak, t_off = _t_wave(beat, qrs_on, qrs_off, rr_s)
    whole = replace(whole, t_on=t_on, t_peak=t_peak, t_off=t_off)
    found, agreement = _p_wave(beats[:, apart], beat, qrs_on, t_off, rr_s, irregular)
    if found is not None:
        whole = replace(whole, p_on=found[0], p_peak=found[1], p_off=found[2])
    leads = {int(row): _of_lead(lead, whole) for row, lead in leads_mv.items()}
    return Delineation(whole, leads, agreement)


# ---------------------------------------------------------------------------- all leads together


def _speed(beat: np.ndarray, width_ms: int) -> np.ndarray:
    """Spatial velocity [m] in mV/s: the slope of all leads together."""
    even = smooth(beat, width_ms * RATE_HZ // 1000)
    slopes: np.ndarray = np.gradient(even, axis=1)
    speed: np.ndarray = np.sqrt((slopes**2).sum(axis=0)) * RATE_HZ
    return speed


def _qrs(beat: np.ndarray, r_index: int) -> tuple[int | None, int | None]:
    """QRS onset and offset: where the spatial velocity falls to near its level outside."""
    # Hum in a few leads would hide the quiet in the others.
    hum = np.median(np.abs(beat - smooth(beat, int(0.02 * RATE_HZ))), axis=1)
    even = hum <= 4 * np.median(hum)
    speed = _speed(beat[even] if even.sum() >= 3 else beat, 8)
    reach = int(0.14 * RATE_HZ)
    around = slice(max(r_index - reach, 0), r_index + reach)
    top = float(speed[around].max())
    quiet_before = float(np.percentile(speed[max(r_index - 2 * reach, 0) : r_index - 20], 20))
    quiet_after = float(np.percentile(speed[r_index + 20 : r_index + 2 * reach], QUIET_AFTER))
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

    def edge(step: int, quiet: float, part: float, most_s: float) -> int | None:
        near = walk(step, quiet + 3 * part * (top - quiet))
        far = walk(step, quiet + part * (top - quiet))
        # A slow ST segment or wander can keep the speed up: then the near edge is the better one.
        if far is None or (near is not None and abs(far - near) > most_s * RATE_HZ):
            return near
        return far

    onset, offset = (
        edge(-1, quiet_before, 0.035, FADE_IN_S),
        edge(+1, quiet_after, 0.04, FADE_OUT_S),
    )
    return None if onset is None else max(onset - FOOT_QRS, 0), offset


def _t_wave(
    beat: np.ndarray, qrs_on: int, qrs_off: int, rr_s: float
) -> tuple[float | None, float | None, float | None]:
    """T onset, peak and end, each by the steepest tangent.

    Each lead with a clear T gives an end; the late ones among them (`LATE_T`) count, so
    that one lead with a wandering baseline does not decide.
    """
    start = qrs_off + int(0.05 * RATE_HZ)
    stop = min(beat.shape[1], qrs_on + int(min(0.64, T_WITHIN * rr_s) * RATE_HZ))
    nothing = None, None, None
    if stop - start < int(0.1 * RATE_HZ):
        return nothing
    even = smooth(beat, int(0.03 * RATE_HZ))
    # From the middle of ST to the end of the search: the T of a lead stands out of that line.
    left, _, _ = np.linalg.svd(even[:, start:stop] - even[:, stop - 1 : stop], False)
    of_leads = [_t_end(wave, start, stop) for wave in (left[:, 0] @ even, *even)]
    found = np.array([one for one in of_leads if one is not None])
    if len(found) == 0 or found[:, 2].max() < 0.05:
        return nothing
    clear = found[found[:, 2] >= max(0.05, 0.2 * found[:, 2].max())]
    peaks, ends = clear[:, 0], clear[:, 1]
    centre = ends[np.abs(ends - np.median(ends)).argmin()]
    near = np.abs(ends - centre) <= 0.06 * RATE_HZ
    t_off = round(float(np.percentile(ends[near], LATE_T)))
    t_peak = float(np.median(peaks))
    t_on = max(qrs_off, round(2 * t_peak - t_off))
    return (t_on, t_peak, t_off) if t_on < t_peak < t_off <= beat.shape[1] else nothing


def _t_end(wave: np.ndarray, start: int, stop: int) -> tuple[float, float, float] | None:
    """Peak, end and height of the last clear wave between start and stop of one lead."""
    body = wave[start:stop]
    base = float(np.median(body[-int(0.03 * RATE_HZ) :]))
    # Of waves about as high as one another the last one is T.
    high = np.abs(body - base)
    tops = np.flatnonzero((high[1:-1] >= high[:-2]) & (high[1:-1] > high[2:])) + 1
    tops = tops[high[tops] >= AS_HIGH_T * high.max()]
    peak = start + int(tops[-1] if len(tops) else high.argmax())
    height = abs(float(wave[peak]) - base)
    if height <= 0 or not start + 3 < peak < stop - 10:
        return None
    sign = 1.0 if wave[peak] > base else -1.0
    end = _tangent(sign * wave[peak:], int(0.18 * RATE_HZ), int(0.12 * RATE_HZ))
    return None if end is None else (peak, peak + end + _foot_t(end), height)


def _foot_t(end: float) -> float:
    """Samples by which the foot of a T lies beyond the tangent `end` samples after its peak."""
    return float(np.clip(FOOT_T * end, *FOOT_T_WITHIN))


def _p_wave(
    beats: np.ndarray,
    beat: np.ndarray,
    qrs_on: int,
    t_off: float | None,
    rr_s: float,
    irregular: bool,
) -> tuple[tuple[float, float, float] | None, float | None]:
    """P onset, peak and offset, only if nearly every beat has the same P before it.

    Also says how alike the beats are there: the median correlation of each beat with the others.
    """
    start = max(qrs_on - int(0.34 * RATE_HZ), 0)
    t_end = 0 if t_off is None else max(0, round(t_off) - int(rr_s * RATE_HZ) + 5)
    start = max(start, t_end)
    stop = qrs_on - int(0.008 * RATE_HZ)
    if stop - start < int(0.09 * RATE_HZ) or len(beats) < 2:
        return None, None

    def level(x: np.ndarray) -> np.ndarray:
        # Without its straight line from the first to the last 10 ms: tail of T, wander.
        first = x[..., :5].mean(axis=-1, keepdims=True)
        last = x[..., -5:].mean(axis=-1, keepdims=True)
        levelled: np.ndarray = x - first - (last - first) * np.linspace(0, 1, x.shape[-1])
        return levelled

    even = smooth(beat, 8)
    piece = level(even[:, start:stop])
    each = level(smooth(beats, 8)[:, :, start:stop])
    noise = _noise_power(beats[:, :, start:stop]) / 8  # 8: the smoothing
    agreement = _agreement(each.reshape(len(each), -1), noise)
    # Fibrillating atria agree by chance: 0.2 in the median, rarely above 0.5; an irregular rhythm
    # makes that more likely and asks for more.
    if agreement < (0.65 if irregular else 0.45):
        return None, agreement
    left, _, _ = np.linalg.svd(piece, full_matrices=False)
    wave = left[:, 0] @ piece
    if abs(wave.min()) > wave.max():
        wave = -wave
    peak = int(wave.argmax())
    highest_mv = float(np.abs(piece[:, peak]).max())
    if highest_mv < 0.025 or wave[peak] < 0.04 or (highest_mv < 0.05 and agreement < 0.6):
        return None, agreement
    reach, floor = int(0.11 * RATE_HZ), int(0.07 * RATE_HZ)
    before = _tangent(wave[: peak + 1][::-1], reach, floor)
    after = _tangent(wave[peak:], reach, floor)
    if before is None or after is None:
        return None, agreement
    p_on, p_off = round(start + peak - before), round(start + peak + after)
    if not 0.03 * RATE_HZ <= p_off - p_on <= 0.16 * RATE_HZ:
        return None, agreement
    # In flutter the waves go on between T and QRS: then none of them is a P.
    along = left[:, 0] @ even
    for rest in (along[t_end : max(p_on - 5, 0)], along[p_off + 5 : stop]):
        if len(rest) > 0.08 * RATE_HZ:
            level_rest = rest - np.linspace(rest[0], rest[-1], len(rest))
            if np.ptp(level_rest) > 0.8 * wave[peak]:
                return None, agreement
    return (max(p_on - FOOT_P, 0), start + peak, min(p_off, qrs_on)), agreement


def _noise_power(beats: np.ndarray) -> float:
    """Power (sum of squares) of white noise in a beat of [b, leads, m], from a band without P."""
    spread = beats - np.median(beats, axis=0)
    length = beats.shape[2]
    hz = np.fft.rfftfreq(length, 1 / RATE_HZ)
    band = (hz > NOISE_HZ[0]) & (hz < NOISE_HZ[1])
    power = np.abs(np.fft.rfft(spread, axis=2)[:, :, band]) ** 2
    return float(power.mean(axis=(0, 2)).sum())


def _agreement(beats: np.ndarray, noise: float) -> float:
    """Median correlation of each beat [b, k] with the mean of the others, freed of noise.

    White noise of power `noise` makes beats differ that have the same P; fibrillation does so too,
    but not in the band that the noise was measured in.
    """
    others = (beats.sum(axis=0) - beats) / (len(beats) - 1)

    def norms(x: np.ndarray, part: float) -> np.ndarray:
        power = (x**2).sum(axis=1)
        quiet: np.ndarray = power - np.minimum(part * noise, NOISE_MOST * power)
        norm: np.ndarray = np.sqrt(quiet) + 1e-9
        return norm

    along = (beats * others).sum(axis=1)
    alike = along / norms(beats, 1.0) / norms(others, 1 / (len(beats) - 1))
    return min(1.0, float(np.median(alike)))


def _tangent(side: np.ndarray, reach: int, floor_reach: int) -> float | None:
    """Samples from a wave's top to its foot: the steepest tangent meets the lowest level near."""
    if len(side) < 6:
        return None
    slope = np.gradient(side[:reach])
    steepest = int(slope.argmin())
    if slope[steepest] >= 0:
        return None
    floor = float(side[steepest : steepest + floor_reach].min())
    return steepest + float((floor - side[steepest]) / slope[steepest])


# ---------------------------------------------------------------------------- one lead


def _of_lead(lead: np.ndarray, whole: Waves) -> Waves:
    """The boundaries of one lead [m] near those of all leads."""

    def moved(globally: float | None, own: float | None, part: float) -> float | None:
        if globally is None or own is None:
            return globally
        return globally + part * float(np.clip(own - globally, -OWN_MOST, OWN_MOST))

    assert whole.qrs_on is not None and whole.qrs_off is not None
    qrs_on, qrs_off = int(whole.qrs_on), int(whole.qrs_off)
    body = np.abs(lead[qrs_on:qrs_off] - lead[qrs_on])
    on, off = _qrs_of_lead(lead, qrs_on, qrs_off)
    waves = Waves(
        qrs_on=moved(qrs_on, on, OWN_QRS),
        r_peak=float(qrs_on + body.argmax()),
        qrs_off=moved(qrs_off, off, OWN_QRS),
    )
    if whole.p_on is not None and whole.p_off is not None:
        p_on, peak, p_off = _p_of_lead(lead, int(whole.p_on), int(whole.p_off), qrs_on)
        body = lead[int(whole.p_on) : int(whole.p_off)]
        height = float(np.abs(body - np.linspace(body[0], body[-1], len(body))).max())
        part = OWN_P * height / (height + LOW_P_MV)
        p_on, p_off = moved(whole.p_on, p_on, part), moved(whole.p_off, p_off, part)
        waves = replace(waves, p_on=p_on, p_peak=float(np.clip(peak, p_on, p_off)), p_off=p_off)
    if whole.t_on is not None and whole.t_off is not None:
        peak, t_off = _t_of_lead(lead, int(whole.t_on), int(whole.t_off), qrs_off)
        t_off = moved(whole.t_off, t_off, OWN_T)
        waves = replace(
            waves, t_on=whole.t_on, t_peak=float(np.clip(peak, whole.t_on, t_off)), t_off=t_off
        )
    return waves


def _qrs_of_lead(lead: np.ndarray, qrs_on: int, qrs_off: int) -> tuple[int | None, int | None]:
    """First and last sample near the global QRS from which this lead is steep for 8 ms."""
    speed = np.abs(np.gradient(smooth(lead, 4)))
    top = float(speed[qrs_on:qrs_off].max())
    slack, hold = int(0.03 * RATE_HZ), 4

    def first_steep(along: np.ndarray, quiet: np.ndarray) -> int | None:
        if len(along) < hold or len(quiet) == 0:
            return None
        least = np.lib.stride_tricks.sliding_window_view(along, hold).min(axis=1)
        steep = np.flatnonzero(least > np.percentile(quiet, 30) + 0.06 * top)
        return int(steep[0]) if len(steep) else None

    start, stop = max(qrs_on - slack, 0), min(qrs_off + slack, len(lead))
    on = first_steep(speed[start : qrs_on + 60], speed[max(qrs_on - 60, 0) : qrs_on - 10])
    off = first_steep(speed[qrs_off - 60 : stop][::-1], speed[qrs_off + 10 : qrs_off + 60])
    return None if on is None else start + on, None if off is None else stop - 1 - off


def _p_of_lead(
    lead: np.ndarray, p_on: int, p_off: int, qrs_on: int
) -> tuple[float | None, float, float | None]:
    """Onset, peak and offset of the P of one lead."""
    even = smooth(lead, 12)
    start, stop = max(p_on - 10, 0), min(p_off + 6, qrs_on - 1)
    wave = even[start:stop] - np.linspace(even[start], even[stop - 1], stop - start)
    peak = start + 4 + int(np.abs(wave[4:-4]).argmax())
    sign = np.sign(wave[peak - start])
    before = _tangent(sign * even[max(p_on - 25, 0) : peak + 1][::-1], 40, 30)
    after = _tangent(sign * even[peak : min(p_off + 12, qrs_on - 1)], 40, 30)
    on = None if before is None else peak - before - FOOT_P
    return on, peak, None if after is None else peak + after


def _t_of_lead(lead: np.ndarray, t_on: int, t_off: int, qrs_off: int) -> tuple[float, float | None]:
    """Peak and end of the T of one lead."""
    even = smooth(lead, int(0.03 * RATE_HZ))
    start, stop = max(qrs_off + 20, t_on - 20), min(t_off + 25, len(lead) - 1)
    base = float(np.median(even[stop - 12 : stop]))
    peak = start + int(np.abs(even[start : min(t_off, stop)] - base).argmax())
    sign = np.sign(even[peak] - base)
    end = _tangent(sign * even[peak : stop + 1], 90, 60)
    return peak, None if end is None else peak + end + _foot_t(end)
