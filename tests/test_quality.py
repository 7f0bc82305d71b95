"""Quality: faults that were put into a clean recording are found, and nothing else is."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from electrodes import SWAPS, swapped
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.gallery.simulate import simulate
from ecgqa.measure.quality import LOST, assess, without_lost
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
    noise = np.random.default_rng(1).normal(0, 0.08, signal_mv.shape[1])
    t = np.arange(signal_mv.shape[1]) / RATE_HZ
    signal_mv[LEADS.index("aVL")] += 0.05 * np.sin(2 * np.pi * 50 * t)
    signal_mv[LEADS.index("V1")] = np.nan
    signal_mv[LEADS.index("V2")] = 0.4
    signal_mv[LEADS.index("V3"), 1000:1600] = np.nan
    signal_mv[LEADS.index("V4")] = np.clip(signal_mv[LEADS.index("V4")] * 40, -5, 5)
    signal_mv[LEADS.index("V5")] += noise
    signal_mv[LEADS.index("V6")] += 1.5 * np.sin(2 * np.pi * 0.15 * t)
    assert quality_of(signal_mv).leads == {
        "aVL": ("mains hum",),
        "V1": ("missing",),
        "V2": ("flat",),
        "V3": ("gaps",),
        "V4": ("clipped",),
        "V5": ("noisy",),
        "V6": ("wandering baseline",),
    }


def with_fault(signal_mv: np.ndarray, rate_hz: float, fault: str) -> np.ndarray:
    """The recording with V2 lost in one of the ways a lead is lost."""
    out = signal_mv.copy()
    v2, n = out[LEADS.index("V2")], out.shape[1]
    t = np.arange(n) / rate_hz
    if fault == "flat":
        v2[:] = 0.0
    elif fault == "flat for a while":
        v2[n // 5 :] = 1.0
    elif fault == "at the rail and back":
        v2[np.sin(2 * np.pi * 0.7 * t) > 0.9] = 80.0
    elif fault == "off its row":
        v2 += 3.0 * np.sin(2 * np.pi * 0.2 * t)
    elif fault == "noise":
        v2 += np.random.default_rng(1).normal(0, 0.4, n)
    return out


FAULTS = {
    "flat": "flat",
    "flat for a while": "electrode off",
    "at the rail and back": "electrode off",
    "off its row": "electrode off",
    "noise": "too noisy",
}


@pytest.mark.parametrize(("rate_hz", "seconds"), [(100, 10), (250, 4.9), (500, 30), (1000, 10)])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_lead_is_named_and_left_out_of_a_recording_that_should_be_made_again(
    fault, rate_hz, seconds
):
    fine = simulate("normal", seconds=seconds, rate_hz=rate_hz).ecg
    assert assess(fine).readable and not assess(fine).leads
    lost = assess(ECG(with_fault(fine.signal_mv, rate_hz, fault), rate_hz, "made"))
    assert lost.readable and not lost.acceptable and set(lost.leads) == {"V2"}
    assert FAULTS[fault] in lost.leads["V2"] and FAULTS[fault] in LOST
    assert lost.reasons[0].startswith("No usable signal in V2:") and lost.lost == ("V2",)
    assert lost.reasons[0].count("V") == 1


@settings(max_examples=30, deadline=None)
@given(st.sets(st.sampled_from(LEADS)), st.sets(st.sampled_from(LEADS)))
def test_with_more_than_half_of_the_recorded_leads_lost_nothing_is_read(missing, flat):
    signal_mv = clean_mv().copy()
    signal_mv[[LEADS.index(lead) for lead in flat]] = 0.0
    signal_mv[[LEADS.index(lead) for lead in missing]] = np.nan
    ecg = ECG(signal_mv, 500, "made")
    quality = assess(ecg)
    lost, recorded = flat - missing, set(LEADS) - missing
    assert set(quality.lost) == lost and quality.acceptable is (bool(recorded) and not lost)
    assert quality.readable is (bool(recorded) and 2 * len(lost) <= len(recorded))
    seen = without_lost(ecg, quality)
    gone = missing | lost if quality.readable else missing
    assert set(seen.missing_leads) == gone and set(ecg.missing_leads) == missing


@pytest.mark.parametrize("finding", ["atrial fibrillation", "complete left bundle branch block"])
@pytest.mark.parametrize("rate_bpm", [30, 150])
def test_slow_fast_and_ill_hearts_are_no_fault_even_without_noise(finding, rate_bpm):
    ecg = simulate(finding, rate_bpm=rate_bpm, noise_mv=0.0).ecg
    quality = assess(ecg)
    assert quality.readable and not quality.reasons and not quality.leads


def test_one_bad_minute_of_ten_is_mentioned_nowhere_but_six_are_too_many():
    ecg = simulate("normal", seconds=600, rate_hz=100).ecg
    for minutes, readable in ((1, True), (6, False)):
        signal_mv = ecg.signal_mv.copy()
        signal_mv[7, : minutes * 6000] = 0.0
        quality = assess(ECG(signal_mv, 100, "made"))
        assert quality.acceptable is readable and (quality.leads == {}) is readable
        assert quality.lost == (() if readable else (LEADS[7],))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_no_signal_at_all_is_unreadable(value):
    quality = quality_of(np.full((12, 5000), value))
    assert not quality.readable
    assert "cannot be read" in quality.reasons[0]


@pytest.mark.parametrize("kept", [("I",), ("II", "V1"), LEADS[:6], LEADS[6:]])
def test_leads_that_were_never_recorded_are_no_reason_to_call_it_unreadable(kept):
    signal_mv = clean_mv()
    signal_mv[[lead not in kept for lead in LEADS]] = np.nan
    quality = quality_of(signal_mv)
    assert quality.readable and not quality.reasons
    assert quality.leads == {lead: ("missing",) for lead in LEADS if lead not in kept}
    assert (quality.limb_residual_mv is None) == (not set(LEADS[:3]) <= set(kept))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2.5, "too short for a rhythm"), (7, "shorter than a standard"), (10, ""), (600, "")],
)
def test_short_recordings_are_remarked_on(seconds, words):
    quality = assess(simulate("normal", seconds=seconds, rate_hz=100).ecg)
    assert quality.readable and words in " ".join(quality.reasons)
    assert len(quality.reasons) == bool(words)


def test_limb_leads_that_do_not_belong_together_are_remarked_on():
    signal_mv = clean_mv()
    signal_mv[[1, 3]] = signal_mv[[3, 1]]
    assert "I + III does not equal II" in " ".join(quality_of(signal_mv).reasons)


SUSPECTED = {
    "none": "",
    "right arm, left arm": "arm electrodes are reversed",
    "right arm, left leg": "right arm and left leg electrodes are reversed",
    "right arm, right leg": "right arm and right leg electrodes are reversed",
    "left arm, right leg": "left arm and right leg electrodes are reversed",
    "both arms, both legs": "arm and leg electrodes of both sides are reversed",
}


@pytest.mark.parametrize("rate_hz", [100, 500, 1000])
@pytest.mark.parametrize("swap", SUSPECTED)
def test_reversed_limb_electrodes_are_suspected(swap, rate_hz):
    ecg = simulate("normal", rate_hz=rate_hz, seed=3).ecg
    quality = assess(ECG(swapped(ecg.signal_mv, SWAPS[swap]), rate_hz, "made"))
    said = [words for words in quality.reasons if "reversed" in words]
    assert quality.readable and len(said) == bool(SUSPECTED[swap])
    assert all(SUSPECTED[swap] in words and "please check" in words for words in said)


def test_without_chest_leads_only_a_flat_limb_lead_is_suspicious():
    ecg = simulate("normal").ecg
    for swap, count in (("right arm, left arm", 0), ("right arm, right leg", 1)):
        signal_mv = swapped(ecg.signal_mv, SWAPS[swap])
        signal_mv[6:] = np.nan
        assert len(assess(ECG(signal_mv, 500, "made")).reasons) == count


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_low_voltage_is_no_exchanged_electrode(share):
    """I is far below II and III, which are low themselves, and beats with them; or it does not."""
    signal_mv = clean_mv()
    beat = 0.3 * signal_mv[0] / np.ptp(signal_mv[0])
    noise = np.random.default_rng(1).normal(0, 0.008, (2, beat.size))
    one, two = share * beat + noise[0], beat + noise[1]
    three = two - one
    signal_mv[:6] = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2]
    signal_mv[6:] = np.nan
    said = " ".join(quality_of(signal_mv).reasons)
    assert ("I is nearly flat" in said) == (share == 0)


def test_swapping_electrodes_keeps_the_laws_of_einthoven_and_goldberger():
    ecg = simulate("normal", noise_mv=0.0).ecg
    np.testing.assert_allclose(swapped(ecg.signal_mv, SWAPS["none"]), ecg.signal_mv, atol=1e-5)
    for plugs in SWAPS.values():
        one, two, three, right, left, foot = swapped(ecg.signal_mv, plugs)[:6]
        np.testing.assert_allclose(one + three, two, atol=1e-6)
        np.testing.assert_allclose(right + left + foot, 0, atol=1e-6)
    arms = swapped(ecg.signal_mv, SWAPS["right arm, left arm"])
    expected = ecg.signal_mv[[2, 1, 4, 3, 5]]
    np.testing.assert_allclose(arms[0], -ecg.signal_mv[0], atol=1e-5)
    np.testing.assert_allclose(arms[[1, 2, 3, 4, 5]], expected, atol=1e-5)
    np.testing.assert_allclose(arms[6:], ecg.signal_mv[6:], atol=1e-5)


def test_people_and_assess_agree_on_real_recordings(ecg_data):
    """CinC Challenge 2011, 30 of each verdict; `tests/bench_quality.py` has all of them."""
    folder = ecg_data / "cinc2011"
    if not (folder / "quality.csv").exists():
        pytest.skip("the CinC 2011 recordings are not here")
    found: dict[str, list[bool]] = {"acceptable": [], "unacceptable": []}
    with (folder / "quality.csv").open() as file:
        for row in csv.DictReader(file):
            path = folder / f"{row['record']}.txt"
            if path.exists() and len(found[row["quality"]]) < 30:
                signal_mv = np.loadtxt(path, delimiter=",", dtype=int)[:, 1:].T * 0.005
                found[row["quality"]].append(quality_of(signal_mv).acceptable)
    assert np.mean(found["unacceptable"]) <= 0.15
    assert np.mean(found["acceptable"]) >= 0.85
