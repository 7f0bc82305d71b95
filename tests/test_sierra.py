"""Philips Sierra XML: uncompressed and XLI, all versions, and the same as the public library."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
import sierraecg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_aecg import FUZZ, simulated
from test_formats import ecg_or_sentence, refused
from writers.sierra import STEP_MV, write_sierra, xli_of

from ecgqa.formats import read_ecg
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")

REAL = (
    "1_03_129DYPRG.XML",
    "1_04_ad4d3d80-d165_1-04_orig.xml",
    "1_04_01_2020-5-18_15-48-11.xml",
)


@pytest.mark.parametrize("version", ["1.03", "1.04", "1.04.01"])
@pytest.mark.parametrize("xli", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_round_trip_within_one_step(tmp_path, version, xli, encoding):
    signal = simulated(10)
    path = write_sierra(tmp_path / "a.xml", signal, version, xli, encoding=encoding)
    ecg = read_ecg(path)
    assert ecg.rate_hz == 500 and ecg.seconds == 10 and ecg.notes == ()
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV


@given(
    steps=arrays(np.int64, (12, 30), elements=st.integers(-2000, 2000)),
    rate_hz=st.sampled_from([100, 250, 500]),
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_steps_survive_the_compression(tmp_path, steps, rate_hz):
    """Whole numbers come back exactly, and as the public library reads them."""
    rows = np.tile(steps, (1, rate_hz // 10))
    signal = rows * STEP_MV
    path = write_sierra(tmp_path / "a.xml", signal, rate_hz=rate_hz, encoding="utf-8")
    ecg = read_ecg(path)
    assert ecg.rate_hz == rate_hz
    assert np.array_equal(np.round(ecg.signal_mv / STEP_MV).astype(int), rows)


def test_the_public_library_reads_what_the_writer_writes(tmp_path):
    signal = simulated(4)
    path = write_sierra(tmp_path / "a.xml", signal, encoding="utf-8")
    for lead, row in zip(sierraecg.read_file(str(path)).leads, signal, strict=True):
        assert np.abs(lead.samples * STEP_MV - row).max() <= STEP_MV


@pytest.mark.parametrize("xli", [True, False])
def test_the_calibration_pulse_is_no_beat(tmp_path, xli):
    signal = simulated(10)
    ecg = read_ecg(write_sierra(tmp_path / "a.xml", signal, pulse=True, xli=xli))
    assert ecg.seconds == 10 and ecg.notes == ("The calibration pulse at the end was left out.",)
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV


def test_more_and_fewer_leads(tmp_path):
    signal = simulated()
    sixteen = np.concatenate([signal, signal[:4]])
    names = (*LEADS, "V3R", "V4R", "V7", "V8")
    ecg = read_ecg(write_sierra(tmp_path / "a.xml", sixteen, names=names))
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV
    assert any("V3R" in note for note in ecg.notes)
    for xli in (True, False):
        path = write_sierra(tmp_path / "a.xml", sixteen, "1.03", xli)
        assert np.abs(read_ecg(path).signal_mv - signal).max() <= STEP_MV
    ecg = read_ecg(write_sierra(tmp_path / "a.xml", signal[:2], xli=False, names=("I", "II")))
    assert set(ecg.missing_leads) == set(LEADS[6:])


def test_files_that_are_refused(tmp_path):
    signal, path = simulated(), tmp_path / "a.xml"
    refused(write_sierra(path, signal, kind="MortaraECG"), "MortaraECG", "only Philips")
    refused(write_sierra(path, signal, version="1.05"), "version 1.05")
    refused(write_sierra(path, signal, "1.03", acquired="PEDIATRIC"), "PEDIATRIC")
    refused(write_sierra(path, signal, duration_ms=9000), "cut off", "9.0 s")
    text = write_sierra(path, signal, encoding="utf-8").read_text()
    for old, new, part in (
        ('compression="XLI"', 'compression="ZIP"', "(Base64, ZIP)"),
        ("Base64", "Plain", "(Plain, XLI)"),
        ('bitspersample="16"', 'bitspersample="12"', "12 bits"),
        (r"<waveforms>.*</waveforms>", "", "without waveforms"),
        (r"\s[A-Za-z0-9+/]{76}\s", "\n!\n", "damaged"),
        (r'samplespersecond="500"', "", None),
        (r'resolution="5"', 'resolution="x"', "does not say the unit"),
    ):
        path.write_text(re.sub(old, new, text, flags=re.DOTALL))
        if part:
            refused(path, part)
        else:
            assert read_ecg(path).rate_hz == 500


@pytest.mark.parametrize("size", [-8, -1, 0, 2**31 - 1])
def test_a_damaged_length_ends_in_a_sentence(tmp_path, size):
    text = write_sierra(tmp_path / "a.xml", simulated(), encoding="utf-8").read_text()
    data = bytearray(xli_of(list(np.round(simulated() / STEP_MV).astype(int))))
    data[:4] = size.to_bytes(4, "little", signed=True)
    put = f">{base64.b64encode(data).decode()}</parsed"
    (tmp_path / "a.xml").write_text(re.sub(r">[^<>]{1000,}</parsed", put, text))
    refused(tmp_path / "a.xml", "damaged")


def test_a_chunk_that_unfolds_without_end_is_stopped(tmp_path):
    """Each code twice as long as the last: a kilobyte that would fill a megabyte."""
    text = write_sierra(tmp_path / "a.xml", simulated(), encoding="utf-8").read_text()
    codes = [65, *range(256, 1023), *([1022] * 9000)]
    bits = "".join(f"{code:010b}" for code in codes)
    chunk = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
    data = (len(chunk).to_bytes(4, "little") + bytes(4) + chunk) * 12
    put = f">{base64.b64encode(data).decode()}</parsed"
    (tmp_path / "a.xml").write_text(re.sub(r">[^<>]{1000,}</parsed", put, text))
    refused(tmp_path / "a.xml", "damaged")


@given(
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    keep=st.floats(0.3, 1.5),
)
@FUZZ
def test_mutated_samples(tmp_path, flips, keep):
    signal = simulated(2.6, rate_hz=100)
    text = write_sierra(tmp_path / "w.xml", signal, rate_hz=100, encoding="utf-8").read_text()
    data = bytearray(xli_of(list(np.round(signal / STEP_MV).astype(int))))
    for place, value in flips:
        data[int(place * len(data))] = value
    data = data[: int(keep * len(data))]
    put = f">{base64.b64encode(data).decode()}</parsed"
    (tmp_path / "a.xml").write_text(re.sub(r">[^<>]{1000,}</parsed", put, text))
    ecg_or_sentence(tmp_path / "a.xml")


@pytest.mark.parametrize("name", REAL)
def test_real_files_agree_with_the_public_library_and_with_the_heart(ecg_data, name):
    path = ecg_data / "formats/philips_sierra_xml" / name
    ecg = read_ecg(path)
    assert ecg.rate_hz == 500 and 10 < ecg.seconds < 11 and ecg.missing_leads == ()
    assert ecg.notes == ("The calibration pulse at the end was left out.",)
    n = ecg.signal_mv.shape[1]
    for lead in sierraecg.read_file(str(path)).leads[:12]:
        np.testing.assert_allclose(ecg.lead(lead.label), lead.samples[:n] * STEP_MV, atol=1e-6)
    one, two, three, avr, avl, avf = ecg.signal_mv[:6]
    # Two files were filtered lead by lead, which moves them apart by a step or two.
    for off in (one + three - two, avr + (one + two) / 2, avl - (one - three) / 2,
                avf - (two + three) / 2):  # fmt: skip
        assert np.abs(off).max() <= 3 * STEP_MV
    assert 0.2 < np.percentile(np.ptp(ecg.signal_mv, axis=1), 25) < 5


@pytest.mark.parametrize("name", REAL[1:])
def test_real_files_agree_with_the_beats_that_the_cart_averaged(ecg_data, name):
    """Those are stored beside, per lead by name, at 1 uV: a proof of names, signs and scale."""
    path = ecg_data / "formats/philips_sierra_xml" / name
    ecg = read_ecg(path)
    for lead, beat in sierraecg.read_file(str(path), include_repbeats=True).repbeats.items():
        # 32767 stands for "nothing": the average ends before the room for it does.
        samples = beat.samples[beat.samples != 32767].astype(float)
        beat_mv = samples[:: beat.sampling_freq // 500] * beat.resolution / 1000
        peak = int(np.argmax(np.abs(np.gradient(beat_mv))))
        part = beat_mv[max(peak - 60, 0) : peak + 140]
        signal = ecg.lead(lead)
        windows = np.lib.stride_tricks.sliding_window_view(signal, part.size)
        windows = windows - windows.mean(axis=1, keepdims=True)
        flat = part - part.mean()
        slope = windows @ flat / (flat @ flat)
        fit = windows @ flat / np.sqrt((windows**2).sum(axis=1) * (flat @ flat) + 1e-12)
        best = np.argsort(fit)[-20:]
        assert fit[best].max() > 0.9
        assert 0.7 < np.median(slope[best]) < 1.4


def test_the_real_file_of_another_kind_is_refused(ecg_data):
    path = ecg_data / "formats/philips_sierra_xml/invalid-doc-type.xml"
    refused(path, "calls itself “MortaraECG”")
