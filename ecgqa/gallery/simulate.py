"""`simulate(finding)`: 12-lead ECGs with known truth, for the gallery and for the tests.

A beat is a sum of smooth lobes: two for P, six for QRS, three for ST and T. Their times come from
the intervals asked for, so onsets and offsets are known exactly. Each lobe has one height per
independent lead (I, II, V1-V6); the other limb leads follow by their definitions. The heights
were fitted, finding by finding, to the average beat of 30 to 130 real ECGs of PTB-XL (Wagner et al.
2020, doi 10.1038/s41597-020-0495-6, CC BY 4.0) whose time axes were first stretched onto one
another. A sum of waves with known times follows the idea of McSharry et al. 2003
(doi 10.1109/TBME.2003.808805).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from scipy import signal as dsp

from ecgqa.gallery.heights import SHAPES
from ecgqa.record import ECG

# One F wave of common (counterclockwise) flutter and one f wave of fibrillation: heights in
# microvolts in I, II, V1 ... V6. Saw teeth point down in II, III, aVF and up in V1; f waves are
# largest in V1.
_FLUTTER_UV = (15, 150, -95, -40, 0, 25, 35, 40)
_FIBRILLATION_UV = (8, 28, 55, 30, 14, 8, 6, 6)
# What a pacemaker's stimulus of 2 ms leaves in each lead, in microvolts.
_SPIKE_UV = (-250, -700, 350, 500, 600, 500, 200, -100)
_SPIKE_MS = 2.0


@dataclass(frozen=True)
class _Finding:
    """How to draw one finding. pr_ms is None where no P belongs to the QRS."""

    shape: str
    statements: tuple[str, ...]
    rate_bpm: float
    pr_ms: float | None = 160.0
    p_ms: float = 110.0
    qrs_ms: float = 92.0
    qtc_ms: float = 405.0
    # Spread of RR as a part of RR: breathing and chance.
    rr_spread: float = 0.025
    rhythm: str = "sinus"


_SINUS = "sinus rhythm"
_FINDINGS = {
    "normal": _Finding("normal", (_SINUS, "normal heart axis"), 68),
    "sinus tachycardia": _Finding(
        "normal", ("sinus tachycardia",), 118, pr_ms=140, p_ms=100, qrs_ms=86, rr_spread=0.008
    ),
    "sinus bradycardia": _Finding("normal", ("sinus bradycardia",), 46, pr_ms=168),
    "atrial fibrillation": _Finding(
        "fibrillation",
        ("atrial fibrillation",),
        98,
        pr_ms=None,
        qtc_ms=410,
        rr_spread=0.22,
        rhythm="fibrillation",
    ),
    "atrial flutter": _Finding(
        "fibrillation",
        ("atrial flutter",),
        75,
        pr_ms=None,
        qtc_ms=410,
        rr_spread=0.0,
        rhythm="flutter",
    ),
    "complete left bundle branch block": _Finding(
        "left bundle branch block",
        (_SINUS, "complete left bundle branch block"),
        74,
        pr_ms=172,
        qrs_ms=156,
        qtc_ms=445,
    ),
    "complete right bundle branch block": _Finding(
        "right bundle branch block",
        (_SINUS, "complete right bundle branch block"),
        72,
        pr_ms=170,
        qrs_ms=146,
        qtc_ms=430,
    ),
    "left anterior fascicular block": _Finding(
        "left anterior fascicular block",
        (_SINUS, "left anterior fascicular block", "left axis deviation"),
        70,
        pr_ms=168,
        qrs_ms=106,
        qtc_ms=412,
    ),
    "inferior myocardial infarction": _Finding(
        "inferior infarction",
        (_SINUS, "myocardial infarction in inferior leads", "q waves present"),
        70,
        pr_ms=165,
        qrs_ms=100,
        qtc_ms=412,
    ),
    "anteroseptal myocardial infarction": _Finding(
        "anteroseptal infarction",
        (_SINUS, "myocardial infarction in anteroseptal leads"),
        74,
        pr_ms=162,
        qrs_ms=100,
        qtc_ms=412,
    ),
    "left ventricular hypertrophy": _Finding(
        "left ventricular hypertrophy",
        (_SINUS, "left ventricular hypertrophy"),
        72,
        pr_ms=168,
        qrs_ms=102,
        qtc_ms=415,
    ),
    "first degree av block": _Finding(
        "normal", (_SINUS, "first degree av block", "prolonged pr interval"), 66, pr_ms=270
    ),
    "ventricular premature complexes": _Finding(
        "normal", (_SINUS, "ventricular premature complex"), 72, rhythm="ventricular premature"
    ),
    "ventricular pacing": _Finding(
        "paced",
        ("normal functioning artificial pacemaker",),
        70,
        pr_ms=None,
        qrs_ms=180,
        qtc_ms=480,
        rr_spread=0.0,
        rhythm="paced",
    ),
    "long qt": _Finding("long qt", (_SINUS, "long qt-interval"), 64, qtc_ms=530),
}
FINDINGS = tuple(_FINDINGS)


@dataclass(frozen=True, eq=False)
class Simulated:
    """A simulated ECG and what is true of it.

    truth: rate_bpm, pr_ms, qrs_ms, qt_ms, axis_deg (QRS axis); None where it does not apply.
    statements: what is true, in the words of ECG-QA's answers (doi 10.48550/arXiv.2306.15681).
    r_peaks_s: times in seconds at which the QRS complexes are highest over all leads.
    """

    ecg: ECG
    finding: str
    truth: dict[str, float | None]
    statements: tuple[str, ...]
    r_peaks_s: tuple[float, ...]


@dataclass(frozen=True)
class _Beat:
    """A beat to draw: when its QRS begins, and how."""

    onset_s: float
    drawn_as: _Finding
    qt_ms: float


def simulate(
    finding: str,
    seconds: float = 10.0,
    rate_hz: float = 500.0,
    rate_bpm: float | None = None,
    seed: int = 0,
    noise_mv: float = 0.01,
) -> Simulated:
    """Draw an ECG with one of `FINDINGS`. The same arguments give the same samples.

    finding: a name of `FINDINGS`.
    seconds, rate_hz: length and samples per second.
    rate_bpm: heart rate, 20 to 220; None for one that is usual for the finding.
    seed: another seed, another patient: other noise, other RR intervals, slightly other heights.
    noise_mv: standard deviation of the muscle noise; baseline wander and mains are in proportion.

    Raises ValueError for an unknown finding or numbers out of range.
    """
    if finding not in _FINDINGS:
        raise ValueError(f"unknown finding {finding!r}; known: {', '.join(FINDINGS)}")
    if not 1 <= seconds <= 600 or not 50 <= rate_hz <= 2000 or not 0 <= noise_mv <= 1:
        raise ValueError("seconds must be 1..600, rate_hz 50..2000 and noise_mv 0..1")
    if rate_bpm is not None and not 20 <= rate_bpm <= 220:
        raise ValueError("rate_bpm must be 20..220")
    kind = _FINDINGS[finding]
    # The name is part of the seed: two findings with one seed are still two patients.
    rng = np.random.default_rng([seed, *hashlib.sha256(finding.encode()).digest()[:4]])
    rr_s = 60.0 / (kind.rate_bpm if rate_bpm is None else rate_bpm)
    beats = _rhythm(kind, seconds, rr_s, rng)

    # Drawn at 500 Hz or more and thinned afterwards, so that a coarse recording has no aliases.
    finer = max(1, int(np.ceil(500 / rate_hz)))
    samples = round(seconds * rate_hz)
    t = np.arange(samples * finer) / (rate_hz * finer)
    leads = _draw(beats, t, rng) + _atria(kind, t, rr_s, rng)
    leads += _disturbances(t, noise_mv, rng)
    if finer > 1:
        leads = dsp.resample_poly(leads, 1, finer, axis=1, padtype="line")[:, :samples]
    signal_mv = _twelve(leads).astype(np.float32)

    plain = [beat for beat in beats if beat.drawn_as is kind]
    all_r_s = [beat.onset_s + _r_after_onset_s(beat) for beat in beats]
    r_peaks_s = tuple(r for r in all_r_s if 0 <= r < seconds)
    truth: dict[str, float | None] = {
        "rate_bpm": 60.0 / float(np.diff(r_peaks_s).mean()) if len(r_peaks_s) > 1 else None,
        "pr_ms": kind.pr_ms,
        "qrs_ms": kind.qrs_ms,
        "qt_ms": plain[0].qt_ms,
        "axis_deg": _axis_deg(kind),
    }
    digest = hashlib.sha256(signal_mv.tobytes()).hexdigest()
    ecg = ECG(signal_mv, rate_hz, f"Simulated: {finding}", digest)
    return Simulated(ecg, finding, truth, kind.statements, r_peaks_s)


def _rhythm(kind: _Finding, seconds: float, rr_s: float, rng: np.random.Generator) -> list[_Beat]:
    """Beats from before the start of the recording until after its end."""
    # Fridericia's formula turned around: QT grows with the cube root of RR.
    qt_ms = kind.qtc_ms * rr_s ** (1 / 3)
    # A ventricular premature complex looks like left bundle branch block, turned downwards.
    premature = replace(kind, shape="premature", pr_ms=None, qrs_ms=160.0)
    beats: list[_Beat] = []
    breath = rng.uniform(0, 2 * np.pi)
    at = -rr_s * rng.uniform(0.75, 0.95) - 0.1
    next_premature = int(rng.integers(2, 4))
    while at < seconds + 1:
        beats.append(_Beat(at, kind, qt_ms))
        step = rr_s
        if kind.rhythm == "fibrillation":
            step *= float(np.clip(1 + kind.rr_spread * rng.standard_normal(), 0.6, 1.6))
        elif kind.rr_spread:
            wave = np.sin(2 * np.pi * 0.25 * at + breath) + 0.4 * rng.standard_normal()
            step *= 1 + kind.rr_spread * float(wave)
        if kind.rhythm == "ventricular premature" and len(beats) == next_premature:
            # It comes early, and the pause after it is fully compensatory.
            beats.append(_Beat(at + 0.62 * step, premature, min(qt_ms, 420.0)))
            step *= 2
            next_premature = len(beats) + int(rng.integers(3, 5))
        at += step
    return beats


def _draw(beats: list[_Beat], t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[8, n] mV: all beats, each a little larger or smaller with breathing and by chance."""
    leads = np.zeros((8, len(t)))
    # Patients differ: each lead, and each wave, by some percent.
    patient = 1 + 0.05 * rng.standard_normal(8)
    breath = rng.uniform(0, 2 * np.pi)
    for beat in beats:
        swing = 1 + 0.03 * np.sin(2 * np.pi * 0.25 * beat.onset_s + breath)
        swing += 0.01 * rng.standard_normal()
        first = np.searchsorted(t, beat.onset_s - 0.5)
        last = np.searchsorted(t, beat.onset_s + 1.0)
        piece = _beat_mv(beat, t[first:last] - beat.onset_s)
        leads[:, first:last] += swing * patient[:, None] * piece
    return leads


def _beat_mv(beat: _Beat, t: np.ndarray) -> np.ndarray:
    """[8, n] mV of one beat at times t, in seconds from the onset of its QRS."""
    heights, lobes = _heights_uv(beat.drawn_as), _lobes_ms(beat.drawn_as, beat.qt_ms)
    beat_mv = np.zeros((8, len(t)))
    for height, (start, end) in zip(heights, lobes, strict=True):
        part = np.clip((1000 * t - start) / (end - start), 0, 1)
        beat_mv += 0.001 * height[:, None] * np.sin(np.pi * part) ** 1.5
    if beat.drawn_as.rhythm == "paced":
        in_spike = (t >= -_SPIKE_MS / 1000) & (t < 0)
        beat_mv += 0.001 * np.array(_SPIKE_UV)[:, None] * in_spike
    return beat_mv


def _heights_uv(drawn_as: _Finding) -> np.ndarray:
    """[11, 8] heights of the lobes."""
    if drawn_as.shape == "premature":
        # Left-to-right of the block's I is small, downwards large: from the outflow tract.
        uv = np.array(SHAPES["left bundle branch block"], dtype=float)
        lead_i = uv[:, 0].copy()
        uv[:, 0], uv[:, 1] = 0.25 * lead_i, 1.5 * lead_i
        uv *= 1.25
    else:
        uv = np.array(SHAPES[drawn_as.shape], dtype=float)
    if drawn_as.pr_ms is None:
        uv[:2] = 0
    return uv


def _lobes_ms(drawn_as: _Finding, qt_ms: float) -> list[tuple[float, float]]:
    """Start and end of the 11 lobes, in ms from QRS onset."""
    pr, p, qrs = drawn_as.pr_ms or 160.0, drawn_as.p_ms, drawn_as.qrs_ms
    lobes = [(-pr, -pr + 0.65 * p), (-pr + 0.35 * p, -pr + p)]
    lobes += [(k * 0.116 * qrs, (k * 0.116 + 0.42) * qrs) for k in range(6)]
    st_t = qt_ms - qrs
    lobes += [(0.9 * qrs, qrs + 0.55 * st_t), (qrs + 0.1 * st_t, qrs + 0.85 * st_t)]
    return [*lobes, (qrs + 0.35 * st_t, qt_ms)]


def _r_after_onset_s(beat: _Beat) -> float:
    """Time from QRS onset to the highest point over all leads."""
    t = np.arange(0, beat.drawn_as.qrs_ms, 0.5) / 1000
    beat_mv = _beat_mv(beat, t)
    return float(t[(beat_mv**2).sum(axis=0).argmax()])


def _axis_deg(kind: _Finding) -> float:
    """QRS axis from the net areas in I and aVF; lobes have equal widths, so heights add up."""
    lead_i, lead_ii = _heights_uv(kind)[2:8, :2].sum(axis=0)
    return float(np.degrees(np.arctan2((lead_ii - lead_i / 2) * 2 / np.sqrt(3), lead_i)))


def _atria(kind: _Finding, t: np.ndarray, rr_s: float, rng: np.random.Generator) -> np.ndarray:
    """[8, n] mV of atria that do not beat in sinus rhythm."""
    if kind.rhythm == "flutter":
        # The ventricles follow every nth flutter wave, so that these come near 300 a minute.
        cycle_s = rr_s / max(2, round(rr_s / 0.2))
        phase = 2 * np.pi * (t / cycle_s + rng.uniform())
        tooth = sum(np.sin(k * phase) / k * np.exp(-0.25 * (k - 1)) for k in range(1, 6))
        teeth: np.ndarray = 0.001 * np.array(_FLUTTER_UV)[:, None] * tooth
        return teeth
    if kind.rhythm == "fibrillation":
        dt = t[1] - t[0]
        heights = np.array(_FIBRILLATION_UV, dtype=float)
        total = np.zeros((8, len(t)))
        # Two wavefronts whose frequency (4-7 Hz) and size drift, seen differently by each lead.
        for weight in (1.0, 0.6):
            hz = rng.uniform(5.0, 6.5) + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 0.3) * t)
            phase = 2 * np.pi * np.cumsum(hz) * dt + rng.uniform(0, 2 * np.pi)
            size = 1 + 0.35 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * t + rng.uniform(0, 6))
            seen = heights * (1 + 0.3 * rng.standard_normal(8))
            wave = np.sin(phase) + 0.35 * np.sin(2 * phase + 0.8)
            total += 0.001 * weight * seen[:, None] * size * wave
        return total
    return np.zeros((8, len(t)))


def _disturbances(t: np.ndarray, noise_mv: float, rng: np.random.Generator) -> np.ndarray:
    """[8, n] mV of muscle noise, baseline wander (breathing, electrodes) and mains."""
    noise = rng.standard_normal((8, len(t)))
    dt = t[1] - t[0]
    # Muscle noise of a recorder with a band up to 150 Hz.
    top = min(150.0, 0.45 / dt)
    noise = dsp.sosfiltfilt(dsp.butter(2, [8, top], "bandpass", fs=1 / dt, output="sos"), noise)
    noise /= noise.std(axis=1, keepdims=True) + 1e-12
    wander = np.zeros((8, len(t)))
    for hz in (0.12, 0.25, 0.4):
        phase = rng.uniform(0, 2 * np.pi, (8, 1))
        height = rng.uniform(0.5, 1.5, (8, 1)) * 0.25 / hz
        wander += height * np.sin(2 * np.pi * hz * t + phase)
    mains = 0.2 * rng.uniform(0, 1, (8, 1)) * np.sin(2 * np.pi * 50 * t)
    disturbed: np.ndarray = noise_mv * (noise + 1.5 * wander + mains)
    return disturbed


def _twelve(leads: np.ndarray) -> np.ndarray:
    """[12, n] from I, II, V1-V6 by the definitions of the limb leads."""
    lead_i, lead_ii = leads[0], leads[1]
    return np.stack(
        [
            lead_i,
            lead_ii,
            lead_ii - lead_i,
            -(lead_i + lead_ii) / 2,
            lead_i - lead_ii / 2,
            lead_ii - lead_i / 2,
            *leads[2:],
        ]
    )
