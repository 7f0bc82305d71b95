"""A trend as HTML: its list, small charts (SVG) and a table. All text of the user is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise

from ecgqa.measure.normal import Range, limits_of
from ecgqa.measure.numbers import Row, reasons
from ecgqa.page.html import table_html
from ecgqa.page.trend import TRENDED, Point, changed_since, is_dated, ordered

# Of a chart, in units of its drawing.
WIDE, HIGH = 320.0, 150.0
LEFT, RIGHT, TOP, LOW = 40.0, 14.0, 14.0, 22.0
REACH = 12.0  # of a point under a finger or pointer
NEAREST = 16.0  # points nearer than that could not be told apart
CHARTED = tuple(row for row in TRENDED if row.label not in ("QT interval", "QTc, Bazett"))


def list_html(points: Sequence[Point]) -> str:
    """The recordings with their names and dates, which can be typed, and what can be done to each.

    `trend.js` tells what was typed or pressed by the attributes data-key and data-do.
    """
    if not points:
        return '<p class="hint">No recording yet: add some above.</p>'
    dated = is_dated(points)
    items = "".join(_item(point, i, len(points), dated) for i, point in enumerate(points))
    return f'<ol class="trend-list">{items}</ol>'


def _item(point: Point, i: int, count: int, dated: bool) -> str:
    name = html.escape(point.name, quote=True)
    box = lambda kind, label, value, more="": (  # noqa: E731
        f'<label>{label} <input type="{kind}" name="{label.lower()}" value="{value}" '
        f'data-id="{point.key}-{label}" aria-label="{label} of recording {i + 1}" {more}></label>'
    )
    button = lambda do, words, said: (  # noqa: E731
        f'<button type="button" data-do="{do}" data-id="{point.key}-{do}" '
        f'aria-label="{said} recording {i + 1}, {name}">{words}</button>'
    )
    moves = ""
    if not dated:
        moves += button("up", "↑", "Move up") if i else ""
        moves += button("down", "↓", "Move down") if i < count - 1 else ""
    return (
        f'<li data-key="{point.key}">'
        + box("text", "Name", name, 'maxlength="80"')
        + box("date", "Date", point.date, 'min="1900-01-01" max="2199-12-31"')
        + box("time", "Time", point.time)
        + button("lay-1", "As comparison", "Lay on the paper as comparison:")
        + button("lay-0", "As this ECG", "Lay on the paper as this ECG:")
        + moves
        + button("remove", "Remove", "Remove")
        + "</li>"
    )


def charts_html(points: Sequence[Point]) -> str:
    """The charts, what a point of them can do, and the table."""
    points = ordered(points)
    if not points:
        return ""
    at = _places(points)
    drawn = "".join(_chart(row, points, at) for row in CHARTED)
    scale = (
        "Over dates, to scale."
        if is_dated(points) and at == _to_scale(points)
        else "In order of their dates, evenly spaced."
        if is_dated(points)
        else "Not all have a date: in the order of the list, evenly spaced."
    )
    limits = limits_of(points[-1].measured)  # those of the last one, as it is now
    green = f"Green: the normal range in {limits.whose or 'adults'}." if limits.ranges else ""
    return (
        f'<p class="hint">{scale} {html.escape(green)} Press a point to lay its ECG on the '
        "paper.</p>"
        f'<div class="trend-charts">{drawn}</div>'
        '<div class="trend-chosen" role="status"></div>'
        f"{_table(points)}"
    )


def _places(points: Sequence[Point]) -> list[float]:
    """Where each recording is drawn, from left to right: to scale, if its points stay apart."""
    inside = WIDE - LEFT - RIGHT
    if len(points) == 1:
        return [LEFT + inside / 2]
    scaled = _to_scale(points)
    if scaled and min(b - a for a, b in pairwise(scaled)) >= NEAREST:
        return scaled
    return [LEFT + inside * i / (len(points) - 1) for i in range(len(points))]


def _to_scale(points: Sequence[Point]) -> list[float]:
    """The same over dates, nothing where not all have one or all have the same."""
    seconds = [point.when.timestamp() for point in points if point.when]
    if len(seconds) < len(points) or seconds[0] == seconds[-1]:
        return []
    share = [(one - seconds[0]) / (seconds[-1] - seconds[0]) for one in seconds]
    return [LEFT + (WIDE - LEFT - RIGHT) * one for one in share]


def _unrolled(row: Row, values: list[float | None]) -> list[float | None]:
    """Values as they are drawn: an axis goes the shorter way round from one to the next."""
    if row.unit != "°":
        return values
    out: list[float | None] = []
    last = None
    for value in values:
        if value is not None and last is not None:
            value = last + (value - last + 180) % 360 - 180
        out.append(value)
        last = last if value is None else value
    return out


def _chart(row: Row, points: Sequence[Point], at: Sequence[float]) -> str:
    """One number over the recordings, as SVG with its words in a label."""
    values = [row.value(point.measured) for point in points]
    drawn = _unrolled(row, values)
    known = [value for value in drawn if value is not None]
    range_ = row.normal(points[-1].measured)
    ends = list(range_) if range_ else []
    if ends and ends[0] == 0:
        ends = ends[1:]
    span = [*known, *ends] or [0.0, 1.0]
    low, high = min(span), max(span)
    room = 0.1 * (high - low) or max(1.0, abs(high)) * 0.1
    low, high = low - room, high + room
    y_of = lambda value: TOP + (HIGH - TOP - LOW) * (high - value) / (high - low)  # noqa: E731
    parts = [_band(range_, low, high, y_of)]
    parts += [
        f'<text x="{LEFT - 5}" y="{y_of(end) + 4:.1f}" text-anchor="end">{row.text(end)}</text>'
        for end in (ends or sorted({min(span), max(span)}))
    ]
    line = []
    for x, value in zip(at, drawn, strict=True):
        line.append("" if value is None else f"{x:.1f},{y_of(value):.1f}")
    for stretch in " ".join(one or "|" for one in line).split("|"):
        if len(stretch.split()) > 1:
            parts.append(f'<polyline points="{stretch.strip()}"/>')
    for point, value, place in zip(points, values, line, strict=True):
        if place:
            x, y = place.split(",")
            parts.append(
                f'<g data-point="{point.key}" data-said="{_said(row, point, value)}">'
                f'<circle class="reach" cx="{x}" cy="{y}" r="{REACH}"/>'
                f'<circle cx="{x}" cy="{y}" r="4.5"/><title>{_said(row, point, value)}</title></g>'
            )
    first, last = (html.escape(points[i].date or str(n)) for i, n in ((0, 1), (-1, len(points))))
    parts.append(f'<text x="{LEFT}" y="{HIGH - 5}">{first}</text>')
    if len(points) > 1:
        parts.append(f'<text x="{WIDE - RIGHT}" y="{HIGH - 5}" text-anchor="end">{last}</text>')
    told = "; ".join(_said(row, p, v) for p, v in zip(points, values, strict=True))
    normal = f", normal {range_.text()}" if range_ else ""
    return (
        f"<figure><figcaption>{row.label} ({row.unit}){normal}</figcaption>"
        f'<svg viewBox="0 0 {WIDE:g} {HIGH:g}" role="img" aria-label="{row.label}: {told}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _band(normal: Range | None, low: float, high: float, y_of) -> str:
    """The normal range of the last one as a band, as far as it is on the chart."""
    if normal is None:
        return ""
    top, bottom = (y_of(min(max(end, low), high)) for end in (normal.high, normal.low))
    return (
        f'<rect class="normal" x="{LEFT}" y="{top:.1f}" width="{WIDE - LEFT - RIGHT}" '
        f'height="{bottom - top:.1f}"/>'
    )


def _said(row: Row, point: Point, value: float | None) -> str:
    """A number of a recording in words, escaped."""
    said = "not measurable" if value is None else f"{row.text(value)} {row.unit}"
    return html.escape(f"{' '.join(filter(None, (point.moment, point.name)))}: {said}", quote=True)


def _table(points: Sequence[Point]) -> str:
    """A row per recording; ↑ ↓ beside what is not normal, ▲ ▼ beside what changed."""
    rows, before = [], None
    for point in points:
        cells = []
        for row in TRENDED:
            change = changed_since(row, point.measured, before)
            mark = "" if change is None else "▲ " if change > 0 else "▼ "
            cells.append(mark + row.flagged(point.measured))
        rows.append((point.moment or "–", point.name, *cells))
        before = point.measured
    head = ("Date", "Name", *(f"{row.label} ({row.unit})" for row in TRENDED))
    caption = (
        "First ten seconds of each (algorithm, not the language model). ▲ ▼: changed since the row "
        "above by more than between two halves of one recording (95 %)"
    )
    notes = "".join(
        f'<p class="hint">{html.escape(f"Not measurable in {point.name}: {why}.")}</p>'
        for point in points
        if (why := "; ".join(reasons(point.measured)))
    )
    return table_html(head, rows, caption, "trended") + notes


def left_out_html(lines: Sequence[str]) -> str:
    """What was not added to a trend, and why."""
    if not lines:
        return ""
    said = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<div class="trend-left-out" role="status"><b>Left out:</b><ul>{said}</ul></div>'
