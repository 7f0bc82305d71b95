"""HL7 aECG: the rhythm in millivolts, whatever the units, sets and series; not the median beat."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats import ecg_or_sentence, refused
from writers.aecg import sequence_set, series, write_aecg

from ecgqa.formats import read_ecg
from ecgqa.gallery.simulate import simulate
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")

FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def simulated(seconds: float = 4.0, rate_hz: float = 500.0) -> np.ndarray:
    return simulate("normal", seconds=seconds, rate_hz=rate_hz).ecg.signal_mv


@given(
    rate_hz=st.sampled_from([100, 250, 300, 500, 1000]),
    step_uv=st.sampled_from([0.5, 1.0, 2.5, 4.88]),
    origin_uv=st.sampled_from([0.0, 100.0, -37.5]),
    unit=st.sampled_from(["uV", "mV", "nV"]),
    time=st.sampled_from(["TIME_ABSOLUTE", "TIME_RELATIVE"]),
    order=st.permutations(range(12)),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trip_within_one_step(tmp_path, rate_hz, step_uv, origin_uv, unit, time, order):
    signal = simulated(rate_hz=rate_hz)
    order = list(order)
    names = [LEADS[k] for k in order]
    a_set = sequence_set(signal[order], names, rate_hz, step_uv, origin_uv, time=time, unit=unit)
    ecg = read_ecg(write_aecg(tmp_path / "a.xml", series(a_set)))
    assert ecg.rate_hz == pytest.approx(rate_hz) and ecg.notes == ()
    assert np.abs(ecg.signal_mv - signal).max() <= step_uv / 1000


def test_the_median_beat_is_not_read(tmp_path):
    signal = simulated()
    beat = sequence_set(signal[:, :1500] * 0, time="TIME_RELATIVE")
    rhythm = series(sequence_set(signal), derived=beat)
    for parts in ((rhythm,), (series(beat, code="REPRESENTATIVE_BEAT"), rhythm)):
        ecg = read_ecg(write_aecg(tmp_path / "a.xml", *parts))
        assert np.abs(ecg.signal_mv - signal).max() <= 0.0025
    only = series(derived=beat)
    refused(write_aecg(tmp_path / "a.xml", only), "without a recorded rhythm")


def test_of_several_recordings_the_longest_is_read_and_said_so(tmp_path):
    signal = simulated(8)
    short, long = series(sequence_set(signal[:, :1500])), series(sequence_set(signal))
    ecg = read_ecg(write_aecg(tmp_path / "a.xml", short, long))
    assert ecg.seconds == 8 and any("2 recordings" in note for note in ecg.notes)


def test_three_leads_at_a_time_stand_where_they_were_recorded(tmp_path):
    signal = simulated(10)
    sets = [
        sequence_set(
            signal[k : k + 3, n : n + 1250], LEADS[k : k + 3], start_s=n / 500, time="TIME_RELATIVE"
        )
        for k, n in ((0, 0), (3, 1250), (6, 2500), (9, 3750))
    ]
    ecg = read_ecg(write_aecg(tmp_path / "a.xml", series(*sets)))
    assert ecg.seconds == 10 and any("same time" in note for note in ecg.notes)
    for k, n in ((0, 0), (3, 1250), (6, 2500), (9, 3750)):
        there = ecg.signal_mv[k : k + 3, n : n + 1250]
        assert np.abs(there - signal[k : k + 3, n : n + 1250]).max() <= 0.0025
    assert np.isnan(ecg.signal_mv[9:, :3000]).all()


def test_pieces_one_after_the_other_become_one_recording(tmp_path):
    signal = simulated(10)
    sets = [
        sequence_set(signal[:, n : n + 1250], start_s=60 + n / 500) for n in (0, 1250, 2500, 3750)
    ]
    ecg = read_ecg(write_aecg(tmp_path / "a.xml", series(*sets)))
    assert ecg.seconds == 10 and ecg.notes == ()
    assert np.abs(ecg.signal_mv - signal).max() <= 0.0025


def test_sets_of_another_clock_or_rate_are_left_alone(tmp_path):
    signal = simulated(8)
    best = sequence_set(signal, start_s=3600)
    other = sequence_set(signal[:1, :1500] * 0, ("I",), start_s=0, time="TIME_RELATIVE")
    slower = sequence_set(signal[:1, :1500] * 0, ("I",), rate_hz=100, start_s=3600)
    twice = sequence_set(signal[:1, :1500] * 0, ("I",), start_s=3600)
    for sets in ((other, best), (best, slower), (best, twice), (twice, best)):
        ecg = read_ecg(write_aecg(tmp_path / "a.xml", series(*sets)))
        assert ecg.seconds == 8 and np.abs(ecg.signal_mv - signal).max() <= 0.0025


def test_a_long_recording_is_cut(tmp_path):
    signal = np.tile(simulated(10, rate_hz=50), 65)[:2]
    a_set = sequence_set(signal, ("I", "II"), rate_hz=50)
    ecg = read_ecg(write_aecg(tmp_path / "a.xml", series(a_set)))
    assert ecg.seconds == 600 and "Only the first 600 s of 10.8 min were read." in ecg.notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_prefixes_and_suffixes(tmp_path, encoding):
    signal = simulated()
    path = write_aecg(tmp_path / "a.xml", series(sequence_set(signal)))
    text = path.read_text().replace("<", "<hl7:").replace("<hl7:/", "</hl7:")
    text = text.replace("<hl7:?", "<?").replace("xmlns=", "xmlns:hl7=")
    other = tmp_path / "a.txt"
    other.write_text(text, encoding=encoding)
    assert np.abs(read_ecg(other).signal_mv - signal).max() <= 0.0025


def test_what_is_not_stated_is_asked_for(tmp_path):
    signal = simulated()
    whole = write_aecg(tmp_path / "a.xml", series(sequence_set(signal))).read_text()
    path = tmp_path / "b.xml"
    path.write_text(re.sub(r'<increment value="[^"]*" unit="ms"/>', "", whole))
    refused(path, "sampling rate")
    assert read_ecg(path, rate_hz=500).rate_hz == 500
    path.write_text(re.sub(r' unit="uV"', "", whole))
    refused(path, "does not say the unit")
    assert np.abs(read_ecg(path, units="uV").signal_mv - signal).max() <= 0.0025


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("<digits>", "<digits>x ", "not a number"),
        ('scale value="2.5"', 'scale value="0"', "no usable scale"),
        ("MDC_ECG_LEAD_", "MDC_ECG_ELEC_", "No ECG lead was found"),
        ("</AnnotatedECG>", "", "damaged XML"),
        ("sequenceSet", "sequences", "without a recorded rhythm"),
    ],
)
def test_damaged_files(tmp_path, old, new, part):
    path = write_aecg(tmp_path / "a.xml", series(sequence_set(simulated())))
    path.write_text(path.read_text().replace(old, new))
    refused(path, part)


BOMB = '<!DOCTYPE AnnotatedECG [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (BOMB + "]><AnnotatedECG>&i;</AnnotatedECG>", "definitions of its own"),
        ('<!DOCTYPE AnnotatedECG [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
         "<AnnotatedECG>&x;</AnnotatedECG>", "definitions of its own"),
        ("<AnnotatedECG>" + "<a>" * 500_000, "nested too deeply"),
        ("<AnnotatedECG>" + "<a/>" * 250_000 + "</AnnotatedECG>", "split too finely"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", "not known here"),
        ("<!doctype html><html><body>Log in<br></body></html>", "or HTML"),
        ("<AnnotatedECG", "damaged XML"),
        ("<!-- nothing -->", "damaged XML"),
    ],
)  # fmt: skip
def test_xml_that_is_no_ecg_or_an_attack(tmp_path, text, part):
    path = tmp_path / "a.xml"
    path.write_text(text)
    refused(path, part)


def test_a_document_type_is_never_fetched(tmp_path):
    path = write_aecg(tmp_path / "a.xml", series(sequence_set(simulated())))
    text = path.read_text().split("\n", 1)[1]
    path.write_text('<!DOCTYPE AnnotatedECG SYSTEM "http://127.0.0.1:9/a.dtd">' + text)
    assert read_ecg(path).seconds == 4


@given(
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 8), st.sampled_from(["", "0", "-", "9" * 40, "<", '"'])
        ),
        max_size=4,
    ),
    keep=st.floats(0.2, 1),
)
@FUZZ
def test_mutated_files(tmp_path, cuts, keep):
    a_set = sequence_set(simulated(2.6, rate_hz=100)[:2], ("I", "V1"), rate_hz=100)
    text = write_aecg(tmp_path / "whole.xml", series(a_set)).read_text()
    for place, length, new in cuts:
        at = int(place * len(text))
        text = text[:at] + new + text[at + length :]
    (tmp_path / "a.xml").write_text(text[: int(keep * len(text)) if keep < 0.9 else None])
    ecg_or_sentence(tmp_path / "a.xml")


def test_the_real_file_is_its_own_digits(ecg_data):
    """Its limb leads are copies of one wave: a demonstration, against which no law can be held."""
    path = ecg_data / "formats/hl7_aecg/hl7aecg_example.xml"
    ecg = read_ecg(path)
    assert (ecg.rate_hz, ecg.seconds, ecg.missing_leads) == (100, 10, ())
    rhythm = path.read_text().split("REPRESENTATIVE_BEAT")[0]
    for lead in LEADS:
        place = rhythm.index(f'"MDC_ECG_LEAD_{lead.upper()}"')
        digits = re.search(r"<digits>([^<]*)", rhythm[place:])
        expected = np.array(digits[1].split(), float) * 0.005
        np.testing.assert_allclose(ecg.lead(lead), expected, atol=1e-6)
