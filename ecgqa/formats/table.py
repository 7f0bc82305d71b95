"""`Table`: a text file taken apart into heading, names, units and lines of numbers.

What spreadsheets, carts, watches and scripts make of a table differs in everything but the idea:
separators, decimal commas, quotes, names or none, a line per sample or a line per lead. Here it is
brought into one shape, and what its heading states in words is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ecgqa.formats.leads import MAX_CHANNELS, lead_of, stand_in_of
from ecgqa.formats.units import millivolts_per
from ecgqa.formats.upload import Upload, shown
from ecgqa.record import EcgFileError

INFINITE = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
MISSING = INFINITE | {
    "", "nan", "-nan", "na", "n/a", "null", "none", "-", "?",
    "#n/a", "<na>", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan",
}  # fmt: skip
"""What stands for "no value", lower case: in tables by hand, of spreadsheets and of programs."""
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
"""As people and instruments write it: no hexadecimal, no underscores, no foreign digits."""
CLOCK = re.compile(
    # A date in any of the usual orders may stand before the time of day, a time zone behind it.
    r"(?:(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})[T ])?"
    r"(?P<clock>(?:\d+:)?\d+:\d+(?:[.,]\d*)?)(?:Z|[+-]\d\d:?\d\d)?",
    re.IGNORECASE | re.ASCII,
)
TIME_NAME = re.compile(
    r"(?P<whose>(?:elapsed|phone|sensor|device|host|system|unix|epoch)[\s_]*)?(?:time|t|zeit|temps|tiempo|tempo|timestamp|seconds|sec|milliseconds)"
    r"(?:[\s_]*[\[(/]?\s*"
    r"(?P<unit>s|sec|secs|second|seconds|ms|msec|milliseconds|us|μs|µs|ns)\s*[\])]?)?"
)
_STATED_RATE = re.compile(
    r"(?:sampl\w*[\s_-]*(?:rate|freq\w*)|\bfs\b|(?:abtast|mess)(?:rate|frequenz)"
    r"|samples per second|(?:fr[ée]quence|taux) d.[ée]chantillonnage"
    r"|(?:fre[cq]u[eê]n\w+|taxa|tasa) d[aei] (?:muestreo|campionamento|amostragem)"
    r"|(?:bemonsterings|samplings|samplings?)(?:frequentie|frekvens|snelheid|hastighed)"
    r"|cz[ęe]stotliwo[śs][ćc] pr[óo]bkowania"
    r"|^\W*freq\w*(?=.*hz))[^\d\n]{0,15}(\d+(?:[.,]\d+)?)\s*(k?)(?:hertz|hz|sps|/s|$|\s|[,;])"
)
_STATED_STEP = re.compile(
    r"sampl\w*[\s_-]*(?:interval|period|time)[^\d\n]{0,15}(\d+(?:\.\d+)?)\s*(ms|s|us)\b"
)
_STATED_UNITS = re.compile(
    r"(?:\b(?:units?|einheit(?:en)?|unit[ée]s?|unidad(?:es)?|unit[àa]|unidade|eenheid|enhet|enhed|jednostka)\b[\s\"]*[,;:=\t]?[\s\"]*"
    r"|\bresolution\b\s*[,;:=\t]\s*(?=.*/(?:bit|lsb)))([\d.]*\s*[a-zμµ]+(?:/[a-z]+)?)(?![/\w])"
)
_STATED_GAIN = re.compile(
    r"\bgain\b[^\d\n]{0,10}(\d+(?:\.\d+)?)\s*(?:ad[cu]|lsb|counts?)?\s*/\s*mv"
)
_ONE_LEAD = re.compile(
    r"\W*(?:lead|ableitung|d[ée]rivation|derivaci[óo]n|derivazione|deriva[çc][ãa]o|afleiding"
    r"|avledning|afledning|odprowadzenie)\s*[,;:=\t]\s*"
    r"(?P<lead>.{1,40}?)\W*",
    re.IGNORECASE,
)
_QUOTED_COMMA = re.compile(r"[\"']([+-]?\d+),(\d+)[\"']")
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
        return cells_of(line, self.separator)


def table_of(upload: Upload) -> Table:
    """The file taken apart. Raises EcgFileError when it is no text or holds no table of numbers."""
    text = _decoded(upload).rstrip("\r\n ")
    quoted = _QUOTED_COMMA.findall(text[:100_000])
    # Also "1,234" may be a number with a thousands mark: then none starts with 0, all end alike.
    if any(whole.lstrip("+-") == "0" or len(part) != 3 for whole, part in quoted):
        text = _QUOTED_COMMA.sub(r"\1.\2", text)
    lines = re.split(r"\r\n|\r|\n", text)
    if len(lines) > _MAX_LINES:
        raise EcgFileError(
            f"{shown(upload.name)} has {len(lines)} lines; up to {_MAX_LINES} can be read. Please "
            "export a shorter piece of the recording."
        )
    if max(map(len, lines)) > _MAX_LINE:
        lines = _turned(lines, upload)
    start = next((k for k, line in enumerate(lines[:_MAX_HEADING]) if _is_numbers(line)), None)
    if start is not None and _counts(lines[start]):
        start = start + 1 if start + 1 < len(lines) else None
    if start is None:
        raise EcgFileError(
            f"{shown(upload.name)} holds no table of numbers. Expected is one column per lead and "
            "one line per sample."
        )
    heading = tuple(line for line in lines[:start] if line.strip())
    only_lead = next((m["lead"] for h in heading if (m := _only_lead(h))), None)
    if only_lead and all(re.fullmatch(r"\W*\d*(?:[.,]\d+)?\W*", x) for x in lines[start:]):
        # A watch's single lead: what looks like two columns is a decimal comma.
        mark = "," if any("," in line for line in lines[start:]) else "."
        return Table(heading, (only_lead,), None, lines[start:], start + 1, "\t", mark)
    separator, decimal = _separator(lines[start])
    if separator != "," and any(re.search(r"\d,\d", line) for line in lines[start:]):
        decimal = ","  # also where the first line is all whole numbers
    # "I (mV) II (mV)": the unit belongs to the name before it.
    above = [re.sub(r"\s+(?=[\[(])", "", line.lstrip("#%/ ")) for line in heading[-2:]]
    n_columns = len(cells_of(lines[start], separator))
    if _ends_open(above, lines[start:], separator, n_columns):
        n_columns -= 1
        lines = [*lines[:start], *(line.rstrip(" ")[:-1] for line in lines[start:])]
        above = [line.rstrip(" ").removesuffix(separator) for line in above]
    cells_above = [cells_of(line, separator) for line in above]
    cells_above = [cells for cells in cells_above if len(cells) == n_columns]
    place = next((k for k, cells in enumerate(cells_above) if _names_leads(cells)), None)
    if place is None and (higher := _leads_above(heading[:-2], separator, n_columns)):
        cells_above, place = [higher], 0
    return Table(
        heading=heading,
        names=None if place is None else tuple(cells_above[place]),
        units=tuple(cells_above[1]) if place == 0 and len(cells_above) == 2 else None,
        lines=lines[start:],
        first_line=start + 1,
        separator=separator,
        decimal=decimal,
    )


def _leads_above(heading: Sequence[str], separator: str, n_columns: int) -> list[str] | None:
    """The line of names where other lines stand between it and the numbers.

    Its cells must all be leads, or a time and leads: farther up, a word alone may be anything.
    """
    for line in reversed(heading):
        cells = cells_of(line.lstrip("#%/ "), separator)
        known = [lead_of(c) or stand_in_of(c) or TIME_NAME.fullmatch(c.casefold()) for c in cells]
        if len(cells) == n_columns and all(known) and any(lead_of(cell) for cell in cells):
            return cells
    return None


def stated_in(heading: Sequence[str]) -> tuple[float | None, str | None]:
    """Rate in Hz and units that the lines above the table state in so many words."""
    rate_hz, units = None, None
    for line in heading:
        text = line[:200].casefold()
        if rate_hz is None and (rate := _STATED_RATE.search(text)):
            rate_hz = float(rate[1].replace(",", ".")) * (1000 if rate[2] else 1)
        elif rate_hz is None and (step := _STATED_STEP.search(text)) and float(step[1]) > 0:
            rate_hz = {"s": 1, "ms": 1e3, "us": 1e6}[step[2]] / float(step[1])
        if units is None and (unit := _STATED_UNITS.search(text)) and millivolts_per(unit[1]):
            units = unit[1]
        elif units is None and (gain := _STATED_GAIN.search(text)):
            units = f"{gain[1]}/mV"
    return rate_hz, units


def cells_of(line: str, separator: str) -> list[str]:
    """The cells of a line, without quotes."""
    cells = line.split() if separator == " " else line.strip(" ").split(separator)
    return [cell.strip(" \t\"'")[:100] for cell in cells]


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


def _turned(lines: Sequence[str], upload: Upload) -> list[str]:
    """A table with one line per lead, turned into one with a line per sample.

    Raises EcgFileError when the long lines are something else.
    """
    long = [line for line in lines if len(line) > _MAX_LINE]
    others = [line for line in lines if len(line) <= _MAX_LINE]
    separator, _ = _separator(re.sub(r"^[^\d,;\t]*[A-Za-z]\w*", "0", long[0][:_MAX_LINE]))
    rows = [cells_of(line, separator) for line in long]
    if (
        len(rows) > MAX_CHANNELS
        or len(others) > _MAX_HEADING
        or len({len(row) for row in rows}) > 1
        or len(rows[0]) < _MAX_LINE // 40
        or not all(is_cell(cell.replace(",", ".")) for row in rows for cell in row[1:50])
    ):
        raise EcgFileError(
            f"{shown(upload.name)} has very long lines. Expected is one column per lead and one "
            "line per sample."
        )
    return [*others, *(separator.join(column) for column in zip(*rows, strict=True))]


def is_cell(text: str) -> bool:
    """True for a number with a decimal point, and for what stands for no value."""
    return bool(NUMBER.fullmatch(text)) or text.casefold() in MISSING


def _only_lead(line: str) -> re.Match[str] | None:
    match = _ONE_LEAD.fullmatch(line[:80])
    return match if match and lead_of(match["lead"]) else None


def _counts(line: str) -> bool:
    """True for 0, 1, 2, ...: the names that a script gives to columns without any."""
    cells = cells_of(line, _separator(line)[0])
    cells = cells if cells[0] else cells[1:]
    return len(cells) > 2 and any(
        cells == [str(first + k) for k in range(len(cells))] for first in (0, 1)
    )


def _ends_open(above: Sequence[str], lines: Sequence[str], separator: str, n_columns: int) -> bool:
    """True where every line ends with a separator, and no name stands behind it."""
    if separator == " " or not all(x.rstrip(" ").endswith(separator) for x in lines if x.strip()):
        return False
    named = [cells for line in above if len(cells := cells_of(line, separator)) == n_columns]
    return not any(cells[-1] for cells in named)


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


def _is_numbers(line: str) -> bool:
    if not line.strip():
        return False
    separator, decimal = _separator(line)
    cells = [cell.replace(decimal, ".") for cell in cells_of(line, separator)]
    rest = [cell for cell in cells if not CLOCK.fullmatch(cell)]
    known = any(NUMBER.fullmatch(cell) or cell.casefold() in {"nan", *INFINITE} for cell in rest)
    return known and all(map(is_cell, rest))


def _names_leads(cells: Sequence[str]) -> bool:
    return any(lead_of(c) or stand_in_of(c) or TIME_NAME.fullmatch(c.casefold()) for c in cells)
