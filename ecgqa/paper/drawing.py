"""ECG -> what is drawn: a compact payload that `paper.js` draws on a browser canvas.

The payload holds the samples as int16 microvolts in base64, about 160 KB for 12 leads of 10 s at
500 Hz. Nothing is filtered, resampled or rescaled on the way: millimetres are made in the browser.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgqa.measure.by_hand import MARKS, marks_of
from ecgqa.record import ECG, LEADS

if TYPE_CHECKING:
    from ecgqa.answer.evidence import Evidence
    from ecgqa.measure import Measurements

LIKE = 0.9  # correlation from which two beats are the same shape
MISSING = -32768  # the int16 that says "no sample here"
LARGEST_UV = 32767  # +-32.8 mV: three hundred millimetres of paper, far beyond any rail
SCRIPTS = ("marks", "paper", "draw", "calipers", "sheets")  # in the order in which they run
MOST_SAMPLES = 120_000  # per lead: four minutes at 500 Hz, 4 MB on the way to the browser


def payload(ecg: ECG) -> dict[str, Any]:
    """What `paper.js` needs to draw one recording, ready for JSON.

    Returns a dict: name, rate_hz, seconds (of the part that is drawn: at most the first
    `MOST_SAMPLES`), whole_seconds, samples (per lead), leads (the 12 names in row order), missing
    (names of leads without a sample), filter, sha256, and signal_uv: base64 of little-endian int16
    microvolts [12, n], row after row, with `MISSING` where there is no sample.
    """
    drawn_mv = ecg.signal_mv[:, :MOST_SAMPLES]
    return {
        "name": ecg.name,
        "rate_hz": ecg.rate_hz,
        "seconds": drawn_mv.shape[1] / ecg.rate_hz,
        "whole_seconds": ecg.seconds,
        "samples": int(drawn_mv.shape[1]),
        "leads": list(LEADS),
        "missing": list(ecg.missing_leads),
        "filter": "unfiltered",
        "sha256": ecg.sha256,
        "signal_uv": _int16_base64(drawn_mv),
    }


def beat_payload(
    ecg: ECG, measurements: Measurements, onto: Measurements | None = None
) -> dict[str, Any] | None:
    """The median beat of a recording for the overlay; None where no beat could be averaged.

    onto: the measurements of the recording that this one is laid over.
    Returns a dict: name, rate_hz, leads, samples, r_index (sample of the R peak, on which
    `paper.js` aligns two recordings), waves (mark → seconds from the first sample)
    and signal_uv as in `payload`, [12, m].
    """
    beat_mv = measurements.median_beat_mv
    if beat_mv is None or measurements.median_beat_r_index is None:
        return None
    return {
        "name": ecg.name,
        "rate_hz": measurements.median_beat_rate_hz or ecg.rate_hz,
        "samples": int(beat_mv.shape[1]),
        "leads": list(LEADS),
        "waves": marks_of(measurements),
        "r_index": int(measurements.median_beat_r_index) + (lag(onto, measurements) if onto else 0),
        "signal_uv": _int16_base64(beat_mv),
    }


def lag(one: Measurements, other: Measurements) -> int:
    """By how many samples the R of `other` must be moved so that both median beats lie together.

    R is found in each recording for itself and may fall on another peak of the same QRS; where two
    beats look alike (correlation of all leads, within 30 ms) the best fit says where it is.
    """
    beats, at = [], []
    for m in (one, other):
        if m.median_beat_mv is None or m.median_beat_r_index is None:
            return 0
        beats.append(np.nan_to_num(m.median_beat_mv))
        at.append(m.median_beat_r_index)
    rate = one.median_beat_rate_hz
    if rate is None or rate != other.median_beat_rate_hz:
        return 0
    half, most = round(0.1 * rate), round(0.03 * rate)
    still = beats[0][:, at[0] - half : at[0] + half]
    best, moved = LIKE, 0
    for shift in sorted(range(-most, most + 1), key=abs):
        there = beats[1][:, at[1] + shift - half : at[1] + shift + half]
        if min(at[0], at[1] + shift) < half or there.shape != still.shape:
            continue
        sizes = np.sqrt((still**2).sum() * (there**2).sum())
        fit = float((still * there).sum() / sizes) if sizes else 0.0
        if fit > best:
            best, moved = fit, shift
    return moved


def waves(slot: int, ecg: ECG, measurements: Measurements) -> dict[str, Any]:
    """What `paper.js` needs to mark every beat of the stretch that was measured.

    slot: 0 is this ECG, 1 the comparison. Returns a dict: slot, sha256 and beats, each with its
    kind and its marks in seconds from the start of the recording (see `ecgqa.measure.by_hand`).
    """
    beats = [
        {
            "kind": beat.kind,
            **{
                name: round(at + ecg.start_s, 4)
                for name in (*MARKS, "r_peak")
                if (at := getattr(beat, name)) is not None
            },
        }
        for beat in measurements.beats
    ]
    return {"slot": slot, "sha256": ecg.sha256, "beats": beats}


def marks(evidence: Evidence, ecgs: Sequence[ECG]) -> list[dict[str, Any]]:
    """What `paper.js` needs to mark an answer's evidence: slot 0 is this ECG, 1 the comparison.

    ecgs: those that the answer is about, the comparison before this ECG. The paper marks only the
    recording with the same sha256: another one may have been chosen while the model answered.
    """
    return [
        {
            "slot": len(ecgs) - 1 - mark.ecg,
            "sha256": ecgs[mark.ecg].sha256,
            "lead": mark.lead,
            "start_s": mark.start_s,
            "seconds": mark.seconds,
            "strength": round(mark.strength, 3),
        }
        for mark in evidence.marks
    ]


def script() -> str:
    """The JavaScript that draws: the body of a function of (element, props, watch)."""
    here = Path(__file__).parent
    return "".join((here / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def _int16_base64(signal_mv: np.ndarray) -> str:
    """[12, n] mV with NaN -> base64 of little-endian int16 microvolts."""
    microvolts = np.clip(np.rint(signal_mv * 1000.0), -LARGEST_UV, LARGEST_UV)
    microvolts = np.where(np.isfinite(microvolts), microvolts, MISSING)
    return base64.b64encode(microvolts.astype("<i2").tobytes()).decode("ascii")
