"""Measurements: against simulated truth and cardiologists' marks; None for what is not there."""

import json
from dataclasses import fields

import ludb
import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from noise import noisy

from ecgqa import read_ecg
from ecgqa.__main__ import main
from ecgqa.gallery.simulate import simulate
from ecgqa.measure import Measurements, Times, measure
from ecgqa.record import ECG, LEADS

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

TIMES = tuple(f.name for f in fields(Times))


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
    """LUDB: every beat near the marks of all leads together, on every tenth record."""
    folder = ecg_data / "ludb" / "data"
    if not folder.exists():
        pytest.skip("LUDB is not among the unpacked recordings")
    errors = {"p_on": [], "qrs_on": [], "qrs_off": [], "t_off": []}
    for name in ludb.records(folder)[::10]:
        beats, marks = (
            measure(ludb.read(folder, name)).beats,
            ludb.together(ludb.marks(folder, name)),
        )
        for key, found in errors.items():
            wave, part = key.split("_")
            marked = marks[wave][:, 0 if part == "on" else 2]
            times = [at for beat in beats if (at := getattr(beat, key)) is not None]
            if times:
                nearest = [min(times, key=lambda at, m=m: abs(at - m)) - m for m in marked]
                found += [1000 * error for error in nearest]
    for key, limit_ms in (("p_on", 16), ("qrs_on", 12), ("qrs_off", 12), ("t_off", 25)):
        found = np.array(errors[key])
        assert len(found) > 50
        assert abs(np.median(found)) < limit_ms and found.std() < 1.5 * limit_ms, key


# ---------------------------------------------------------------------------- every beat


def test_kinds_of_beats():
    assert {beat.kind for beat in measure(simulate("normal").ecg).beats} == {"normal"}
    assert {beat.kind for beat in measure(simulate("atrial fibrillation").ecg).beats} == {"normal"}
    sim = simulate("ventricular premature complexes", seconds=20)
    wide = [beat for beat in measure(sim.ecg).beats if beat.kind == "premature wide"]
    assert len(wide) >= 3 and all(beat.p_on is None for beat in wide)
    # At 1000 Hz every stimulus of 2 ms is caught whole.
    paced = measure(simulate("ventricular pacing", rate_hz=1000).ecg)
    assert sum(beat.kind == "paced" for beat in paced.beats) >= len(paced.beats) - 2
    assert paced.not_measurable["pr_ms"] == "the ventricles are paced"


def test_an_early_beat_of_the_common_shape_is_premature_narrow():
    t = np.arange(5000) / 500
    signal = np.zeros((12, 5000), np.float32)
    for peak in (0.6, 1.4, 2.2, 3.0, 3.5, 4.6, 5.4, 6.2, 7.0, 7.8, 8.6, 9.4):
        signal += np.exp(-(((t - peak) / 0.015) ** 2)) + 0.3 * np.exp(
            -(((t - peak - 0.25) / 0.05) ** 2)
        )
    kinds = [beat.kind for beat in measure(ECG(signal, 500, "early")).beats]
    assert kinds.count("premature narrow") == 1 and kinds[4] == "premature narrow"


@pytest.mark.parametrize("finding", ["normal", "ventricular premature complexes"])
def test_the_times_of_a_beat_are_in_order(finding):
    m = measure(simulate(finding, seed=4).ecg)
    assert [beat.r_peak for beat in m.beats] == pytest.approx(m.r_peaks_s)
    for beat in m.beats:
        for times in (beat, *beat.leads.values()):
            known = [at for name in TIMES if (at := getattr(times, name)) is not None]
            assert known == sorted(known)
        assert set(beat.leads) == set(LEADS)


def test_what_is_missing_has_a_reason():
    m = measure(simulate("atrial fibrillation").ecg)
    assert m.pr_ms is None and "P wave" in m.not_measurable["pr_ms"]
    nothing = measure(ECG(np.zeros((12, 5000)), 500, "flat"))
    assert "signal" in nothing.not_measurable["qrs_ms"]


def test_fibrillation_can_be_told_from_rhythm_and_p():
    sick, well = measure(simulate("atrial fibrillation").ecg), measure(simulate("normal").ecg)
    assert sick.irregularity > 0.12 > well.irregularity
    assert sick.p_presence == 0 and well.p_presence > 0.8
    assert well.regular and not sick.regular


def test_formulas_of_qtc():
    m = measure(simulate("normal", rate_bpm=80).ecg)
    rr_s = m.rr_ms / 1000
    assert m.qtc_ms["Framingham"] == pytest.approx(m.qt_ms + 154 * (1 - rr_s))
    assert m.qtc_ms["Hodges"] == pytest.approx(m.qt_ms + 1.75 * (m.rate_bpm - 60))


def test_voltages_and_st_of_a_beat_of_known_shape():
    t = np.arange(5000) / 500
    signal = np.zeros((12, 5000), np.float32)
    for peak in np.arange(0.5, 10, 0.8):
        spike = np.exp(-(((t - peak) / 0.015) ** 2))
        for lead, mv in (("aVL", 0.5), ("V1", -2.0), ("V3", -1.2), ("V5", 1.8), ("V6", 1.6)):
            signal[LEADS.index(lead)] += mv * spike
        raised = (t > peak + 0.05) & (t < peak + 0.25)
        signal[LEADS.index("V2")] += 0.2 * raised + 0.8 * spike
    m = measure(ECG(signal, 500, "known"))
    assert m.sokolow_lyon_mv == pytest.approx(3.8, abs=0.15)
    assert m.cornell_mv == pytest.approx(1.7, abs=0.1)
    assert m.leads["V5"].r_mv == pytest.approx(1.8, abs=0.1) and m.leads["V5"].q_mv > -0.1
    assert m.leads["V2"].st_j60_mv == pytest.approx(0.2, abs=0.08)
    assert abs(m.leads["V5"].st_j60_mv) < 0.05


def test_the_terminal_prints_the_same_numbers(tmp_path, capsys):
    sim = simulate("normal")
    wfdb.wrsamp(
        "one", 500, ["mV"] * 12, list(LEADS), sim.ecg.signal_mv.T.astype(float),
        write_dir=str(tmp_path),
    )  # fmt: skip
    files = [str(tmp_path / f"one.{end}") for end in ("hea", "dat")]
    assert main(["measure", *files, "--json", "--beats"]) == 0
    told = json.loads(capsys.readouterr().out)["measurements"]
    assert told["qrs_ms"] == measure(read_ecg(files)).qrs_ms
    assert len(told["beats"]) == len(measure(read_ecg(files)).beats)
    assert main(["measure", *files]) == 0
    assert f"{told['qt_ms']:.0f} ms" in capsys.readouterr().out


# ---------------------------------------------------------------------------- invariances


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    finding=st.sampled_from(
        [
            "normal",
            "left anterior fascicular block",
            "inferior myocardial infarction",
            "long qt",
        ]
    ),
    rate_bpm=st.integers(50, 95),
    rate_hz=st.sampled_from([100, 250, 500, 1000]),
    seed=st.integers(0, 50),
    noise=st.sampled_from([(10, 10, None), (15, 8, 10), (20, 8, 8), (40, 8, 8)]),
)
def test_intervals_lie_near_the_truth(finding, rate_bpm, rate_hz, seed, noise):
    """White noise of so many dB below each lead, and how many ms it may cost (PR and QRS, QT)."""
    noise_db, most_ms, most_qt_ms = noise
    sim = simulate(finding, rate_hz=rate_hz, rate_bpm=rate_bpm, seed=seed)
    m = measure(noisy(sim.ecg, noise_db, seed))
    for name in ("pr_ms", "qrs_ms"):
        assert getattr(m, name) == pytest.approx(sim.truth[name], abs=most_ms), name
    if most_qt_ms:
        assert m.qt_ms == pytest.approx(sim.truth["qt_ms"], abs=most_qt_ms)


@pytest.mark.parametrize("rate_hz", [100, 250, 1000])
def test_the_rate_of_sampling_does_not_matter(rate_hz):
    a = measure(simulate("normal", rate_hz=500, noise_mv=0).ecg)
    b = measure(simulate("normal", rate_hz=rate_hz, noise_mv=0).ecg)
    assert b.rate_bpm == pytest.approx(a.rate_bpm, rel=0.005)
    for name in ("pr_ms", "qrs_ms", "qt_ms"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), abs=8), name


def test_the_order_of_the_chest_leads_does_not_matter():
    ecg = simulate("normal").ecg
    signal = ecg.signal_mv.copy()
    signal[6:] = signal[[11, 9, 7, 10, 6, 8]]
    a, b = measure(ecg), measure(ECG(signal, 500, "shuffled"))
    for name in ("rate_bpm", "pr_ms", "qrs_ms", "qt_ms"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), abs=4), name


def test_a_later_start_moves_every_beat_by_as_much():
    ecg = simulate("normal", seconds=12).ecg
    a, b = measure(ecg), measure(ECG(ecg.signal_mv[:, 700:], 500, "later"))
    later = [beat.qrs_on + 1.4 for beat in b.beats]
    for beat in a.beats[3:-2]:
        assert min(abs(at - beat.qrs_on) for at in later) < 0.01
