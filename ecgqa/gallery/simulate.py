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

from ecgqa.record import ECG

# Heights in microvolts of the lobes of one beat in I, II, V1, V2, V3, V4, V5, V6: rows 1-2 P,
# 3-8 QRS, 9-11 ST and T.
_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "normal": (
        (63, 138, 22, 55, 77, 74, 69, 62),
        (90, 118, -48, 5, 38, 54, 65, 67),
        (-48, -31, 164, 257, 152, 23, -49, -68),
        (242, 209, 2, 305, 476, 509, 433, 281),
        (576, 692, -555, -409, 523, 1189, 1164, 896),
        (103, 194, -466, -778, -425, -62, 116, 255),
        (-43, -61, -224, -454, -490, -363, -186, -63),
        (-1, 15, -84, -95, -103, -61, -32, 4),
        (33, 52, 33, 106, 99, 70, 52, 42),
        (-18, -45, 40, 92, 41, -17, -41, -43),
        (211, 283, -12, 364, 454, 413, 343, 269),
    ),
    "left bundle branch block": (
        (51, 130, 26, 67, 86, 77, 54, 54),
        (76, 105, -52, 9, 34, 46, 51, 56),
        (102, 109, -90, -37, 128, 223, 173, 112),
        (371, 218, -1326, -2006, -1523, -373, 266, 356),
        (498, 242, -1048, -1376, -1244, -495, 381, 540),
        (297, 37, -716, -1185, -1120, -612, 130, 359),
        (443, -115, -577, -707, -636, -283, 311, 500),
        (146, -118, -1, 24, -60, -190, -127, 27),
        (-102, -7, 277, 434, 377, 152, -67, -112),
        (-142, -49, 340, 515, 399, 105, -131, -160),
        (-61, 112, 303, 614, 637, 406, 71, -58),
    ),
    "right bundle branch block": (
        (59, 137, 27, 67, 88, 86, 73, 68),
        (87, 106, -44, 16, 40, 58, 63, 69),
        (9, 67, 237, 485, 435, 305, 156, 53),
        (740, 535, -320, 400, 893, 1359, 1299, 960),
        (-229, -188, 199, -120, -348, -675, -609, -310),
        (-120, 23, 403, 523, 376, 134, 20, -47),
        (-221, -123, 676, 241, 47, -160, -206, -162),
        (-265, -83, 616, -13, -119, -185, -186, -157),
        (24, 28, -39, 16, 18, 19, 10, 18),
        (86, 32, -149, -83, -35, 46, 80, 75),
        (215, 199, -170, 138, 205, 261, 248, 218),
    ),
    "inferior infarction": (
        (88, 128, -16, 39, 68, 74, 73, 65),
        (95, 90, -64, -7, 18, 35, 56, 60),
        (-33, -127, 155, 227, 164, 53, -48, -75),
        (287, -87, 18, 410, 503, 532, 426, 212),
        (719, 277, -458, 74, 596, 1126, 1096, 726),
        (265, 5, -459, -679, -648, -342, -17, 158),
        (32, -81, -249, -436, -492, -407, -177, -27),
        (18, -14, -79, -84, -116, -103, -66, -16),
        (13, 11, 56, 109, 101, 52, 9, -2),
        (-35, 3, 23, 40, 29, -1, -22, -20),
        (194, -20, 105, 488, 471, 319, 139, 60),
    ),
    "anteroseptal infarction": (
        (66, 151, 1, 44, 72, 77, 71, 65),
        (89, 117, -60, -3, 29, 50, 61, 67),
        (2, 36, -15, -27, 6, 23, 23, 20),
        (91, 129, -241, -420, -283, 81, 210, 199),
        (449, 471, -709, -933, -687, 137, 645, 674),
        (231, 96, -501, -752, -675, -268, 150, 314),
        (-52, -72, -163, -351, -397, -318, -187, -69),
        (1, 8, -6, -10, -36, -52, -33, -6),
        (-8, 37, 85, 123, 107, 36, 0, -2),
        (-12, -15, 71, 188, 180, 104, 15, -25),
        (58, 266, 29, 120, 99, 48, 92, 142),
    ),
    "left ventricular hypertrophy": (
        (65, 165, 6, 49, 77, 77, 66, 63),
        (93, 128, -78, -14, 25, 48, 65, 73),
        (-17, 58, 207, 394, 394, 266, 74, -4),
        (223, 297, -179, -100, 366, 763, 656, 414),
        (873, 903, -1239, -929, 288, 1817, 2014, 1451),
        (757, 519, -1241, -1396, -860, 282, 1047, 1060),
        (319, -7, -565, -765, -730, -583, 8, 314),
        (24, -61, -73, -112, -191, -244, -191, -66),
        (-87, -58, 164, 192, 88, -92, -181, -146),
        (-34, -47, 81, 114, 53, 5, -35, -49),
        (-114, -11, 303, 514, 309, -75, -282, -214),
    ),
    "left anterior fascicular block": (
        (65, 139, 9, 54, 84, 85, 75, 68),
        (90, 105, -58, 5, 38, 57, 65, 67),
        (-81, 77, 132, 127, 150, 91, 26, -3),
        (312, 162, -131, 221, 470, 746, 681, 461),
        (576, 79, -459, -238, 51, 336, 440, 414),
        (143, -423, -296, -676, -897, -851, -563, -312),
        (42, -207, -211, -393, -454, -338, -204, -108),
        (2, -124, -31, -96, -177, -218, -176, -118),
        (3, 34, 42, 90, 80, 42, 18, 8),
        (-12, 6, 41, 92, 82, 45, 17, 2),
        (133, 174, 28, 295, 334, 265, 194, 145),
    ),
    "paced": (
        (18, 37, 25, 41, 46, 33, 23, 18),
        (34, 56, 21, 39, 42, 33, 25, 24),
        (-43, -47, 9, -3, -16, -23, -19, -18),
        (20, 56, 38, -59, -14, 98, 65, 41),
        (420, 241, -129, 240, 240, 220, 342, 372),
        (117, -620, -299, -498, -868, -762, -178, -67),
        (619, -667, -617, -838, -958, -681, -19, 190),
        (339, -567, -327, -558, -630, -695, -529, -362),
        (-87, 145, 104, 118, 176, 140, 22, -10),
        (-103, 163, 102, 147, 187, 144, 13, -16),
        (-66, 319, 202, 456, 535, 458, 213, 124),
    ),
    "fibrillation": (
        (0, 0, 0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 0, 0, 0),
        (-14, -12, 111, 237, 210, 96, 11, -24),
        (222, 200, -92, 132, 437, 662, 545, 349),
        (445, 527, -460, -459, 105, 859, 1022, 806),
        (115, 183, -403, -931, -909, -463, 5, 254),
        (0, -2, -172, -495, -561, -421, -168, 27),
        (-28, -18, -94, -188, -226, -202, -123, -42),
        (-26, -40, 23, 39, 13, -37, -57, -51),
        (-17, -42, 31, 82, 65, 0, -39, -47),
        (75, 75, 8, 225, 246, 173, 113, 70),
    ),
    "long qt": (
        (59, 121, 14, 62, 79, 75, 65, 57),
        (80, 96, -49, 14, 39, 50, 54, 55),
        (-48, 14, 115, 180, 121, 61, -14, -35),
        (163, 178, 100, 367, 470, 406, 314, 207),
        (611, 566, -499, -118, 611, 1125, 1106, 809),
        (408, 183, -610, -757, -324, 148, 413, 430),
        (59, -86, -239, -513, -546, -399, -158, 3),
        (7, -18, -109, -152, -134, -92, -57, -15),
        (-5, 2, 49, 89, 63, 23, -5, -12),
        (-2, -9, 14, 71, 33, -2, -10, -11),
        (109, 117, -2, 198, 227, 200, 153, 112),
    ),
}

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
    r_peaks_s = [beat.onset_s + _r_after_onset_s(beat) for beat in beats]
    r_peaks_s = tuple(r for r in r_peaks_s if 0 <= r < seconds)
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
        uv = np.array(_SHAPES["left bundle branch block"], dtype=float)
        lead_i = uv[:, 0].copy()
        uv[:, 0], uv[:, 1] = 0.25 * lead_i, 1.5 * lead_i
        uv *= 1.25
    else:
        uv = np.array(_SHAPES[drawn_as.shape], dtype=float)
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
        return 0.001 * np.array(_FLUTTER_UV)[:, None] * tooth
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
    return noise_mv * (noise + 1.5 * wander + mains)


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
