"""`model_input`: ECG → the array the encoder sees. Training and serving both come through here."""

from __future__ import annotations

from math import gcd

import numpy as np
from scipy.signal import resample_poly

from ecgqa.record import ECG, STRETCH_S

MODEL_RATE_HZ = 100
MODEL_SECONDS = int(STRETCH_S)
MODEL_SAMPLES = MODEL_RATE_HZ * MODEL_SECONDS
CLIP_MV = 10.0


def model_input(ecg: ECG, start_s: float = 0.0) -> np.ndarray:
    """The 10 s of `ecg` from `start_s`, as the encoder wants them.

    Returns float32 [12, 1000] at 100 Hz, still in millivolts (voltage criteria must survive), each
    lead minus its median so that an amplifier's offset does not count as voltage. Missing leads,
    gaps and what lies past the end are 0, which is what lead dropout shows the encoder in training.
    Resampling is polyphase with an anti-aliasing filter (scipy.signal.resample_poly).
    """
    first = max(0, round(start_s * ecg.rate_hz))
    last = first + int(np.ceil(MODEL_SECONDS * ecg.rate_hz))
    signal = ecg.signal_mv[:, first:last].astype(np.float64)
    known = ~np.isnan(signal)
    if not known.any():
        return np.zeros((signal.shape[0], MODEL_SAMPLES), np.float32)
    for row, there in zip(signal, known, strict=True):
        row -= np.median(row[there]) if there.any() else 0.0
        row[~there] = 0.0
    if ecg.rate_hz != MODEL_RATE_HZ:
        up, down = _ratio(MODEL_RATE_HZ, ecg.rate_hz)
        signal = resample_poly(signal, up, down, axis=1, padtype="line")
    out = np.zeros((signal.shape[0], MODEL_SAMPLES), np.float32)
    kept = min(MODEL_SAMPLES, signal.shape[1])
    out[:, :kept] = np.clip(signal[:, :kept], -CLIP_MV, CLIP_MV)
    return out


def _ratio(to_hz: float, from_hz: float) -> tuple[int, int]:
    """Integers up, down with up / down = to_hz / from_hz, exact to a thousandth of a hertz."""
    up, down = round(to_hz * 1000), round(from_hz * 1000)
    common = gcd(up, down)
    return up // common, down // common
