"""What the page says about an ECG in words and tables: HTML in which all user text is escaped."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence

from ecgqa.answer.answer import Answer
from ecgqa.measure import Measurements
from ecgqa.measure.criteria import Check
from ecgqa.measure.normal import doubts, implausible, limits_of
from ecgqa.measure.numbers import MEASURED, reasons
from ecgqa.measure.quality import assess
from ecgqa.record import ECG


def as_text(text: str) -> str:
    """Text that neither Markdown nor HTML can read as anything but text (no tag, link, picture)."""
    flat = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r"[^\w\s]|_", lambda sign: f"&#{ord(sign[0])};", flat)


def provenance(answer: Answer) -> str:
    """Which ECGs, which model and version, how decoded, how long: goes under every answer."""
    order = ("first ECG: ", "second ECG: ") if len(answer.ecg_names) == 2 else ("",)
    ecgs = " · ".join(place + name for place, name in zip(order, answer.ecg_names, strict=True))
    return f"{ecgs} · {answer.model} · {answer.decoding} · {answer.seconds:.1f} s"


def sureness(answer: Answer) -> str:
    """The confidence of an answer that was not declined."""
    return "" if answer.declined or not answer.confidence else f"Confidence {answer.confidence:.0%}"


def understanding(answer: Answer) -> str:
    """What a question was understood to ask, in a line above its answer."""
    return f"Understood: {answer.understood}" if answer.understood else ""


def answer_html(
    answer: Answer, rests_on: str = "", numbers: Sequence[Check] = (), testable: bool = True
) -> str:
    """An answer for the conversation, Markdown in which all text is escaped.

    numbers: measurements that bear on it; those that contradict are flagged. testable: it can be
    put to the dependence test.
    """
    sure = sureness(answer)
    facts = (f"<b>{as_text(sure)}</b> · " if sure else "") + as_text(provenance(answer))
    rests = f'<br><span class="rests">{as_text(rests_on)}</span>' if rests_on else ""
    beside = "".join(
        f'<br><span class="measured-{"fits" if one.agrees else "contradicts"}">'
        f"{'' if one.agrees else '⚠ '}Measured: {as_text(one.words)}</span>"
        for one in numbers
    )
    read = understanding(answer)
    text = f'<span class="understood">{as_text(read)}</span><br>' if read else ""
    text += "<br>".join(as_text(line) for line in answer.text.split("\n"))
    text += "".join(f'<br><span class="warn">{as_text(words)}</span>' for words in answer.remarks)
    kind = "provenance testable" if testable else "provenance"
    return f'{text}{beside}\n\n<span class="{kind}">{facts}</span>{rests}'


def quality_html(ecgs: Iterable[ECG | None]) -> str:
    """One line per recording: what its file says, length, rate, leads, faults, which file it was.

    Of the patient age and sex alone: what names them is not shown.
    """
    lines = []
    for ecg in filter(None, ecgs):
        quality = assess(ecg)
        facts = [*ecg.header.facts(), f"{ecg.seconds:.1f} s", f"{ecg.rate_hz:g} Hz"]
        if quality.limb_residual_mv is not None:
            facts.append(f"I + III − II: {quality.limb_residual_mv:.2f} mV")
        if ecg.sha256:
            facts.append(f"SHA-256 {ecg.sha256[:12]}")
        warnings = [*quality.reasons, *ecg.notes]
        by_fault: dict[str, list[str]] = {}
        for lead, faults in quality.leads.items():
            for fault in faults:
                by_fault.setdefault(fault, []).append(lead)
        warnings += [f"{fault.capitalize()}: {', '.join(on)}" for fault, on in by_fault.items()]
        good = '<span class="good">no fault found in 12 leads</span>'
        bad = " ".join(f'<span class="warn">{html.escape(text)}</span>' for text in warnings)
        lines.append(
            f'<div class="quality-line"><b>{html.escape(ecg.name)}</b> '
            f"<span>{' · '.join(map(html.escape, facts))}</span> {bad or good}</div>"
        )
    return "".join(lines)


def tracing_html(ecgs: Iterable[ECG | None]) -> str:
    """The picture of each recording that came from one, with the traces as they were read."""
    figures = []
    for ecg in filter(None, ecgs):
        if not ecg.tracing_png:
            continue
        words = f"{ecg.name}: read from this picture. Please check the red traces against the ink."
        figures.append(
            f'<figure class="tracing"><figcaption>{html.escape(words)}</figcaption>'
            f'<img alt="{html.escape(words)}" '
            f'src="data:image/png;base64,{base64.b64encode(ecg.tracing_png).decode("ascii")}">'
            "</figure>"
        )
    return "".join(figures)


def table_html(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str, kind: str) -> str:
    """A table; every cell is escaped."""
    cells = lambda row, tag: "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)  # noqa: E731
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="table-box" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f'<table class="numbers {kind}"><caption>{html.escape(caption)}'
        f"</caption><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def measurement_html(this: Measurements | None, other: Measurements | None) -> str:
    """The comparison, this ECG and the change since then, side by side, and what changed."""
    rows, changed = [], []
    doubtful = [{} if m is None else implausible(m) for m in (this, other)]
    for row in MEASURED:
        now, then = (None if m is None else row.value(m) for m in (this, other))
        this_cell, other_cell = (
            row.flagged(m, row.label in doubts)
            for m, doubts in zip((this, other), doubtful, strict=True)
        )
        change = row.change(now, then)
        cell = row.text(change, signed=True)
        if change is not None and abs(change) > row.repeats_within:
            cell = f"{'▲' if change > 0 else '▼'} {cell}"
            changed.append(f"{row.label} {row.text(change, signed=True)} {row.unit}")
        label = f"{row.label} ({row.unit})"
        normal = row.normal(this) if this else None
        normal = normal.text() if normal else ""
        rows.append(
            (label, this_cell, normal) if other is None else (label, other_cell, this_cell, cell)
        )
    table = table_html(
        ("Measurement", "This ECG", "Normal")
        if other is None
        else ("Measurement", "Comparison", "This ECG", "Change"),
        rows,
        "Measurements (algorithm, not the language model)",
        "measured",
    )
    table += _limits_html(this, other)
    table += _doubts_html(this, other) + _missing_html(this, other) + _voltages_html(this)
    if this is None or other is None:
        return table
    words = ", ".join(changed) or "nothing"
    return (
        f'{table}<p class="changes" role="status"><b>Changed, by the algorithm:</b> '
        f"{html.escape(words)}. ▲ ▼ mark changes larger than those between two halves of one "
        "recording (95&nbsp;%).</p>"
    )


def _limits_html(this: Measurements | None, other: Measurements | None) -> str:
    """Whose normal limits the flags go by, where they are not those of all adults."""
    said = [limits_of(m).words for m in (other, this) if m is not None]
    return "".join(
        f'<p class="hint">{html.escape(words)}.</p>' for words in dict.fromkeys(filter(None, said))
    )


def _doubts_html(this: Measurements | None, other: Measurements | None) -> str:
    lines = [
        f"{name}: {line}."
        for name, m in (("Comparison", other), ("This ECG", this))
        if m is not None
        for line in doubts(m)
    ]
    return "".join(f'<p class="doubt">{html.escape(line)}</p>' for line in lines)


def _missing_html(this: Measurements | None, other: Measurements | None) -> str:
    """Why there is a dash."""
    lines = [
        f"Not measurable in {name}: {'; '.join(why)}."
        for name, m in (("the comparison", other), ("this ECG", this))
        if m is not None and (why := reasons(m))
    ]
    return "".join(f'<p class="hint">{html.escape(line)}</p>' for line in lines)


def _voltages_html(this: Measurements | None) -> str:
    """Voltages of each lead of this ECG, folded away."""
    if this is None or not this.leads:
        return ""
    signed = lambda mv: "–" if mv is None else f"{mv:+.2f}".replace("-", "−")  # noqa: E731
    rows = [
        (lead, *map(signed, (v.p_mv, v.q_mv, v.r_mv, v.s_mv, v.st_j_mv, v.st_j60_mv, v.t_mv)))
        for lead, v in this.leads.items()
    ]
    head = ("Lead", "P", "Q", "R", "S", "ST at J", "ST at J + 60 ms", "T")
    table = table_html(head, rows, "This ECG, mV from the level at QRS onset", "voltages")
    return f"<details><summary>Voltages and ST level of each lead</summary>{table}</details>"
