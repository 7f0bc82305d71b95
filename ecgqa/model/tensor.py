"""`model_input`: ECG → the array the encoder sees. Training and serving both come through here."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import firwin, resample_poly

from ecgqa.record import ECG, STRETCH_S

MODEL_RATE_HZ = 100
MODEL_SECONDS = int(STRETCH_S)
MODEL_SAMPLES = MODEL_RATE_HZ * MODEL_SECONDS
CLIP_MV = 10.0
MOST_PHASES = 5000  # of a resampling ratio: 0.5 ms off after ten seconds, at worst


def model_input(ecg: ECG) -> np.ndarray:
    """The first 10 s of `ecg` (others: `ECG.stretch`), as the encoder wants them.

    Returns float32 [12, 1000] at 100 Hz, still in millivolts (voltage criteria must survive), each
    lead minus its median so that an amplifier's offset does not count as voltage. Missing leads,
    gaps and what lies past the end are 0, which is what lead dropout shows the encoder in training.
    Resampling is polyphase (scipy.signal.resample_poly), flat to 40 Hz and without what is left of
    mains hum at 50 Hz: as PTB-XL's own 100 Hz version, which the encoder learned from, was made.
    """
    last = int(np.ceil(MODEL_SECONDS * ecg.rate_hz))
    signal = ecg.signal_mv[:, :last].astype(np.float64)
    known = ~np.isnan(signal)
    for row, there in zip(signal, known, strict=True):
        row -= np.median(row[there]) if there.any() else 0.0
        row[~there] = 0.0
    if ecg.rate_hz != MODEL_RATE_HZ:
        ratio = Fraction(MODEL_RATE_HZ / ecg.rate_hz).limit_denominator(MOST_PHASES)
        signal = resample_poly(
            signal, *ratio.as_integer_ratio(), axis=1, window=_low_pass(ratio), padtype="line"
        )
    out = np.zeros((signal.shape[0], MODEL_SAMPLES), np.float32)
    kept = min(MODEL_SAMPLES, signal.shape[1])
    out[:, :kept] = np.clip(signal[:, :kept], -CLIP_MV, CLIP_MV)
    return out


def _low_pass(ratio: Fraction) -> np.ndarray:
    """The filter for `resample_poly`: passes up to 0.8 of the lower Nyquist rate, stops from 0.96.

    So many taps that a Kaiser window keeps out 60 dB (Oppenheim and Schafer, Discrete-Time Signal
    Processing, 7.5.3).
    """
    most = max(ratio.as_integer_ratio())
    return np.asarray(firwin(46 * most + 1, 0.88 / most, width=0.16 / most))
