"""Paper: the payload holds every sample to a microvolt, and says what is missing."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa import measure, read_ecg
from ecgqa.gallery.simulate import simulate
from ecgqa.measure import Measurements
from ecgqa.paper import drawing as paper
from ecgqa.paper.drawing import lag
from ecgqa.record import ECG, LEADS


def microvolts(payload: dict) -> np.ndarray:
    """[12, n] as the browser decodes it."""
    raw = base64.b64decode(payload["signal_uv"])
    return np.frombuffer(raw, "<i2").reshape(12, payload["samples"])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 400), st.sampled_from([100.0, 257.0, 500.0, 1000.0])
)
def test_every_sample_survives_to_half_a_microvolt(seed, n_samples, rate_hz):
    rng = np.random.default_rng(seed)
    signal_mv = rng.normal(0, 3, (12, n_samples)).astype(np.float32)
    signal_mv[rng.random(signal_mv.shape) < 0.1] = np.nan
    payload = paper.payload(ECG(signal_mv, rate_hz, "random"))
    drawn = microvolts(payload)
    gone = np.isnan(signal_mv)
    assert (drawn[gone] == paper.MISSING).all()
    np.testing.assert_allclose(drawn[~gone] / 1000, signal_mv[~gone], atol=5.1e-4)
    assert payload["rate_hz"] == rate_hz and payload["leads"] == list(LEADS)
    assert payload["seconds"] == pytest.approx(n_samples / rate_hz)


def test_voltages_beyond_the_paper_are_held_and_never_read_as_missing():
    payload = paper.payload(ECG(np.full((12, 10), -90.0), 500, "rail"))
    assert (microvolts(payload) == -paper.LARGEST_UV).all()


def test_missing_leads_are_named_and_keep_their_row():
    signal_mv = np.ones((12, 100))
    signal_mv[LEADS.index("V3")] = np.nan
    payload = paper.payload(ECG(signal_mv, 100, "eleven leads"))
    assert payload["missing"] == ["V3"]
    assert (microvolts(payload)[LEADS.index("V3")] == paper.MISSING).all()
    assert (microvolts(payload)[LEADS.index("V4")] == 1000).all()


def test_ten_seconds_at_500_hz_stay_small_and_are_json():
    payload = paper.payload(ECG(np.zeros((12, 5000)), 500, "size"))
    assert len(json.dumps(payload)) < 165_000


def test_a_very_long_recording_is_cut_and_says_so():
    n_samples = paper.MOST_SAMPLES + 5000
    payload = paper.payload(ECG(np.zeros((12, n_samples)), 500, "long"))
    assert payload["samples"] == paper.MOST_SAMPLES
    assert payload["seconds"] == pytest.approx(paper.MOST_SAMPLES / 500)
    assert payload["whole_seconds"] == pytest.approx(n_samples / 500)


def test_the_median_beat_keeps_its_own_rate_and_r_peak():
    beat_mv = np.zeros((12, 500), dtype=np.float32)
    beat_mv[:, 220] = 1.5
    found = Measurements(median_beat_mv=beat_mv, median_beat_r_index=220, median_beat_rate_hz=500.0)
    payload = paper.beat_payload(ECG(np.zeros((12, 1000)), 100, "slow"), found)
    assert payload is not None
    assert (payload["rate_hz"], payload["r_index"]) == (500.0, 220)
    assert (microvolts(payload)[:, payload["r_index"]] == 1500).all()


def test_without_beats_there_is_nothing_to_overlay():
    assert paper.beat_payload(ECG(np.zeros((12, 1000)), 100, "flat"), Measurements()) is None


def test_the_script_never_writes_html():
    """Names reach the page as text only."""
    script = paper.script()
    assert "fillText" in script
    for way_in in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert way_in not in script


@given(shift=st.integers(-14, 14), seed=st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_two_beats_of_one_shape_lie_together_wherever_r_was_found(shift, seed):
    first = measure(simulate("normal", seed=seed).ecg)
    beat, r = first.median_beat_mv, first.median_beat_r_index
    noisy = beat + np.random.default_rng(seed).normal(0, 0.02, beat.shape)
    second = replace(first, median_beat_mv=noisy.astype(np.float32), median_beat_r_index=r + shift)
    assert abs(lag(first, second) + shift) <= 1, "samples of 2 ms"


def test_beats_of_another_shape_stay_on_their_r():
    normal, blocked = (
        measure(simulate(name, seed=1).ecg)
        for name in ("normal", "complete left bundle branch block")
    )
    assert lag(normal, blocked) == 0
    assert lag(normal, Measurements()) == 0


@pytest.mark.parametrize("pair", [(1150, 1185), (2510, 2513), (7749, 7755), (961, 973)])
def test_serial_tracings_of_one_patient_are_overlaid_within_4_ms(ecg_data, pair):
    """Where the beats of both look alike, moving the second by another 4 ms fits no better."""
    found = []
    for number in pair:
        at = ecg_data / f"ptbxl/records100/{number // 1000 * 1000:05d}/{number:05d}_lr"
        found.append(measure(read_ecg([at.with_suffix(".hea"), at.with_suffix(".dat")])))
    one, other = found
    moved = replace(other, median_beat_r_index=other.median_beat_r_index + lag(one, other))
    assert abs(lag(one, moved)) <= 2, "samples of 2 ms"
