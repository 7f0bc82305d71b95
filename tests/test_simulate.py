"""Simulated ECGs: exact truth, limb leads in order, reproducible, shaped like the findings."""

import numpy as np
import pytest

from ecgqa.gallery.simulate import FINDINGS, simulate
from ecgqa.record import LEADS


def _beat(sim, lead, from_ms, to_ms):
    """One lead of the fourth beat, from .. to ms after its R."""
    rate = sim.ecg.rate_hz
    r = round(sim.r_peaks_s[3] * rate)
    return sim.ecg.lead(lead)[r + int(from_ms * rate / 1000) : r + int(to_ms * rate / 1000)]


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_finite_reproducible_and_obeys_einthoven(finding):
    sim = simulate(finding, rate_hz=250, seed=3)
    again = simulate(finding, rate_hz=250, seed=3)
    other = simulate(finding, rate_hz=250, seed=4)
    signal = sim.ecg.signal_mv
    assert signal.shape == (12, 2500)
    assert np.isfinite(signal).all()
    assert np.array_equal(signal, again.ecg.signal_mv)
    assert sim.ecg.sha256 == again.ecg.sha256
    assert sim.ecg.sha256 != other.ecg.sha256
    i, ii, iii, avr, avl, avf = signal[:6].astype(float)
    assert np.abs(i + iii - ii).max() < 1e-5
    assert np.abs(avr + avl + avf).max() < 1e-5
    # What a recorder would show: QRS between 0.8 and 6 mV in the largest lead, no lead empty.
    span = np.ptp(signal, axis=1)
    assert 0.8 < span.max() < 6
    assert span.min() > 0.05
    assert sim.statements
    assert {"rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "axis_deg"} == set(sim.truth)


@pytest.mark.parametrize("rate_hz", [100, 257, 500, 1000])
def test_any_sampling_rate_shows_the_same_ecg(rate_hz):
    sim = simulate("normal", rate_hz=rate_hz, noise_mv=0)
    fine = simulate("normal", rate_hz=1000, noise_mv=0)
    assert sim.ecg.signal_mv.shape[1] == round(10 * rate_hz)
    assert sim.r_peaks_s == fine.r_peaks_s
    t = np.arange(sim.ecg.signal_mv.shape[1]) / rate_hz
    fine_t = np.arange(10000) / 1000
    for lead in LEADS:
        expected = np.interp(t, fine_t, fine.ecg.lead(lead))
        assert np.corrcoef(expected, sim.ecg.lead(lead))[0, 1] > 0.98


def test_waves_begin_and_end_where_the_truth_says():
    sim = simulate("normal", rate_hz=1000, noise_mv=0, rate_bpm=50)
    signal = sim.ecg.signal_mv
    r = round(sim.r_peaks_s[2] * 1000)
    active = np.flatnonzero(np.abs(signal[:, r - 500 : r + 900]).max(axis=0) > 1e-6)
    silent = np.flatnonzero(np.diff(active) > 1)
    # Three stretches: P; then QRS with ST-T (which meet); silence between them and around.
    assert len(silent) == 1
    p_on, p_off = active[0], active[silent[0]]
    qrs_on, t_off = active[silent[0] + 1], active[-1]
    assert abs((qrs_on - p_on) - sim.truth["pr_ms"]) <= 3
    assert abs((p_off - p_on) - 110) <= 3
    assert abs((t_off - qrs_on) - sim.truth["qt_ms"]) <= 3


@pytest.mark.parametrize("rate_bpm", [40, 75, 150])
def test_the_rate_asked_for(rate_bpm):
    sim = simulate("normal", seconds=30, rate_hz=100, rate_bpm=rate_bpm)
    assert sim.truth["rate_bpm"] == pytest.approx(rate_bpm, rel=0.03)
    assert len(sim.r_peaks_s) == pytest.approx(rate_bpm / 2, abs=1.5)


def test_fibrillation_is_irregular_and_the_sinus_is_not():
    spread = {}
    for finding in ("normal", "atrial fibrillation"):
        rr = np.diff(simulate(finding, seconds=60, rate_hz=100).r_peaks_s)
        spread[finding] = rr.std() / rr.mean()
    assert spread["normal"] < 0.05
    assert spread["atrial fibrillation"] > 0.15


def test_flutter_waves_repeat_300_times_a_minute():
    sim = simulate("atrial flutter", noise_mv=0, rate_hz=250)
    lead = sim.ecg.lead("II").astype(float)
    power = np.abs(np.fft.rfft(lead - lead.mean())) ** 2
    hz = np.fft.rfftfreq(len(lead), 1 / 250)
    assert hz[power.argmax()] == pytest.approx(5.0, abs=0.2)


def test_premature_complexes_are_early_wide_and_followed_by_a_pause():
    sim = simulate("ventricular premature complexes", seconds=20, rate_hz=250, noise_mv=0)
    rr = np.diff(sim.r_peaks_s)
    usual = np.median(rr)
    early = np.flatnonzero(rr < 0.8 * usual)
    assert 2 <= len(early) <= 8
    for i in early[early < len(rr) - 1]:
        assert rr[i + 1] > 1.2 * usual
        assert rr[i] + rr[i + 1] == pytest.approx(2 * usual, rel=0.12)


def test_the_findings_look_like_their_textbook_signs():
    sims = {finding: simulate(finding, noise_mv=0) for finding in FINDINGS}

    def qrs(finding, lead):
        return _beat(sims[finding], lead, -80, 110)

    def t(finding, lead):
        return _beat(sims[finding], lead, 200, 330).mean()

    left, right = "complete left bundle branch block", "complete right bundle branch block"
    assert qrs(left, "V1").min() < -1 and qrs(left, "V1").max() < 0.3
    assert qrs(left, "V6").max() > 0.6 and t(left, "V6") < 0
    assert qrs(right, "V1").max() > 0.6 and qrs(right, "V6").min() < -0.2
    inferior = "inferior myocardial infarction"
    for lead in ("III", "aVF"):
        assert qrs(inferior, lead).min() < -0.25
        assert qrs(inferior, lead).max() < -0.5 * qrs(inferior, lead).min()
    assert t(inferior, "III") < 0
    anterior = "anteroseptal myocardial infarction"
    for lead in ("V1", "V2", "V3"):
        assert qrs(anterior, lead).max() < 0.2 and qrs(anterior, lead).min() < -0.8
    hypertrophy = "left ventricular hypertrophy"
    assert qrs(hypertrophy, "V5").max() - qrs(hypertrophy, "V1").min() > 3.5
    assert t(hypertrophy, "V6") < 0
    assert qrs("normal", "V5").max() - qrs("normal", "V1").min() < 3.5
    assert -75 < sims["left anterior fascicular block"].truth["axis_deg"] < -40
    assert 0 < sims["normal"].truth["axis_deg"] < 75
    assert sims["first degree av block"].truth["pr_ms"] > 220
    assert sims["atrial fibrillation"].truth["pr_ms"] is None


def test_a_pacemaker_leaves_a_spike_before_qrs():
    sim = simulate("ventricular pacing", rate_hz=1000, noise_mv=0)
    jumps = np.abs(np.diff(sim.ecg.lead("II"))) > 0.4
    at_s = np.flatnonzero(jumps) / 1000
    assert len(at_s) >= 2 * len(sim.r_peaks_s) - 2
    for r in sim.r_peaks_s[1:]:
        assert ((at_s < r) & (at_s > r - 0.2)).any()


def test_noise_is_as_strong_as_asked():
    quiet = simulate("normal", noise_mv=0).ecg.signal_mv
    for noise_mv in (0.01, 0.05):
        noisy = simulate("normal", noise_mv=noise_mv).ecg.signal_mv
        # White enough to be seen in the differences of neighbours, whatever the wander does.
        added = (noisy - quiet)[6].astype(float)
        added -= np.convolve(added, np.ones(251) / 251, "same")
        assert added[200:-200].std() == pytest.approx(noise_mv, rel=0.25)


@pytest.mark.parametrize(
    "wrong",
    [
        {"finding": "no such thing"},
        {"seconds": 0.1},
        {"seconds": float("nan")},
        {"rate_hz": 10},
        {"rate_bpm": 500},
        {"noise_mv": -1},
    ],
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError):
        simulate(**{"finding": "normal", **wrong})
