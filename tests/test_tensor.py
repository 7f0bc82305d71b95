from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa import ECG
from ecgqa.model.tensor import model_input


def wave(rate_hz: float, seconds: float, hz: float, mv: float = 1.0) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.tile(mv * np.sin(2 * np.pi * hz * t), (12, 1))


@settings(max_examples=25, deadline=None)
@given(
    rate_hz=st.sampled_from([100, 125, 128, 250, 257, 360, 500, 977, 1000]),
    hz=st.floats(0.5, 15),
    mv=st.floats(0.05, 4),
)
def test_same_wave_at_any_rate(rate_hz, hz, mv):
    got = model_input(ECG(wave(rate_hz, 10, hz, mv), rate_hz, "a"))
    want = wave(100, 10, hz, mv)
    assert got.shape == (12, 1000) and got.dtype == np.float32
    middle = slice(50, -50)  # the resampling filter rings at the ends
    np.testing.assert_allclose(
        got[:, middle] - got[:, middle].mean(),
        want[:, middle] - want[:, middle].mean(),
        atol=0.02 * mv + 1e-3,
    )


def test_nothing_aliases_into_the_ecg_band():
    got = model_input(ECG(wave(1000, 10, 95.0), 1000, "a"))
    assert np.abs(got[:, 50:-50]).max() < 0.05, "95 Hz must not turn up as 5 Hz"


def test_offset_gaps_and_missing_leads():
    signal = wave(100, 10, 1.0) + 3.0
    signal[5] = np.nan
    signal[2, 100:200] = np.nan
    got = model_input(ECG(signal, 100, "a"))
    assert np.isfinite(got).all()
    assert (got[5] == 0).all() and (got[2, 100:200] == 0).all()
    assert abs(np.median(got[0])) < 0.05, "an amplifier's offset is not voltage"


@pytest.mark.parametrize(("seconds", "start_s", "kept_s"), [(4, 0, 4), (30, 0, 10), (30, 25, 10)])
def test_ten_seconds_from_the_start_asked_for(seconds, start_s, kept_s):
    ramp = np.tile(np.linspace(-1, 1, seconds * 100), (12, 1))
    got = model_input(ECG(ramp, 100, "a").stretch(start_s))
    assert (got[:, kept_s * 100 :] == 0).all()
    assert np.abs(np.diff(got[0, : kept_s * 100]) - 2 / (seconds * 100 - 1)).max() < 1e-4


def test_ptbxl_record_is_the_same_as_the_app_and_as_training_read_it(ecg_data, tmp_path):
    import wfdb

    from ecgqa import read_ecg

    record = ecg_data / "ptbxl/records100/00000/00001_lr"
    app = read_ecg([record.with_suffix(".hea"), record.with_suffix(".dat")])
    raw = wfdb.rdrecord(str(record))
    np.testing.assert_allclose(
        model_input(app), model_input(ECG(raw.p_signal.T, raw.fs, "a")), atol=1e-6
    )
