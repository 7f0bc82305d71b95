"""Quality: faults that were put into a clean recording are found, and nothing else is."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ecgqa.quality import assess
from ecgqa.record import ECG, LEADS

RATE_HZ = 500


def clean_mv(seconds: float = 10.0) -> np.ndarray:
    """Consistent limb leads (III = II - I and so on) from one beat shape, [12, n] mV."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = (t % 0.8) - 0.3
    beat = 1.2 * np.exp(-((phase / 0.012) ** 2)) + 0.3 * np.exp(-(((phase - 0.25) / 0.05) ** 2))
    beat += 0.12 * np.exp(-(((phase + 0.16) / 0.025) ** 2))
    one, two = 0.6 * beat, beat
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *(beat * weight for weight in (-0.4, 0.3, 0.8, 1.2, 1.1, 0.9))])


def quality_of(signal_mv: np.ndarray):
    return assess(ECG(signal_mv, RATE_HZ, "made"))


def test_a_clean_recording_has_no_fault():
    quality = quality_of(clean_mv())
    assert quality.readable and not quality.reasons and not quality.leads
    assert quality.limb_residual_mv == pytest.approx(0, abs=1e-4)


def test_each_fault_is_found_on_its_own_lead_only():
    signal_mv = clean_mv()
    noise = np.random.default_rng(1).normal(0, 0.15, signal_mv.shape[1])
    t = np.arange(signal_mv.shape[1]) / RATE_HZ
    signal_mv[LEADS.index("V1")] = np.nan
    signal_mv[LEADS.index("V2")] = 0.4
    signal_mv[LEADS.index("V3"), 1000:1600] = np.nan
    signal_mv[LEADS.index("V4")] = np.clip(signal_mv[LEADS.index("V4")] * 40, -5, 5)
    signal_mv[LEADS.index("V5")] += noise
    signal_mv[LEADS.index("V6")] += 1.5 * np.sin(2 * np.pi * 0.15 * t)
    assert quality_of(signal_mv).leads == {
        "V1": ("missing",),
        "V2": ("flat",),
        "V3": ("gaps",),
        "V4": ("clipped",),
        "V5": ("noisy",),
        "V6": ("wandering baseline",),
    }


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_no_signal_at_all_is_unreadable(value):
    quality = quality_of(np.full((12, 5000), value))
    assert not quality.readable
    assert "cannot be read" in quality.reasons[0]


def test_one_lead_left_is_still_readable():
    signal_mv = clean_mv()
    signal_mv[1:] = np.nan
    quality = quality_of(signal_mv)
    assert quality.readable and "I" not in quality.leads
    assert quality.limb_residual_mv is None


def test_a_short_strip_and_swapped_limb_leads_are_remarked_on():
    swapped_mv = clean_mv(3.0)
    swapped_mv[[1, 3]] = swapped_mv[[3, 1]]
    reasons = " ".join(quality_of(swapped_mv).reasons)
    assert "3.0 s" in reasons and "limb leads" in reasons


def test_real_recordings_that_people_rejected_are_flagged_more_often(ecg_data):
    """CinC Challenge 2011: most rejected recordings have a fault, most accepted ones have none."""
    folder = ecg_data / "cinc2011"
    if not (folder / "quality.csv").exists():
        pytest.skip("the CinC 2011 recordings are not here")
    found: dict[str, list[bool]] = {"acceptable": [], "unacceptable": []}
    with (folder / "quality.csv").open() as file:
        for row in csv.DictReader(file):
            path = folder / f"{row['record']}.txt"
            if path.exists() and len(found[row["quality"]]) < 15:
                signal_mv = np.loadtxt(path, delimiter=",")[:, 1:].T * 0.005
                found[row["quality"]].append(bool(quality_of(signal_mv).leads))
    assert np.mean(found["unacceptable"]) >= 0.8
    assert np.mean(found["acceptable"]) <= 0.25
