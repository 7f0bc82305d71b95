"""HL7 annotated ECG (aECG, ANSI/HL7 V3 ECG R1-2004): XML whose root is AnnotatedECG.

A file holds one or more series. A series of code RHYTHM holds sets of sequences: in each set one
sequence tells the times (its first and the step) and the others the leads, as whole numbers with
an origin and a scale. The calculated median beat is a series derived from it and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

import numpy as np

from ecgqa.formats.header import (
    FIRST_BIRTH,
    age_of,
    date_of,
    device_of,
    filter_of,
    header_of,
    sex_of,
)
from ecgqa.formats.leads import choose_leads, lead_of
from ecgqa.formats.recording import (
    MAX_RATE_HZ,
    MAX_SECONDS,
    Recording,
    kept_note,
    samples_kept,
    stated_or_given,
)
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.formats.xml_tree import children, local_name, number_in, numbers_in, text_of, xml_tree
from ecgqa.record import EcgFileError, Header

_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_MAX_SETS = 500


@dataclass(frozen=True, eq=False)
class Block:
    """One set of sequences: leads that were sampled together.

    leads_mv: lead (as in `LEADS`) → float [n] mV, at most the first ten minutes.
    start_s: when it begins, on a clock that all sets of the series share; None where not stated.
    rate_hz: None where not stated.
    n_stored: samples of the longest lead as it is stored.
    """

    leads_mv: Mapping[str, np.ndarray]
    start_s: float | None
    rate_hz: float | None
    n_stored: int
    notes: tuple[str, ...]

    @property
    def lead_seconds(self) -> float:
        """How much ECG there is: leads × seconds."""
        return len(self.leads_mv) * self.n_stored / (self.rate_hz or 1)


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the rhythm: the series with the most ECG that is not a calculated beat.

    A sample is worth origin + scale × digit. Sets of one series that began at different times
    (three leads at a time, or one piece after another) are put where their times say.
    Raises EcgFileError for a file without a rhythm, unknown units, or numbers that are none.
    """
    check_size(uploads)
    (upload,) = uploads
    root = xml_tree(upload)
    found: list[list[Block]] = []
    refused: EcgFileError | None = None
    for series in children(root, "component", "series"):
        (code,) = _codes(series)[:1] or [""]
        if re.search(r"REPRESENTATIVE|MEDIAN|BEAT|AVERAGE", code.upper()):
            continue
        try:
            found.append(_blocks(series, units))
        except EcgFileError as error:
            refused = refused or error
    best = max(found, key=lambda blocks: sum(b.lead_seconds for b in blocks), default=[])
    if not best:
        raise refused or EcgFileError(
            f"{shown(upload.name)} is an HL7 aECG file without a recorded rhythm. Please export it "
            "with its waveforms."
        )
    block = max(best, key=lambda b: b.lead_seconds)
    final_hz, rate_notes = stated_or_given(block.rate_hz, rate_hz)
    notes = rate_notes + block.notes
    if len(found) > 1:
        notes += (f"The file holds {len(found)} recordings; the longest was read.",)
    leads_mv, joined = _joined(block, best, final_hz)
    return Recording(leads_mv, final_hz, upload.stem, notes + joined, header=_header(root))


def _header(root: Element) -> Header:
    """What the subject, the first series and its filters (its control variables) say."""
    series = (children(root, "component", "series") or [root])[0]
    trial = "componentOf/timepointEvent/componentOf/subjectAssignment/subject/trialSubject"
    subject = (children(root, *trial.split("/")) or [Element("none")])[0]
    person = (children(subject, "subjectDemographicPerson") or [subject])[0]
    device = (children(series, "author", "seriesAuthor") or [Element("none")])[0]
    times = [
        _value(element, "effectiveTime", which)
        for element in (series, root)
        for which in ("low", "center")
    ]
    cut_offs: dict[str, float | None] = {}
    for variable in (e for e in series.iter() if local_name(e) == "controlVariable"):
        for kind in ("LOW_PASS", "HIGH_PASS", "NOTCH"):
            if any(code.endswith(f"FILTER_{kind}") for code in _codes(variable)):
                inner = children(variable, "component", "controlVariable", "value")
                cut_offs[kind] = number_in(inner[0].get("value")) if inner else None
    return header_of(
        age=age_of(text_of(person, "Age")),
        born=date_of(_value(person, "birthTime"), earliest=FIRST_BIRTH),
        sex=sex_of(next(iter(_codes(person, "administrativeGenderCode")), "")),
        recorded=next(filter(None, map(date_of, times)), None),
        device=device_of(
            text_of(device, "manufacturerOrganization", "name"),
            text_of(device, "manufacturedSeriesDevice", "manufacturerModelName"),
        ),
        filter_text=filter_of(*(cut_offs.get(k) for k in ("HIGH_PASS", "LOW_PASS", "NOTCH"))),
        identity=(
            ("name", " ".join("".join(e.itertext()) for e in children(person, "name"))),
            ("id", text_of(person, "PatientID")),
            ("subject", next((i.get("extension") for i in children(subject, "id")), "")),
        ),
    )


def _value(element: Element, *names: str) -> str:
    """The attribute "value" at the end of a path, "" where there is none."""
    return next((found.get("value", "") for found in children(element, *names)), "")


def _codes(element: Element, name: str = "code") -> list[str]:
    return [code.get("code", "") for code in children(element, name)]


def _blocks(series: Element, units: str | None) -> list[Block]:
    """The sets of a series that hold leads. Raises EcgFileError when no set does."""
    blocks: list[Block] = []
    refused: EcgFileError | None = None
    sets = children(series, "component", "sequenceSet")
    if len(sets) > _MAX_SETS:
        raise EcgFileError(f"The aECG file holds {len(sets)} pieces, too many to read.")
    for a_set in sets:
        try:
            blocks.append(_block(a_set, units))
        except EcgFileError as error:
            refused = refused or error
    if not blocks and refused:
        raise refused
    return blocks


def _block(a_set: Element, units: str | None) -> Block:
    start_s = step_s = None
    names: list[str] = []
    values: list[Element] = []
    for sequence in children(a_set, "component", "sequence"):
        code = next(iter(children(sequence, "code")), None)
        value = next(iter(children(sequence, "value")), None)
        if code is None or value is None:
            continue
        name = code.get("code", "")
        if name.upper().startswith("TIME"):
            start_s, step_s = _times(value)
            continue
        spoken = code.get("displayName", "")
        names.append(spoken if lead_of(spoken) and not lead_of(name) else name)
        values.append(value)
    choice = choose_leads(names)
    rate_hz = 1 / step_s if step_s else None
    n_most = int(MAX_SECONDS * min(rate_hz or MAX_RATE_HZ, MAX_RATE_HZ))
    n_stored = 0
    leads_mv: dict[str, np.ndarray] = {}
    for lead, index in choice.channels.items():
        leads_mv[lead], n_lead = _lead_mv(values[index], lead, n_most, units)
        n_stored = max(n_stored, n_lead)
    return Block(leads_mv, start_s, rate_hz, n_stored, choice.notes)


def _times(value: Element) -> tuple[float | None, float | None]:
    """First time and step in seconds, None for what is not stated."""
    start_s = step_s = None
    for head in children(value, "head"):
        stamp = re.fullmatch(r"(\d{14})(\.\d{1,9})?([+-]\d{4})?", head.get("value", "").strip())
        number = number_in(head.get("value"))
        if stamp and stamp[1] > "1":
            seconds = datetime.strptime(stamp[1], "%Y%m%d%H%M%S") - datetime(1900, 1, 1)
            start_s = seconds.total_seconds() + float(stamp[2] or 0)
        elif number is not None:
            start_s = number * _SECONDS.get(head.get("unit", "s").strip().casefold(), 1.0)
    for increment in children(value, "increment"):
        step = number_in(increment.get("value"))
        unit = _SECONDS.get(increment.get("unit", "s").strip().casefold())
        if step and unit and step > 0:
            step_s = step * unit
    return start_s, step_s


def _lead_mv(value: Element, lead: str, n_most: int, units: str | None) -> tuple[np.ndarray, int]:
    """One lead, float [n] mV of at most `n_most` samples, and how many are stored."""
    text = " ".join((digits.text or "") for digits in children(value, "digits"))
    words = text.replace(",", " ").split(maxsplit=n_most)
    n_stored = len(words[:n_most]) + sum(len(rest.split()) for rest in words[n_most:])
    try:
        digits = numbers_in(words[:n_most])
    except ValueError as error:
        raise EcgFileError(
            f"Lead {lead} of the aECG file holds something that is not a number. It seems damaged."
        ) from error
    scale = next(iter(children(value, "scale")), None)
    per_digit = number_in(scale.get("value")) if scale is not None else None
    unit = (scale.get("unit") if scale is not None else None) or None
    if scale is not None and not per_digit:
        raise EcgFileError(f"The aECG file gives no usable scale for lead {lead}.")
    signal_mv = digits * (per_digit or 1.0) * to_millivolts(unit, units, f"lead {lead}")
    for origin in children(value, "origin"):
        if offset := number_in(origin.get("value")):
            signal_mv += offset * to_millivolts(origin.get("unit") or unit, units, f"lead {lead}")
    return signal_mv, n_stored


def _joined(
    best: Block, blocks: Sequence[Block], rate_hz: float
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Leads [n] mV of the best block and of those that share its clock, NaN where nothing is."""
    others = [
        b
        for b in blocks
        if b is not best
        and b.rate_hz == best.rate_hz
        and b.start_s is not None
        and best.start_s is not None
        and abs(b.start_s - best.start_s) < MAX_SECONDS
    ]
    together = [*others, best]  # the best comes last: where two overlap, it counts
    begin = min(b.start_s or 0.0 for b in together)
    n_kept = samples_kept(rate_hz)
    firsts = [round(((b.start_s or 0.0) - begin) * rate_hz) for b in together]
    n_whole = max(first + b.n_stored for first, b in zip(firsts, together, strict=True))
    n_samples = min(n_whole, n_kept)
    leads_mv: dict[str, np.ndarray] = {}
    for first, block in zip(firsts, together, strict=True):
        for lead, signal in block.leads_mv.items():
            row = leads_mv.setdefault(lead, np.full(n_samples, np.nan))
            end = min(first + signal.size, n_samples)
            row[first:end] = signal[: max(end - first, 0)]
    notes: tuple[str, ...] = ()
    if n_whole > n_samples:
        notes += (kept_note(n_samples / rate_hz, n_whole / rate_hz),)
    if len(set(firsts)) > 1 and any(np.isnan(row).any() for row in leads_mv.values()):
        notes += ("The leads were not all recorded at the same time.",)
    return leads_mv, notes
