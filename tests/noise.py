"""White noise on a recording."""

from __future__ import annotations

import numpy as np

from ecgqa.record import ECG


def noisy(ecg: ECG, noise_db: float, seed: int) -> ECG:
    """With white noise whose power in each lead lies so many dB below the lead's own."""
    noise_mv = ecg.signal_mv.std(axis=1, keepdims=True) * 10 ** (-noise_db / 20)
    noise_mv = noise_mv * np.random.default_rng(seed).standard_normal(ecg.signal_mv.shape)
    return ECG(ecg.signal_mv + noise_mv, ecg.rate_hz, "noisy")
