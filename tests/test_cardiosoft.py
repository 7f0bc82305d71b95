"""GE CardioSoft XML: the rhythm strip in millivolts, not the calculated beat."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_aecg import FUZZ, simulated
from test_formats import ecg_or_sentence, refused
from writers.cardiosoft import STEP_MV, block, write_cardiosoft

from ecgqa.formats import read_ecg
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")


@given(rate_hz=st.sampled_from([240, 500, 1000]), order=st.permutations(range(12)))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trip_within_one_step(tmp_path, rate_hz, order):
    signal = simulated(rate_hz=rate_hz)
    rows = list(order)
    strip = block("StripData", signal[rows], [LEADS[k] for k in rows], rate_hz)
    median = block("MedianSamples", signal[rows, :rate_hz] * 0, [LEADS[k] for k in rows], rate_hz)
    ecg = read_ecg(write_cardiosoft(tmp_path / "a.xml", median, strip))
    assert ecg.rate_hz == rate_hz and ecg.notes == ()
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("StripData", "Strips", "without a rhythm strip"),
        (">500<", "><", "sampling rate"),
        (">5</Resolution", "></Resolution", "does not say the unit"),
        ("uVperLsb", "Pa", "“5 pa”"),
        (r"\t-?\d+,", "\tx,", "lead I|Lead I of"),
        (r"\t(-?\d+,){500}", "", "cut off"),
    ],
)
def test_damaged_files(tmp_path, old, new, part):
    path = write_cardiosoft(tmp_path / "a.xml", block("StripData", simulated()))
    path.write_text(re.sub(old, new, path.read_text(), count=0 if old == "StripData" else 1))
    assert re.search(part, refused(path))


@given(
    cuts=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from(["", "A", ",", "9" * 40])),
        max_size=4,
    )
)
@FUZZ
def test_mutated_files(tmp_path, cuts):
    strip = block("StripData", simulated(2.6, rate_hz=100)[:2], ("I", "V1"), 100)
    text = write_cardiosoft(tmp_path / "whole.xml", strip).read_text()
    for place, length, new in cuts:
        at = int(place * len(text))
        text = text[:at] + new + text[at + length :]
    (tmp_path / "a.xml").write_text(text)
    ecg_or_sentence(tmp_path / "a.xml")
