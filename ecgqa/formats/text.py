"""Delimited text: one column per lead, one line per sample; with or without a line of names.

Text files rarely say all of what an ECG needs. What they do say is used (names, a time column,
units); what they do not say is asked for; nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from ecgqa.formats.heading import header_in
from ecgqa.formats.leads import MAX_CHANNELS, LeadChoice, choose_leads
from ecgqa.formats.recording import (
    Recording,
    kept_note,
    samples_kept,
    stated_or_given,
)
from ecgqa.formats.table import (
    CLOCK,
    INFINITE,
    MISSING,
    NUMBER,
    TIME_NAME,
    Table,
    is_cell,
    stated_in,
    table_of,
)
from ecgqa.formats.time_axis import rate_shown_by
from ecgqa.formats.units import to_millivolts, units_in
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import LEADS, EcgFileError

_UNQUOTED = {ord("'"): None, ord('"'): None}
_INDEX_NAME = re.compile(
    r"(?:sample|index|idx|n|no|nr|#|unnamed: 0)?\.?(?:[\s_]*(?:number|index|no|nr|#)\.?)?"
)


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads a table of numbers as an ECG.

    With names, columns are found by them. Without names, 12 columns are I, II, III, aVR, aVL, aVF,
    V1-V6 and 13 are the same behind a running number or time, only when rate and units are given.
    Raises EcgFileError that asks for what is missing, or names the line that cannot be read.
    """
    check_size(uploads)
    (upload,) = uploads
    table = table_of(upload)
    n_columns = len(table.cells(table.lines[0]))
    if n_columns > MAX_CHANNELS:
        raise EcgFileError(
            f"{shown(upload.name)} has {n_columns} columns. Expected is one column per lead and "
            "one line per sample."
        )
    stated_hz, stated_units = stated_in(table.heading)
    if table.names is None:
        choice = _standard_order(n_columns, stated_hz or rate_hz, stated_units or units)
        counter = 0 if n_columns == len(LEADS) + 1 else None
        time_column = time_unit = None
    else:
        time_column, time_unit, counter = _no_leads(table)
        choice = choose_leads(table.names, expected=(time_column, counter))
    notes = choice.notes
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
    return Recording(
        leads_mv, final_hz, upload.stem, notes + rate_notes, assumed_order=table.names is None,
        header=header_in(table.heading),
    )  # fmt: skip


def _no_leads(table: Table) -> tuple[int | None, str | None, int | None]:
    """The column of the time, the time's unit, and the column of a running number, by name."""
    time_column: int | None = None
    time_unit: str | None = None
    counter: int | None = None
    for column, name in enumerate(table.names or ()):
        plain = name.casefold().strip()
        if time_column is None and (match := TIME_NAME.fullmatch(plain)):
            time_column = column
            time_unit = match["unit"] or _time_unit(table, column)
        elif counter is None and column == 0 and _INDEX_NAME.fullmatch(plain):
            counter = column
    return time_column, time_unit, counter


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
    return LeadChoice({lead: first + k for k, lead in enumerate(LEADS)}, ())


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
    # What is a number and what is none is decided here, not by the release of a library.
    whole = _line_of(table, n_columns, time_column)
    text = "\n".join(line.strip(" ").translate(_UNQUOTED) for _, line in lines).casefold()
    if table.separator != " " and " " in text:
        text = re.sub(rf" *{re.escape(table.separator)} *", table.separator, text)
    if not all(map(whole.fullmatch, text.split("\n"))):
        raise _bad_line(table, lines, time_column, upload)
    as_text = {time_column: str} if time_column is not None else {}
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if table.separator == " " else table.separator,
            decimal=table.decimal,
            header=None,
            dtype={k: as_text.get(k, np.float64) for k in range(n_columns)},
            keep_default_na=False,
            na_values=sorted(MISSING - INFINITE),
            quoting=csv.QUOTE_NONE,
            engine="c",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise _bad_line(table, lines, time_column, upload) from error
    times = pd.Series(dtype=str)
    if time_column is not None:
        times = cast(pd.Series, frame[time_column])
        frame[time_column] = 0.0
    values = frame.to_numpy(dtype=np.float64)
    for row, column in np.argwhere(np.isinf(values)):
        if table.cells(lines[row][1])[column].casefold() not in INFINITE:  # 1e400
            raise _bad_line(table, lines, time_column, upload)
        values[row, column] = np.nan
    return values, times, notes


def _line_of(table: Table, n_columns: int, time_column: int | None) -> re.Pattern[str]:
    """Matches a line of numbers without quotes, and nothing else."""
    words = "|".join(re.escape(word) for word in sorted(MISSING, key=len, reverse=True))
    number = NUMBER.pattern.replace(r"\.", re.escape(table.decimal))
    cell = f"(?:{number}|{words})"
    clock = f"(?:{CLOCK.pattern}|{number}|{words})"
    cells = [clock if column == time_column else cell for column in range(n_columns)]
    gap = r"\s+" if table.separator == " " else re.escape(table.separator)
    return re.compile(gap.join(cells), re.IGNORECASE | re.ASCII)


def _bad_line(
    table: Table, lines: Sequence[tuple[int, str]], time_column: int | None, upload: Upload
) -> EcgFileError:
    for number, line in lines:
        for column, cell in enumerate(table.cells(line)):
            plain = cell.replace(table.decimal, ".")
            if is_cell(plain) or (column == time_column and CLOCK.fullmatch(plain)):
                continue
            return EcgFileError(
                f"Line {table.first_line + number} of {shown(upload.name)} holds “{shown(cell)}” "
                "where a number is expected."
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
        if CLOCK.fullmatch(first):
            clocks = times.str.extract(CLOCK)["clock"].str.replace(",", ".", regex=False)
            parts = clocks.str.split(":", expand=True).astype(float).to_numpy()
            seconds, unit = parts @ (60.0 ** np.arange(parts.shape[1])[::-1]), "s"
            midnights = np.diff(seconds, prepend=seconds[0]) < -12 * 3600
            seconds = seconds + 24 * 3600 * np.cumsum(midnights)
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
