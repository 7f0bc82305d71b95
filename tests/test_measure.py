"""Measurements: against simulated truth and cardiologists' marks; None for what is not there."""

import ludb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.measure import Measurements, measure
from ecgqa.record import ECG, LEADS
from ecgqa.simulate import simulate

NUMBERS = (
    "rate_bpm",
    "rr_ms",
    "rr_spread_ms",
    "p_ms",
    "pr_ms",
    "qrs_ms",
    "qt_ms",
    "p_axis_deg",
    "qrs_axis_deg",
    "t_axis_deg",
)


def _assert_nothing(m: Measurements):
    assert {name: getattr(m, name) for name in NUMBERS} == dict.fromkeys(NUMBERS)
    assert m.qtc_ms == {} and m.r_peaks_s == []
    assert m.median_beat_mv is None


@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize(
    "finding, rate_bpm",
    [
        (finding, rate_bpm)
        for finding in (
            "normal",
            "complete left bundle branch block",
            "complete right bundle branch block",
            "first degree av block",
            "left anterior fascicular block",
            "long qt",
        )
        for rate_bpm in (50, 75, 100)
        # There P lies on T, and nobody can measure PR.
        if (finding, rate_bpm) != ("first degree av block", 100)
    ],
)
def test_simulated_truth(finding, rate_bpm, rate_hz):
    sim = simulate(finding, rate_hz=rate_hz, rate_bpm=rate_bpm, seed=1)
    m, truth = measure(sim.ecg), sim.truth
    assert m.rate_bpm == pytest.approx(truth["rate_bpm"], rel=0.03)
    assert m.pr_ms == pytest.approx(truth["pr_ms"], abs=20)
    assert m.qrs_ms == pytest.approx(truth["qrs_ms"], abs=16)
    assert m.qt_ms == pytest.approx(truth["qt_ms"], abs=25)
    turn = (m.qrs_axis_deg - truth["axis_deg"] + 180) % 360 - 180
    assert abs(turn) < 15
    rr_s = m.rr_ms / 1000
    assert m.rate_bpm == pytest.approx(60 / rr_s)
    assert m.qtc_ms["Bazett"] == pytest.approx(m.qt_ms / rr_s**0.5)
    assert m.qtc_ms["Fridericia"] == pytest.approx(m.qt_ms / rr_s ** (1 / 3))


def test_beats_are_where_they_are():
    sim = simulate("ventricular premature complexes", seconds=20)
    found = np.array(measure(sim.ecg).r_peaks_s)
    # Beats cut off by an end of the recording may be missing or extra.
    true = np.array([r for r in sim.r_peaks_s if 0.3 < r < 19.7])
    inner = found[(found > 0.25) & (found < 19.75)]
    assert len(inner) == len(true)
    assert np.abs(inner - true).max() < 0.06


def test_premature_beats_do_not_change_the_median_beat():
    plain = measure(simulate("normal", rate_bpm=72).ecg)
    with_extra = measure(simulate("ventricular premature complexes", rate_bpm=72).ecg)
    assert with_extra.qrs_ms == pytest.approx(plain.qrs_ms, abs=8)
    assert with_extra.rr_spread_ms > 3 * plain.rr_spread_ms


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("finding", ["atrial fibrillation", "atrial flutter", "ventricular pacing"])
def test_no_p_wave_is_invented(finding, seed):
    m = measure(simulate(finding, seed=seed).ecg)
    assert (m.p_ms, m.pr_ms, m.p_axis_deg) == (None, None, None)
    assert m.rate_bpm is not None and m.qrs_ms is not None


def test_fibrillation_has_a_large_rr_spread():
    assert measure(simulate("atrial fibrillation").ecg).rr_spread_ms > 80
    assert measure(simulate("normal").ecg).rr_spread_ms < 50


@pytest.mark.parametrize("dropped", [("V1", "V2"), ("III", "aVR", "aVL", "aVF"), ("I",), ("II",)])
def test_missing_leads_change_little(dropped):
    sim = simulate("normal")
    whole = measure(sim.ecg)
    signal = sim.ecg.signal_mv.copy()
    signal[[LEADS.index(lead) for lead in dropped]] = np.nan
    part = measure(ECG(signal, 500, "part"))
    assert part.rate_bpm == pytest.approx(whole.rate_bpm, rel=0.01)
    for name in ("pr_ms", "qrs_ms", "qt_ms"):
        assert getattr(part, name) == pytest.approx(getattr(whole, name), abs=16)
    # Any two limb leads give the axis.
    assert part.qrs_axis_deg == pytest.approx(whole.qrs_axis_deg, abs=3)
    assert np.isnan(part.median_beat_mv).all(axis=1).sum() == len(dropped)


@settings(max_examples=8, deadline=None)
@given(scale=st.floats(0.6, 2.5), offset_mv=st.floats(-2, 2))
def test_gain_and_offset_do_not_matter(scale, offset_mv):
    ecg = simulate("normal", seed=2).ecg
    changed = ECG(ecg.signal_mv * scale + offset_mv, ecg.rate_hz, "changed")
    a, b = measure(ecg), measure(changed)
    assert b.rate_bpm == pytest.approx(a.rate_bpm, rel=0.005)
    for name in ("pr_ms", "qrs_ms", "qt_ms"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), abs=8)
    assert b.qrs_axis_deg == pytest.approx(a.qrs_axis_deg, abs=2)


def test_swapped_arms_turn_the_axis():
    ecg = simulate("normal").ecg
    signal = ecg.signal_mv.copy()
    # I changes its sign, II and III change places, so do aVR and aVL.
    signal[:6] = [-signal[0], signal[2], signal[1], signal[4], signal[3], signal[5]]
    a, b = measure(ecg), measure(ECG(signal, ecg.rate_hz, "swapped"))
    assert b.qrs_axis_deg == pytest.approx(180 - a.qrs_axis_deg, abs=8)


def test_one_lead_gives_intervals_but_no_axis():
    signal = np.full((12, 5000), np.nan, dtype=np.float32)
    sim = simulate("normal")
    signal[1] = sim.ecg.lead("II")
    m = measure(ECG(signal, 500, "one lead"))
    assert m.rate_bpm == pytest.approx(sim.truth["rate_bpm"], rel=0.03)
    assert m.qrs_axis_deg is None and m.p_axis_deg is None and m.t_axis_deg is None


def test_two_and_a_half_seconds_are_enough():
    sim = simulate("normal", seconds=2.5, rate_bpm=80)
    m = measure(sim.ecg)
    assert m.rate_bpm == pytest.approx(80, rel=0.08)
    assert m.qrs_ms == pytest.approx(92, abs=20)


def test_the_median_beat_is_aligned_on_r():
    m = measure(simulate("normal").ecg)
    beat, r = m.median_beat_mv, m.median_beat_r_index
    assert beat.dtype == np.float32 and beat.shape[0] == 12
    assert m.median_beat_rate_hz == 500
    middle = (beat[1].argmax() - r) / m.median_beat_rate_hz
    assert abs(middle) <= 0.03


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate_hz", [100, 500])
def test_noise_has_no_beats(seed, rate_hz):
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((12, int(10 * rate_hz)))
    _assert_nothing(measure(ECG(0.3 * white, rate_hz, "noise")))
    walk = np.cumsum(white, axis=1) / np.sqrt(rate_hz)
    _assert_nothing(measure(ECG(walk, rate_hz, "walk")))


@pytest.mark.parametrize(
    "signal",
    [
        np.full((12, 5000), np.nan),
        np.zeros((12, 5000)),
        np.full((12, 5000), 1.7),
        np.ones((12, 1)),
        np.tile(np.sin(np.arange(5000) / 500 * 2 * np.pi), (12, 1)),
    ],
    ids=["no sample", "flat at zero", "flat", "one sample", "slow sine"],
)
def test_nothing_measurable_gives_nothing(signal):
    _assert_nothing(measure(ECG(signal, 500, "nothing")))


def test_gaps_are_bridged():
    ecg = simulate("normal").ecg
    signal = ecg.signal_mv.copy()
    signal[:, 1200:1260] = np.nan
    signal[3, :2000] = np.nan
    signal[7, :] = 0
    m = measure(ECG(signal, 500, "gaps"))
    assert m.rate_bpm == pytest.approx(68, rel=0.1)
    assert m.qrs_ms == pytest.approx(92, abs=20)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_never_raises(data):
    rate_hz = data.draw(st.sampled_from([1.0, 40.0, 99.7, 250.0, 360.0, 2000.0]))
    n = data.draw(st.integers(1, 2500))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    height = data.draw(st.sampled_from([1e-6, 0.1, 5.0, 1e30]))
    signal = height * rng.standard_normal((12, n))
    signal[rng.random((12, n)) < data.draw(st.sampled_from([0, 0.1, 0.6, 1]))] = np.nan
    signal[rng.random(12) < 0.3] = 0
    spikes = rng.integers(0, n, data.draw(st.integers(0, 8)))
    signal[:, spikes] = 3.0
    m = measure(ECG(signal, rate_hz, "anything"))
    for name in NUMBERS:
        value = getattr(m, name)
        assert value is None or np.isfinite(value)


def test_cardiologists_marks(ecg_data):
    """LUDB: global intervals within clinical reach of the marks, on every tenth record."""
    folder = ecg_data / "ludb" / "data"
    if not folder.exists():
        pytest.skip("LUDB is not among the unpacked recordings")
    errors = {"qrs_ms": [], "pr_ms": [], "qt_ms": []}
    for name in ludb.records(folder)[::10]:
        found = measure(ludb.read(folder, name))
        for key, marked in ludb.marked_ms(folder, name).items():
            if getattr(found, key) is not None:
                errors[key].append(getattr(found, key) - marked)
    assert len(errors["qrs_ms"]) >= 8 and len(errors["pr_ms"]) >= 5 and len(errors["qt_ms"]) >= 5
    for key, limit_ms in (("qrs_ms", 15), ("pr_ms", 20), ("qt_ms", 25)):
        assert np.median(np.abs(errors[key])) < limit_ms
