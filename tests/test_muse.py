"""GE MUSE XML: eight stored leads become twelve, in millivolts, in any encoding."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_aecg import FUZZ, simulated
from test_formats import ecg_or_sentence, refused
from writers.muse import STORED, waveform, write_muse

from ecgqa.formats import read_ecg
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")

STEP_MV = 0.00488
ROWS = [LEADS.index(lead) for lead in STORED]


def test_eight_leads_become_twelve(tmp_path):
    signal = simulated()
    ecg = read_ecg(write_muse(tmp_path / "a.xml", waveform(signal[ROWS], STORED)))
    assert ecg.rate_hz == 500 and ecg.missing_leads == ()
    assert np.abs(ecg.signal_mv[ROWS] - signal[ROWS]).max() <= STEP_MV
    # Each of two leads is off by half a step at most.
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV
    one, two, three, avr = ecg.signal_mv[:4]
    assert np.abs(one + three - two).max() < 1e-6 and np.abs(avr + (one + two) / 2).max() < 1e-6
    assert ecg.notes == ("Calculated from the other limb leads: III, aVR, aVL, aVF.",)


@given(
    rate=st.sampled_from([(240, 0), (250, 0), (500, 0), (1000, 0), (5, 2), (5000, -1)]),
    step_uv=st.sampled_from([1.0, 2.44, 4.88, 5.0]),
    n_leads=st.sampled_from([1, 8, 12]),
)
@FUZZ
def test_round_trip_within_one_step(tmp_path, rate, step_uv, n_leads):
    base, exponent = rate
    rate_hz = base * 10.0**exponent
    signal = simulated(3, rate_hz)
    rows = ROWS if n_leads == 8 else list(range(n_leads))
    names = [LEADS[k] for k in rows]
    strip = waveform(signal[rows], names, base=base, exponent=exponent, step_uv=step_uv)
    ecg = read_ecg(write_muse(tmp_path / "a.xml", strip))
    assert ecg.rate_hz == rate_hz
    assert np.abs(ecg.signal_mv[rows] - signal[rows]).max() <= step_uv / 1000


def test_the_median_beat_is_not_read(tmp_path):
    signal = simulated()
    median = waveform(signal[ROWS, :1500] * 0, STORED, kind="Median")
    rhythm = waveform(signal[ROWS], STORED)
    for parts in ((median, rhythm), (rhythm, median)):
        ecg = read_ecg(write_muse(tmp_path / "a.xml", *parts))
        assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV
    refused(write_muse(tmp_path / "a.xml", median), "only the calculated median beat")
    refused(write_muse(tmp_path / "a.xml"), "no waveform")


def test_fifteen_leads_keep_the_twelve_and_name_the_rest(tmp_path):
    signal = simulated()
    more = np.concatenate([signal, signal[:3]])
    path = write_muse(tmp_path / "a.xml", waveform(more, (*LEADS, "V3R", "V4R", "V7")))
    ecg = read_ecg(path)
    assert np.abs(ecg.signal_mv - signal).max() <= STEP_MV
    assert any("V3R, V4R, V7" in note for note in ecg.notes)


@pytest.mark.parametrize(
    ("encoding", "stated"),
    [("utf-8", None), ("utf-8-sig", None), ("iso-8859-1", None), ("windows-1252", None),
     ("utf-16", None), ("utf-16-le", "utf-16"), ("utf-16-be", "UTF-16"),
     ("utf-8", "utf-16"), ("iso-8859-1", "utf-8"), ("utf-16", "iso-8859-1"),
     ("utf-8", "x-unknown")],
)  # fmt: skip
def test_encodings_also_where_the_first_line_is_wrong(tmp_path, encoding, stated):
    signal = simulated()
    strip = waveform(signal[ROWS], STORED)
    path = write_muse(tmp_path / "a.xml", strip, encoding=encoding, stated=stated)
    assert np.abs(read_ecg(path).signal_mv - signal).max() <= STEP_MV


def test_odd_but_readable(tmp_path):
    signal = simulated()
    whole = write_muse(tmp_path / "a.xml", waveform(signal, LEADS)).read_text("latin-1")
    path = tmp_path / "b.xml"
    for text in (
        "\r\n " + whole.replace("Müller", "M\x01ller"),
        re.sub(r"=+\s*</WaveFormData>", "</WaveFormData>", whole),
        whole.replace("4.88", "4,88"),
        whole.replace("<WaveformType>Rhythm</WaveformType>", ""),
    ):
        path.write_text(text, "latin-1")
        assert np.abs(read_ecg(path).signal_mv - signal).max() <= STEP_MV
    out = write_muse(tmp_path / "c.xml", waveform(signal, LEADS, written_out=True))
    assert np.abs(read_ecg(out).signal_mv - signal).max() <= STEP_MV


def test_what_is_not_stated_is_asked_for(tmp_path):
    signal = simulated()
    whole = write_muse(tmp_path / "a.xml", waveform(signal, LEADS)).read_text("latin-1")
    path = tmp_path / "b.xml"
    path.write_text(whole.replace("<SampleBase>500</SampleBase>", ""), "latin-1")
    refused(path, "sampling rate")
    assert read_ecg(path, rate_hz=500).rate_hz == 500
    path.write_text(re.sub("<LeadAmplitudeUnitsPerBit>.*?</LeadA.*?Bit>", "", whole), "latin-1")
    refused(path, "does not say the unit")
    assert np.abs(read_ecg(path, units="4.88 uV").signal_mv - signal).max() <= STEP_MV


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (r"<WaveFormData>.{400}", "<WaveFormData>", "announces 2000 samples for lead I"),
        (r"<WaveFormData>.{9}", "<WaveFormData>!!!", "damaged or stored"),
        (r"<LeadSampleSize>2", "<LeadSampleSize>3", "damaged or stored"),
        (r"<LeadAmplitudeUnitsPerBit>4.88", "<LeadAmplitudeUnitsPerBit>0", "damaged or stored"),
        (r"MICROVOLTS", "PASCAL", "PASCAL"),
        (r"<LeadID>\w+", "<LeadID>Q", "No ECG lead was found"),
        (r"<SampleExponent>0", "<SampleExponent>7", "sampling rate is 5e+09 Hz"),
    ],
)
def test_damaged_files(tmp_path, old, new, part):
    path = write_muse(tmp_path / "a.xml", waveform(simulated(), LEADS))
    path.write_text(re.sub(old, new, path.read_text("latin-1"), flags=re.DOTALL), "latin-1")
    refused(path, part)


@given(
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 8), st.sampled_from(["", "A", "=", "9" * 40, "<", '"'])
        ),
        max_size=4,
    ),
    keep=st.floats(0.2, 1),
)
@FUZZ
def test_mutated_files(tmp_path, cuts, keep):
    strip = waveform(simulated(2.6, rate_hz=100)[:2], ("I", "V1"), base=100)
    text = write_muse(tmp_path / "whole.xml", strip).read_text("latin-1")
    for place, length, new in cuts:
        at = int(place * len(text))
        text = text[:at] + new + text[at + length :]
    text = text[: int(keep * len(text)) if keep < 0.9 else None]
    (tmp_path / "a.xml").write_text(text, "latin-1")
    ecg_or_sentence(tmp_path / "a.xml")
