"""Printed ECGs: what is printed comes back as the same millivolts, or as a sentence."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ecgqa.digitise import digitise
from ecgqa.digitise.grid import even_light, find_grid, level
from ecgqa.digitise.layout import find_layout
from ecgqa.formats import read_ecg, supported_suffixes
from ecgqa.gallery.simulate import simulate
from ecgqa.record import ECG, LEADS, EcgFileError
from tests.bench_digitise import compare, lag_ms
from tests.printouts import PAPERS, Style, printout

QUICK_DPI = 110.0  # small pictures, quick tests


@pytest.fixture(scope="module")
def ecg() -> ECG:
    return simulate("normal", seed=3, noise_mv=0.0).ecg


def read(ecg: ECG, looks: Style):
    shown = printout(ecg, looks)
    return shown, digitise(shown.picture)


def agreement(shown, found) -> np.ndarray:
    """Correlation, amplitude error and share read, [leads, 3]."""
    missing = np.full(1, np.nan)
    return np.array([compare(t, found.leads_mv.get(k, missing)) for k, t in shown.leads_mv.items()])


@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_is_read(ecg, paper):
    shown, found = read(ecg, Style(paper=paper, dpi=130, jpeg=80, turn_deg=1.0, noise=3, shade=0.2))
    r, error, share = agreement(shown, found).T
    assert set(found.leads_mv) == set(LEADS)
    assert np.median(r) > 0.95
    assert np.median(error) < 0.05
    assert share.min() > 0.95
    assert abs(np.median([lag_ms(t, found.leads_mv[k]) for k, t in shown.leads_mv.items()])) <= 4


@pytest.mark.parametrize(
    ("looks", "name"),
    [
        (Style(strips=()), "3×4"),
        (Style(strips=("V1",)), "3×4 with 1 rhythm strip"),
        (Style(strips=("V1", "II", "V5")), "3×4 with 3 rhythm strips"),
        (Style(grid=(6, 2), strips=()), "6×2"),
        (Style(grid=(6, 2), strips=("II",)), "6×2 with 1 rhythm strip"),
        (Style(grid=(12, 1), strips=()), "12×1"),
        (Style(cabrera=True), "3×4 with 1 rhythm strip, Cabrera order"),
    ],
)
def test_layouts_are_told_apart(ecg, looks, name):
    shown, found = read(ecg, replace(looks, dpi=130))
    assert f", {name}:" in found.notes[0]
    r, _, share = agreement(shown, found).T
    assert np.median(r) > 0.95
    assert r.min() > 0.85  # rows 16 mm apart cross
    assert share.min() > 0.95


def test_each_lead_stands_at_its_time_and_a_strip_fills_its_lead(ecg):
    _, found = read(ecg, Style(dpi=QUICK_DPI, strips=("V1",)))
    known = {lead: np.isfinite(signal).mean() for lead, signal in found.leads_mv.items()}
    assert known["V1"] == pytest.approx(1.0, abs=0.02)
    assert all(known[lead] == pytest.approx(0.25, abs=0.01) for lead in LEADS if lead != "V1")
    fifth = round(5.0 * found.rate_hz)
    assert np.isnan(found.leads_mv["V3"][: fifth - 20]).all()
    assert np.isfinite(found.leads_mv["V3"][fifth + 20 : fifth + 1200]).all()


@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("pulse", ["left", "right"])
def test_the_calibration_pulse_gives_the_gain(ecg, gain, pulse):
    shown, found = read(ecg, Style(gain_mm_mv=gain, pulse=pulse, pitch_mm=40, dpi=150))
    assert f"The calibration pulse shows {gain:g} mm/mV." in found.notes
    assert np.median(agreement(shown, found)[:, 1]) < 0.05


def test_without_a_pulse_the_gain_is_an_assumption_and_said(ecg):
    _, found = read(ecg, Style(dpi=QUICK_DPI, pulse="none"))
    assert "No calibration pulse was found; 10 mm/mV was assumed." in found.notes


@settings(  # the same papers every time: once in many runs one is read beside the tolerance
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    px_per_mm=st.floats(3.5, 9.0),
    turn_deg=st.floats(-3.0, 3.0),
    fine=st.booleans(),
)
def test_the_squares_are_measured(px_per_mm, turn_deg, fine):
    side = 4 * round(60 * px_per_mm)
    paper = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(paper)
    for mm in range(0, 241, 1 if fine else 5):
        at, colour = mm * px_per_mm, (240, 120, 120) if mm % 5 == 0 else (250, 200, 200)
        pen.line((at, 0, at, side), fill=colour)
        pen.line((0, at, side, at), fill=colour)
    turned = np.asarray(paper.rotate(turn_deg, Image.Resampling.BICUBIC, fillcolor="white"))
    levelled, found_deg = level(even_light(turned))
    grid = find_grid(levelled)
    assert grid is not None
    assert found_deg == pytest.approx(-turn_deg, abs=0.05)
    assert grid.px_per_mm_x == pytest.approx(px_per_mm, rel=0.004)
    assert grid.px_per_mm_y == pytest.approx(px_per_mm, rel=0.004)


def test_limb_leads_in_wrong_places_are_doubted(ecg):
    n = ecg.signal_mv.shape[1] // 4
    order = [["II", "V3", "V1", "V4"], ["aVR", "V6", "V2", "V5"], ["V5", "V2", "V3", "V6"]]
    rows = [np.concatenate([ecg.lead(lead)[:n] for lead in row]) for row in order]
    right = [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"]]
    standard = [np.concatenate([ecg.lead(lead)[:n] for lead in row]) for row in right]
    doubted, sure = find_layout(np.array(rows)), find_layout(np.array(standard))
    assert doubted is not None and doubted.doubtful
    assert sure is not None and not sure.doubtful
    assert find_layout(np.array(rows[:2])) is None


def words(size: tuple[int, int], step: int) -> Image.Image:
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for y in range(60, size[1] - 60, step):
        pen.text((60, y), "the patient was seen in clinic with chest pain and no fever", "black",
                 ImageFont.load_default(26))  # fmt: skip
    return page


def squares(page: Image.Image, step: int = 6) -> Image.Image:
    pen = ImageDraw.Draw(page)
    for at in range(0, max(page.size), step):
        colour = (240, 140, 140) if at % (5 * step) == 0 else (250, 205, 205)
        pen.line((at, 0, at, page.height), fill=colour)
        pen.line((0, at, page.width, at), fill=colour)
    return page


def spreadsheet() -> Image.Image:
    page = Image.new("RGB", (1600, 1000), "white")
    pen = ImageDraw.Draw(page)
    for x in range(0, 1600, 100):
        pen.line((x, 0, x, 1000), fill=(200, 200, 200))
        for y in range(0, 1000, 24):
            pen.line((0, y, 1600, y), fill=(200, 200, 200))
            pen.text((x + 5, y + 3), str(x * y % 977), fill="black")
    return page


def chart() -> Image.Image:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7))
    axes = figure.add_subplot()
    axes.plot(np.sin(np.arange(400) / 9))
    axes.grid(True)
    out = io.BytesIO()
    figure.savefig(out, dpi=130)
    return Image.open(out).convert("RGB")


def photo() -> Image.Image:
    blobs = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(900, 1200, 3)), (9, 9, 0))
    return Image.fromarray((255 * (blobs - blobs.min()) / np.ptp(blobs)).astype(np.uint8))


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (lambda: Image.new("RGB", (1200, 900), "white"), "No ECG paper"),
        (photo, "No ECG paper"),
        (lambda: words((1000, 1400), 40), "No ECG paper"),
        (spreadsheet, "No ECG paper|no row"),
        (chart, "No ECG paper"),
        (lambda: squares(Image.new("RGB", (1800, 1200), "white")), "no row"),
        (lambda: squares(words((1800, 1200), 90)), "rows? "),
    ],
)  # fmt: skip
def test_other_pictures_are_refused(tmp_path, page, sentence):
    page().save(tmp_path / "a.png")
    with pytest.raises(EcgFileError, match=sentence):
        read_ecg(tmp_path / "a.png")


def test_limb_leads_that_do_not_add_up_are_refused(ecg):
    rows = ["V3", "V6", "V1", "II", "V5", "V2", "I", "V4", "aVR", "III", "aVL", "aVF"]
    mixed = ECG(ecg.signal_mv[[LEADS.index(lead) for lead in rows]], ecg.rate_hz, "mixed")
    with pytest.raises(EcgFileError, match="do not add up"):
        digitise(printout(mixed, Style(dpi=130)).picture)


def test_a_pulse_of_no_usual_height_is_refused(ecg):
    with pytest.raises(EcgFileError, match="calibration pulse"):
        digitise(printout(ecg, Style(dpi=130, gain_mm_mv=14.0)).picture)


def test_part_of_a_sheet_is_refused(ecg):
    shown = printout(ecg, Style(dpi=QUICK_DPI))
    part = shown.picture[:, : 2 * shown.picture.shape[1] // 3]
    with pytest.raises(EcgFileError, match="mm long"):
        digitise(part)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".pdf"])
def test_files_are_read_with_their_tracing(tmp_path, ecg, suffix):
    shown = printout(ecg, Style(dpi=QUICK_DPI))
    path = tmp_path / f"sheet{suffix}"
    Image.fromarray(shown.picture).save(path, resolution=QUICK_DPI)
    found = read_ecg(path)
    assert suffix in supported_suffixes()
    assert (found.name, found.rate_hz, found.missing_leads) == ("sheet", 500.0, ())
    assert found.seconds == pytest.approx(10.0, abs=0.05)
    r = [compare(t, found.lead(k).astype(float))[0] for k, t in shown.leads_mv.items()]
    assert np.median(r) > 0.95
    tracing = np.asarray(Image.open(io.BytesIO(found.tracing_png)).convert("RGB")).astype(int)
    red = (tracing[..., 0] > 180) & (tracing[..., 1] < 60) & (tracing[..., 2] < 90)
    assert red.any(axis=0).mean() > 0.8  # the line runs over the sheet


def test_the_tracing_lies_on_the_printed_lines(ecg):
    shown, found = read(ecg, Style(dpi=150, header=False, labels="above"))
    tracing = np.asarray(Image.open(io.BytesIO(found.tracing_png)).convert("RGB")).astype(int)
    red = (tracing[..., 0] > 180) & (tracing[..., 1] < 60) & (tracing[..., 2] < 90)
    dark = ndimage.binary_dilation(shown.picture.max(axis=2) < 110, iterations=2)
    assert (red & dark).sum() > 0.97 * red.sum()


def test_only_the_first_page_is_read(tmp_path, ecg):
    page = Image.fromarray(printout(ecg, Style(dpi=QUICK_DPI)).picture)
    page.save(tmp_path / "a.pdf", save_all=True, append_images=[page, page])
    assert "Only the first of 3 pages was read." in read_ecg(tmp_path / "a.pdf").notes


def test_a_transparent_picture_stands_on_white(tmp_path, ecg):
    picture = printout(ecg, Style(dpi=QUICK_DPI)).picture
    alpha = np.where(picture.min(axis=2) > 250, 0, 255).astype(np.uint8)
    hidden = np.where(alpha[..., None] == 0, 0, picture)
    Image.fromarray(np.dstack([hidden, alpha]).astype(np.uint8)).save(tmp_path / "a.png")
    assert read_ecg(tmp_path / "a.png").missing_leads == ()


def test_what_cannot_be_opened_is_refused_in_words(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.7\n" + bytes(2000))
    Image.new("L", (9000, 7000)).save(tmp_path / "c.png")
    Image.new("L", (300, 300)).save(tmp_path / "d.jpg")
    empty = pypdfium2.PdfDocument.new()
    empty.save(str(tmp_path / "e.pdf"))
    for name, sentence in (
        ("a.png", "damaged"),
        ("b.pdf", "damaged"),
        ("c.png", "63 million"),
        ("d.jpg", "300 × 300"),
        ("e.pdf", "no pages|damaged"),
    ):
        with pytest.raises(EcgFileError, match=sentence):
            read_ecg(tmp_path / name)


def test_real_printouts_are_read(ecg_data: Path):
    scan = read_ecg(ecg_data / "formats" / "paper_scan" / "fullScan.png")
    assert "3×4 with 2 rhythm strips" in scan.notes[0]
    page = read_ecg(ecg_data / "formats" / "printout" / "anonymous_ecg_3x4_1.pdf")
    assert "3×4 with 1 rhythm strip:" in page.notes[0]
    for found in (scan, page):
        assert found.missing_leads == ()
        assert np.isfinite(found.lead("II")).mean() > 0.97
