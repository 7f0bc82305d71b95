"""DICOM waveforms of every storage class, width and transfer syntax that carts and archives use."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    AmbulatoryECGWaveformStorage,
    DeflatedExplicitVRLittleEndian,
    GeneralECGWaveformStorage,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)
from test_formats import RATE_HZ, dicom_group, leads_mv, refused, write_dicom

from ecgqa.formats import read_ecg
from ecgqa.record import LEADS

STEP_MV = 2.5e-3


def as_width(group: Dataset, bits: int, interpretation: str, dtype: str) -> Dataset:
    """The same samples in another type; unsigned ones with the baseline that makes up for it."""
    raw = np.frombuffer(group.WaveformData, "<i2").astype(np.int64)
    if dtype.startswith("<u"):
        middle = 2 ** (bits - 1)
        raw = raw + middle
        for channel in group.ChannelDefinitionSequence:
            channel.ChannelBaseline = -middle * float(channel.ChannelSensitivity)
    group.WaveformData = raw.astype(dtype).tobytes()
    group.WaveformData += b"\0" * (len(group.WaveformData) % 2)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = bits, interpretation
    return group


@pytest.mark.parametrize(
    ("bits", "interpretation", "dtype"),
    [(8, "SB", "<i1"), (8, "UB", "<u1"), (16, "SS", "<i2"), (16, "US", "<u2"), (32, "SL", "<i4"),
     (32, "UL", "<u4")],
)  # fmt: skip
def test_samples_of_every_width(tmp_path, bits, interpretation, dtype):
    signal = leads_mv()
    step_uv = 20.0 if bits == 8 else 2.5
    group = as_width(dicom_group(signal, sensitivity=step_uv), bits, interpretation, dtype)
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", group))
    assert np.abs(ecg.signal_mv - signal).max() <= step_uv * 1e-3 and ecg.rate_hz == RATE_HZ


@pytest.mark.parametrize("interpretation", ["MB", "AB"])
def test_companded_samples_are_not_taken_for_plain_ones(tmp_path, interpretation):
    group = as_width(dicom_group(leads_mv(), sensitivity=20.0), 8, interpretation, "<u1")
    refused(write_dicom(tmp_path / "a.dcm", group), "companded")


@pytest.mark.parametrize("kind", [GeneralECGWaveformStorage, AmbulatoryECGWaveformStorage])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, JPEGBaseline8Bit])
def test_other_storage_classes_and_syntaxes(tmp_path, kind, syntax):
    """An archive may mark every file with the syntax of its images; a waveform is as it was."""
    signal = leads_mv()
    path = write_dicom(tmp_path / "IM01", dicom_group(signal), syntax=syntax)
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = kind
    pydicom.dcmwrite(path, dataset)
    ecg = read_ecg(path)
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV and ecg.notes == ()


def deflated(path: Path, *groups: Dataset) -> Path:
    return write_dicom(path, *groups, syntax=DeflatedExplicitVRLittleEndian)


def test_deflated(tmp_path):
    signal = leads_mv()
    plain = write_dicom(tmp_path / "a.dcm", dicom_group(signal))
    packed = deflated(tmp_path / "b.dcm", dicom_group(signal))
    assert packed.stat().st_size < plain.stat().st_size
    np.testing.assert_array_equal(read_ecg(plain).signal_mv, read_ecg(packed).signal_mv)


def test_a_deflated_bomb_is_not_unfolded(tmp_path):
    path = deflated(tmp_path / "a.dcm", dicom_group(leads_mv()))
    content = path.read_bytes()
    begin = 144 + int.from_bytes(content[140:144], "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(squeeze.compress(bytes(2**20)) for _ in range(80)) + squeeze.flush()
    path.write_bytes(content[:begin] + bomb)
    refused(path, "64 MB")


def test_without_preamble_or_name(tmp_path):
    signal = leads_mv()
    content = write_dicom(tmp_path / "a.dcm", dicom_group(signal)).read_bytes()
    (tmp_path / "IM01").write_bytes(content[132:])
    assert np.abs(read_ecg(tmp_path / "IM01").signal_mv - signal).max() <= STEP_MV


def test_a_rhythm_that_the_device_calculated_is_not_called_a_beat(tmp_path):
    signal = leads_mv(10)
    rhythm = dicom_group(signal, originality="DERIVED", label="FILTERED")
    beat = dicom_group(leads_mv(20) / 2, originality="DERIVED", label="MEDIAN BEAT")
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", beat, rhythm))
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV
    assert ["device calculated this rhythm" in note for note in ecg.notes] == [True]


def test_a_long_recording_is_cut_to_ten_minutes(tmp_path):
    signal = leads_mv(660)[:2]
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", dicom_group(signal, names=LEADS[:2])))
    assert ecg.seconds == 600 and "Only the first 600 s of 11.0 min were read." in ecg.notes


def test_groups_far_apart_do_not_fill_the_memory(tmp_path):
    """At 10 kHz and half an hour apart: the second group is left out, not joined with gaps."""
    groups = []
    for k in range(3):
        group = dicom_group(leads_mv(3, 10_000)[k : k + 1], names=LEADS[k : k + 1], rate_hz=10_000)
        group.MultiplexGroupTimeOffset = 500_000 * k
        groups.append(group)
    ecg = read_ecg(write_dicom(tmp_path / "a.dcm", *groups))
    assert ecg.seconds == 3
