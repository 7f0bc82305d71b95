"""Tables as watches, spreadsheets and scripts really export them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_aecg import FUZZ, simulated
from test_formats import ecg_or_sentence, refused

from ecgqa.formats import read_ecg
from ecgqa.record import LEADS

pytestmark = pytest.mark.usefixtures("temp_folder")
BOTH = {"rate_hz": 500, "units": "mV"}
WATCH = """Name,Jane Doe
Date of Birth,"Jan 1, 1960"
Recorded Date,2024-01-01 09:00:00 +0100
Classification,Sinus Rhythm
Symptoms,
Software Version,1.90
Device,"Watch6,7"
Sample Rate,512 hertz


Lead,Lead I
Unit,µV


"""


def numbers(signal: np.ndarray, separator: str, decimal: str = ".", ends: str = "") -> list[str]:
    """Lines of a table, one per sample."""
    return [
        separator.join(f"{value:.4f}".replace(".", decimal) for value in row) + ends
        for row in signal.T
    ]


def write(folder: Path, *lines: str) -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def assert_reads(path: Path, signal: np.ndarray, expected_hz=500, rows=slice(12), **given_too):
    ecg = read_ecg(path, **given_too)
    assert ecg.rate_hz == expected_hz and ecg.signal_mv.shape[1] == signal.shape[1]
    np.testing.assert_allclose(ecg.signal_mv[rows], signal[rows], atol=1e-4)
    return ecg


@pytest.mark.parametrize(
    ("decimal", "quote", "heading"),
    [
        (".", "", WATCH),
        (",", "", WATCH),
        (",", '"', WATCH),
        (",", "", WATCH.replace("Sample Rate", "Abtastrate").replace("Unit", "Einheit")
         .replace("Lead,Lead I", "Ableitung,Ableitung I")),
    ],
)  # fmt: skip
def test_the_single_lead_of_a_watch(tmp_path, decimal, quote, heading):
    """With a decimal comma its one column looks like two."""
    signal = simulated(rate_hz=512)
    lines = [quote + f"{v:.3f}".replace(".", decimal) + quote for v in signal[0] * 1000]
    ecg = assert_reads(write(tmp_path, heading + "\n".join(lines)), signal, 512, slice(1))
    assert set(ecg.missing_leads) == set(LEADS[1:]) and ecg.notes == ()


def test_columns_that_a_script_numbered(tmp_path):
    signal = simulated()
    counts = ",".join(map(str, range(12)))
    lines = numbers(signal, ",")
    assert_reads(write(tmp_path, counts, *lines), signal, **BOTH)
    counted = [f"{k},{line}" for k, line in enumerate(lines)]
    assert_reads(write(tmp_path, "," + counts, *counted), signal, **BOTH)


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("named", [True, False])
def test_one_line_per_lead(tmp_path, separator, named):
    signal = simulated()
    lines = [separator.join(f"{v:.5e}" for v in row) for row in signal]
    if named:
        lines = [f"{lead}{separator}{line}" for lead, line in zip(LEADS, lines, strict=True)]
        lines = [*lines[::-1], ""]
    assert_reads(write(tmp_path, *lines), signal, **BOTH)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_separator_at_the_end_of_every_line(tmp_path, separator):
    signal = simulated()
    names = separator.join(f"{lead} (mV)" for lead in LEADS)
    lines = numbers(signal, separator, ends=separator)
    for heading in (names, names + separator):
        assert assert_reads(write(tmp_path, heading, *lines), signal, rate_hz=500).notes == ()
    # A named column that is empty stays one: the lead is missing.
    ecg = read_ecg(write(tmp_path, names + separator + "ABP", *lines), rate_hz=500)
    assert any("ABP" in note for note in ecg.notes)


def test_decimal_commas_in_quotes(tmp_path):
    signal = simulated()
    names = ",".join(f'"{lead} (mV)"' for lead in LEADS)
    lines = ['"' + line + '"' for line in numbers(signal, '","', ",")]
    assert_reads(write(tmp_path, names, *lines), signal, rate_hz=500)


@pytest.mark.parametrize(
    ("stamp", "separator"),
    [
        ("0:{:02d}:{:06.3f}", ","),
        ("2024-01-31T10:{:02d}:{:06.3f}+01:00", ","),
        ("2024-01-31 10:{:02d}:{:06.3f}Z", ","),
        ("01/31/2024 23:{:02d}:{:06.3f}", ","),
        ("31.01.2024 10:{:02d}:{:06.3f}", ";"),
    ],
)
def test_times_of_day(tmp_path, stamp, separator):
    signal = simulated()
    decimal = "," if separator == ";" else "."
    lines = []
    for k, line in enumerate(numbers(signal, separator, decimal)):
        time = stamp.format(59, 56 + k / 500)
        head, _, part = time.rpartition(".")
        lines.append(f"{head}{decimal}{part}{separator}{line}")
    names = separator.join(["Time", *(f"{lead} [mV]" for lead in LEADS)])
    assert_reads(write(tmp_path, names, *lines), signal)


def test_midnight_is_no_step_back(tmp_path):
    signal = simulated()
    seconds = (24 * 3600 - 2 + np.arange(2000) / 500) % (24 * 3600)
    lines = [
        f"{int(s // 3600):02d}:{int(s // 60 % 60):02d}:{s % 60:06.3f},{line}"
        for s, line in zip(seconds, numbers(signal, ","), strict=True)
    ]
    assert_reads(write(tmp_path, "time," + ",".join(f"{x} (mV)" for x in LEADS), *lines), signal)


@pytest.mark.parametrize(
    "words",
    ["Sampling frequency (Hz): 500", "fs=500", "SamplingRate;500", "Sample Rate,500 hertz",
     "Abtastrate: 500 Hz", "Frequency: 500 Hz", "samples per second: 500",
     "Fréquence d'échantillonnage : 500 Hz", "SampleRate=0.5 kHz", "Sampling interval: 2 ms"],
)  # fmt: skip
def test_a_rate_in_words(tmp_path, words):
    signal = simulated()
    other = "Low pass: 150 Hz\nHeart rate: 72\nMains frequency filter: 50 Hz"
    path = write(tmp_path, other, words, ",".join(LEADS), *numbers(signal, ","))
    assert_reads(path, signal, units="mV")


@pytest.mark.parametrize(
    ("words", "factor"),
    [("Units: uV", 1000), ("Unit,uV", 1000), ("Units;mV", 1), ("Einheit: µV", 1000),
     ("Resolution: 5 uV/bit", 200), ("Gain: 200 adu/mV", 200), ("unité = mV", 1)],
)  # fmt: skip
def test_units_in_words(tmp_path, words, factor):
    signal = simulated()
    other = "Amplitude: 10 mm/mV"
    path = write(tmp_path, other, words, ",".join(LEADS), *numbers(signal * factor, ","))
    assert_reads(path, signal, rate_hz=500)


@pytest.mark.parametrize(
    "name", ["value", "voltage [mV]", "Amplitude", "mV", "ECG", "Patient 7", ""]
)
@pytest.mark.parametrize("time", ["", "time", "Timestamp (ms)"])
def test_one_column_whose_name_is_no_lead(tmp_path, name, time):
    """A title above a single column is no name; beside a time it must be one."""
    signal = simulated()
    if time and name in ("Patient 7", ""):
        return
    lines = numbers(signal[1:2], ",")
    if time:
        step = 2 if "ms" in time else 0.002
        lines = [f"{k * step:.3f},{line}" for k, line in enumerate(lines)]
    heading = [",".join(filter(None, (time, name)))] if name else []
    path = write(tmp_path, *heading, *lines)
    given = ({} if time else {"rate_hz": 500}) | ({} if "[mV]" in name else {"units": "mV"})
    refused(path, "does not say which lead it is", **given)
    ecg = read_ecg(path, leads="II", **given)
    assert ecg.rate_hz == 500
    np.testing.assert_allclose(ecg.lead("II"), signal[1], atol=1e-4)


STRAP = "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]"


def strap_lines(n: int, columns: str) -> list[str]:
    """What an app writes of a chest strap at 130 Hz: packets of 73 samples, each with a clock."""
    made = []
    for k, value in enumerate(simulated(10, 130)[0, :n]):
        clock = f"2026-04-24T23:59:{55 + (k // 73 + 1) * 73 / 130:06.3f}"
        if (k // 73 + 1) * 73 / 130 >= 5:
            clock = f"2026-04-25T00:00:{(k // 73 + 1) * 73 / 130 - 5:06.3f}"
        cells = {"p": clock, "s": str(599616050941733632 + k * 10**9 // 130),
                 "t": f"{k * 1000 / 130:.1f}", "e": f"{value * 1000:.0f}"}  # fmt: skip
        made.append(";".join(cells[column] for column in columns))
    return made


@pytest.mark.parametrize("columns", ["pste", "pse", "pe"])
def test_the_log_of_a_chest_strap(tmp_path, columns):
    names = dict(zip("pste", STRAP.split(";"), strict=True))
    heading = ";".join(names[column] for column in columns)
    path = write(tmp_path, heading, *strap_lines(1300, columns))
    rate = {"rate_hz": 130} if columns == "pe" else {}
    if columns == "pe":
        refused(path, "gaps, repeats or steps back")
    refused(path, "does not say which lead it is", **rate)
    ecg = read_ecg(path, leads="I", **rate)
    assert ecg.rate_hz == 130 and ecg.seconds == 10
    assert np.abs(ecg.lead("I") - simulated(10, 130)[0]).max() <= 0.0006
    assert not any("timestamp" in note for note in ecg.notes)


def test_a_strap_s_log_of_nanoseconds_with_rates_beside_the_curve(tmp_path):
    signal = simulated(10, 130)
    lines = []
    for k, value in enumerate(signal[0]):
        rates = "72,833" if k % 130 == 0 else ","
        lines.append(f"{1_600_000_000 * 10**9 + k * 10**9 // 130},{value * 1000:.0f},{rates}")
    ecg = read_ecg(write(tmp_path, "time,ecg,hr,rr", *lines), units="uV", leads="I")
    assert ecg.rate_hz == 130 and np.abs(ecg.lead("I") - signal[0]).max() <= 0.0006


@pytest.mark.parametrize(
    "heading", ["Phone timestamp;RR-interval [ms]", "time;HR [bpm]", "timestamp [ms];IBI (ms)"]
)
def test_a_log_of_heart_rates_is_no_ecg(tmp_path, heading):
    lines = [f"{k * 0.8:.1f};{800 + k % 7}" for k in range(300)]
    if "Phone" in heading:
        lines = [f"2026-04-24T10:00:{k % 60:02d}.000;{800 + k % 7}" for k in range(300)]
    refused(write(tmp_path, heading, *lines), "not the curve of an ECG", leads="II")


@pytest.mark.parametrize("words", ["units: mV/1000", "Gain 10 mm/mV", "Resolution: 16 bit"])
def test_words_that_do_not_say_the_unit(tmp_path, words):
    path = write(tmp_path, words, ",".join(LEADS), *numbers(simulated(), ","))
    refused(path, "does not say the unit", rate_hz=500)


@given(text=st.text(alphabet='0123456789.,;-"\t \nLead,IVUnit:µ', max_size=300), wide=st.booleans())
@FUZZ
def test_random_tables(tmp_path, text, wide):
    text = (text.replace("\n", "") * 40 + "\n") * 3 if wide else text * 30
    (tmp_path / "a.csv").write_text(WATCH + text if not wide else text, encoding="utf-8")
    ecg_or_sentence(tmp_path / "a.csv", rate_hz=40, units="mV")
