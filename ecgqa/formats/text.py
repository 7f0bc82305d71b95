"""Delimited text: one column per lead, one line per sample; with or without a line of names.

Text files rarely say all of what an ECG needs. What they do say is used (names, a time column,
units); what they do not say is asked for; nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from ecgqa.formats.leads import MAX_CHANNELS, LeadChoice, choose_leads, lead_of, stand_in_of
from ecgqa.formats.recording import (
    Recording,
    kept_note,
    samples_kept,
    stated_or_given,
)
from ecgqa.formats.time_axis import rate_shown_by
from ecgqa.formats.units import millivolts_per, to_millivolts, units_in
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import LEADS, EcgFileError

_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "?"}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:\d+:)?\d+:\d+(?:\.\d*)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d*)?Z?")
_TIME_NAME = re.compile(
    r"(?:elapsed[\s_]*)?(?:time|t|zeit|temps|tiempo|tempo|timestamp|seconds|sec|milliseconds)"
    r"(?:[\s_]*[\[(/]?\s*(?P<unit>s|sec|secs|second|seconds|ms|msec|milliseconds|us|μs|µs)\s*[\])]?)?"
)
_INDEX_NAME = re.compile(
    r"(?:sample|index|idx|n|no|nr|#|unnamed: 0)?\.?(?:[\s_]*(?:number|index|no|nr|#)\.?)?"
)
_STATED_RATE = re.compile(
    r"(?:sampl\w*[\s_-]*(?:rate|freq\w*)|\bfs\b)[^\d\n]{0,15}(\d+(?:\.\d+)?)\s*(k?)(?:hz|sps|/s|$|\s)"
)
_STATED_UNITS = re.compile(r"\bunits?\b\s*[:=]?\s*([\d.]*\s*[a-zμµ]+(?:/[a-z]+)?)")
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_MAX_HEADING = 200
_MAX_LINE = 4000
_MAX_LINES = 6_000_000  # 10 minutes at the highest rate


@dataclass(frozen=True)
class Table:
    """A text file taken apart, before its numbers are read.

    heading: the lines above the first line of numbers.
    names, units: one per column; None where the file has no such line.
    lines: the lines of numbers; first_line: the number of the first one in the file.
    separator: "," ";" "\t" or " " for any white space. decimal: "." or ",".
    """

    heading: tuple[str, ...]
    names: tuple[str, ...] | None
    units: tuple[str, ...] | None
    lines: list[str]
    first_line: int
    separator: str
    decimal: str

    def cells(self, line: str) -> list[str]:
        """The cells of a line."""
        return _cells(line, self.separator)


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads a table of numbers as an ECG.

    With names, columns are found by them. Without names, 12 columns are I, II, III, aVR, aVL, aVF,
    V1-V6 and 13 are the same behind a running number or time, only when rate and units are given.
    Raises EcgFileError that asks for what is missing, or names the line that cannot be read.
    """
    check_size(uploads)
    (upload,) = uploads
    table = _table(upload)
    n_columns = len(table.cells(table.lines[0]))
    if n_columns > MAX_CHANNELS:
        raise EcgFileError(
            f"{shown(upload.name)} has {n_columns} columns. Expected is one column per lead and "
            "one line per sample."
        )
    notes: tuple[str, ...] = ()
    stated_hz, stated_units = _stated(table.heading)
    time_column: int | None = None
    time_unit: str | None = None
    if table.names is None:
        choice = _standard_order(n_columns, stated_hz or rate_hz, stated_units or units)
        notes += choice.notes
        counter = 0 if n_columns == len(LEADS) + 1 else None
    else:
        counter = None
        for column, name in enumerate(table.names):
            plain = name.casefold().strip()
            if time_column is None and (match := _TIME_NAME.fullmatch(plain)):
                time_column = column
                time_unit = match["unit"] or _time_unit(table, column)
            elif counter is None and column == 0 and _INDEX_NAME.fullmatch(plain):
                counter = column
        choice = choose_leads(table.names, expected=(time_column, counter))
        notes += choice.notes
    if time_column is None:  # then the rate is known before the numbers: read no more than is kept
        final_hz, rate_notes = stated_or_given(stated_hz, rate_hz)
        n_lines, n_kept = len(table.lines), samples_kept(final_hz)
        if n_lines > n_kept:
            table = replace(table, lines=table.lines[:n_kept])
            notes += (kept_note(n_kept / final_hz, n_lines / final_hz),)
        values, _, cut = _numbers(table, n_columns, None, upload)
    else:
        values, times, cut = _numbers(table, n_columns, time_column, upload)
        time_hz, time_notes = _rate_of(times, time_unit, stated_hz or rate_hz, upload)
        final_hz, rate_notes = stated_or_given(time_hz, rate_hz)
        notes += time_notes
    notes += cut
    if table.names is None and counter is not None:
        _check_counts_up(values[:, counter], upload)
    leads_mv = {}
    for lead, column in choice.channels.items():
        stated = stated_units
        if table.names and (own := units_in(table.names[column])):
            stated = own
        elif table.units and table.units[column]:
            stated = table.units[column]
        leads_mv[lead] = values[:, column] * to_millivolts(stated, units, f"lead {lead}")
    return Recording(leads_mv, final_hz, upload.stem, notes + rate_notes)


def _decoded(upload: Upload) -> str:
    data = upload.path.read_bytes()
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                break
    control = len(data[:4096].translate(None, bytes(range(32, 256)) + b"\t\r\n\f"))
    if control:
        raise EcgFileError(
            f"{shown(upload.name)} is not a text file, although its name says so. Please upload "
            "the ECG in its original format."
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _table(upload: Upload) -> Table:
    lines = re.split(r"\r\n|\r|\n", _decoded(upload).rstrip("\r\n "))
    if len(lines) > _MAX_LINES:
        raise EcgFileError(
            f"{shown(upload.name)} has {len(lines)} lines; up to {_MAX_LINES} can be read. Please "
            "export a shorter piece of the recording."
        )
    if max(map(len, lines)) > _MAX_LINE:
        raise EcgFileError(
            f"{shown(upload.name)} has very long lines. Expected is one column per lead and one "
            "line per sample."
        )
    start = next((k for k, line in enumerate(lines[:_MAX_HEADING]) if _is_numbers(line)), None)
    if start is None:
        raise EcgFileError(
            f"{shown(upload.name)} holds no table of numbers. Expected is one column per lead and "
            "one line per sample."
        )
    separator, decimal = _separator(lines[start])
    if separator != "," and any(re.search(r"\d,\d", line) for line in lines[start:]):
        decimal = ","  # also where the first line is all whole numbers
    n_columns = len(_cells(lines[start], separator))
    heading = tuple(line for line in lines[:start] if line.strip())
    # "I (mV) II (mV)": the unit belongs to the name before it.
    above = [re.sub(r"\s+(?=[\[(])", "", line.lstrip("#%/ ")) for line in heading[-2:]]
    above = [_cells(line, separator) for line in above]
    above = [cells for cells in above if len(cells) == n_columns]
    place = next((k for k, cells in enumerate(above) if _names_leads(cells)), None)
    return Table(
        heading=heading,
        names=None if place is None else tuple(above[place]),
        units=tuple(above[1]) if place == 0 and len(above) == 2 else None,
        lines=lines[start:],
        first_line=start + 1,
        separator=separator,
        decimal=decimal,
    )


def _separator(line: str) -> tuple[str, str]:
    """Separator and decimal mark of a line of numbers (or of names: then the mark is a guess)."""
    for mark in (";", "\t"):
        if mark in line:
            return mark, "," if re.search(r"\d,\d", line) else "."
    words = line.split()
    if len(words) > 1 and all(
        re.fullmatch(r"[+-]?\d*(?:,\d+)?(?:e[+-]?\d+)?", w, re.I) for w in words
    ):
        return " ", "," if "," in line else "."
    return ("," if "," in line else " "), "."


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split() if separator == " " else line.strip(" ").split(separator)
    return [cell.strip(" \t\"'")[:100] for cell in cells]


def _is_numbers(line: str) -> bool:
    if not line.strip():
        return False
    separator, decimal = _separator(line)
    first, *rest = [cell.replace(decimal, ".") for cell in _cells(line, separator)]
    if not (_CLOCK.fullmatch(first) or _DATE.fullmatch(first)):
        rest = [first, *rest]
    known = [cell for cell in rest if _NUMBER.fullmatch(cell) or cell.casefold() == "nan"]
    return bool(known) and all(c in known or c.casefold() in _MISSING for c in rest)


def _names_leads(cells: Sequence[str]) -> bool:
    return any(lead_of(c) or stand_in_of(c) or _TIME_NAME.fullmatch(c.casefold()) for c in cells)


def _stated(heading: Sequence[str]) -> tuple[float | None, str | None]:
    """Rate and units that the lines above the table state in so many words."""
    rate_hz, units = None, None
    for line in heading:
        text = line[:200].casefold()
        if rate_hz is None and (rate := _STATED_RATE.search(text)):
            rate_hz = float(rate[1]) * (1000 if rate[2] else 1)
        if units is None and (unit := _STATED_UNITS.search(text)) and millivolts_per(unit[1]):
            units = unit[1]
    return rate_hz, units


def _time_unit(table: Table, column: int) -> str | None:
    unit = table.units[column].casefold().strip() if table.units else ""
    return unit if re.fullmatch(r"(?:s|sec|seconds?|ms|msec|us|μs|µs)", unit) else None


def _standard_order(n_columns: int, rate_hz: float | None, units: str | None) -> LeadChoice:
    if n_columns not in (len(LEADS), len(LEADS) + 1):
        raise EcgFileError(
            f"The file has {n_columns} column{'s' * (n_columns > 1)} and no line with lead names. "
            "Please add a first line with the names, for example: I,II,V1."
        )
    if rate_hz is None or not units:
        missing = {
            **({"rate_hz": "the sampling rate (rate_hz)"} if rate_hz is None else {}),
            **({"units": "the units (mV, uV or a step size such as “5 uV”)"} if not units else {}),
        }
        raise EcgFileError(
            "The file has no line with lead names. Its 12 columns can be read as I, II, III, aVR, "
            f"aVL, aVF, V1-V6, but please also give {' and '.join(missing.values())}.",
            wants=tuple(missing),
        )
    first = n_columns - len(LEADS)
    note = "No lead names in the file: columns were read in the standard order I, II, III, aVR, ..."
    return LeadChoice({lead: first + k for k, lead in enumerate(LEADS)}, (note,))


def _numbers(
    table: Table, n_columns: int, time_column: int | None, upload: Upload
) -> tuple[np.ndarray, pd.Series, tuple[str, ...]]:
    """The table as float [lines, columns], the time column as it is written, and remarks.

    Without a time column the second is empty.
    """
    lines = [(number, line) for number, line in enumerate(table.lines) if line.strip()]
    notes: tuple[str, ...] = ()
    for place, (number, line) in enumerate(lines):
        n_cells = (
            len(table.cells(line))
            if table.separator == " "
            else line.strip(" ").count(table.separator) + 1
        )
        if n_cells == n_columns:
            continue
        if place == len(lines) - 1 and n_cells < n_columns:
            notes = ("The last line is incomplete and was left out.",)
            lines.pop()
            break
        raise EcgFileError(
            f"Line {table.first_line + number} of {shown(upload.name)} has {n_cells} values where "
            f"{n_columns} are expected."
        )
    text = "\n".join(line.strip(" ") for _, line in lines)
    as_text = {time_column: str} if time_column is not None else {}
    try:
        frame = pd.read_csv(
            io.StringIO(text.translate({ord("'"): None, ord('"'): None})),
            sep=r"\s+" if table.separator == " " else table.separator,
            decimal=table.decimal,
            header=None,
            dtype={k: as_text.get(k, np.float64) for k in range(n_columns)},
            na_values=sorted(_MISSING),
            skipinitialspace=True,
            quoting=csv.QUOTE_NONE,
            engine="c",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise _bad_line(table, lines, upload) from error
    times = pd.Series(dtype=str)
    if time_column is not None:
        times = cast(pd.Series, frame[time_column])
        frame[time_column] = 0.0
    return frame.to_numpy(dtype=np.float64), times, notes


def _bad_line(table: Table, lines: Sequence[tuple[int, str]], upload: Upload) -> EcgFileError:
    for number, line in lines:
        for cell in table.cells(line):
            plain = cell.replace(table.decimal, ".")
            known = plain.casefold() in _MISSING or _NUMBER.fullmatch(plain)
            if not (known or _CLOCK.fullmatch(plain) or _DATE.fullmatch(plain)):
                return EcgFileError(
                    f"Line {table.first_line + number} of {shown(upload.name)} holds "
                    f"“{shown(cell)}” where a number is expected."
                )
    return EcgFileError(f"{shown(upload.name)} is not a table of numbers that can be read.")


def _rate_of(
    times: pd.Series, unit: str | None, other_hz: float | None, upload: Upload
) -> tuple[float | None, tuple[str, ...]]:
    """The sampling rate that a column of times shows, and remarks.

    other_hz: a rate known from elsewhere, used where the column has no unit to tell.
    """
    first = str(times.iloc[0])
    try:
        if _CLOCK.fullmatch(first):
            parts = times.str.split(":", expand=True).astype(float).to_numpy()
            seconds, unit = parts @ (60.0 ** np.arange(parts.shape[1])[::-1]), "s"
        elif _DATE.fullmatch(first):
            stamps = pd.to_datetime(times, format="ISO8601")
            seconds, unit = (stamps - stamps.iloc[0]).dt.total_seconds().to_numpy(), "s"
        else:
            comma = times.str.replace(",", ".", regex=False)
            seconds = comma.astype(float).to_numpy()
    except (ValueError, TypeError, AttributeError) as error:
        raise EcgFileError(f"The time column of {shown(upload.name)} cannot be read.") from error
    where = f"The time column of {shown(upload.name)}"
    return rate_shown_by(seconds, unit, other_hz, where)


def _check_counts_up(column: np.ndarray, upload: Upload) -> None:
    steps = np.diff(column)
    if steps.size == 0 or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise EcgFileError(
            f"{shown(upload.name)} has 13 columns without names, and the first is not a running "
            "number or time. Please add a first line with the lead names."
        )
