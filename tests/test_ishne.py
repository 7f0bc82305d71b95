"""ISHNE Holter files: what a writer of the published layout wrote is read back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers.ishne import write_ishne

from ecgqa.formats import read_ecg
from ecgqa.gallery.simulate import simulate
from ecgqa.record import LEADS, EcgFileError


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return np.asarray(simulate("normal", seconds=5, rate_hz=250).ecg.signal_mv)


def refused(path, *parts: str) -> None:
    with pytest.raises(EcgFileError) as error:
        read_ecg(path)
    for part in parts:
        assert part in str(error.value)


@given(
    order=st.permutations(range(12)),
    n_leads=st.integers(1, 12),
    rate_hz=st.sampled_from([128, 200, 250, 1000]),
    step_nv=st.sampled_from([500, 2500, 5000, 10000]),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_leads_in_any_order_at_any_rate(tmp_path, order, n_leads, rate_hz, step_nv):
    signal_mv = np.asarray(simulate("normal", seconds=4, rate_hz=rate_hz).ecg.signal_mv)
    rows = list(order[:n_leads])
    names = [LEADS[k] for k in rows]
    ecg = read_ecg(write_ishne(tmp_path / "a", signal_mv[rows], names, rate_hz, step_nv))
    assert ecg.rate_hz == rate_hz and ecg.name == "a"
    assert all("checksum" not in note for note in ecg.notes)
    assert np.abs(ecg.signal_mv[rows] - signal_mv[rows]).max() <= step_nv * 1e-6


def test_a_wrong_checksum_is_a_note(tmp_path, ecg_mv):
    ecg = read_ecg(write_ishne(tmp_path / "a.ecg", ecg_mv, crc=1))
    assert any("checksum" in note for note in ecg.notes)
    assert read_ecg(write_ishne(tmp_path / "b.ecg", ecg_mv, comment=b"")).notes == ()


def test_lead_faults_are_gaps_and_names_are_not_kept(tmp_path, ecg_mv):
    signal_mv = ecg_mv.copy()
    signal_mv[7, 100:200] = np.nan
    ecg = read_ecg(write_ishne(tmp_path / "a.ecg", signal_mv))
    np.testing.assert_array_equal(np.isnan(ecg.signal_mv), np.isnan(signal_mv))
    assert b"Doe" in (tmp_path / "a.ecg").read_bytes() and "Doe" not in repr(ecg)


def test_a_holter_is_read_from_its_beginning_only(tmp_path):
    wave = np.sin(np.arange(2 * 3600 * 128) / 20)[None]
    ecg = read_ecg(write_ishne(tmp_path / "a.ecg", wave, ["V5"], rate_hz=128))
    assert ecg.seconds == 600 and "Only the first 600 s of 2.0 h were read." in ecg.notes


def test_samples_counted_over_all_leads(tmp_path, ecg_mv):
    ecg = read_ecg(write_ishne(tmp_path / "a.ecg", ecg_mv, n_samples=ecg_mv.size))
    assert ecg.signal_mv.shape == ecg_mv.shape


def test_what_cannot_be_read(tmp_path, ecg_mv):
    path = tmp_path / "a.ecg"
    refused(write_ishne(path, ecg_mv[:2], ["unknown", "bipolar"]), "No ECG lead", "bipolar")
    refused(write_ishne(path, ecg_mv, step_nv=-5), "worth")
    refused(write_ishne(path, ecg_mv, rate_hz=0), "sampling rate")
    for n_samples in (-1, 0, 2**31 - 1, 1251):
        refused(write_ishne(path, ecg_mv, n_samples=n_samples), "cut off")
    content = write_ishne(path, ecg_mv).read_bytes()
    for at, value in ((156, 13), (156, 0), (156, -1), (22, -1), (22, 3)):
        damaged = bytearray(content)
        damaged[at : at + 2] = value.to_bytes(2, "little", signed=True)
        path.write_bytes(damaged)
        refused(path, "damaged")
    path.write_bytes(content[:3000])
    refused(path, "cut off")
    path.write_bytes(content[:300])
    refused(path, "cut off")
    path.write_bytes(b"x" * 3000)
    refused(path, "not a readable ISHNE")
