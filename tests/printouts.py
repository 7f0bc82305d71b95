"""`printout`: an ECG as a cart prints it and a scanner or a phone sees it, with known truth.

Everything a printout may look like is a field of `Style`; `style(seed)` draws one at random. Lines
are drawn three times as large and averaged down, as a scanner does with paper.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ecgqa.record import ECG, LEADS

PAPERS = {  # paper, 1 mm lines, 5 mm lines
    "pink": ((255, 244, 244), (250, 205, 208), (240, 150, 155)),
    "orange": ((255, 250, 240), (255, 215, 170), (245, 165, 90)),
    "green": ((244, 252, 244), (195, 230, 195), (120, 195, 130)),
    "blue": ((244, 248, 255), (200, 218, 248), (130, 165, 230)),
    "grey": ((250, 250, 250), (215, 215, 215), (165, 165, 165)),
    "black and white": ((255, 255, 255), (205, 205, 205), (140, 140, 140)),
    "red": ((255, 255, 255), (245, 170, 165), (215, 60, 50)),
}
GRIDS = {
    (3, 4): [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"]],
    (6, 2): [list(pair) for pair in zip(LEADS[:6], LEADS[6:], strict=True)],
    (12, 1): [[lead] for lead in LEADS],
}
CABRERA = [["aVL", "II", "V1", "V4"], ["I", "aVF", "V2", "V5"], ["-aVR", "III", "V3", "V6"]]
_OVER = 3
_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")


@dataclass(frozen=True)
class Style:
    """What a printout looks like. Lengths in mm on paper, turn in degrees."""

    paper: str = "pink"
    dpi: float = 200.0
    grid: tuple[int, int] = (3, 4)
    cabrera: bool = False
    strips: tuple[str, ...] = ("II",)
    gain_mm_mv: float = 10.0
    pulse: str = "left"  # "left", "joined", "right" or "none"
    small_squares: str = "lines"  # "lines", "dots" or "none"
    line_mm: float = 0.3
    ink: tuple[int, int, int] = (20, 20, 25)
    labels: str = "above"  # "above", "beside" or "low"
    label_mm: float = 3.5
    font: int = 0
    separator: str = "none"  # "none", "tick", "line" or "gap"
    header: bool = True
    margin_mm: float = 8.0
    pitch_mm: float = 0.0  # 0: what fits the number of rows
    turn_deg: float = 0.0
    jpeg: int = 0  # 0: none
    noise: float = 0.0
    shade: float = 0.0
    blur_px: float = 0.0


@dataclass(frozen=True, eq=False)
class Printout:
    """picture: uint8 [h, w, 3]. leads_mv: lead → [n] mV at rate_hz, NaN where not printed."""

    picture: np.ndarray
    leads_mv: dict[str, np.ndarray]
    rate_hz: float
    style: Style = field(default_factory=Style)

    def save(self, path: Path) -> Path:
        Image.fromarray(self.picture).save(path)
        return path


def style(seed: int, **fixed) -> Style:
    """A printout's looks drawn at random."""
    r = np.random.default_rng(seed)

    def one_of(*choices):
        return choices[int(r.integers(len(choices)))]

    drawn = {
        "paper": list(PAPERS)[seed % len(PAPERS)],
        "dpi": float(one_of(100, 120, 150, 200, 250, 300)),
        "strips": one_of(("II",), ("V1",), (), ("V1", "II", "V5"), ("II",), ("V1", "II")),
        "pulse": one_of("left", "joined", "none", "right"),
        "small_squares": one_of("lines", "lines", "dots", "none"),
        "line_mm": float(r.uniform(0.2, 0.5)),
        "ink": one_of((0, 0, 0), (25, 25, 30), (50, 50, 55), (20, 20, 70)),
        "labels": one_of("above", "beside", "low"),
        "label_mm": float(r.uniform(2.5, 4.5)),
        "font": int(r.integers(len(_FONTS))),
        "separator": one_of("none", "none", "tick", "line", "gap"),
        "header": bool(r.integers(2)),
        "margin_mm": float(r.uniform(0, 14)),
        "turn_deg": float(one_of(0.0, r.uniform(-3, 3))),
        "jpeg": int(one_of(0, r.integers(60, 96))),
        "noise": float(one_of(0.0, r.uniform(1, 8))),
        "shade": float(one_of(0.0, r.uniform(0.1, 0.4))),
        "blur_px": float(one_of(0.0, r.uniform(0.3, 0.7))),
    }
    return Style(**{**drawn, **fixed})


def printout(ecg: ECG, looks: Style, seed: int = 0) -> Printout:
    """Prints the first 10 s of an ECG. seed: of the noise."""
    rows = CABRERA if looks.cabrera else GRIDS[looks.grid]
    rows = [*rows, *([lead] for lead in looks.strips)]
    pitch = looks.pitch_mm or {3: 38.0, 4: 32.0, 5: 28.0, 6: 25.0, 7: 22.0, 8: 20.0}.get(
        len(rows), 16.0
    )
    top = 22.0 if looks.header else 6.0
    left = 22.0 if looks.pulse in ("left", "joined") or looks.labels == "beside" else 8.0
    sheet = (5 * round((left + 250.0 + 14.0) / 5), 5 * round((top + pitch * (len(rows) + 0.4)) / 5))
    scale = looks.dpi / 25.4 * _OVER
    size = tuple(round((side + 2 * looks.margin_mm) * scale) for side in sheet)
    paper, fine, coarse = PAPERS[looks.paper]
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)

    def at(x_mm: float, y_mm: float) -> tuple[float, float]:
        return (x_mm + looks.margin_mm) * scale, (y_mm + looks.margin_mm) * scale

    pen.rectangle((*at(0, 0), *at(*sheet)), fill=paper)
    if looks.small_squares == "dots":
        for x in range(sheet[0]):
            for y in range(sheet[1]):
                cx, cy = at(x, y)
                pen.rectangle(
                    (cx - 0.1 * scale, cy - 0.1 * scale, cx + 0.1 * scale, cy + 0.1 * scale),
                    fill=fine,
                )
    for step, colour, width in ((1, fine, 0.12), (5, coarse, 0.2)):
        if step == 1 and looks.small_squares != "lines":
            continue
        for x in range(0, sheet[0] + 1, step):
            pen.line((*at(x, 0), *at(x, sheet[1])), fill=colour, width=max(1, round(width * scale)))
        for y in range(0, sheet[1] + 1, step):
            pen.line((*at(0, y), *at(sheet[0], y)), fill=colour, width=max(1, round(width * scale)))

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(fonts / _FONTS[looks.font], looks.label_mm * 1.3 * scale)
    width = max(1, round(looks.line_mm * scale))

    def trace(points: list[tuple[float, float]]) -> None:
        points = [at(*point) for point in points]
        pen.line(points, fill=looks.ink, width=width, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse(
                (x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=looks.ink
            )

    n = round(10 * ecg.rate_hz)
    leads_mv: dict[str, np.ndarray] = {}
    for r, leads in enumerate(rows):
        base = top + pitch * (r + 0.6)
        edges = np.round(np.linspace(0, n, len(leads) + 1)).astype(int)
        for c, name in enumerate(leads):
            a, b = edges[c], edges[c + 1]
            lead = name.removeprefix("-")
            signal = ecg.lead(lead)[a:b].astype(float)
            known = leads_mv.setdefault(lead, np.full(n, np.nan))
            known[a:b] = signal
            sign = -1 if name.startswith("-") else 1
            last = b if b < n and looks.separator == "none" else b - 1
            drawn = ecg.lead(lead)[a : last + 1] if looks.separator == "none" else signal
            skip = round(0.03 * ecg.rate_hz) if looks.separator == "gap" and c else 0
            x = left + np.arange(a, a + len(drawn)) / ecg.rate_hz * 25
            y = base - sign * drawn * looks.gain_mm_mv
            trace(list(zip(x[skip:], y[skip:], strict=True)))
            x0 = left + a / ecg.rate_hz * 25
            if looks.separator == "line" and c:
                pen.line(
                    (*at(x0, base - pitch * 0.4), *at(x0, base + pitch * 0.4)),
                    fill=looks.ink,
                    width=width,
                )
            if looks.separator == "tick" and c:
                pen.line((*at(x0, base - 3), *at(x0, base + 3)), fill=looks.ink, width=width)
            spot = {
                "above": (x0 + 1.5, base - pitch * 0.42),
                "low": (x0 + 1.5, base + 3.0),
                "beside": (x0 - 12.0, base - 2.5) if c == 0 else (x0 + 1.5, base - 8.0),
            }[looks.labels]  # fmt: skip
            pen.text(at(*spot), name, fill=looks.ink, font=font)
        x0 = {"left": left - 10, "joined": left - 6, "right": left + 253, "none": None}[looks.pulse]
        if x0 is not None:
            high = base - looks.gain_mm_mv
            shape = [(x0, base), (x0 + 1, base), (x0 + 1, high), (x0 + 6, high), (x0 + 6, base)]
            trace(shape[1:] if looks.pulse == "joined" else [*shape, (x0 + 7, base)])
    if looks.header:
        small = ImageFont.truetype(fonts / _FONTS[looks.font], 3.2 * scale)
        for i, line in enumerate(
            (
                "Name: DOE, JANE   42 years  female",
                "Vent. rate 72 bpm   PR 162 ms   QRS 92 ms   QT/QTc 392/411 ms",
                "Sinus rhythm. Normal ECG. Unconfirmed report.",
            )
        ):
            pen.text(at(12 + 60 * (i % 2), 3 + 5 * i), line, fill=(15, 15, 15), font=small)
    foot = ImageFont.truetype(fonts / _FONTS[looks.font], 2.6 * scale)
    pen.text(
        at(20, sheet[1] - 5),
        f"25 mm/s   {looks.gain_mm_mv:g} mm/mV   0.05-150 Hz",
        fill=(15, 15, 15),
        font=foot,
    )
    return Printout(_seen(page, looks, seed), leads_mv, ecg.rate_hz, looks)


def _seen(page: Image.Image, looks: Style, seed: int) -> np.ndarray:
    """The page as the scanner or the phone sees it."""
    r = np.random.default_rng(seed)
    if looks.turn_deg:
        page = page.rotate(looks.turn_deg, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    page = page.resize((page.width // _OVER, page.height // _OVER), Image.Resampling.BOX)
    if looks.blur_px:
        page = page.filter(ImageFilter.GaussianBlur(looks.blur_px))
    seen = np.asarray(page, dtype=np.float32)
    if looks.shade:
        y, x = np.mgrid[0 : seen.shape[0], 0 : seen.shape[1]].astype(np.float32)
        way = r.uniform(0, 2 * np.pi)
        along = np.cos(way) * x / seen.shape[1] + np.sin(way) * y / seen.shape[0]
        seen = seen * (1 - looks.shade * (along - along.min()) / np.ptp(along))[..., None]
    if looks.noise:
        seen = seen + r.normal(0, looks.noise, seen.shape)
    picture = Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))
    if looks.jpeg:
        squeezed = io.BytesIO()
        picture.save(squeezed, format="JPEG", quality=looks.jpeg)
        picture = Image.open(squeezed).convert("RGB")
    return np.asarray(picture)
