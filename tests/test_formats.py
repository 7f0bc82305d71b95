"""Readers: what goes in as known millivolts comes out as the same millivolts, or as a sentence."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage

from ecgqa.formats import read_ecg, supported_suffixes
from ecgqa.formats.leads import lead_of, stand_in_of
from ecgqa.formats.units import millivolts_per, units_in
from ecgqa.record import ECG, LEADS, EcgFileError

RATE_HZ = 250
pytestmark = pytest.mark.usefixtures("temp_folder")


def leads_mv(seconds: float = 4.0, rate_hz: float = RATE_HZ) -> np.ndarray:
    """[12, n] mV on a grid of 1 uV: every lead different, limb leads consistent."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    shape = np.stack(
        [
            np.sin(2 * np.pi * (k + 1) * time_s / 3) * 0.1 * (k + 2) + 0.01 * k
            for k in range(len(LEADS))
        ]
    )
    one, two = np.round(shape[0], 3), np.round(shape[1], 3)
    shape[:6] = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.round(shape, 4)


def write_wfdb(
    folder: Path,
    signal: np.ndarray,
    names=LEADS,
    fmt="16",
    units="mV",
    gain=1000.0,
    name="demo",
    rate_hz=RATE_HZ,
) -> list[Path]:
    n = len(names)
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=[units] * n,
        sig_name=list(names),
        p_signal=signal.T,
        fmt=[fmt] * n,
        adc_gain=[gain] * n,
        baseline=[0] * n,
        write_dir=str(folder),
    )
    return [folder / f"{name}.hea", folder / f"{name}.dat"]


def write_table(path: Path, signal, names=LEADS, separator=",", time_s=None, factor=1.0) -> Path:
    rows = [separator.join(names)] if names else []
    columns = signal.T * factor
    if time_s is not None:
        columns = np.column_stack([time_s, columns])
    rows += [separator.join(f"{value:.6g}" for value in row) for row in columns]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def dicom_group(signal_mv, names=LEADS, *, unit="uV", sensitivity=2.5, correction=1.0, **fields):
    item = Dataset()
    item.WaveformOriginality = fields.get("originality", "ORIGINAL")
    item.MultiplexGroupLabel = fields.get("label", "RHYTHM")
    item.NumberOfWaveformChannels = len(names)
    item.NumberOfWaveformSamples = signal_mv.shape[1]
    item.SamplingFrequency = fields.get("rate_hz", RATE_HZ)
    item.WaveformBitsAllocated = 16
    item.WaveformSampleInterpretation = "SS"
    baseline = fields.get("baseline", 0.0)
    per_mv = {"uV": 1000.0, "mV": 1.0, "mm[Hg]": 1.0}[unit]
    raw = np.round((signal_mv * per_mv - baseline) / (sensitivity * correction)).astype("<i2")
    item.WaveformData = raw.T.astype(fields.get("dtype", "<i2")).tobytes()
    channels = []
    for name in names:
        channel, source, code = Dataset(), Dataset(), Dataset()
        source.CodeValue, source.CodingSchemeDesignator = "x", "99TEST"
        source.CodeMeaning = name
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
        channel.ChannelSourceSequence = Sequence([source])
        if fields.get("calibrated", True):
            channel.ChannelSensitivity = sensitivity
            channel.ChannelSensitivityUnitsSequence = Sequence([code])
            channel.ChannelSensitivityCorrectionFactor = correction
            channel.ChannelBaseline = baseline
        channel.WaveformBitsStored = 16
        channels.append(channel)
    item.ChannelDefinitionSequence = Sequence(channels)
    return item


def write_dicom(path: Path, *groups: Dataset, syntax=ExplicitVRLittleEndian) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID, dataset.SOPInstanceUID = TwelveLeadECGWaveformStorage, "1.2.3"
    dataset.PatientName = "Doe^Jane"
    if groups:
        dataset.WaveformSequence = Sequence(groups)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def refused(paths, *parts: str, **given) -> str:
    """The message a set of files is refused with; it holds the parts and reads like a sentence."""
    with pytest.raises(EcgFileError) as error:
        read_ecg(paths, **given)
    message = str(error.value)
    for part in parts:
        assert part in message
    assert message.endswith((".", ")."))
    assert "Error" not in message and "Traceback" not in message and "<" not in message
    return message


# --- names and units -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "lead"),
    [
        ("I", "I"), ("ii", "II"), (" III ", "III"), ("AVR", "aVR"), ("avl", "aVL"), ("aV F", "aVF"),
        ("v1", "V1"), ("Lead I", "I"), ("lead_II", "II"), ("LeadV3", "V3"), ("V1 (mV)", "V1"),
        ("MDC_ECG_LEAD_V1", "V1"), ("MDC_ECG_LEAD_AVR", "aVR"), ("MDC_ECG_LEAD_III", "III"),
        ("Lead I (Einthoven)", "I"), ("Lead aVR", "aVR"), ("ECG Lead II", "II"), ("ECG_V6", "V6"),
        ("ECG II", "II"), ("DII", "II"), ("D3", "III"), ("V5 [uV]", "V5"), ("V5_mV", "V5"),
        ("Ⅱ", "II"), ("V₂", "V2"), ("'V4'", "V4"), ("Ableitung II", "II"),
    ],
)  # fmt: skip
def test_any_spelling_of_a_lead_is_known(spelling, lead):
    assert lead_of(spelling) == lead


@pytest.mark.parametrize(
    "name",
    ["", "V", "V7", "V10", "ABP", "RESP", "PLETH", "-aVR", "I-II", "1", "Lead 1", "vx", "CM5", "VR",
     "ECG", "ECG1", "V1-V2", "MLII", "IIII", "aVRF", "Viii", "ch1", "time", "I II", "V4R"],
)  # fmt: skip
def test_what_is_not_one_of_the_twelve_is_not_taken_for_one(name):
    assert lead_of(name) is None


def test_monitoring_leads_stand_in_for_their_neighbours():
    assert [stand_in_of(n) for n in ("MLII", "mliii", "ML I", "MCL1", "mcl6", "II", "CM5")] == [
        "II", "III", "I", "V1", "V6", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("units", "factor"),
    [("mV", 1), ("uV", 1e-3), ("µV", 1e-3), ("μV", 1e-3), ("nV", 1e-6), ("V", 1e3),
     ("millivolt", 1), ("5 uV", 5e-3), ("4.88uV/bit", 4.88e-3), ("200/mV", 1 / 200),
     ("1000 per mV", 1e-3)],
)  # fmt: skip
def test_units_in_millivolts(units, factor):
    assert millivolts_per(units) == pytest.approx(factor)


@pytest.mark.parametrize(
    "units", ["", "mmHg", "NU", "adu", "0 uV", "0/mV", "mV2", "s", "5", "-1 mV"]
)
def test_what_is_no_voltage(units):
    assert millivolts_per(units) is None


def test_units_behind_a_name():
    found = [
        units_in(n) for n in ("I (mV)", "V1_uV", "II [µV]", "aVR", "ECG V", "I/mV", "I (5 uV)")
    ]
    assert found == ["mv", "uv", "μv", None, None, "mv", "5 uv"]


def test_suffixes_for_the_upload_field():
    assert {".hea", ".dat", ".mat", ".dcm", ".csv", ".tsv", ".txt"} <= set(supported_suffixes())


# --- WFDB ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "gain"), [("80", 50.0), ("212", 800.0), ("16", 1000.0), ("24", 1e5), ("32", 1e6)]
)
def test_wfdb_formats_round_trip_within_one_step(tmp_path, fmt, gain):
    signal = leads_mv()
    ecg = read_ecg(write_wfdb(tmp_path, signal, fmt=fmt, gain=gain))
    assert ecg.signal_mv.shape == (12, 1000) and ecg.rate_hz == RATE_HZ and ecg.name == "demo"
    assert np.abs(ecg.signal_mv - signal).max() <= 1 / gain
    assert ecg.notes == () and ecg.missing_leads == ()


def test_wfdb_flac_round_trip(tmp_path):
    signal = leads_mv()[6:]
    ecg = read_ecg(write_wfdb(tmp_path, signal, names=LEADS[6:], fmt="516"))
    assert np.abs(ecg.signal_mv[6:] - signal).max() <= 1e-3


@pytest.mark.parametrize("rate_hz", [100, 257, 360, 1000, 333.33])
def test_wfdb_keeps_the_rate(tmp_path, rate_hz):
    ecg = read_ecg(write_wfdb(tmp_path, leads_mv(rate_hz=rate_hz), rate_hz=rate_hz))
    assert ecg.rate_hz == pytest.approx(rate_hz)


@pytest.mark.parametrize(("units", "factor"), [("uV", 1e3), ("V", 1e-3), ("nV", 1e6), ("µV", 1e3)])
def test_wfdb_units_become_millivolts(tmp_path, units, factor):
    signal = leads_mv()
    files = write_wfdb(tmp_path, signal * factor, units="uV", gain=1000 / factor)
    text = files[0].read_text().replace("/uV", f"/{units}")
    files[0].write_text(text, encoding="utf-8")
    assert np.abs(read_ecg(files).signal_mv - signal).max() <= 1e-3


def test_wfdb_unknown_units_are_asked_for(tmp_path):
    signal = leads_mv()
    files = write_wfdb(tmp_path, signal)
    files[0].write_text(files[0].read_text().replace("/mV", "/NU"))
    refused(files, "NU", "which unit", "units: mV")
    ecg = read_ecg(files, units="mV")
    assert np.abs(ecg.signal_mv - signal).max() <= 1e-3


@given(order=st.permutations(range(12)))
@settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_wfdb_lead_order_does_not_matter(tmp_path, order):
    signal = leads_mv()
    names = [LEADS[k].upper() for k in order]
    ecg = read_ecg(write_wfdb(tmp_path, signal[list(order)], names=names))
    assert np.abs(ecg.signal_mv - signal).max() <= 1e-3


def test_wfdb_missing_leads_are_empty_rows_and_strangers_are_named(tmp_path):
    signal = leads_mv()
    files = write_wfdb(tmp_path, signal[[6, 1, 0]], names=["V1", "ABP", "II"])
    ecg = read_ecg(files)
    assert np.abs(ecg.signal_mv[6] - signal[6]).max() <= 1e-3
    assert np.abs(ecg.signal_mv[1] - signal[0]).max() <= 1e-3
    assert set(ecg.missing_leads) == set(LEADS) - {"V1", "II"}
    assert any("ABP" in note for note in ecg.notes)


def test_mlii_is_shown_as_lead_ii_with_a_note(tmp_path):
    ecg = read_ecg(write_wfdb(tmp_path, leads_mv()[:1], names=["MLII"]))
    assert "II" not in ecg.missing_leads and len(ecg.missing_leads) == 11
    assert any("MLII" in note and "approximate" in note for note in ecg.notes)


def test_no_known_lead_is_refused(tmp_path):
    files = write_wfdb(tmp_path, leads_mv()[:2], names=["ABP", "PLETH"])
    refused(files, "No ECG lead was found", "ABP", "PLETH")


@pytest.mark.parametrize("pair", list(itertools.combinations(LEADS[:6], 2)))
def test_two_limb_leads_give_the_other_four(tmp_path, pair):
    signal = leads_mv()
    rows = [LEADS.index(lead) for lead in pair]
    ecg = read_ecg(write_wfdb(tmp_path, signal[rows], names=pair, fmt="32", gain=1e6))
    assert np.abs(ecg.signal_mv[:6] - signal[:6]).max() < 1e-5
    assert set(ecg.missing_leads) == set(LEADS[6:])
    one, two, three, avr, avl, avf = ecg.signal_mv[:6]
    assert np.abs(one + three - two).max() < 1e-6
    assert np.abs(avr + avl + avf).max() < 1e-6
    assert any(note.startswith("Calculated") for note in ecg.notes)


def test_an_empty_limb_lead_counts_as_missing(tmp_path):
    signal = leads_mv()[:3]
    files = write_wfdb(tmp_path, signal, names=LEADS[:3])
    raw = np.fromfile(files[1], "<i2").reshape(-1, 3)
    raw[:, 2] = -32768
    files[1].write_bytes(raw.tobytes())
    np.testing.assert_allclose(read_ecg(files).signal_mv[:3], signal, atol=2e-3)


def test_one_limb_lead_gives_nothing_else(tmp_path):
    ecg = read_ecg(write_wfdb(tmp_path, leads_mv()[[0, 6]], names=["I", "V1"]))
    assert set(ecg.missing_leads) == set(LEADS) - {"I", "V1"}


def test_several_samples_per_frame_keep_their_rate(tmp_path):
    """A frame of 125 Hz with four samples of the ECG and one of the pressure: 500 Hz."""
    ecg_raw = (leads_mv(rate_hz=500)[1] * 1000).astype("<i2")
    frames = np.column_stack([ecg_raw.reshape(-1, 4), np.full(ecg_raw.size // 4, 99, "<i2")])
    (tmp_path / "m.dat").write_bytes(frames.astype("<i2").tobytes())
    (tmp_path / "m.hea").write_text(
        f"m 2 125 {len(frames)}\nm.dat 16x4 1000/mV 16 0 0 0 0 II\nm.dat 16 1/mmHg 16 0 0 0 0 ABP\n"
    )
    ecg = read_ecg([tmp_path / "m.hea", tmp_path / "m.dat"])
    assert ecg.rate_hz == 500
    np.testing.assert_allclose(ecg.signal_mv[1], ecg_raw / 1000, atol=1e-6)


def test_signals_of_one_file_between_those_of_another_are_not_mixed_up(tmp_path):
    one, two = (leads_mv()[k : k + 3] for k in (6, 9))
    for name, rows in (("a", one), ("b", two)):
        (tmp_path / f"{name}.dat").write_bytes((rows.T * 1000).round().astype("<i2").tobytes())
    names = [("a", "V1"), ("b", "V4"), ("a", "V2"), ("a", "V3"), ("b", "V5"), ("b", "V6")]
    lines = [f"{file}.dat 16 1000/mV 16 0 0 0 0 {lead}" for file, lead in names]
    (tmp_path / "r.hea").write_text("\n".join([f"r 6 {RATE_HZ} 1000", *lines]))
    ecg = read_ecg([tmp_path / n for n in ("r.hea", "a.dat", "b.dat")])
    assert np.abs(ecg.signal_mv[6:] - np.concatenate([one, two])).max() <= 1e-3


def test_long_records_are_cut_to_ten_minutes_and_say_so(tmp_path):
    n = 24 * 3600 * 50
    wave = (np.sin(np.arange(n) / 7) * 500).astype("<i2")
    (tmp_path / "h.dat").write_bytes(wave.tobytes())
    (tmp_path / "h.hea").write_text(f"h 1 50 {n}\nh.dat 16 1000/mV 16 0 0 0 0 II\n")
    ecg = read_ecg([tmp_path / "h.hea", tmp_path / "h.dat"])
    assert ecg.seconds == 600
    assert "Only the first 600 s of 24.0 h were read." in ecg.notes
    np.testing.assert_allclose(ecg.signal_mv[1], wave[:30000] / 1000, atol=1e-6)


def test_a_multi_segment_record_is_read_as_one(tmp_path):
    signal = leads_mv()
    files = write_wfdb(tmp_path, signal[:, :600], name="p1")
    files += write_wfdb(tmp_path, signal[:, 600:], name="p2")
    (tmp_path / "whole.hea").write_text(f"whole/2 12 {RATE_HZ} 1000\np1 600\np2 400\n")
    files.append(tmp_path / "whole.hea")
    ecg = read_ecg(files)
    assert ecg.name == "whole" and np.abs(ecg.signal_mv - signal).max() <= 1e-3
    refused(files[:2] + files[4:], "segment p2", "was not uploaded")
    refused(files[:4], "2 header files", "one ECG at a time")
    write_wfdb(tmp_path, signal[::-1, 600:], names=LEADS[::-1], name="p2")
    refused(files, "different leads")


def test_a_variable_layout_record_has_gaps_where_a_lead_is_absent(tmp_path):
    signal = leads_mv()
    files = write_wfdb(tmp_path, signal[[1, 6], :600], names=["II", "V1"], name="p1")
    files += write_wfdb(tmp_path, signal[[6], 600:], names=["V1"], name="p2")
    (tmp_path / "lay.hea").write_text(
        f"lay 2 {RATE_HZ} 0\n~ 0 1000/mV 0 0 0 0 0 II\n~ 0 1000/mV 0 0 0 0 0 V1\n"
    )
    (tmp_path / "all.hea").write_text(f"all/4 2 {RATE_HZ} 1100\nlay 0\np1 600\n~ 100\np2 400\n")
    ecg = read_ecg([*files, tmp_path / "lay.hea", tmp_path / "all.hea"])
    assert ecg.signal_mv.shape[1] == 1100
    expected = np.full((2, 1100), np.nan)
    expected[:, :600] = signal[[1, 6], :600]
    expected[1, 700:] = signal[6, 600:]
    np.testing.assert_allclose(ecg.signal_mv[[1, 6]], expected, atol=1e-3)


# --- WFDB: sets of files and their names -------------------------------------------------------


def test_files_may_lie_in_different_folders(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    for file in (header, data):
        (tmp_path / file.suffix[1:]).mkdir()
    apart = [
        header.rename(tmp_path / "hea" / header.name),
        data.rename(tmp_path / "dat" / data.name),
    ]
    together = read_ecg(apart)
    assert together.seconds == 4
    assert read_ecg(apart[::-1]).sha256 == together.sha256
    assert read_ecg([*apart, apart[0]]).sha256 == together.sha256


@pytest.mark.parametrize(
    "stem",
    ["Demo", "ünïcode-心電図", "heart🫀", "<img src=x onerror=alert(1)>", "a b (final)", "x" * 100,
     "-rf", "a.b.c", "'; drop table --"],
)  # fmt: skip
def test_odd_names_work_and_are_cleaned(tmp_path, stem):
    header, data = write_wfdb(tmp_path, leads_mv())
    text = header.read_text().replace("demo.dat", f"{stem}.DAT").replace("demo ", "other ")
    header.unlink()
    odd = [tmp_path / f"{stem}.HEA", data.rename(tmp_path / f"{stem}.DAT")]
    odd[0].write_text(text, encoding="utf-8")
    ecg = read_ecg(odd)
    assert ecg.seconds == 4 and ecg.name == stem[:60]


def test_a_name_with_control_characters_is_cleaned(tmp_path):
    path = write_table(tmp_path / "a\nb\x1b[31m\u202eтест.csv", leads_mv(), factor=1.0)
    assert read_ecg(path, rate_hz=RATE_HZ, units="mV").name == "ab[31mтест"


def test_a_renamed_header_still_finds_its_data(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    ecg = read_ecg([header.rename(tmp_path / "patient 7 (copy).hea"), data])
    assert ecg.name == "patient 7 (copy)" and ecg.seconds == 4


def test_a_second_download_of_the_data_is_found(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    assert read_ecg([header, data.rename(tmp_path / "demo (1).dat")]).seconds == 4


def test_header_without_its_data(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    sentence = "This header names demo.dat, but that file was not uploaded."
    refused([header], sentence)
    refused(header, sentence)
    refused([header, data.rename(tmp_path / "other.dat")], sentence)


def test_data_without_its_header(tmp_path):
    _, data = write_wfdb(tmp_path, leads_mv())
    refused([data], "Please add the header file (.hea)")
    refused(data.rename(tmp_path / "x.mat"), "Please add the header file (.hea)")


def test_two_different_files_of_one_name(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    (tmp_path / "b").mkdir()
    second = tmp_path / "b" / data.name
    second.write_bytes(data.read_bytes()[:-2] + b"\x01\x02")
    refused([header, data, second], "Two different files are both called demo.dat")


def test_two_ecgs_at_once(tmp_path):
    files = write_wfdb(tmp_path, leads_mv(), name="a") + write_wfdb(tmp_path, leads_mv(), name="b")
    refused(files, "one ECG at a time")
    table = write_table(tmp_path / "a.csv", leads_mv())
    refused([*files[:2], table], "one ECG at a time")
    shutil.copy(table, tmp_path / "b.csv")
    refused([table, tmp_path / "b.csv"], "one ECG at a time")


def test_extra_files_of_the_record_are_left_out_with_a_note(tmp_path):
    files = write_wfdb(tmp_path, leads_mv())
    (tmp_path / "demo.atr").write_bytes(b"\x01\x02")
    ecg = read_ecg([*files, tmp_path / "demo.atr"])
    assert any("demo.atr" in note for note in ecg.notes)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.dat", "..\\secret.dat", "http://example.org/a.dat",
             "s3://bucket/a.dat", "C:\\a.dat", "a/b.dat"],
)  # fmt: skip
def test_a_header_cannot_reach_outside(tmp_path, name):
    header, data = write_wfdb(tmp_path, leads_mv())
    (tmp_path / "secret.dat").write_bytes(data.read_bytes())
    header.write_text(header.read_text().replace("demo.dat", name))
    refused([header, data], "outside the upload", "not opened")
    header.write_text(f"x/1 12 {RATE_HZ} 1000\n{name} 1000\n")
    refused([header, data], "outside the upload")


# --- WFDB: damaged and hostile content ---------------------------------------------------------


def test_a_header_that_declares_too_much_is_refused_before_anything_is_allocated(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    text = header.read_text()
    tracemalloc.start()
    for frames in (10**9, 10**15):
        header.write_text(text.replace(f"{RATE_HZ} 1000", f"{RATE_HZ} {frames}"))
        refused([header, data], "holds only 4.0 s", "cut off")
    for line_end, wanted in (("16x900000000", "cut off"), ("16:900000000", "damaged")):
        header.write_text(text.replace("demo.dat 16 ", f"demo.dat {line_end} "))
        refused([header, data], wanted)
    header.write_text(text.replace("demo 12", "demo 1000000"))
    refused([header, data], "announces 1000000 signals")
    header.write_text(f"demo/999999999 12 {RATE_HZ} 10\na 10\n")
    refused([header, data], "too many")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2**22


def test_truncated_data(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    data.write_bytes(data.read_bytes()[: 12 * 2 * 700 + 5])
    refused([header, data], "announces 4.0 s", "holds only 2.8 s", "cut off")


def test_a_header_without_length_takes_the_datas(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    header.write_text(header.read_text().replace(f"{RATE_HZ} 1000", f"{RATE_HZ}"))
    assert read_ecg([header, data]).seconds == 4


def test_a_header_without_rate_is_asked_about(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    header.write_text(header.read_text().replace(f"demo 12 {RATE_HZ} 1000", "demo 12"))
    refused([header, data], "sampling rate", "rate_hz")
    assert read_ecg([header, data], rate_hz=200).rate_hz == 200


def test_a_header_without_gain_says_what_was_assumed(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv()[:1], names=["I"])
    header.write_text(f"demo 1 {RATE_HZ} 1000\ndemo.dat 16 0 16 0 0 0 0 I\n")
    ecg = read_ecg([header, data])
    np.testing.assert_allclose(ecg.signal_mv[0], leads_mv()[0] * 1000 / 200, atol=1 / 200)
    assert any("200 steps per mV" in note for note in ecg.notes)


def test_what_the_file_states_goes_before_what_was_given(tmp_path):
    ecg = read_ecg(write_wfdb(tmp_path, leads_mv()), rate_hz=500, units="uV")
    assert ecg.rate_hz == RATE_HZ and np.nanmax(ecg.signal_mv) > 0.5
    assert any("500 Hz was not used" in note for note in ecg.notes)


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "# only a comment\n", "demo", "demo twelve 500", "\x00\x01\x02", "🫀" * 9,
     "demo 0 250 1000\n", "demo 12 250 1000\n", "x" * 5000, "demo 1 250 1000\ndemo.dat\n",
     "demo 1 250 1000\ndemo.dat 999 1000/mV 16 0 0 0 0 I\n",
     "demo 1 250 1000\ndemo.dat 16x0 1000/mV 16 0 0 0 0 I\n",
     "demo 1 250 1000\n~ 16 1000/mV 16 0 0 0 0 I\n",
     "demo 2 250 1000\ndemo.dat 16 1000 16 0 0 0 0 I\ndemo.dat 80 1000 16 0 0 0 0 II\n",
     "demo 1 250 1000\ndemo.dat 516 1000/mV 16 0 0 0 0 I\n",
     "demo 1 250\ndemo.dat 516 1000/mV 16 0 0 0 0 I\n",
     "demo/1 1 250 1000\ndemo\n", "demo/1 1 250 1000\n~ 1000\n", "demo/1 1 250 1000\ndemo 1000\n"],
)  # fmt: skip
def test_broken_headers(tmp_path, text):
    header, data = write_wfdb(tmp_path, leads_mv())
    header.write_text(text, encoding="utf-8")
    refused([header, data])


def test_text_renamed_dat(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    data.write_text("I,II\n" + "0.1,0.2\n" * 5000)
    refused([header, data], "demo.dat holds text, not WFDB samples")
    refused(data, "Please add the header file")


def test_too_short_and_wrong_rates(tmp_path):
    refused(write_wfdb(tmp_path, leads_mv(0.5)), "only 0.5 s long", "2.5 s")
    assert read_ecg(write_wfdb(tmp_path, leads_mv(2.5))).seconds == 2.5
    refused(write_wfdb(tmp_path, leads_mv(100, rate_hz=30), rate_hz=30), "sampling rate is 30 Hz")
    refused(
        write_wfdb(tmp_path, leads_mv(4, rate_hz=20000)[:1], names=["I"], rate_hz=20000), "20000 Hz"
    )


def test_a_record_of_invalid_samples_is_refused(tmp_path):
    header, data = write_wfdb(tmp_path, leads_mv())
    data.write_bytes(np.full(12000, -32768, "<i2").tobytes())
    refused([header, data], "no values", "missing")
    data.write_bytes(np.zeros(12000, "<i2").tobytes())
    assert np.all(read_ecg([header, data]).signal_mv == 0)


def test_wrong_units_are_noticed(tmp_path):
    files = write_wfdb(tmp_path, leads_mv() * 1000, gain=10.0)
    refused(files, "units look wrong", "50 mV")
    one_loose = leads_mv()
    one_loose[7] *= 300
    ecg = read_ecg(write_wfdb(tmp_path, one_loose, gain=100.0))
    assert np.nanmax(ecg.signal_mv[7]) > 50


# --- DICOM -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "sensitivity", "correction", "baseline", "step_mv"),
    [
        ("uV", 2.5, 1.0, 0.0, 2.5e-3),
        ("uV", 1.25, 2.0, 400.0, 2.5e-3),
        ("mV", 0.001, 1.0, -0.3, 1e-3),
    ],
)
def test_dicom_round_trip(tmp_path, unit, sensitivity, correction, baseline, step_mv):
    signal = leads_mv()
    group = dicom_group(
        signal, unit=unit, sensitivity=sensitivity, correction=correction, baseline=baseline
    )
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", group))
    assert np.abs(ecg.signal_mv - signal).max() <= step_mv
    assert ecg.rate_hz == RATE_HZ and ecg.name == "a" and ecg.notes == ()


def test_dicom_takes_the_rhythm_not_the_median_beat(tmp_path):
    signal = leads_mv()
    median = dicom_group(leads_mv(60) * 0.5, originality="DERIVED", label="MEDIAN BEAT")
    strip = dicom_group(leads_mv(10)[:1], names=["II"])
    pulse = dicom_group(leads_mv(10)[:1], names=["PLETH"])
    path = write_dicom(tmp_path / "a.dcm", median, pulse, dicom_group(signal), strip)
    ecg = read_ecg(path)
    assert np.abs(ecg.signal_mv - signal).max() <= 2.5e-3


def test_dicom_is_known_by_its_bytes_and_leads_by_their_names(tmp_path):
    order = [11, 3, 0, 7, 2, 1, 10, 9, 8, 6, 5, 4]
    signal = leads_mv()
    names = [f"Lead {LEADS[k]} (Einthoven)" for k in order]
    path = write_dicom(tmp_path / "IM000001", dicom_group(signal[order], names=names))
    ecg = read_ecg(path)
    assert ecg.name == "IM000001" and np.abs(ecg.signal_mv - signal).max() <= 2.5e-3
    assert "Doe" not in repr(ecg)


def test_dicom_old_big_endian_and_padding(tmp_path):
    signal = leads_mv()
    group = dicom_group(signal, dtype=">i2")
    group.WaveformPaddingValue = np.array([round(signal[0, 5] / 2.5e-3)], ">i2").tobytes()
    path = write_dicom(tmp_path / "a.dcm", group, syntax=ExplicitVRBigEndian)
    ecg = read_ecg(path)
    assert np.isnan(ecg.signal_mv[0, 5])
    assert np.nanmax(np.abs(ecg.signal_mv - signal)) <= 2.5e-3


def test_dicom_with_one_group_per_column_of_the_page(tmp_path):
    signal = leads_mv(10)
    groups, expected = [], np.full_like(signal, np.nan)
    for column in range(4):
        rows, span = slice(3 * column, 3 * column + 3), slice(625 * column, 625 * column + 625)
        group = dicom_group(signal[rows, span], names=LEADS[rows])
        group.MultiplexGroupTimeOffset = 2500 * column
        groups.append(group)
        expected[rows, span] = signal[rows, span]
    strip = dicom_group(signal[1:2], names=["II"])
    strip.MultiplexGroupTimeOffset = 0
    expected[1] = signal[1]
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", *groups, strip))
    np.testing.assert_allclose(ecg.signal_mv, expected, atol=2.5e-3)
    assert "not all recorded at the same time" in ecg.notes[-1]


def test_damaged_dicom_does_not_print_the_patients_name(tmp_path, recwarn, capfd, caplog):
    content = write_dicom(tmp_path / "a.dcm", dicom_group(leads_mv())).read_bytes()
    place = content.index(b"UI\x06\x001.2.3", 300)  # the UID now runs into what follows it
    (tmp_path / "a.dcm").write_bytes(content[: place + 2] + b"\x40" + content[place + 3 :])
    ecg_or_sentence(tmp_path / "a.dcm")
    out, err = capfd.readouterr()
    printed = out + err + caplog.text + " ".join(str(w.message) for w in recwarn)
    assert b"Doe" in content and "Doe" not in printed


def test_dicom_whose_rhythm_is_cut_off_is_not_read_as_its_median_beat(tmp_path):
    rhythm = dicom_group(leads_mv())
    rhythm.NumberOfWaveformSamples = 10**6
    median = dicom_group(leads_mv(), originality="DERIVED", label="MEDIAN BEAT")
    refused(write_dicom(tmp_path / "a.dcm", rhythm, median), "cut off")


def test_dicom_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.dcm"
    refused(write_dicom(path), "without an ECG waveform")
    refused(write_dicom(path, dicom_group(leads_mv(), unit="mm[Hg]")), "mm[Hg]", "which unit")
    refused(write_dicom(path, dicom_group(leads_mv(), calibrated=False)), "which unit")
    refused(write_dicom(path, dicom_group(leads_mv()[:1], names=["PLETH"])), "No ECG lead")
    short = dicom_group(leads_mv())
    short.NumberOfWaveformSamples = 4 * 10**9
    refused(write_dicom(path, short), "announces more samples than it holds")
    wrong = dicom_group(leads_mv())
    wrong.NumberOfWaveformChannels = 13
    refused(write_dicom(path, wrong), "damaged")
    refused(get_testdata_file("CT_small.dcm", download=False), "CT Image Storage")
    path.write_bytes(b"\x00" * 128 + b"DICM" + bytes(range(256)) * 9)
    refused(path)
    path.write_bytes(bytes(range(256)) * 9)
    refused(path, "not a readable DICOM file")
    whole = write_dicom(path, dicom_group(leads_mv())).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path)


def test_the_real_dicom_ecg_that_pydicom_carries():
    path = Path(get_testdata_file("waveform_ecg.dcm", download=False))
    ecg = read_ecg(path)
    assert ecg.signal_mv.shape == (12, 10000) and ecg.rate_hz == 1000 and ecg.notes == ()
    raw = np.frombuffer(pydicom.dcmread(path).WaveformSequence[0].WaveformData, "<i2")
    np.testing.assert_allclose(ecg.signal_mv.T, raw.reshape(-1, 12) * 1.25e-3, atol=1e-6)
    assert np.abs(ecg.lead("I") + ecg.lead("III") - ecg.lead("II")).max() < 0.01


# --- text --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "  "])
def test_text_with_names_units_and_time(tmp_path, suffix, separator):
    signal = leads_mv()
    names = [f"{lead}(mV)" for lead in LEADS]
    path = write_table(
        tmp_path / f"a{suffix}", signal, ["time(s)", *names], separator, np.arange(1000) / RATE_HZ
    )
    ecg = read_ecg(path)
    assert ecg.rate_hz == RATE_HZ and ecg.notes == ()
    np.testing.assert_allclose(ecg.signal_mv, signal, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "scale", "note"),
    [("time_ms", 1000, False), ("Elapsed time (s)", 1, False), ("t [us]", 1e6, False),
     ("time", 1, True), ("Time", 1000, True), ("timestamp", 1e6, True)],
)  # fmt: skip
def test_the_time_column_gives_the_rate(tmp_path, name, scale, note):
    names = [name, *(f"{lead} [uV]" for lead in LEADS)]
    time = np.arange(1000) / RATE_HZ * scale
    path = write_table(tmp_path / "a.csv", leads_mv(), names, time_s=time, factor=1000)
    ecg = read_ecg(path)
    assert ecg.rate_hz == RATE_HZ and bool(ecg.notes) == note
    np.testing.assert_allclose(ecg.signal_mv, leads_mv(), atol=1e-6)


def test_a_time_column_that_only_counts_gives_no_rate(tmp_path):
    names = ["time", *(f"{lead} (mV)" for lead in LEADS)]
    path = write_table(tmp_path / "a.csv", leads_mv(), names, time_s=np.arange(1000))
    refused(path, "sampling rate")
    assert read_ecg(path, rate_hz=100).rate_hz == 100


def test_rounded_times_and_clock_times(tmp_path):
    signal = leads_mv(10, rate_hz=360)[:2]
    rows = [f"{k / 360:.3f},{a:.4f},{b:.4f}" for k, (a, b) in enumerate(signal.T)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["time (s),II (mV),V5 (mV)", *rows]))
    assert read_ecg(path).rate_hz == 360
    clock = [f"'0:{row.split(',')[0].zfill(6)}',{row.split(',', 1)[1]}" for row in rows]
    path.write_text("\n".join(["'Elapsed time','MLII','V5'", "'hh:mm:ss.mmm','mV','mV'", *clock]))
    ecg = read_ecg(path)
    assert ecg.rate_hz == 360
    np.testing.assert_allclose(ecg.signal_mv[[1, 10]], signal, atol=1e-4)
    dates = [f"2024-01-31 10:00:0{row.split(',')[0]},{row.split(',', 1)[1]}" for row in rows]
    path.write_text("\n".join(["timestamp,II_mV,V5_mV", *dates[: 9 * 360]]))
    assert read_ecg(path).rate_hz == pytest.approx(360, rel=1e-3)


def test_a_time_column_with_gaps(tmp_path):
    time = np.arange(1000) / RATE_HZ
    names = ["time (s)", *(f"{lead} (mV)" for lead in LEADS)]
    for broken in (np.where(np.arange(1000) > 500, time + 3, time), time[::-1], time * 0):
        path = write_table(tmp_path / "a.csv", leads_mv(), names, time_s=broken)
        refused(path, "gaps, repeats or steps back")


def test_what_a_table_does_not_say_is_asked_for(tmp_path):
    path = write_table(tmp_path / "a.csv", leads_mv(), factor=1000)
    refused(path, "sampling rate", "rate_hz")
    refused(path, "does not say the unit", "units", rate_hz=RATE_HZ)
    refused(path, "sampling rate", units="uV")
    np.testing.assert_allclose(
        read_ecg(path, rate_hz=RATE_HZ, units="µV").signal_mv, leads_mv(), atol=1e-6
    )
    refused(path, "not a unit of voltage", rate_hz=RATE_HZ, units="furlong")
    refused(path, "sampling rate is 0 Hz", rate_hz=0, units="uV")
    refused(path, "nan Hz", rate_hz=float("nan"), units="uV")


def test_twelve_columns_without_names_need_rate_and_units(tmp_path):
    path = write_table(tmp_path / "a.txt", leads_mv(), names=None, separator=" ")
    assert "rate_hz" in refused(path, "units", "I, II, III, aVR")
    refused(path, "units", rate_hz=RATE_HZ)
    ecg = read_ecg(path, rate_hz=RATE_HZ, units="mV")
    np.testing.assert_allclose(ecg.signal_mv, leads_mv(), atol=1e-6)
    assert any("standard order" in note for note in ecg.notes)


def test_thirteen_columns_without_names(tmp_path):
    given_both = {"rate_hz": RATE_HZ, "units": "5 uV"}
    for first in (np.arange(1000), np.arange(1000) / RATE_HZ):
        path = write_table(tmp_path / "a.csv", leads_mv(), None, time_s=first, factor=200)
        np.testing.assert_allclose(read_ecg(path, **given_both).signal_mv, leads_mv(), atol=1e-5)
    path = write_table(tmp_path / "a.csv", leads_mv(), None, time_s=np.ones(1000))
    refused(path, "13 columns", "running number", **given_both)


@pytest.mark.parametrize("n_columns", [1, 2, 8, 11])
@pytest.mark.parametrize("timed", [False, True])
def test_fewer_columns_without_names_are_named_by_the_user(tmp_path, n_columns, timed):
    """A column of times may stand before them: it gives the rate."""
    signal = leads_mv()[:n_columns]
    time_s = 1.5 + np.arange(signal.shape[1]) / RATE_HZ if timed else None
    path = write_table(tmp_path / "a.csv", signal, None, time_s=time_s)
    rate = {} if timed else {"rate_hz": RATE_HZ}
    refused(path, "without names", "units", "II")
    leads = LEADS[n_columns - 1 :: -1]
    words = "does not say which lead" if n_columns == 1 else f"{n_columns} leads without names"
    refused(path, words, "(leads)", "first line", **rate, units="mV")
    refused(path, "to be named", leads="I II III", **rate, units="mV")
    ecg = read_ecg(path, **rate, units="mV", leads=", ".join(leads))
    for lead, row in zip(leads, signal, strict=True):
        np.testing.assert_allclose(ecg.lead(lead), row, atol=1e-4)
    assert any(f"{', '.join(leads)}, as was given" in note for note in ecg.notes)


def test_fifteen_columns_without_names_are_refused(tmp_path):
    path = write_table(tmp_path / "a.csv", np.tile(leads_mv(), (2, 1))[:15], None)
    refused(path, "15 columns", "lead names", rate_hz=RATE_HZ, units="mV")


def test_decimal_commas(tmp_path):
    signal = leads_mv()
    for separator in (";", "\t", " "):
        rows = [separator.join(LEADS)]
        rows += [separator.join(["0"] * 12)]
        rows += [separator.join(f"{v:.4f}".replace(".", ",") for v in row) for row in signal.T]
        path = tmp_path / "a.csv"
        path.write_text("\n".join(rows))
        ecg = read_ecg(path, rate_hz=RATE_HZ, units="mV")
        np.testing.assert_allclose(ecg.signal_mv[:, 1:], signal, atol=1e-6)


def test_a_heading_may_state_rate_and_units(tmp_path):
    path = write_table(tmp_path / "a.csv", leads_mv(), factor=1000)
    path.write_text("# Sampling rate: 250 Hz\n# Units: uV\n# Heart rate: 60\n\n" + path.read_text())
    ecg = read_ecg(path)
    assert ecg.rate_hz == 250
    np.testing.assert_allclose(ecg.signal_mv, leads_mv(), atol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    path = write_table(tmp_path / "a.csv", leads_mv(), [f"{x} (µV)" for x in LEADS], factor=1000)
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    ecg = read_ecg(path, rate_hz=RATE_HZ)
    np.testing.assert_allclose(ecg.signal_mv, leads_mv(), atol=1e-6)


def test_empty_cells_and_nan_are_missing_values(tmp_path):
    path = write_table(tmp_path / "a.csv", leads_mv(), [f"{x} (mV)" for x in LEADS])
    lines = path.read_text().split("\n")
    lines[1] = ",".join(["nan"] * 12)
    lines[5] = "," + lines[5].split(",", 1)[1]
    lines[6] = "NaN," + lines[6].split(",", 1)[1]
    path.write_text("\r\n".join(lines))
    ecg = read_ecg(path, rate_hz=RATE_HZ)
    missing = np.isnan(ecg.signal_mv)
    assert missing[:, 0].all() and missing[0, 4] and missing[0, 5] and missing.sum() == 14


def test_nothing_but_nan_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("I,II\n" + "nan,nan\n" * 2000)
    refused(path, "no values", rate_hz=RATE_HZ, units="mV")


def test_damaged_tables_name_the_line(tmp_path):
    whole = write_table(tmp_path / "a.csv", leads_mv(), [f"{x} (mV)" for x in LEADS]).read_text()
    lines = whole.split("\n")
    path = tmp_path / "b.csv"
    path.write_text("\n".join([*lines[:20], "abc" + lines[20][3:], *lines[21:]]))
    refused(path, "Line 21", "abc", rate_hz=RATE_HZ)
    path.write_text("\n".join([*lines[:20], lines[20] + ",9", *lines[21:]]))
    refused(path, "Line 21", "13 values where 12", rate_hz=RATE_HZ)
    path.write_text(whole[:-20])
    ecg = read_ecg(path, rate_hz=RATE_HZ)
    assert ecg.signal_mv.shape[1] == 999 and "incomplete" in ecg.notes[0]


def test_one_lead_in_a_table(tmp_path):
    path = write_table(tmp_path / "a.csv", leads_mv()[1:2], ["II (mV)"])
    ecg = read_ecg(path, rate_hz=RATE_HZ)
    assert len(ecg.missing_leads) == 11
    np.testing.assert_allclose(ecg.signal_mv[1], leads_mv()[1], atol=1e-6)


def test_a_long_table_is_cut_to_ten_minutes(tmp_path):
    path = write_table(tmp_path / "a.csv", leads_mv(700, rate_hz=50)[:1], ["I (mV)"])
    ecg = read_ecg(path, rate_hz=50)
    assert ecg.seconds == 600 and ecg.notes == ("Only the first 600 s of 11.7 min were read.",)


def test_spreadsheet_row_numbers_are_not_a_lead(tmp_path):
    names = ["", *(f"{x} (mV)" for x in LEADS)]
    path = write_table(tmp_path / "a.csv", leads_mv(), names, time_s=np.arange(1000))
    ecg = read_ecg(path, rate_hz=RATE_HZ)
    assert ecg.notes == ()
    np.testing.assert_allclose(ecg.signal_mv, leads_mv(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n\n\n", "no table of numbers"),
        ("a.txt", b"Dear colleague,\nplease find the ECG attached.\n", "no table of numbers"),
        ("a.csv", bytes(range(256)) * 20, "not a text file"),
        ("a.csv", b"%PDF-1.7 ...", "damaged"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", "cannot be opened as a picture"),
        ("a.csv", b"PK\x03\x04xxxx", "damaged or cut-off archive"),
        ("a.csv", b"1" * 100_000, "very long lines"),
        ("a.csv", b"I\n" + b"0\n" * 6_000_001, "6000002 lines"),
        ("a.csv", b'I,II\n0,0\n"0,0\n0,"0\n' * 9, "Line 5"),
        ("a.csv", b",".join([b"1"] * 500) + b"\n", "500 columns"),
        ("a.csv", b"I,II\n1e400,0\n", "not a table of numbers"),
        ("a.xyz", b"what is this", "no kind of file"),
        ("a.xml", b"<?xml version='1.0'?>", "XML"),
        ("a", b"\xff\xfe<\x00a\x00", "XML"),
    ],
)
def test_files_that_are_no_table(tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, part, rate_hz=RATE_HZ, units="mV")


def test_no_file_missing_file_and_folder(tmp_path):
    refused([], "No file was chosen")
    refused(tmp_path / "gone.csv", "gone.csv was not found")
    refused(tmp_path, "is a folder")


def test_oversized_files_are_refused_unread(tmp_path):
    for name, part in (("a.csv", "64 MB"), ("a.dcm", "64 MB"), ("a.dat", "512 MB")):
        with (tmp_path / name).open("wb") as file:
            file.truncate(513 * 2**20)
        files = [tmp_path / name]
        if name == "a.dat":
            files.append(tmp_path / "a.hea")
            files[1].write_text("a 1 250 1000\na.dat 16 1000/mV 16 0 0 0 0 I\n")
        refused(files, "513 MB", part, rate_hz=RATE_HZ, units="mV")
        (tmp_path / name).unlink()


def test_messages_hold_no_markup(tmp_path):
    path = tmp_path / "<b onclick=x>.csv"
    path.write_bytes(b"")
    assert "‹b onclick=x›.csv is empty" in refused(path)
    refused(tmp_path / "<i>.csv", "was not found")


# --- real recordings ---------------------------------------------------------------------------


def test_ptbxl_is_its_raw_samples_in_microvolts(ecg_data):
    record = ecg_data / "ptbxl/records100/00000/00001_lr"
    ecg = read_ecg([record.with_suffix(".hea"), record.with_suffix(".dat")])
    raw = np.fromfile(record.with_suffix(".dat"), "<i2").reshape(-1, 12)
    np.testing.assert_allclose(ecg.signal_mv.T, raw / 1000, atol=1e-7)
    assert ecg.rate_hz == 100 and ecg.seconds == 10 and ecg.notes == ()


def test_ptbxl_at_500_hz_is_the_same_ecg_as_at_100_hz(ecg_data):
    for number in ("00018", "00024", "00109"):
        high = ecg_data / f"ptbxl500/{number}_hr"
        low = ecg_data / f"ptbxl/records100/00000/{number}_lr"
        fine, coarse = (
            read_ecg([p.with_suffix(".hea"), p.with_suffix(".dat")]) for p in (high, low)
        )
        assert fine.rate_hz == 500
        for a, b in zip(fine.signal_mv[:, ::5], coarse.signal_mv, strict=True):
            assert np.corrcoef(a, b)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("files", "given", "rate_hz", "seconds", "present"),
    [
        ("100.hea 100.dat", {}, 360, 600, "II V5"),
        ("a103l.hea a103l.mat", {}, 250, 330, "II"),
        ("s0010_re.hea s0010_re.dat s0010_re.xyz", {}, 1000, 38.4, " ".join(LEADS)),
        ("s0010_re.hea s0010_re.dat", {}, 1000, 38.4, " ".join(LEADS)),
        ("03700181.hea 03700181.dat", {}, 500, 600, "V1"),
        ("../dicom_waveform/waveform_ecg.dcm", {}, 1000, 10, " ".join(LEADS)),
        ("../text_columns/testing_ecg.txt", {"rate_hz": 500, "units": "uV"}, 500, 10,
         " ".join(LEADS)),
    ],
)  # fmt: skip
def test_real_files_of_these_families(ecg_data, files, given, rate_hz, seconds, present):
    folder = ecg_data / "formats" / "wfdb"
    ecg = read_ecg([folder / name for name in files.split()], **given)
    assert (ecg.rate_hz, ecg.seconds) == (rate_hz, seconds)
    assert set(LEADS) - set(ecg.missing_leads) == set(present.split())
    for lead in present.split():
        assert 0.1 < np.nanstd(ecg.lead(lead)) * 4 < 5


def test_the_real_mit_bih_record_agrees_with_wfdb(ecg_data):
    record = ecg_data / "formats/wfdb/100"
    ecg = read_ecg([record.with_suffix(".hea"), record.with_suffix(".dat")])
    expected = wfdb.rdrecord(str(record), sampto=216000).p_signal
    np.testing.assert_allclose(ecg.signal_mv[[1, 10]].T, expected, atol=1e-6)


def test_poor_recordings_with_a_loose_electrode_are_read_all_the_same(ecg_data):
    """What is unreadable about them is for the quality check to say, not for the reader."""
    for number in ("1050325", "1149244"):
        path = ecg_data / f"cinc2011/{number}.txt"
        order = "I, II, III, aVR, aVF, aVL, V1, V2, V3, V4, V5, V6"
        ecg = read_ecg(path, rate_hz=500, units="5 uV", leads=order)
        assert np.nanmax(np.abs(ecg.signal_mv)) > 50


# --- whatever else comes -----------------------------------------------------------------------


def ecg_or_sentence(paths, **given) -> None:
    try:
        ecg = read_ecg(paths, **given)
    except EcgFileError as error:
        assert 10 < len(str(error)) < 500 and "\n" not in str(error)
    else:
        assert (
            isinstance(ecg, ECG) and 2.4 < ecg.seconds <= 600 and not np.isinf(ecg.signal_mv).any()
        )
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(
    content=st.binary(max_size=3000),
    name=st.sampled_from(["a.csv", "a.dcm", "a.dat", "a.mat", "a.hea", "a"]),
)
@FUZZ
def test_random_bytes(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    ecg_or_sentence(tmp_path / name, rate_hz=RATE_HZ, units="mV")


@given(content=st.text(alphabet="0123456789.,;-e \tn\naIV#", max_size=400))
@FUZZ
def test_random_tables(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    ecg_or_sentence(tmp_path / "a.csv", rate_hz=40, units="mV")


@given(data=st.data())
@FUZZ
def test_mutated_headers(tmp_path, data):
    header, signal = write_wfdb(tmp_path, leads_mv()[:3], names=["I", "II", "V1"])
    text = bytearray(header.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from(
                [b"", b"0", b"9", b"-", b"/", b"x", b" ", b"\n", b"~", b"e", b":", b"+"]
            )
        )
    header.write_bytes(bytes(text))
    ecg_or_sentence([header, signal])


@given(
    cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)
)
@FUZZ
def test_mutated_dicom(tmp_path, cut, flips):
    whole = write_dicom(tmp_path / "whole.dcm", dicom_group(leads_mv(3)[:2], names=["I", "II"]))
    content = bytearray(whole.read_bytes())
    # Aim at the structure: the samples fill the end of the file.
    for place, value in flips:
        content[132 + int(place * 1200)] = value
    (tmp_path / "a.dcm").write_bytes(bytes(content[: max(1, int(len(content) * (0.5 + cut)))]))
    ecg_or_sentence(tmp_path / "a.dcm")
