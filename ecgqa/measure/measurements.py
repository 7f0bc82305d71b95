"""`measure(ecg)`: every beat, heart rate, intervals, axes and voltages, without a learned model.

How: all leads together find the beats; the beats of one shape are averaged (median) into one beat
per lead; waves are delineated on that median beat, as the AHA/ACCF/HRS recommendations ask for
(Kligfield et al. 2007, doi 10.1161/CIRCULATIONAHA.106.180200: intervals from time-aligned leads).
P and T of the single beats are then found by laying the median beat over them.
What cannot be found is None, and `Measurements.not_measurable` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from ecgqa.measure.beats import AFTER_R_S, BEFORE_R_S, Found, cut, find_beats
from ecgqa.measure.signal import LIMB, RATE_HZ, Clean, clean, smooth
from ecgqa.measure.waves import NAMES, Delineation, Waves, delineate
from ecgqa.record import ECG, LEADS, LIMB_OF_I_AND_II

BEFORE, AFTER = int(BEFORE_R_S * RATE_HZ), int(AFTER_R_S * RATE_HZ)
EARLY = 0.86  # of the usual RR: a beat that comes sooner is premature
WIDE_MS = 120.0
# Most samples that P (of a common, of another beat) and T lie elsewhere than in the median beat.
P_NEAR, P_FAR, T_MOST = 12, 40, 30
FAR_COSTS = 0.3  # correlation that a move of 60 ms costs


@dataclass(frozen=True)
class Times(Waves):
    """Onset, peak and offset of the waves of a beat in seconds from the start; None = absent."""


@dataclass(frozen=True)
class Beat(Times):
    """One beat; its own times are those of all leads together.

    kind: "normal" (the common shape, or neither early nor wide), "premature narrow", "premature
        wide", "wide" (wide, but not early: an escape or fusion beat) or "paced".
    leads: lead → the times in that lead, for the leads that can be used.
    """

    kind: str = "normal"
    leads: dict[str, Times] = field(default_factory=dict)


@dataclass(frozen=True)
class LeadValues:
    """Voltages in mV in one lead of the median beat, from the level at QRS onset.

    q_mv and s_mv are negative deflections before and after R (0 where there is none), st_j_mv and
    st_j60_mv the level at the end of QRS (J) and 60 ms later; None where not measurable.
    """

    p_mv: float | None
    q_mv: float
    r_mv: float
    s_mv: float
    t_mv: float | None
    st_j_mv: float
    st_j60_mv: float


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured on one ECG. None (or an empty list or dict) means: not measurable.

    rate_bpm: ventricular rate, 60000 / rr_ms.
    rr_ms, rr_spread_ms: mean and standard deviation of the intervals between beats.
    irregularity: mean change from one RR to the next as a part of RR, intervals around premature
        wide beats left out; fibrillation 0.15 and more. regular: it is below 0.08.
    p_presence: 0..1, how alike the beats are where P belongs (correlation); 0 where no P was found.
    p_ms, pr_ms, qrs_ms, qt_ms: global durations on the median beat (P onset to P offset, P onset
        to QRS onset, QRS onset to QRS offset, QRS onset to T end).
    qtc_ms: QT corrected for rate, RR in s: {"Bazett": QT / RR^(1/2), "Fridericia": QT / RR^(1/3),
        "Framingham": QT + 154 (1 - RR), "Hodges": QT + 1.75 (rate - 60)} (Bazett 1920; Fridericia
        1920; Sagie 1992, doi 10.1016/0002-9149(92)90562-D; Hodges 1983).
    p_axis_deg, qrs_axis_deg, t_axis_deg: frontal axes from the net areas in I and aVF, -180..180.
    sokolow_lyon_mv: S in V1 + the taller R of V5 and V6 (Sokolow & Lyon 1949); cornell_mv: R in aVL
        + S in V3 (Casale 1985).
    leads: lead → voltages and ST level. beats: every beat.
    r_peaks_s: time of each detected beat in seconds from the start.
    median_beat_mv: float32 [12, m] in the order of `ecgqa.record.LEADS`, NaN rows where a lead is
        missing; the sample `median_beat_r_index` is R; sampled at `median_beat_rate_hz`.
    median_beat: the waves of the median beat in seconds from its first sample, and per lead.
    not_measurable: name of a number → why it is None, in plain words.
    by_hand: marks of the median beat that a reader has moved (`ecgqa.measure.by_hand`).
    age_years, sex: of the patient, from `ECG.header`: they say which limits are normal, nothing is
        measured otherwise.
    """

    rate_bpm: float | None = None
    rr_ms: float | None = None
    rr_spread_ms: float | None = None
    irregularity: float | None = None
    regular: bool | None = None
    p_presence: float | None = None
    p_ms: float | None = None
    pr_ms: float | None = None
    qrs_ms: float | None = None
    qt_ms: float | None = None
    qtc_ms: dict[str, float] = field(default_factory=dict)
    p_axis_deg: float | None = None
    qrs_axis_deg: float | None = None
    t_axis_deg: float | None = None
    sokolow_lyon_mv: float | None = None
    cornell_mv: float | None = None
    leads: dict[str, LeadValues] = field(default_factory=dict)
    beats: list[Beat] = field(default_factory=list)
    r_peaks_s: list[float] = field(default_factory=list)
    median_beat_mv: np.ndarray | None = None
    median_beat_r_index: int | None = None
    median_beat_rate_hz: float | None = None
    median_beat: Beat | None = None
    not_measurable: dict[str, str] = field(default_factory=dict)
    by_hand: tuple[str, ...] = ()
    age_years: float | None = None
    sex: str = ""


def measure(ecg: ECG) -> Measurements:
    """Measure an ECG. Never raises for a valid `ECG`: what cannot be measured is None."""
    signal = clean(ecg)
    if not signal.used.any():
        return _nothing("no lead of at least 1.5 s carries a signal")
    found = find_beats(signal)
    peaks = found.peaks
    # Beats that do not look like each other are noise (or fibrillation of the ventricles).
    if len(peaks) < 2 or (found.shape == 0).sum() < 2 or found.agreement < 0.6:
        return _nothing("no two beats of the same shape stand out of the noise")

    rr_s = np.diff(peaks) / RATE_HZ
    rr_mean_s = float(rr_s.mean())
    shapes = _delineated(signal, found)
    kinds = _kinds(signal, found, shapes)
    common, r_index = shapes[0], BEFORE
    rows = _whole_beats(signal, peaks[found.shape == 0])
    median_mv = np.full((len(LEADS), BEFORE + AFTER), np.nan, dtype=np.float32)
    median_mv[signal.used] = np.median(rows[:, signal.used], axis=0)

    waves = common.whole
    why = _reasons(waves, kinds, found)
    if "paced" in why.get("pr_ms", ""):
        common = _without_p(common)
        shapes[0], waves = common, common.whole
    p_ms, pr_ms = _ms(waves.p_on, waves.p_off), _ms(waves.p_on, waves.qrs_on)
    qt_ms = _ms(waves.qrs_on, waves.t_off)
    irregularity = _irregularity(rr_s, kinds)
    leads = _voltages(median_mv, common)
    axes = _axes_deg(median_mv, waves, why)
    return Measurements(
        rate_bpm=60.0 / rr_mean_s,
        rr_ms=1000.0 * rr_mean_s,
        rr_spread_ms=float(1000.0 * rr_s.std(ddof=1)) if len(rr_s) > 1 else None,
        irregularity=irregularity,
        regular=None if irregularity is None else irregularity < 0.08,
        p_presence=0.0 if p_ms is None else max(0.0, common.p_agreement or 0.0),
        p_ms=p_ms,
        pr_ms=pr_ms,
        qrs_ms=_ms(waves.qrs_on, waves.qrs_off),
        qt_ms=qt_ms,
        qtc_ms={} if qt_ms is None else corrected(qt_ms, rr_mean_s),
        p_axis_deg=axes["p_axis_deg"],
        qrs_axis_deg=axes["qrs_axis_deg"],
        t_axis_deg=axes["t_axis_deg"],
        sokolow_lyon_mv=_sum_mv(leads, "V1", ("V5", "V6")),
        cornell_mv=_sum_mv(leads, "V3", ("aVL",)),
        leads=leads,
        beats=_beats(signal, found, shapes, kinds),
        r_peaks_s=[float(p) / RATE_HZ for p in peaks],
        median_beat_mv=median_mv,
        median_beat_r_index=r_index,
        median_beat_rate_hz=float(RATE_HZ),
        median_beat=_beat_at(0, common, "normal"),
        not_measurable=why,
    )


def _axes_deg(median_mv: np.ndarray, waves: Waves, why: dict[str, str]) -> dict[str, float | None]:
    """The three axes by their names in `Measurements`; for those not measurable adds to `why`."""
    axes = {
        "p_axis_deg": _axis_deg(median_mv, waves.p_on, waves.p_off),
        "qrs_axis_deg": _axis_deg(median_mv, waves.qrs_on, waves.qrs_off),
        "t_axis_deg": _axis_deg(median_mv, waves.t_on, waves.t_off),
    }
    for name, value in axes.items():
        if value is None:
            first = name.replace("axis_deg", "ms").replace("t_ms", "qt_ms")
            why.setdefault(name, why.get(first, "fewer than two limb leads, or no net area"))
    return axes


def _nothing(why: str) -> Measurements:
    names = [f.name for f in fields(Measurements) if f.default is None]
    return Measurements(not_measurable=dict.fromkeys(names, why))


def _ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else 1000.0 * (end - start) / RATE_HZ


def corrected(qt_ms: float, rr_s: float) -> dict[str, float]:
    """QT corrected for rate, see `Measurements.qtc_ms`; rr_s > 0."""
    return {
        "Bazett": qt_ms / rr_s ** (1 / 2),
        "Fridericia": qt_ms / rr_s ** (1 / 3),
        "Framingham": qt_ms + 154.0 * (1.0 - rr_s),
        "Hodges": qt_ms + 1.75 * (60.0 / rr_s - 60.0),
    }


# ---------------------------------------------------------------------------- shapes and kinds


def _whole_beats(signal: Clean, peaks: np.ndarray) -> np.ndarray:
    """[beats, 12, m] around each R; those cut off by the ends only if there are few."""
    n = signal.leads_mv.shape[1]
    whole = peaks[(peaks >= BEFORE) & (peaks + AFTER <= n)]
    return cut(signal.leads_mv, whole if len(whole) >= 2 else peaks, BEFORE, AFTER)


def _delineated(signal: Clean, found: Found) -> list[Delineation]:
    """The waves of the median beat of every shape."""
    rr_s = np.diff(found.peaks) / RATE_HZ
    rows = np.flatnonzero(signal.used)
    out = []
    for shape in range(int(found.shape.max()) + 1):
        own = found.shape == shape
        ending = rr_s[own[1:]]
        plain = rr_s[own[1:] & own[:-1]]
        # Pauses around ectopic beats do not count as irregular.
        irregular = len(plain) > 1 and float(plain.std() / plain.mean()) > 0.1
        usual_s = float(np.median(ending if len(ending) else rr_s))
        beats = _whole_beats(signal, found.peaks[own])
        out.append(delineate(beats, rows, signal.apart, BEFORE, usual_s, irregular))
    return out


def _kinds(signal: Clean, found: Found, shapes: list[Delineation]) -> list[str]:
    """What each beat is."""
    rr = np.diff(found.peaks)
    usual = float(np.median(rr))
    calm = float(np.median(np.abs(np.diff(rr)))) < 0.08 * usual if len(rr) > 2 else True
    width = [_ms(one.whole.qrs_on, one.whole.qrs_off) for one in shapes]
    common_ms = width[0] or 0.0
    paced = _paced_shapes(signal, found, shapes)
    out = []
    for i, shape in enumerate(found.shape):
        early = i > 0 and rr[i - 1] < EARLY * usual
        # In an irregular rhythm of one shape every second beat is "early".
        early = early and (calm or shape > 0)
        own_ms = width[shape] if shape >= 0 else None
        other = shape > 0 and (own_ms or 0.0) >= max(WIDE_MS, common_ms + 20)
        if shape >= 0 and paced[shape]:
            out.append("paced")
        elif other:
            out.append("premature wide" if early else "wide")
        else:
            out.append("premature narrow" if early and shape >= 0 else "normal")
    return out


def _paced_shapes(signal: Clean, found: Found, shapes: list[Delineation]) -> list[bool]:
    """For each shape: does a pacing spike begin most of its QRS complexes?"""
    out = []
    for shape, one in enumerate(shapes):
        on, peaks = one.whole.qrs_on, found.peaks[found.shape == shape]
        if on is None or len(signal.spikes) == 0 or len(signal.spikes) < 0.2 * len(found.peaks):
            out.append(False)
            continue
        far = signal.spikes[None] - (peaks[:, None] + on - BEFORE)
        hits = ((far > -0.05 * RATE_HZ) & (far < 0.016 * RATE_HZ)).any(axis=1)
        out.append(bool(hits.mean() >= 0.3))
    return out


def _without_p(one: Delineation) -> Delineation:
    leads = {
        row: replace(waves, p_on=None, p_peak=None, p_off=None) for row, waves in one.leads.items()
    }
    return replace(one, whole=replace(one.whole, p_on=None, p_peak=None, p_off=None), leads=leads)


def _reasons(waves: Waves, kinds: list[str], found: Found) -> dict[str, str]:
    """Why numbers of the median beat are missing."""
    why = {}
    own = [kind for kind, shape in zip(kinds, found.shape, strict=True) if shape == 0]
    if own.count("paced") > len(own) / 2:
        why["p_ms"] = why["pr_ms"] = "the ventricles are paced"
    elif waves.p_on is None:
        why["p_ms"] = why["pr_ms"] = "no P wave precedes the beats in the same way"
    if waves.qrs_on is None or waves.qrs_off is None:
        why["qrs_ms"] = "the edges of QRS do not stand out of the noise"
    if waves.t_off is None:
        why["qt_ms"] = "no T wave with a clear end"
    return why


def _irregularity(rr_s: np.ndarray, kinds: list[str]) -> float | None:
    """Mean |change| from one RR to the next / mean RR; NaN-free, None for fewer than 3 beats."""
    wide = np.array([kind.endswith("wide") for kind in kinds])
    plain = ~(wide[1:] | wide[:-1])
    plain[1:] &= ~wide[:-2]
    both = plain[1:] & plain[:-1]
    change = np.abs(np.diff(rr_s))[both]
    return float(change.mean() / rr_s[plain].mean()) if len(change) else None


# ---------------------------------------------------------------------------- single beats


def _beats(signal: Clean, found: Found, shapes: list[Delineation], kinds: list[str]) -> list[Beat]:
    """Every beat: the waves of its shape, P and T moved to where this beat has them."""
    n = signal.leads_mv.shape[1]
    even = smooth(signal.leads_mv[signal.apart], 10)
    around = cut(even, found.peaks, BEFORE, AFTER)
    medians = [np.median(around[found.shape == k], axis=0) for k in range(len(shapes))]
    out: list[Beat] = []
    t_end = -np.inf
    for i, (peak, shape, kind) in enumerate(zip(found.peaks, found.shape, kinds, strict=True)):
        k = max(int(shape), 0)
        one, begin = shapes[k], int(peak) - BEFORE
        if one.whole.qrs_on is None:
            one = replace(shapes[0], leads=dict(shapes[0].leads))
        if k > 0:
            one = _with_p_of(shapes[0], one, kind)
        p_move = _best_move(
            around[i],
            medians[0],
            one.whole.p_on,
            one.whole.p_off,
            P_FAR if kind == "premature narrow" or k else P_NEAR,
        )
        t_move = _best_move(around[i], medians[k], one.whole.t_on, one.whole.t_off, T_MOST)
        moved = _moved(one, p_move, t_move)
        waves = moved.whole
        following = found.peaks[i + 1] - 25 if i + 1 < len(found.peaks) else n
        no_p = waves.p_on is not None and (
            p_move is None or begin + waves.p_on < 0 or begin + (waves.p_peak or 0) < t_end
        )
        if no_p:
            moved = _without_p(moved)
        if waves.t_peak is not None and begin + (waves.t_off or 0) > min(n, following + 10):
            moved = _without_t(moved)
        out.append(_beat_at(begin, moved, kind))
        t_end = begin + (moved.whole.t_peak or BEFORE)
    return out


def _with_p_of(common: Delineation, one: Delineation, kind: str) -> Delineation:
    """A rare shape with the P of the common one before it, unless it is wide and early."""
    if kind in ("premature wide", "paced") or common.whole.p_on is None:
        return _without_p(one)

    def take(own: Waves, of: Waves) -> Waves:
        return replace(own, p_on=of.p_on, p_peak=of.p_peak, p_off=of.p_off)

    leads = {row: take(waves, common.leads[row]) for row, waves in one.leads.items()}
    return replace(one, whole=take(one.whole, common.whole), leads=leads)


def _best_move(
    beat: np.ndarray, median: np.ndarray, on: float | None, off: float | None, most: int
) -> int | None:
    """By how many samples a wave of the median beat [leads, m] lies elsewhere in this beat.

    None where nothing like it is there. Far moves have to be paid for with a better fit.
    """
    if on is None or off is None:
        return None
    first, last = max(int(on) - 8, 0), min(int(off) + 8, beat.shape[1])
    form = median[:, first:last] - median[:, first:last].mean(axis=1, keepdims=True)
    most = min(most, first, beat.shape[1] - last)
    if most < 0:
        return 0
    windows = np.lib.stride_tricks.sliding_window_view(
        beat[:, first - most : last + most], last - first, axis=1
    )
    power = windows.var(axis=2).sum(axis=0) * (last - first)
    product = np.einsum("lsm,lm->s", windows, form, optimize=True)
    fit = product / (np.sqrt(power) * np.linalg.norm(form) + 1e-9)
    moves = np.arange(-most, most + 1)
    best = int((fit - FAR_COSTS * (moves / 30.0) ** 2).argmax())
    if fit[best] < 0.3:
        return 0 if most <= 12 or fit[most] > 0 else None
    return int(moves[best])


def _moved(one: Delineation, p_move: int | None, t_move: int | None) -> Delineation:
    def shift(waves: Waves) -> Waves:
        at = {}
        for name in NAMES:
            value = getattr(waves, name)
            by = (p_move if name[0] == "p" else t_move if name[0] == "t" else 0) or 0
            at[name] = None if value is None else value + by
        if at["p_off"] is not None and at["qrs_on"] is not None:
            at["p_off"] = min(at["p_off"], at["qrs_on"])
        return Waves(**at)

    return replace(
        one, whole=shift(one.whole), leads={row: shift(w) for row, w in one.leads.items()}
    )


def _without_t(one: Delineation) -> Delineation:
    leads = {
        row: replace(waves, t_on=None, t_peak=None, t_off=None) for row, waves in one.leads.items()
    }
    return replace(one, whole=replace(one.whole, t_on=None, t_peak=None, t_off=None), leads=leads)


def _beat_at(begin: int, one: Delineation, kind: str) -> Beat:
    """A beat whose median beat begins at sample `begin`, in seconds."""

    def seconds(waves: Waves) -> dict[str, float | None]:
        at = {name: getattr(waves, name) for name in NAMES}
        return {k: None if v is None else float(begin + v) / RATE_HZ for k, v in at.items()}

    leads = {LEADS[row]: Times(**seconds(waves)) for row, waves in one.leads.items()}
    return Beat(**seconds(one.whole), kind=kind, leads=leads)


# ---------------------------------------------------------------------------- voltages and axes


def _voltages(median_mv: np.ndarray, one: Delineation) -> dict[str, LeadValues]:
    """Heights and ST levels of every lead, from its level in the 10 ms before QRS onset."""
    out: dict[str, LeadValues] = {}
    whole = one.whole
    if whole.qrs_on is None or whole.qrs_off is None:
        return out
    on, j = int(whole.qrs_on), int(whole.qrs_off)
    later = min(j + int(0.06 * RATE_HZ), median_mv.shape[1] - 1)
    for row in one.leads:
        lead = median_mv[row].astype(float)
        lead = lead - float(np.mean(lead[max(on - 5, 0) : on + 1]))
        qrs = lead[on : j + 1]
        top = int(qrs.argmax())
        r_mv = max(0.0, float(qrs[top]))
        # A complex without R is all Q ("QS").
        q_mv = min(0.0, float(qrs[: top + 1].min())) if r_mv > 0.05 else min(0.0, float(qrs.min()))
        s_mv = min(0.0, float(qrs[top:].min())) if r_mv > 0.05 else 0.0

        def farthest(
            start: float | None, end: float | None, lead: np.ndarray = lead
        ) -> float | None:
            if start is None or end is None or end - start < 2:
                return None
            part = lead[int(start) : int(end) + 1]
            return float(part[np.abs(part).argmax()])

        st = [float(lead[max(at - 2, 0) : at + 3].mean()) for at in (j, later)]
        p_mv, t_mv = farthest(whole.p_on, whole.p_off), farthest(whole.t_on, whole.t_off)
        out[LEADS[row]] = LeadValues(p_mv, q_mv, r_mv, s_mv, t_mv, st[0], st[1])
    return out


def _sum_mv(leads: dict[str, LeadValues], deep: str, tall: tuple[str, ...]) -> float | None:
    """Depth of S (or QS) in one lead + the tallest R of others; None where a lead is missing."""
    r = [leads[lead].r_mv for lead in tall if lead in leads]
    if deep not in leads or not r:
        return None
    return max(r) - min(leads[deep].s_mv, leads[deep].q_mv)


def _limb_pair(beat_mv: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """I and aVF [m], computed from any two limb leads that are there."""
    there = [lead for lead in LIMB if np.isfinite(beat_mv[LEADS.index(lead)]).all()]
    weights = np.array([LIMB_OF_I_AND_II[lead] for lead in there])
    if len(there) < 2 or np.linalg.matrix_rank(weights) < 2:
        return None
    rows = beat_mv[[LEADS.index(lead) for lead in there]].astype(np.float64)
    lead_i, lead_ii = np.linalg.lstsq(weights, rows, rcond=None)[0]
    return lead_i, lead_ii - lead_i / 2


def _axis_deg(beat_mv: np.ndarray, start: float | None, end: float | None) -> float | None:
    """Frontal axis of the net area between start and end, degrees, 0 = lead I, +90 = aVF.

    aVF is an augmented lead, shorter than I by sqrt(3)/2; the factor undoes that
    (Novosel, Noll & Luscher 1999, Croatian Medical Journal 40:77).
    """
    pair = _limb_pair(beat_mv)
    if pair is None or start is None or end is None or end - start < 3:
        return None
    first, last = int(start), int(end)
    area = []
    for lead in pair:
        piece = lead[first : min(last, len(lead))]
        base = np.linspace(lead[first], piece[-1], len(piece))
        area.append(float((piece - base).sum()) / RATE_HZ)
    in_i, in_avf = area[0], area[1] * 2 / np.sqrt(3)
    # Less than 0.5 microvolt-seconds in both: no direction.
    if np.hypot(in_i, in_avf) < 0.0005:
        return None
    return float(np.degrees(np.arctan2(in_avf, in_i)))
