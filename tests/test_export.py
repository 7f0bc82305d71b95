"""The page to keep: PDF, PNG, CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from pypdf import PdfReader

from ecgqa import INTENDED_USE, measure
from ecgqa.gallery.simulate import simulate
from ecgqa.measure.by_hand import marks_of, moved
from ecgqa.page.export import Said, measurements_csv, pdf, png
from ecgqa.record import ECG

SAID = [
    Said("Is there an old inferior infarct?", "no", "Confidence 93% · this ECG · model · 0.4 s")
]


@pytest.fixture(scope="module")
def two():
    ecgs = [simulate(name, seed=1).ecg for name in ("normal", "complete left bundle branch block")]
    return ecgs, [measure(ecg) for ecg in ecgs]


def words(content: bytes) -> str:
    """The selectable text of a PDF of one page, with single spaces."""
    pages = PdfReader(io.BytesIO(content)).pages
    assert len(pages) == 1
    return " ".join(pages[0].extract_text().split())


@pytest.mark.parametrize("count", [1, 2])
def test_the_pdf_is_one_page_of_selectable_text(two, count):
    ecgs, measured = (each[:count] for each in two)
    text = words(pdf(ecgs, measured, [replace(SAID[0], test="The words alone would.")]))
    assert INTENDED_USE in text and "dependence test: The words alone would." in text
    for ecg in ecgs:
        assert ecg.name in text and ecg.sha256 in text
    assert "Is there an old inferior infarct?" in text and "Confidence 93% · this ECG" in text
    assert f"QRS duration (ms) {measured[0].qrs_ms:.0f}" in text
    assert ("scale 100 %" in text) == (count == 1) and ("scale 50 %" in text) == (count == 2)


def drawn(content: bytes) -> list[tuple[float, float]]:
    """Where the lines of a PDF turn, in mm from the upper left corner."""
    page = PdfReader(io.BytesIO(content)).pages[0].get_contents().get_data().decode("latin-1")
    point_mm = 25.4 / 72
    return [
        (float(x) * point_mm, 210 - float(y) * point_mm)
        for x, y, op, *_ in (line.split() for line in page.splitlines() if len(line.split()) == 3)
        if op in ("m", "l")
    ]


def test_lines_are_vectors_where_time_and_voltage_put_them(two):
    """A step of 1 mV at 2 s of the rhythm strip, at 25 mm/s and 10 mm/mV, in points of the PDF."""
    signal = np.zeros((12, 5000), np.float32)
    signal[1, 1000:] = 1.0  # lead II
    places = drawn(pdf([ECG(signal, 500.0, "step")], [measure(two[0][0])], []))
    # The sheet begins at 13.5 and 20 mm, the strips 15 mm later, row 4 another 20 + 66 mm down.
    assert any(abs(x - 78.5) < 0.3 and abs(y - 96.0) < 0.05 for x, y in places), "1 mV up at 2 s"
    assert any(abs(x - 78.4) < 0.3 and abs(y - 106.0) < 0.05 for x, y in places), "0 before"


def test_odd_names_and_long_talks_stay_on_one_page(two):
    ecgs, measured = two
    odd = [replace(ecgs[0], name="$x^2$ 心電図 <script>" * 9)]
    long = [Said("why " * 500, "because " * 500, "facts " * 300)] * 30
    text = words(pdf(odd, measured[:1], long))
    assert "$x^2$" in text and "earlier ones are not printed." in text
    assert "why …" in text and "because …" in text and "facts …" in text
    assert "…" not in words(pdf(ecgs[:1], measured[:1], SAID))
    assert "No question was asked." in words(pdf(ecgs[:1], measured[:1], []))


def test_a_missing_lead_is_named_and_no_beat_gives_dashes():
    signal = np.zeros((12, 5000), np.float32)
    signal[6] = np.nan
    ecg = ECG(signal, 500.0, "flat")
    text = words(pdf([ecg], [measure(ecg)], []))
    assert "V1 not recorded" in text and "QRS duration (ms) –" in text


@pytest.mark.parametrize("seconds", [2.5, 6])
def test_a_short_ecg_has_all_its_leads_on_paper_at_the_same_scale(seconds):
    """The last column of 6 s begins after 4.5 s; each lead holds a step half way through it."""
    signal = np.zeros((12, round(500 * seconds)), np.float32)
    for column in range(4):
        middle = round((column + 0.5) * 125 * seconds)
        signal[3 * column : 3 * column + 3, middle : middle + round(62.5 * seconds)] = 1.0
    ecg = ECG(signal, 500.0, "short")
    content = pdf([ecg], [measure(ecg)], [])
    assert "not recorded" not in words(content) and "not in these" not in words(content)
    middle_mm = 28.5 + 25 * seconds * 3.5 / 4  # of V4 to V6
    for base_mm in (40.0, 62.0, 84.0):
        assert any(
            abs(x - middle_mm) < 0.3 and abs(y - (base_mm - 10)) < 0.05 for x, y in drawn(content)
        )


def test_a_lead_that_was_recorded_at_another_time_is_not_called_missing():
    signal = np.zeros((12, 5000), np.float32)
    signal[9, 3000:] = np.nan  # V4 is printed from 7.5 s on
    ecg = ECG(signal, 500.0, "part")
    text = words(pdf([ecg], [measure(ecg)], []))
    assert "V4 not in these seconds" in text and "not recorded" not in text


def test_the_png_is_a4_at_200_dots_per_inch(two):
    content = png(two[0][:1], two[1][:1], SAID)
    assert content.startswith(b"\x89PNG")
    wide, high = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert (wide, high) == (2338, 1653)


def test_the_csv_holds_every_number_and_no_formula(two):
    ecgs, measured = two
    evil = replace(ecgs[0], name="=HYPERLINK(1)")
    rows = list(csv.reader(io.StringIO(measurements_csv([evil, ecgs[1]], measured))))
    names = ["comparison: =HYPERLINK(1)", f"this ECG: {ecgs[1].name}"]
    assert rows[0] == ["measurement", "unit", *names, "change"]
    qrs = next(row for row in rows if row[0] == "QRS duration")
    assert [float(v) for v in qrs[2:4]] == pytest.approx([m.qrs_ms for m in measured], abs=0.05)
    for row in rows[1:-1]:
        if all(row[2:4]) and row[1] != "°":
            assert float(row[4]) == pytest.approx(float(row[3]) - float(row[2]), abs=1e-6), row
    assert rows[-1] == ["SHA-256", "", evil.sha256, ecgs[1].sha256]


def test_the_change_in_the_csv_is_that_of_the_numbers_beside_it(two):
    measured = [replace(two[1][0], rate_bpm=rate, qrs_axis_deg=axis) for rate, axis in
                ((70.4, 179.6), (70.6, -179.8))]  # fmt: skip
    rows = {row[0]: row for row in csv.reader(io.StringIO(measurements_csv(two[0], measured)))}
    assert rows["Heart rate"][2:] == ["70.4", "70.6", "0.2"]
    assert rows["QRS axis"][2:] == ["179.6", "-179.8", "0.6"]


def test_what_was_moved_by_hand_and_what_is_doubtful_is_printed(two):
    ecgs, measured = two[0][:1], two[1][:1]
    by_hand = moved(measured[0], {"t_off": marks_of(measured[0])["t_off"] + 0.02})
    doubtful = replace(by_hand, pr_ms=60.0)
    text = words(pdf(ecgs, [doubtful], SAID))
    assert "Moved by hand: T end" in text and "check: PR below 80 ms" in text
    rows = list(csv.reader(io.StringIO(measurements_csv(ecgs, [doubtful]))))
    assert ["to note", "", "Moved by hand: T end; ⚠ check: PR below 80 ms"] in rows
    assert "Moved" not in words(pdf(ecgs, measured, SAID))
