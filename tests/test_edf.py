"""EDF, EDF+ and BDF: what two independent writers wrote is read back, and nothing else is."""

from __future__ import annotations

import edfio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.edf import Signal, Written, leads_as_signals, step_mv, write_edf

from ecgqa.formats import read_ecg
from ecgqa.gallery.simulate import simulate
from ecgqa.record import LEADS, EcgFileError


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return np.asarray(simulate("normal", seconds=8, rate_hz=250).ecg.signal_mv)


def refused(path, *parts: str, **given) -> None:
    with pytest.raises(EcgFileError) as error:
        read_ecg(path, **given)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("unit", ["mV", "uV", "µV", "V", "nV"])
def test_units_become_millivolts(tmp_path, ecg_mv, unit):
    signals = leads_as_signals(ecg_mv, unit=unit.replace("µ", "u"))
    for signal in signals:
        signal.unit = unit
    ecg = read_ecg(write_edf(tmp_path / "a.edf", signals))
    assert (ecg.rate_hz, ecg.name, ecg.notes, ecg.missing_leads) == (250, "a", (), ())
    assert np.abs(ecg.signal_mv - ecg_mv).max() <= step_mv()


@given(
    order=st.permutations(range(12)),
    n_leads=st.integers(2, 12),
    rate_hz=st.sampled_from([100, 128, 250, 500, 1000]),
    record_s=st.sampled_from([0.5, 1, 2]),
    bdf=st.booleans(),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_leads_in_any_order_at_any_rate(tmp_path, order, n_leads, rate_hz, record_s, bdf):
    signal_mv = np.asarray(simulate("normal", seconds=4, rate_hz=rate_hz).ecg.signal_mv)
    rows = list(order[:n_leads])
    per_record = int(rate_hz * record_s)
    signals = leads_as_signals(signal_mv[rows], [f"ECG {LEADS[k]}" for k in rows], per_record,
                               bdf=bdf)  # fmt: skip
    ecg = read_ecg(write_edf(tmp_path / "a", signals, Written(record_s=record_s, bdf=bdf)))
    assert ecg.rate_hz == rate_hz
    assert np.abs(ecg.signal_mv[rows] - signal_mv[rows]).max() <= step_mv(bdf)
    if n_leads == 12:
        assert np.abs(ecg.lead("I") + ecg.lead("III") - ecg.lead("II")).max() <= 2 * step_mv(bdf)


@pytest.mark.parametrize("kind", ["Edf", "Bdf"])
def test_what_another_program_wrote(tmp_path, ecg_mv, kind):
    """edfio writes EDF+C and BDF+C, with annotations, and chooses the record's length itself."""
    signals = [
        getattr(edfio, f"{kind}Signal")(
            row.astype(float) * 1000, 250, label=lead, physical_dimension="uV",
            physical_range=(-5000, 5000),
        )
        for lead, row in zip(LEADS, ecg_mv, strict=True)
    ]  # fmt: skip
    notes = [edfio.EdfAnnotation(1.5, None, "Pause")]
    path = tmp_path / f"a.{kind.lower()}"
    getattr(edfio, kind)(signals, annotations=notes).write(path)
    ecg = read_ecg(path)
    step = 10 / 65535
    assert ecg.rate_hz == 250 and ecg.notes == ()
    assert np.abs(ecg.signal_mv - ecg_mv).max() <= step


def test_pauses_of_a_discontinuous_recording_are_gaps(tmp_path, ecg_mv):
    signals = leads_as_signals(ecg_mv[:, :1500])
    onsets = [0.5, 1.5, 2.5, 4.5, 5.5, 9.75]
    how = Written(onsets_s=onsets, discontinuous=True)
    ecg = read_ecg(write_edf(tmp_path / "a.edf", signals, how))
    expected = np.full((12, round(10.25 * 250)), np.nan)
    for k, onset in enumerate(onsets):
        at = round((onset - 0.5) * 250)
        expected[:, at : at + 250] = ecg_mv[:, 250 * k : 250 * (k + 1)]
    np.testing.assert_allclose(ecg.signal_mv, expected, atol=step_mv())
    assert "The recording has 2 pauses, shown as gaps." in ecg.notes


def test_a_discontinuous_recording_without_a_pause_has_no_gap(tmp_path, ecg_mv):
    how = Written(onsets_s=range(8), discontinuous=True, bdf=True)
    signals = leads_as_signals(ecg_mv, bdf=True)
    ecg = read_ecg(write_edf(tmp_path / "a.bdf", signals, how))
    assert ecg.notes == () and np.abs(ecg.signal_mv - ecg_mv).max() <= step_mv(bdf=True)


def test_a_pause_of_hours_ends_the_reading(tmp_path, ecg_mv):
    how = Written(onsets_s=[0, 1, 2, 3, 4, 9000, 9001, 9002], discontinuous=True)
    ecg = read_ecg(write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv), how))
    assert ecg.seconds == 5 and any("Only the first 5 s" in note for note in ecg.notes)


def test_a_pause_beyond_the_most_samples_ends_the_reading(tmp_path):
    """12 leads of 10 kHz: four minutes are kept, not ten, and pauses count."""
    signal_mv = np.tile(np.asarray(simulate("normal", seconds=4, rate_hz=500).ecg.signal_mv), 20)
    onsets_s = [0, 0.5, 1, 1.5, 2, 2.5, 299, 301]
    how = Written(0.5, onsets_s, discontinuous=True)
    path = write_edf(tmp_path / "b.edf", leads_as_signals(signal_mv, per_record=5000), how)
    assert read_ecg(path).seconds == 3


@pytest.mark.parametrize("onsets", [[0, 1, 1.5, 2, 3, 4, 5, 6], [5, 4, 3, 2, 1, 0, 0, 0]])
def test_records_that_overlap_are_refused(tmp_path, ecg_mv, onsets):
    how = Written(onsets_s=onsets, discontinuous=True)
    refused(write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv), how), "pieces were recorded")


def test_times_of_a_discontinuous_recording_must_be_there(tmp_path, ecg_mv):
    how = Written(main={"reserved": "EDF+D"})
    refused(write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv), how), "pieces were recorded")


def test_other_channels_and_lower_rates(tmp_path, ecg_mv):
    """A slow breath channel, a lead at half the rate, annotations: leads at the highest rate."""
    time_s = np.arange(2000) / 250
    slow = np.sin(2 * np.pi * time_s[::2])
    signals = [
        Signal("RESP", "", np.zeros(80), 10),
        Signal("V1", "mV", slow, 125),
        *leads_as_signals(ecg_mv[:2], LEADS[:2]),
    ]
    how = Written(onsets_s=range(8))
    ecg = read_ecg(write_edf(tmp_path / "a.edf", signals, how))
    assert ecg.rate_hz == 250 and set(LEADS) - set(ecg.missing_leads) == {*LEADS[:6], "V1"}
    assert np.abs(ecg.signal_mv[:2] - ecg_mv[:2]).max() <= step_mv()
    # Linear interpolation of 1 Hz at 125 Hz is exact to 1 - cos(pi/125).
    assert np.abs(ecg.lead("V1")[:-1] - np.sin(2 * np.pi * time_s)[:-1]).max() < 5e-4
    assert any("RESP" in note for note in ecg.notes)
    assert any("interpolated" in note for note in ecg.notes)
    assert not any("Annotations" in note for note in ecg.notes)


def test_a_range_upside_down_is_minded(tmp_path, ecg_mv):
    signals = leads_as_signals(ecg_mv)
    path = write_edf(tmp_path / "a.edf", signals)
    for signal in signals:
        signal.span = (8.0, -8.0)
    turned = write_edf(tmp_path / "b.edf", signals)
    assert path.read_bytes()[-6000:] != turned.read_bytes()[-6000:]
    difference = read_ecg(path).signal_mv - read_ecg(turned).signal_mv
    assert np.abs(difference).max() <= 2 * step_mv()


def test_a_holter_is_read_from_its_beginning_only(tmp_path):
    n = 3 * 3600 * 128
    wave = np.sin(np.arange(n) / 20)
    path = write_edf(tmp_path / "a.edf", [Signal("II", "mV", wave, 1280)], Written(record_s=10))
    ecg = read_ecg(path)
    assert ecg.seconds == 600 and "Only the first 600 s of 3.0 h were read." in ecg.notes
    assert np.abs(ecg.lead("II") - wave[: 600 * 128]).max() <= step_mv()


def test_an_open_number_of_records_is_taken_from_the_size(tmp_path, ecg_mv):
    how = Written(main={"n_records": "-1"})
    ecg = read_ecg(write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv), how))
    assert ecg.seconds == 8


def test_without_a_duration_the_rate_is_asked_for(tmp_path, ecg_mv):
    path = write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv), Written(main={"record_s": "0"}))
    refused(path, "sampling rate")
    assert read_ecg(path, rate_hz=250).rate_hz == 250


def test_the_patient_is_not_kept(tmp_path, ecg_mv):
    ecg = read_ecg(write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv)))
    assert b"Doe_Jane" in (tmp_path / "a.edf").read_bytes() and "Doe" not in repr(ecg)


@pytest.mark.parametrize(
    ("main", "part"),
    [
        ({"n_records": "99999999"}, "cut off"),
        ({"n_records": "0"}, "cut off"),
        ({"n_bytes": "99999999"}, "damaged"),
        ({"n_bytes": "256"}, "damaged"),
        ({"n_signals": "9999"}, "damaged"),
        ({"n_signals": "0"}, "damaged"),
        ({"record_s": "-1"}, "damaged"),
        ({"record_s": "1e99"}, "sampling rate"),
        ({"record_s": "1e-9"}, "sampling rate"),
        ({"record_s": "nan"}, "damaged"),
        ({"version": "1"}, "not a readable EDF"),
    ],
)
def test_absurd_headers(tmp_path, ecg_mv, main, part):
    refused(write_edf(tmp_path / "a.edf", leads_as_signals(ecg_mv), Written(main=main)), part)


def test_absurd_channels(tmp_path, ecg_mv):
    path = tmp_path / "a.edf"
    signal = leads_as_signals(ecg_mv[:1], ["II"])[0]
    for unit, part in (("mmHg", "which unit"), ("", "which unit")):
        signal.unit = unit
        refused(write_edf(path, [signal]), part)
    content = write_edf(path, leads_as_signals(ecg_mv[:1], ["II"])).read_bytes()
    fields = 256 + 16 + 80 + 8
    for at, text in ((fields, b"8       "), (fields + 16, b"32767   ")):
        path.write_bytes(content[:at] + text + content[at + 8 :])
        refused(path, "its range is empty")
    at = fields + 32 + 80
    for text in (b"-250    ", b"0       ", b"99999999", b"1e9     ", b"\xff\xff      "):
        path.write_bytes(content[:at] + text + content[at + 8 :])
        refused(path)
    path.write_bytes(content[:-700])
    refused(path, "announces 8.0 s but holds only 6.0 s")
    path.write_bytes(content[:400])
    refused(path, "damaged")
