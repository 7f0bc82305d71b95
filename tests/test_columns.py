"""Leads taken a few at a time: rate, axis and beats are those of the whole recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.gallery.simulate import simulate
from ecgqa.measure import measure
from ecgqa.record import LEADS


@given(
    seed=st.integers(0, 200),
    order=st.permutations(range(4)),
    strip=st.sampled_from([None, "II", "V1"]),
)
@settings(max_examples=15, deadline=None)
def test_rate_and_axis_from_columns(seed, order, strip):
    """3 × 4 of 2.5 s each, its columns in any order, with and without a strip that runs through."""
    ecg = simulate("normal", seconds=10, rate_hz=500, seed=seed).ecg
    together = measure(ecg)
    signal = np.full_like(ecg.signal_mv, np.nan)
    for place, column in enumerate(order):
        part = slice(1250 * place, 1250 * (place + 1))
        rows = slice(3 * column, 3 * column + 3)
        signal[rows, part] = ecg.signal_mv[rows, part]
    if strip:
        signal[LEADS.index(strip)] = ecg.lead(strip)
    apart = measure(replace(ecg, signal_mv=signal))
    assert together.rate_bpm and together.qrs_axis_deg is not None
    assert apart.rate_bpm is not None
    assert abs(apart.rate_bpm / together.rate_bpm - 1) < 0.06
    assert apart.qrs_axis_deg is not None
    assert abs((apart.qrs_axis_deg - together.qrs_axis_deg + 180) % 360 - 180) < 10
    first, last = together.r_peaks_s[0], together.r_peaks_s[-1]
    for beat in apart.beats:  # one at the very ends may be found in a single lead only
        if beat.r_peak is not None and first - 0.06 < beat.r_peak < last + 0.06:
            nearest = np.abs(np.array(together.r_peaks_s) - beat.r_peak).min()
            assert nearest < 0.06
