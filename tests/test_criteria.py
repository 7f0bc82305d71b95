"""Measured numbers beside what the language model says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgqa import measure
from ecgqa.gallery.simulate import simulate
from ecgqa.measure import Measurements
from ecgqa.measure.criteria import CRITERIA, INTERVALS, checks, largest_limb_mv
from ecgqa.record import ECG
from training.data.ptbxl import concept_names
from training.data.questions import RANGES_MS, statement_names

NUMBERS = Measurements(
    rate_bpm=72, rr_ms=833, rr_spread_ms=20, pr_ms=160, qrs_ms=86, qt_ms=390,
    qtc_ms={"Fridericia": 410}, qrs_axis_deg=40,
)  # fmt: skip
LBBB = "complete left bundle branch block"


def test_every_criterion_is_of_a_finding_that_the_model_knows():
    known = {*statement_names(), *concept_names()}
    assert set(CRITERIA) - known == set()


def test_a_narrow_qrs_contradicts_a_bundle_branch_block():
    (check,) = checks([(LBBB, True)], NUMBERS)
    assert not check.agrees and check.words == f"QRS 86 ms speaks against {LBBB} (120 ms and more)"
    (check,) = checks([(LBBB, True)], replace(NUMBERS, qrs_ms=150))
    assert check.agrees and check.words == f"QRS 150 ms fits {LBBB} (120 ms and more)"


def test_a_wide_qrs_does_not_contradict_a_no_but_a_long_pr_does():
    assert checks([(LBBB, False)], replace(NUMBERS, qrs_ms=150)) == [], "there are other blocks"
    (check,) = checks([("prolonged pr interval", False)], replace(NUMBERS, pr_ms=240))
    assert not check.agrees
    assert check.words == "PR 240 ms speaks for prolonged pr interval (200 ms and more)"
    (check,) = checks([("prolonged pr interval", False)], NUMBERS)
    assert check.agrees
    assert check.words == "PR 160 ms speaks against prolonged pr interval (200 ms and more)"


@pytest.mark.parametrize("pr_ms", [190, 195, 200, 205, 212])
def test_within_the_uncertainty_a_number_says_nothing(pr_ms):
    for said in (True, False):
        assert checks([("prolonged pr interval", said)], replace(NUMBERS, pr_ms=pr_ms)) == []


@pytest.mark.parametrize(
    ("finding", "axis_deg", "agrees"),
    [
        ("left axis deviation", -25, None),
        ("left axis deviation", -35, None),
        ("left axis deviation", -45, True),
        ("left axis deviation", -15, False),
        ("right axis deviation", -175, None),
        ("right axis deviation", -120, False),
        ("right axis deviation", 150, True),
    ],
)
def test_an_axis_speaks_only_away_from_its_limits(finding, axis_deg, agrees):
    found = checks([(finding, True)], replace(NUMBERS, qrs_axis_deg=axis_deg))
    assert [check.agrees for check in found] == ([] if agrees is None else [agrees])


def test_what_is_not_measured_says_nothing():
    said = [(finding, there) for finding in (*CRITERIA, *RANGES_MS) for there in (True, False)]
    assert checks(said, Measurements()) == []
    assert checks([("atrial flutter", True), ("?", False)], NUMBERS) == []


def test_an_interval_asked_about_by_name_is_shown_without_a_verdict():
    assert set(INTERVALS) == set(RANGES_MS)
    for name, (low, high) in RANGES_MS.items():
        normal = INTERVALS[name]
        assert (max(normal.low, 0), normal.high) == (low or 0, high), name
    for there in (True, False):
        (check,) = checks([("pr interval within the normal range", there)], NUMBERS)
        assert check.agrees and check.words == "PR 160 ms (normal: 120 to 200 ms)"


def test_voltages_of_a_beat_of_known_shape():
    t = np.arange(5000) / 500
    signal = np.zeros((12, 5000), np.float32)
    for peak in np.arange(0.5, 10, 0.8):
        spike = np.exp(-(((t - peak) / 0.02) ** 2))
        for lead, mv in ((0, 0.3), (1, 0.4), (6, -2.0), (10, 1.8), (11, 1.6)):
            signal[lead] += mv * spike
    measured = measure(ECG(signal, 500.0, "known"))
    assert measured.sokolow_lyon_mv == pytest.approx(3.8, abs=0.1)
    assert largest_limb_mv(measured) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("simulated", "finding"),
    [
        (LBBB, LBBB),
        ("sinus tachycardia", "sinus tachycardia"),
        ("first degree av block", "first degree av block"),
        ("left anterior fascicular block", "left axis deviation"),
    ],
)
def test_simulated_findings_meet_their_own_criteria(simulated, finding):
    found = checks([(finding, True)], measure(simulate(simulated, seed=3).ecg))
    assert found and all(check.agrees for check in found), found
