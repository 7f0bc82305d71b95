"""One ECG in every binary format, and real recordings against their own headers' numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats import dicom_group, write_dicom, write_wfdb
from writers.edf import Written, leads_as_signals, step_mv, write_edf
from writers.ishne import write_ishne
from writers.scp import Coding, write_scp

from ecgqa.formats import read_ecg
from ecgqa.gallery.simulate import FINDINGS, simulate
from ecgqa.record import LEADS


def write_all(folder: Path, signal_mv: np.ndarray, names, rate_hz: int) -> dict[str, tuple]:
    """Format → the files, and what one of its steps is worth in mV."""
    edf = leads_as_signals(signal_mv, names, rate_hz)
    bdf = leads_as_signals(signal_mv, names, rate_hz, bdf=True)
    group = dicom_group(signal_mv, names=names, rate_hz=rate_hz)
    return {
        "WFDB": (write_wfdb(folder, signal_mv, names, rate_hz=rate_hz), 1e-3),
        "WFDB 24": (write_wfdb(folder, signal_mv, names, "24", gain=1e5, name="fine",
                               rate_hz=rate_hz), 1e-5),
        "EDF": (write_edf(folder / "a.edf", edf), step_mv()),
        "BDF": (write_edf(folder / "a.bdf", bdf, Written(bdf=True)), step_mv(bdf=True)),
        "DICOM": (write_dicom(folder / "a.dcm", group), 2.5e-3),
        "SCP": (write_scp(folder / "a.scp", signal_mv, names, rate_hz, Coding("default", 2)),
                2.5e-3),
        "ISHNE": (write_ishne(folder / "a.ecg", signal_mv, names, rate_hz), 2.5e-3),
    }  # fmt: skip


@given(
    finding=st.sampled_from(FINDINGS),
    rate_hz=st.sampled_from([100, 125, 200, 250, 500, 1000]),
    order=st.permutations(range(12)),
    n_leads=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_read(tmp_path, finding, rate_hz, order, n_leads, seed):
    rows = list(order[:n_leads])
    names = [LEADS[row] for row in rows]
    simulated = simulate(finding, seconds=3, rate_hz=rate_hz, seed=seed)
    # In double precision, the finest format's half step is the only error left.
    signal_mv = simulated.ecg.signal_mv[rows].astype(np.float64)
    for kind, (files, step) in write_all(tmp_path, signal_mv, names, rate_hz).items():
        ecg = read_ecg(files)
        assert ecg.rate_hz == rate_hz, kind
        assert np.abs(ecg.signal_mv[rows] - signal_mv).max() <= step, kind
        limb = set(LEADS[:6]) & set(names)
        derived = set(LEADS[:6]) if len(limb) >= 2 else set()
        assert set(LEADS) - set(ecg.missing_leads) == set(names) | derived, kind


@pytest.fixture
def real_records(ecg_data) -> list[Path]:
    return [
        *sorted((ecg_data / "ptbxl500").glob("*.hea"))[::10],
        ecg_data / "formats/wfdb/s0010_re.hea",
    ]


def test_real_records_fit_their_checksums_and_einthovens_law(real_records):
    """A WFDB header states the sum of each signal's samples, modulo 65536."""
    for header in real_records:
        files = [header, *(p for s in (".dat", ".xyz") if (p := header.with_suffix(s)).exists())]
        ecg = read_ecg(files)
        record = wfdb.rdheader(str(header.with_suffix("")))
        for name, gain, total in zip(record.sig_name, record.adc_gain, record.checksum,
                                     strict=True):  # fmt: skip
            lead = next((lead for lead in LEADS if lead.casefold() == name.casefold()), None)
            if lead:
                steps = np.round(ecg.lead(lead).astype(np.float64) * gain).astype(np.int64)
                assert (int(steps.sum()) - total) % 65536 == 0
        step = 1 / min(record.adc_gain)
        assert np.abs(ecg.lead("I") + ecg.lead("III") - ecg.lead("II")).max() <= 2.1 * step
        assert np.abs(ecg.lead("aVR") + ecg.lead("aVL") + ecg.lead("aVF")).max() <= 3.1 * step


def test_a_real_ecg_is_the_same_in_every_format(tmp_path, ecg_data):
    """The DICOM ECG and one of PTB-XL, written anew in every other format and read again."""
    ptbxl = sorted((ecg_data / "ptbxl500").glob("*.hea"))[0]
    dicom = ecg_data / "formats/dicom_waveform/waveform_ecg.dcm"
    for files in ([ptbxl, ptbxl.with_suffix(".dat")], [dicom]):
        ecg = read_ecg(files)
        signal_mv = ecg.signal_mv.astype(np.float64)
        for kind, (copy, step) in write_all(tmp_path, signal_mv, LEADS, int(ecg.rate_hz)).items():
            again = read_ecg(copy)
            assert again.rate_hz == ecg.rate_hz and again.missing_leads == (), kind
            assert np.abs(again.signal_mv - ecg.signal_mv).max() <= step, kind


def test_segments_with_other_gains_and_orders(tmp_path):
    """Fixed layout: gains differ. Variable layout: order and number of the leads differ too."""
    signal_mv = simulate("normal", seconds=6, rate_hz=250).ecg.signal_mv.astype(np.float64)
    names = LEADS[:3]
    for first in ("", "lay 0\n"):
        pieces = [("a", slice(0, 600), names, 1000.0), ("b", slice(600, 1500), names, 400.0)]
        files = [tmp_path / "all.hea"]
        if first:
            pieces[1] = ("b", slice(600, 1500), ("III", "I"), 400.0)
            lines = [f"~ 0 1000/mV 0 0 0 0 0 {name}" for name in names]
            (tmp_path / "lay.hea").write_text("\n".join(["lay 3 250 0", *lines]) + "\n")
            files.append(tmp_path / "lay.hea")
        for name, at, held, gain in pieces:
            rows = signal_mv[[LEADS.index(lead) for lead in held], at]
            files += write_wfdb(tmp_path, rows, held, name=name, gain=gain, rate_hz=250)
        count = 3 if first else 2
        files[0].write_text(f"all/{count} 3 250 1500\n{first}a 600\nb 900\n")
        ecg = read_ecg(files)
        assert ecg.seconds == 6
        for name in ("I", "III") if first else names:
            assert np.abs(ecg.lead(name) - signal_mv[LEADS.index(name)]).max() <= 1 / 400
        if first:
            assert np.isnan(ecg.lead("II")[600:]).all()
            assert np.abs(ecg.lead("II")[:600] - signal_mv[1, :600]).max() <= 1e-3
