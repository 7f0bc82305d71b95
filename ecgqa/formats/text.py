"""Delimited text: one column per lead, one line per sample; with or without a line of names.

Text files rarely say all of what an ECG needs. What they do say is used (names, a time column,
units); what they do not say is asked for; nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from ecgqa.formats.heading import header_in
from ecgqa.formats.leads import (
    MAX_CHANNELS,
    LeadChoice,
    called,
    choose_leads,
    choose_without_names,
)
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

_HINT = "Or please add a first line with the lead names, for example: I,II,V1."
_LOOKED_AT = 200  # lines, to tell a column of times from a lead
_UNQUOTED = {ord("'"): None, ord('"'): None}
_INDEX_NAME = re.compile(
    r"(?:sample|index|idx|n|no|nr|#|unnamed: 0)?\.?(?:[\s_]*(?:number|index|no|nr|#)\.?)?"
)


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads a table of numbers as an ECG.

    With names, columns are found by them. Without names, 12 columns are I, II, III, aVR, aVL, aVF,
    V1-V6; fewer are for the user to name in their order, see `Recording`. A time, or before twelve
    a running number, may stand in front. Rate and units must be known.
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
        time_column, time_unit = (0 if _begins_with_times(table) else None), None
        counter = 0 if time_column is None and n_columns == len(LEADS) + 1 else None
        choice = _without_names(table, n_columns, time_column, stated_hz or rate_hz, units)
    else:
        time_column, time_unit, counter = _no_leads(table)
        choice = choose_leads(table.names, expected=_times_and(table, counter))
    notes = choice.notes
    read_too = {*choice.channels.values(), *([] if counter is None else [counter])}
    if time_column is None:  # then the rate is known before the numbers: read no more than is kept
        final_hz, rate_notes = stated_or_given(stated_hz, rate_hz)
        n_lines, n_kept = len(table.lines), samples_kept(final_hz)
        if n_lines > n_kept:
            table = replace(table, lines=table.lines[:n_kept])
            notes += (kept_note(n_kept / final_hz, n_lines / final_hz),)
        values, _, cut = _numbers(table, n_columns, None, read_too, upload)
    else:
        values, times, cut = _numbers(table, n_columns, time_column, read_too, upload)
        time_hz, time_notes = _rate_of(times, time_unit, stated_hz or rate_hz, upload)
        final_hz, rate_notes = stated_or_given(time_hz, rate_hz)
        notes += time_notes
    notes += cut
    if table.names is None and counter is not None:
        _check_counts_up(values[:, counter], upload)
    leads_mv = {
        lead: values[:, column]
        * to_millivolts(_stated_units(table, column) or stated_units, units, called(lead))
        for lead, column in choice.channels.items()
    }
    return Recording(
        leads_mv, final_hz, upload.stem, notes + rate_notes, assumed_order=table.names is None,
        header=header_in(table.heading), hint="" if table.names else _HINT,
    )  # fmt: skip


def _stated_units(table: Table, column: int) -> str | None:
    """The unit of one column: behind its name, or in the line below the names."""
    if table.names and (own := units_in(table.names[column])):
        return own
    if table.units and table.units[column]:
        return table.units[column]
    if table.names is None and table.heading:  # "voltage (mV)" above a column names no lead
        cells = table.cells(re.sub(r"\s+(?=[\[(])", "", table.heading[-1]))
        return units_in(cells[column]) if column < len(cells) else None
    return None


def _begins_with_times(table: Table) -> bool:
    """Whether the first of several nameless columns is a time: it rises in even steps."""
    rows = [table.cells(line) for line in table.lines[:_LOOKED_AT] if line.strip()]
    firsts = [row[0].replace(table.decimal, ".") for row in rows]
    if len(rows[0]) == 1 or len(rows) < 3:
        return False
    if all(CLOCK.fullmatch(first) for first in firsts):
        return True
    if not all(NUMBER.fullmatch(first) for first in firsts):
        return False
    steps = np.diff(np.array(firsts, dtype=np.float64))
    return bool(steps.min() > 0 and np.ptp(steps) <= 1.1 * np.median(steps))


def _without_names(
    table: Table, n_columns: int, time_column: int | None, rate_hz: float | None, units: str | None
) -> LeadChoice:
    """Which column is which lead where no line names them, see `choose_without_names`."""
    # The table may hold a running number in front of twelve: `_check_counts_up` looks at it later.
    first = 1 if time_column is not None or n_columns == len(LEADS) + 1 else 0
    has_rate = bool(rate_hz) or time_column is not None  # the times may tell it
    stated = _stated_units(table, first) or stated_in(table.heading)[1] or units
    choice = choose_without_names(n_columns - first, has_rate, bool(stated), "column", _HINT)
    return LeadChoice({lead: first + k for lead, k in choice.channels.items()}, choice.notes)


def _times_and(table: Table, counter: int | None) -> set[int | None]:
    """Columns that are known to be no leads."""
    names = [name.casefold().strip() for name in table.names or ()]
    return {counter, *(k for k, name in enumerate(names) if TIME_NAME.fullmatch(name))}


def _no_leads(table: Table) -> tuple[int | None, str | None, int | None]:
    """The column of the time, the time's unit, and the column of a running number, by name."""
    time_column: int | None = None
    time_unit: str | None = None
    counter: int | None = None
    found: list[tuple[bool, bool, int, str | None]] = []
    for column, name in enumerate(table.names or ()):
        plain = name.casefold().strip()
        if match := TIME_NAME.fullmatch(plain):
            unit = match["unit"] or _time_unit(table, column)
            # A phone's clock tells when a packet came; the sensor's own time has a unit.
            found.append((unit is None, bool(match["whose"]), column, unit))
        elif counter is None and column == 0 and _INDEX_NAME.fullmatch(plain):
            counter = column
    if found:
        *_, time_column, time_unit = min(found, key=lambda one: one[:3])
    return time_column, time_unit, counter


def _time_unit(table: Table, column: int) -> str | None:
    unit = table.units[column].casefold().strip() if table.units else ""
    return unit if re.fullmatch(r"(?:s|sec|seconds?|ms|msec|us|μs|µs|ns)", unit) else None


def _numbers(
    table: Table, n_columns: int, time_column: int | None, wanted: Collection[int], upload: Upload
) -> tuple[np.ndarray, pd.Series, tuple[str, ...]]:
    """The table as float [lines, columns], the time column as it is written, and remarks.

    wanted: the columns that must hold numbers; the others may hold clocks, too, and are zero.
    Without a time column the second is empty.
    """
    clocks = set(range(n_columns)) - set(wanted)
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
    whole = _line_of(table, n_columns, clocks)
    text = "\n".join(line.strip(" ").translate(_UNQUOTED) for _, line in lines).casefold()
    if table.separator != " " and " " in text:
        text = re.sub(rf" *{re.escape(table.separator)} *", table.separator, text)
    if not all(map(whole.fullmatch, text.split("\n"))):
        raise _bad_line(table, lines, clocks, upload)
    as_text = dict.fromkeys(clocks, str)
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
        raise _bad_line(table, lines, clocks, upload) from error
    times = pd.Series(dtype=str)
    if time_column is not None:
        times = cast(pd.Series, frame[time_column])
    frame[sorted(clocks)] = 0.0
    values = frame.to_numpy(dtype=np.float64)
    for row, column in np.argwhere(np.isinf(values)):
        if table.cells(lines[row][1])[column].casefold() not in INFINITE:  # 1e400
            raise _bad_line(table, lines, clocks, upload)
        values[row, column] = np.nan
    return values, times, notes


def _line_of(table: Table, n_columns: int, clocks: Collection[int]) -> re.Pattern[str]:
    """Matches a line of numbers without quotes, and nothing else."""
    words = "|".join(re.escape(word) for word in sorted(MISSING, key=len, reverse=True))
    number = NUMBER.pattern.replace(r"\.", re.escape(table.decimal))
    cell = f"(?:{number}|{words})"
    clock = f"(?:{CLOCK.pattern.replace('?P<clock>', '?:')}|{number}|{words})"
    cells = [clock if column in clocks else cell for column in range(n_columns)]
    gap = r"\s+" if table.separator == " " else re.escape(table.separator)
    return re.compile(gap.join(cells), re.IGNORECASE | re.ASCII)


def _bad_line(
    table: Table, lines: Sequence[tuple[int, str]], clocks: Collection[int], upload: Upload
) -> EcgFileError:
    for number, line in lines:
        for column, cell in enumerate(table.cells(line)):
            plain = cell.replace(table.decimal, ".")
            if is_cell(plain) or (column in clocks and CLOCK.fullmatch(plain)):
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
