"""`Trend`: recordings that the user says are of one patient, measured, in their order.

It lies in the memory of one session and is forgotten with it. Nothing here knows the screen.
"""

from __future__ import annotations

import csv
import io
import math
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from ecgqa.formats import read_ecg, supported_suffixes
from ecgqa.gallery.gallery import files_below, grouped
from ecgqa.measure import Measurements, measure
from ecgqa.measure.normal import doubts
from ecgqa.measure.numbers import MEASURED, Row
from ecgqa.page.desk import Desk, identity
from ecgqa.record import ECG, EcgFileError

MOST = 20  # recordings
# A change reads a trend and replaces it, while files may be added to it. Held for no measurement.
_CHANGING = threading.Lock()
LONGEST_NAME = 80
SAID_TO_BE_OF_ONE = (
    "You say that these recordings are of one patient; the page cannot check it. They are kept in "
    "memory for this session only and forgotten with it."
)
TRENDED: tuple[Row, ...] = tuple(
    row
    for row in MEASURED
    if row.label in (
        "Heart rate", "PR interval", "QRS duration", "QT interval", "QTc, Bazett",
        "QTc, Fridericia", "QRS axis", "Sokolow–Lyon", "Cornell",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One recording of a trend.

    key: tells it from all others. ecg: the whole recording; measured: its first ten seconds. name,
    when: what the user calls it and when it was recorded (None: not said; at 00:00: no time said).
    """

    key: str
    ecg: ECG
    measured: Measurements
    name: str
    when: datetime | None = None

    @property
    def date(self) -> str:
        """The day as YYYY-MM-DD, "" where it is not known."""
        return "" if self.when is None else f"{self.when:%Y-%m-%d}"

    @property
    def time(self) -> str:
        """The time as HH:MM, "" where it is not known."""
        return (
            ""
            if self.when is None or not (self.when.hour or self.when.minute)
            else (f"{self.when:%H:%M}")
        )

    @property
    def moment(self) -> str:
        """Day and time as they are shown."""
        return f"{self.date} {self.time}".strip()


def ordered(points: Sequence[Point]) -> list[Point]:
    """By date where all have one, otherwise as the user has them."""
    whens = [point.when for point in points]
    if None in whens:
        return list(points)
    return sorted(points, key=lambda point: point.when or datetime.min)


def is_dated(points: Sequence[Point]) -> bool:
    """Whether every recording has a date."""
    return all(point.when for point in points)


def when_of(date: str, time: str) -> datetime | None:
    """The moment that was typed, None for none. Raises EcgFileError where there is no such one."""
    date, time = date.strip(), time.strip()
    if not date:
        return None
    try:
        return datetime.strptime(f"{date} {time or '00:00'}", "%Y-%m-%d %H:%M")
    except ValueError as error:
        raise EcgFileError(
            f"“{date[:20]} {time[:10]}” is no date: please give it as 2024-03-05 and, if there are "
            "several of one day, a time as 14:30."
        ) from error


# Adding -----------------------------------------------------------------------------------------


def _moment(recorded: date | None) -> datetime | None:
    """The day, and the time if there is one, that a file says."""
    if recorded is None or isinstance(recorded, datetime):
        return recorded
    return datetime(recorded.year, recorded.month, recorded.day)


def add(desk: Desk, turn: int, ecg: ECG) -> str:
    """Measure a recording and add it to the trend; returns why it was left out, "" if it was not.

    turn: `desk.trend_turn` when it was asked for; a trend that was forgotten since gets nothing.
    """
    if any(identity(point.ecg) == identity(ecg) for point in desk.trend):
        return f"{ecg.name}: it is there already."
    if len(desk.trend) >= MOST:
        return f"{ecg.name}: a trend holds at most {MOST} recordings."
    ecg = ecg.anonymous()
    name, when = ecg.name[:LONGEST_NAME], _moment(ecg.header.recorded)
    point = Point(secrets.token_hex(6), ecg, measure(ecg.stretch(0)), name, when)
    with _CHANGING:
        if desk.trend_turn == turn and len(desk.trend) < MOST:
            desk.trend = ordered([*desk.trend, point])
    return ""


def add_files(
    desk: Desk,
    taken: Sequence[tuple[str, bytes]],
    read: Callable[[Sequence[Path]], ECG] = read_ecg,
) -> list[str]:
    """Add the recordings that uploaded files hold; returns what was left out, and why.

    taken: name and content of each file, of one recording or of several. They pass through a folder
    that is gone afterwards. read: files → ECG.
    """
    turn, left_out = desk.trend_turn, []
    with tempfile.TemporaryDirectory(prefix="ecgqa-") as folder:
        for name, content in taken:
            path = Path(folder, Path(name).name)
            if path.exists():
                left_out.append(f"{name}: there are two files of this name; add them one by one.")
                continue
            path.write_bytes(content)
        sets = grouped(files_below(Path(folder), supported_suffixes()))
        used = {file.name for files in sets for file in files}
        strange = sorted({name for name, _ in taken} - used)
        left_out += [f"{name}: no ECG of a kind that can be read." for name in strange]
        for files in sets:
            left_out.append(_read(desk, turn, files[0].name, lambda files=files: read(files)))
    return list(filter(None, left_out))


def add_ecgs(desk: Desk, ecgs: Iterable[ECG | None]) -> list[str]:
    """Add recordings that were read already; returns what was left out, and why."""
    turn = desk.trend_turn
    return list(filter(None, (add(desk, turn, ecg) for ecg in ecgs if ecg is not None)))


def add_named(desk: Desk, name: str, opened: Callable[[str], ECG]) -> list[str]:
    """Add a recording of the gallery; opened: name → ECG. Returns what was left out, and why."""
    return list(filter(None, [_read(desk, desk.trend_turn, name, lambda: opened(name))]))


def _read(desk: Desk, turn: int, name: str, read: Callable[[], ECG]) -> str:
    try:
        return add(desk, turn, read())
    except EcgFileError as error:
        ask = " Lay it on the page first, where that is asked for." if error.wants else ""
        return f"{name}: {error}{ask}"


# Changing ---------------------------------------------------------------------------------------


def _at(desk: Desk, key: str) -> int:
    for i, point in enumerate(desk.trend):
        if point.key == key:
            return i
    raise EcgFileError("This recording is not in the trend any more.")


def edit(desk: Desk, rows: Iterable[dict[str, str]], turn: float = math.inf) -> bool:
    """Take names and dates as they were typed; whether the order changed by it.

    rows: "key", "name", "date", "time" of each. turn: grows from one to the next; what is older
    than the last that was taken changes nothing. Raises EcgFileError where a date is none.
    """
    if turn < desk.trend_told:
        return False
    typed = {str(row["key"]): row for row in rows}
    with _CHANGING:
        changed = []
        for point in desk.trend:
            row = typed.get(point.key)
            if row is not None:
                name = " ".join(str(row["name"]).split())[:LONGEST_NAME]
                when = when_of(str(row["date"]), str(row["time"]))
                point = replace(point, name=name or point.ecg.name[:LONGEST_NAME], when=when)
            changed.append(point)
        before = [point.key for point in desk.trend]
        desk.trend = ordered(changed)
        desk.trend_told = turn if turn < math.inf else desk.trend_told
        return before != [point.key for point in desk.trend]


def move(desk: Desk, key: str, by: int) -> None:
    """Move a recording up (by = -1) or down (1) in a trend without dates."""
    with _CHANGING:
        i = _at(desk, key)
        points = list(desk.trend)
        point = points.pop(i)
        points.insert(max(0, i + by), point)
        desk.trend = ordered(points)


def remove(desk: Desk, key: str) -> None:
    """Take a recording out of the trend."""
    with _CHANGING:
        i = _at(desk, key)
        desk.trend = [*desk.trend[:i], *desk.trend[i + 1 :]]


def lay(desk: Desk, key: str, place: int) -> None:
    """Lay a recording of the trend on the paper, as this ECG (0) or as the comparison (1)."""
    ecg = desk.trend[_at(desk, key)].ecg
    desk.settle(place, desk.turn(place), ecg)


# Keeping ----------------------------------------------------------------------------------------


def changed_since(row: Row, now: Measurements, then: Measurements | None) -> float | None:
    """The change since the recording before, where it is larger than such numbers repeat within."""
    change = None if then is None else row.change(row.value(now), row.value(then))
    return change if change is not None and abs(change) > row.repeats_within else None


def trend_csv(points: Sequence[Point]) -> str:
    """A row per recording, in their order: when, name, every number of `MEASURED`, SHA-256."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    labels = [f"{row.label} ({row.unit})" for row in MEASURED]
    rows.writerow(["date", "time", "name", *labels, "to note", "SHA-256"])
    for point in points:
        values = [row.value(point.measured) for row in MEASURED]
        cells = [
            "" if value is None else f"{value:.{row.decimals + 1}f}"
            for value, row in zip(values, MEASURED, strict=True)
        ]
        # A name that a spreadsheet would run as a formula stays text.
        name = f"'{point.name}" if point.name[:1] in ("=", "+", "-", "@") else point.name
        noted = "; ".join(doubts(point.measured))
        rows.writerow([point.date, point.time, name, *cells, noted, point.ecg.sha256])
    rows.writerow(["", "", "The user says that these recordings are of one patient."])
    return out.getvalue()
