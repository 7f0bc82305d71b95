"""The page to keep: PDF, PNG, CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from pypdf import PdfReader

from ecgqa import INTENDED_USE, measure
from ecgqa.export import Said, measurements_csv, pdf, png
from ecgqa.record import ECG
from ecgqa.simulate import simulate

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
    text = words(pdf(ecgs, measured, SAID))
    assert INTENDED_USE in text
    for ecg in ecgs:
        assert ecg.name in text and ecg.sha256 in text
    assert "Is there an old inferior infarct?" in text and "Confidence 93% · this ECG" in text
    assert f"QRS duration (ms) {measured[0].qrs_ms:.0f}" in text
    assert ("scale 100 %" in text) == (count == 1) and ("scale 50 %" in text) == (count == 2)


def test_lines_are_vectors_where_time_and_voltage_put_them(two):
    """A step of 1 mV at 2 s of the rhythm strip, at 25 mm/s and 10 mm/mV, in points of the PDF."""
    signal = np.zeros((12, 5000), np.float32)
    signal[1, 1000:] = 1.0  # lead II
    content = PdfReader(io.BytesIO(pdf([ECG(signal, 500.0, "step")], [measure(two[0][0])], [])))
    drawn = content.pages[0].get_contents().get_data().decode("latin-1")
    point_mm = 25.4 / 72
    places = [
        (float(x) * point_mm, 210 - float(y) * point_mm)
        for x, y, op, *_ in (line.split() for line in drawn.splitlines() if len(line.split()) == 3)
        if op in ("m", "l")
    ]
    # The sheet begins at 13.5 and 20 mm, the strips 15 mm later, row 4 another 20 + 66 mm down.
    assert any(abs(x - 78.5) < 0.3 and abs(y - 96.0) < 0.05 for x, y in places), "1 mV up at 2 s"
    assert any(abs(x - 78.4) < 0.3 and abs(y - 106.0) < 0.05 for x, y in places), "0 before"


def test_odd_names_and_long_talks_stay_on_one_page(two):
    ecgs, measured = two
    odd = [replace(ecgs[0], name="$x^2$ 心電図 <script>" * 9)]
    long = [Said("why " * 500, "because " * 500, "facts " * 300)] * 30
    text = words(pdf(odd, measured[:1], long))
    assert "$x^2$" in text and "earlier ones are not printed." in text
    assert "No question was asked." in words(pdf(ecgs[:1], measured[:1], []))


def test_a_missing_lead_is_named_and_no_beat_gives_dashes():
    signal = np.zeros((12, 5000), np.float32)
    signal[6] = np.nan
    ecg = ECG(signal, 500.0, "flat")
    text = words(pdf([ecg], [measure(ecg)], []))
    assert "V1 not recorded" in text and "QRS duration (ms) –" in text


def test_the_png_is_a4_at_200_dots_per_inch(two):
    content = png(two[0][:1], two[1][:1], SAID)
    assert content.startswith(b"\x89PNG")
    wide, high = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert (wide, high) == (2338, 1653)


def test_the_csv_holds_every_number_and_no_formula(two):
    ecgs, measured = two
    evil = replace(ecgs[0], name="=HYPERLINK(1)")
    rows = list(csv.reader(io.StringIO(measurements_csv([evil, ecgs[1]], measured))))
    assert rows[0] == ["measurement", "unit", "'=HYPERLINK(1)", ecgs[1].name, "change"]
    qrs = next(row for row in rows if row[0] == "QRS duration")
    assert [float(v) for v in qrs[2:4]] == pytest.approx([m.qrs_ms for m in measured], abs=0.05)
    assert int(qrs[4]) == round(measured[0].qrs_ms) - round(measured[1].qrs_ms)
    assert rows[-1] == ["SHA-256", "", evil.sha256, ecgs[1].sha256]
