"""What a file says of its recording and its patient, and the normal limits that follow."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa import ECG, read_ecg
from ecgqa.__main__ import main
from ecgqa.formats.header import age_of, date_of, sex_of
from ecgqa.gallery.simulate import simulate
from ecgqa.measure import measure
from ecgqa.measure.normal import ADULTS, limits_for
from ecgqa.measure.numbers import MEASURED
from ecgqa.page.desk import Desk
from ecgqa.page.html import measurement_html, quality_html
from ecgqa.record import FEMALE, MALE, OVER_89

DICOM = Path(pydicom.data.get_testdata_file("waveform_ecg.dcm", download=False) or "")


def test_a_real_file_says_who_and_when_and_keeps_names_apart():
    header = read_ecg(DICOM).header
    assert (int(header.age_years or 0), header.sex) == (42, FEMALE)
    assert header.recorded == datetime(2013, 1, 25, 10, 59, 19)
    assert header.filter_text == "0.05 to 300 Hz" and header.device.startswith("Mortara")
    assert ("id", "642341") in header.identity
    assert "642341" not in repr(header) and "642341" not in " ".join(header.facts())


@pytest.mark.parametrize(
    ("file", "facts"),
    [
        ("100.hea", ("69 years", "male")),
        ("s0010_re.hea", ("81 years", "female", "recorded 1990-10-01")),
        ("hl7aecg_example.xml", (
            "recorded 2025-09-23 10:35",
            "Shenzhen Mindray Bio-Medical Electronics Co., Ltd. BeneHeart R12",
            "device filter 0.56 to 35 Hz, notch 50 Hz",
        )),
    ],
)  # fmt: skip
def test_files_of_other_makers(ecg_data, file, facts):
    (found,) = (ecg_data / "formats").rglob(file)
    files = [found, *found.parent.glob(f"{found.stem}.dat")]
    assert read_ecg(files).header.facts() == facts


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 120), st.sampled_from(["{}", "{:03d}Y", "{} years", "{} y/o", "{} Jahre"]))
def test_an_age_in_years_is_read_in_every_spelling(years, spelling):
    assert age_of(spelling.format(years)) == years


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_no_text_is_an_age_or_a_day_that_cannot_be(text):
    years, day = age_of(text), date_of(text)
    assert years is None or 0 <= years <= 125
    assert day is None or date(1910, 1, 1) <= date(day.year, day.month, day.day)
    assert sex_of(text) in ("", FEMALE, MALE)


@pytest.mark.parametrize("nonsense", ["999", "0", "-4", "", None, "abc", "12 parsecs", "130"])
def test_nonsense_is_no_age(nonsense):
    assert age_of(nonsense) is None


def test_ages_that_are_no_years_and_the_very_old():
    assert age_of("8 months") == pytest.approx(8 / 12)
    assert age_of("012D") == pytest.approx(12 / 365.25)
    assert age_of("300") == age_of("90+") == OVER_89


@settings(max_examples=100, deadline=None)
@given(st.dates(date(1960, 1, 1), date(2024, 12, 31)))
def test_days_are_read_and_unclear_ones_are_not(day):
    assert date_of(day.isoformat()) == date_of(f"{day:%Y%m%d}") == date_of(f"{day:%d.%m.%Y}") == day
    slashed = f"{day:%d/%m/%Y}"
    assert date_of(slashed) in ((None,) if day.day <= 12 else (day,))
    assert date_of(slashed, order="dmy") == day


def test_limits_follow_age_and_sex():
    assert limits_for(None, "") is ADULTS and limits_for(40, MALE).ranges == ADULTS.ranges
    assert limits_for(40, FEMALE).ranges["qt corrected"].high == 460
    boys = limits_for(6, MALE)
    assert boys.ranges["heart rate"] == (62, 113) and "Rijnbeek 2001" in boys.source
    assert "qt interval" not in boys.ranges and limits_for(1 / 365, "").ranges == {}


@settings(max_examples=100, deadline=None)
@given(st.floats(0.05, 15.9), st.sampled_from(["heart rate", "pr interval", "qrs duration"]))
def test_of_a_child_of_unknown_sex_the_wider_limits_hold(years, name):
    low, high = limits_for(years, "").ranges[name]
    for sex in (FEMALE, MALE):
        own = limits_for(years, sex).ranges[name]
        assert low <= own.low and own.high <= high


def test_flags_of_the_table_and_whose_limits_they_are():
    ecg = simulate("normal", rate_bpm=110).ecg
    rate = next(row for row in MEASURED if row.label == "Heart rate")
    assert rate.flagged(measure(ecg)).startswith("↑")
    child = ecg.of_patient(6.0, MALE)
    assert not rate.flagged(measure(child)).startswith("↑")
    table = measurement_html(measure(child), None)
    assert "Normal: boys, 5 to 8 years" in table and "62 to 113" in table
    assert "Normal: boys" not in measurement_html(measure(ecg), None)
    assert "6 years" in quality_html([child]) and "male" in quality_html([child])


def test_the_page_keeps_no_name_and_no_number():
    desk = Desk()
    assert desk.settle(0, desk.turn(0), read_ecg(DICOM))
    kept = desk.ecgs[0]
    assert isinstance(kept, ECG) and kept.header.identity == () and kept.header.sex == FEMALE


def test_age_and_sex_on_the_command_line(capsys):
    assert main(["measure", str(DICOM), "--age", "8 months", "--sex", "f"]) == 0
    said = capsys.readouterr().out
    assert "8 months, female" in said and "Normal: girls, 6 to 12 months" in said
    assert "642341" not in said
    assert main(["measure", str(DICOM), "--age", "old"]) == 2
    assert "please give years" in capsys.readouterr().err
    assert main(["measure", str(DICOM), "--sex", "7"]) == 2
