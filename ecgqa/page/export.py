"""One page to keep: the ECG on paper, its numbers, the questions and the answers, as PDF or PNG.

Drawn with matplotlib's `Figure` alone (no pyplot, no state): lines and letters stay vectors in the
PDF, its text can be selected. One ECG is printed at full size, 25 mm/s and 10 mm/mV on A4; two are
printed side by side at half of that, which the page says.
"""

from __future__ import annotations

import csv
import io
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgqa.answer.answer import INTENDED_USE
from ecgqa.measure import Measurements
from ecgqa.measure.normal import doubts, implausible, limits_of
from ecgqa.measure.numbers import MEASURED
from ecgqa.record import ECG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE_MM = (297.0, 210.0)  # A4, landscape
SPEED_MM_S, GAIN_MM_MV = 25.0, 10.0
COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
RHYTHM = "II"
SHEET_S = 10.0
FIRST_MM, PITCH_MM = 20.0, 22.0  # the first row's baseline, and from row to row
PULSE_MM, PULSE_S = 5.0, 0.2
LEFT_MM = PULSE_MM + PULSE_S * SPEED_MM_S + 5.0  # where the strips begin
SHEET_MM = (LEFT_MM + SHEET_S * SPEED_MM_S + 5.0, FIRST_MM + 3 * PITCH_MM + 14.0)
INK, QUIET, FINE, COARSE = "#15181e", "#5d6470", "#f8e1df", "#eebab6"
WARN = "#9a3412"
LETTERS = {"family": "DejaVu Sans", "parse_math": False}
MOST_OF_ANSWER = 10  # lines
WIDTH_CHARS, MOST_LINES = 112, 16  # of the column of answers, under one ECG
DPI = 200  # of the PNG


@dataclass(frozen=True)
class Said:
    """A question, what was answered, all that was shown under it, and the dependence test."""

    question: str
    answer: str
    facts: str
    test: str = ""


def pdf(ecgs: Sequence[ECG], measured: Sequence[Measurements], said: Sequence[Said]) -> bytes:
    """The page as PDF. ecgs: the comparison, if there is one, then this ECG; measured: of each."""
    return _save(ecgs, measured, said, "pdf")


def png(ecgs: Sequence[ECG], measured: Sequence[Measurements], said: Sequence[Said]) -> bytes:
    """The page as PNG, see `pdf`."""
    return _save(ecgs, measured, said, "png")


def measurements_csv(ecgs: Sequence[ECG], measured: Sequence[Measurements]) -> str:
    """A row per measurement: name, unit, value of each ECG ("" where not measurable), change.

    ecgs, measured: see `pdf`. With a decimal more than on the page; the change is that of the
    printed numbers.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    which = ("comparison", "this ECG")[-len(ecgs) :]
    # A line break in a name would begin a row, and its rest may be what a spreadsheet runs.
    titles = [" ".join(ecg.title.split()) for ecg in ecgs]
    names = [f"{place}: {title}" for place, title in zip(which, titles, strict=True)]
    rows.writerow(["measurement", "unit", *names, *(["change"] if len(ecgs) == 2 else [])])
    for row in (row._replace(decimals=row.decimals + 1) for row in MEASURED):
        values = [row.value(m) for m in measured]
        cells = ["" if v is None else f"{v:.{row.decimals}f}" for v in values]
        if len(values) == 2:
            then, now = values
            change = row.change(now, then)
            cells.append("" if change is None else f"{change:.{row.decimals}f}")
        rows.writerow([row.label, row.unit, *cells])
    said = ["; ".join(doubts(m)) for m in measured]
    if any(said):
        rows.writerow(["to note", "", *said])
    rows.writerow(["SHA-256", "", *(ecg.sha256 for ecg in ecgs)])
    return out.getvalue()


def _save(
    ecgs: Sequence[ECG], measured: Sequence[Measurements], said: Sequence[Said], kind: str
) -> bytes:
    from matplotlib import rc_context  # half a second that nobody should wait for at the start
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_MM[0] / 25.4, PAGE_MM[1] / 25.4))
    page = figure.add_axes((0, 0, 1, 1))
    page.set_xlim(0, PAGE_MM[0])
    page.set_ylim(PAGE_MM[1], 0)  # millimetres from the upper left corner
    page.axis("off")
    scale = 1.0 if len(ecgs) == 1 else 0.5
    _text(page, 13, 10, "ECG question answering", 3.9, weight="bold")
    _text(page, 13, 15.5, INTENDED_USE, 2.5, colour=QUIET)
    for i, ecg in enumerate(ecgs):
        _sheet(page, ecg, 13.5 + i * (SHEET_MM[0] * scale + 1.0), 20.0, scale)
    top = 20.0 + SHEET_MM[1] * scale + 11.0
    _numbers(page, ecgs, measured, top)
    _answers(page, said, top, scale)
    out = io.BytesIO()
    # Fonttype 42: letters stay letters, so that they can be selected.
    with rc_context({"pdf.fonttype": 42}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters the font lacks
        about = {"Title": "ECG question answering"} if kind == "pdf" else {}
        figure.savefig(out, format=kind, dpi=DPI, metadata=about)
    return out.getvalue()


def _text(page: Axes, x: float, y: float, text: str, mm: float, **style) -> None:
    """A line of text whose letters are `mm` high on the page."""
    style = {"color": style.pop("colour", INK), **style}
    page.text(x, y, text, fontsize=mm * 72 / 25.4, va="baseline", **LETTERS, **style)


def _sheet(page: Axes, ecg: ECG, left: float, top: float, scale: float) -> None:
    """One ECG on its paper, 3 × 4 and a rhythm strip; `scale` 1 is 25 mm/s and 10 mm/mV."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    wide, high = (side * scale for side in SHEET_MM)
    for step, colour, width in ((1.0, FINE, 0.12), (5.0, COARSE, 0.18)):
        xs = left + np.arange(0, SHEET_MM[0] + 1e-6, step) * scale
        ys = top + np.arange(0, SHEET_MM[1] + 1e-6, step) * scale
        lines = [((x, top), (x, top + high)) for x in xs] + [
            ((left, y), (left + wide, y)) for y in ys
        ]
        page.add_collection(LineCollection(lines, colors=colour, linewidths=width * 72 / 25.4))
    traces: list[np.ndarray] = []
    whole_s = min(SHEET_S, ecg.seconds)  # a short one's columns are narrower, at the same scale
    places = [
        (lead, row, column * whole_s / 4, whole_s / 4)
        for column, leads in enumerate(COLUMNS)
        for row, lead in enumerate(leads)
    ] + [(RHYTHM, 3, 0.0, whole_s)]
    for lead, row, start_s, seconds in places:
        base = top + (FIRST_MM + row * PITCH_MM) * scale
        x0 = left + (LEFT_MM + start_s * SPEED_MM_S) * scale
        first, last = (round(t * ecg.rate_hz) for t in (start_s, start_s + seconds))
        signal = ecg.lead(lead)[first : last + 1]
        x = x0 + np.arange(len(signal)) / ecg.rate_hz * SPEED_MM_S * scale
        points = np.column_stack([x, base - signal * GAIN_MM_MV * scale])
        there = np.isfinite(points[:, 1])
        runs = np.split(np.arange(len(points)), np.flatnonzero(np.diff(there)) + 1)
        traces += [points[run] for run in runs if len(run) and there[run[0]]]
        if lead in ecg.missing_leads:
            lead += "  not recorded"
        elif not there.any():
            lead += "  not in these seconds"
        _text(page, x0 + 1.0 * scale, base - 7.0 * scale, lead, 2.6 * scale**0.5, weight="bold")
    for row in range(4):
        base, x = top + (FIRST_MM + row * PITCH_MM) * scale, left + PULSE_MM * scale
        right, peak = x + PULSE_S * SPEED_MM_S * scale, base - GAIN_MM_MV * scale
        traces.append(np.array([(x, base), (x, peak), (right, peak), (right, base)]))
    inside = Rectangle((left, top), wide, high, transform=page.transData)
    drawn = LineCollection(traces, colors=INK, linewidths=0.22 * scale**0.5 * 72 / 25.4)
    page.add_collection(drawn)
    drawn.set_clip_path(inside)
    facts = [
        f"{SPEED_MM_S * scale:g} mm/s", f"{GAIN_MM_MV * scale:g} mm/mV", f"{ecg.rate_hz:g} Hz",
        "unfiltered", f"{whole_s:.0f} s",
        f"scale {100 * scale:.0f} %",
    ]  # fmt: skip
    name = ecg.title if len(ecg.title) <= 80 else ecg.title[:80] + "…"
    below = top + high + 3.4
    _text(page, left, below, name, 2.3, weight="bold")
    _text(page, left, below + 3.2, " · ".join(facts), 2.2)
    if ecg.sha256:
        _text(page, left, below + 6.2, f"SHA-256 {ecg.sha256}", 1.8, colour=QUIET)


def _numbers(page: Axes, ecgs: Sequence[ECG], measured: Sequence[Measurements], top: float) -> None:
    """The table of measurements."""
    heads = ["Comparison", "This ECG", "Change"] if len(ecgs) == 2 else ["This ECG", "Normal"]
    doubtful = [implausible(m) for m in measured]
    y = top + 4.0
    _text(page, 13.5, y, "Measurements (algorithm, not the language model)", 2.5, weight="bold")
    y += 5.0
    for i, name in enumerate(heads):
        _text(page, 72 + 20 * i, y, name, 2.3, ha="right", colour=QUIET)
    for row in MEASURED:
        y += 3.7
        values = [row.value(m) for m in measured]
        cells = [
            row.flagged(m, row.label in doubts)
            for m, doubts in zip(measured, doubtful, strict=True)
        ]
        if len(values) == 2:
            then, now = values
            cells.append(row.text(row.change(now, then), signed=True))
        else:
            normal = row.normal(measured[0])
            cells.append(normal.text() if normal else "")
        _text(page, 13.5, y, f"{row.label} ({row.unit})", 2.4)
        for i, cell in enumerate(cells):
            _text(page, 72 + 20 * i, y, cell, 2.4, ha="right")
    for name, m in zip(heads, measured, strict=False):
        for line in filter(None, (limits_of(m).words, *doubts(m))):
            y += 3.2
            _text(page, 13.5, y, f"{name}: {line}", 2.1, colour=WARN)


def _answers(page: Axes, said: Sequence[Said], top: float, scale: float) -> None:
    """Questions and answers, the last ones first, as many as there is room for."""
    y, left = top + 4.0, 124.0
    most = MOST_LINES if scale == 1.0 else MOST_LINES + 12
    _text(page, left, y, "Questions and answers (language model)", 2.5, weight="bold")
    lines: list[tuple[str, str, str]] = []
    shown = 0
    for one in reversed(said):
        block = [("bold", INK, line) for line in _lines(one.question, 3)]
        parts = one.answer.split("\n")  # a report has a line for each section
        answer = [line for part in parts for line in _lines(part, 4 if len(parts) == 1 else 2)]
        block += [("normal", INK, line) for line in answer[:MOST_OF_ANSWER]]
        block += [("normal", QUIET, line) for line in _lines(one.facts, 4)]
        if one.test:
            tested = f"Put to the dependence test: {one.test}"
            block += [("normal", INK, line) for line in _lines(tested, 3)]
        if len(lines) + len(block) > most:
            break
        lines += [*block, ("normal", INK, "")]
        shown += 1
    if shown < len(said):
        lines.append(("normal", QUIET, f"{len(said) - shown} earlier ones are not printed."))
    if not said:
        lines.append(("normal", QUIET, "No question was asked."))
    y += 1.5
    for weight, colour, line in lines:
        y += 3.6 if line else 1.8
        _text(page, left, y, line, 2.3, weight=weight, colour=colour)


def _lines(text: str, most: int) -> list[str]:
    """Text in at most so many lines; a longer one ends with "…"."""
    return textwrap.wrap(text, WIDTH_CHARS, max_lines=most, placeholder=" …")
