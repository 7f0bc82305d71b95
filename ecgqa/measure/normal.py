"""What is normal by age and sex, and what should be checked before it is believed.

**Adults**, and everybody whose age is not known: rate 60-100/min; P, PR, QRS and its axis after
AHA/ACCF/HRS 2009, part III (doi 10.1161/CIRCULATIONAHA.108.191095); QT 360-440 ms; QTc 330-450 ms,
of women 330-460 ms, part IV (10.1161/CIRCULATIONAHA.108.191096); voltages part V
(10.1161/CIRCULATIONAHA.108.191097). They are the page's, the answers', the export's and the
training's.

**Children** from 11 days to 16 years: Rijnbeek et al., New normal limits for the paediatric
electrocardiogram, Eur Heart J 2001;22:702 (doi 10.1053/euhj.2000.2399), table 2: 1912 healthy
Dutch children, boys and girls apart. Lower limits are the 2nd, upper limits the 98th percentile, so
that one healthy child in fifty lies above each of them, and one below. QTc is Bazett's. RR follows
from the rate. QT, the other formulas of QTc and the sums of voltages are not in it: they have no
limits here. Where the sex is not known the wider one of both limits holds. From what QRS duration
on a bundle branch is blocked: part III, as above. **Under 11 days** there are no limits: nobody of
that age was in the study, and everything changes within days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ecgqa.measure import Measurements
from ecgqa.record import FEMALE, MALE


class Range(NamedTuple):
    """The normal range of a number, both ends included; one that begins at 0 has no lower end."""

    low: float
    high: float

    def flag(self, value: float | None) -> str:
        """ "↑" above, "↓" below, "" within or where nothing was measured."""
        if value is None or self.low <= value <= self.high:
            return ""
        return "↑" if value > self.high else "↓"

    def text(self) -> str:
        """The range as it is printed."""
        low, high = (f"{end:g}".replace("-", "−") for end in self)
        return f"≤ {high}" if self.low == 0 else f"{low} to {high}"


# By the names in `ecgqa.question.quantity`.
NORMAL_RANGES = {
    "heart rate": Range(60.0, 100.0),
    "rr interval": Range(600.0, 1000.0),
    "p duration": Range(0.0, 120.0),
    "pr interval": Range(120.0, 200.0),
    "qrs duration": Range(60.0, 120.0),
    "qt interval": Range(360.0, 440.0),
    "qt corrected": Range(330.0, 450.0),
    "qrs axis": Range(-30.0, 90.0),
}
# Of sums of voltages: what is above speaks for hypertrophy; no question asks whether it is normal.
SOKOLOW_LYON_MV, CORNELL_MV = Range(0.0, 3.5), Range(0.0, 2.8)
LONGEST_QTC_OF_WOMEN_MS = 460.0
OTHER_QTC, SOKOLOW_LYON, CORNELL = "qtc, not Bazett's", "sokolow-lyon index", "cornell voltage"
ADULT_YEARS, FIRST_DAYS = 16.0, 11 / 365.25 - 1e-9
MONTH = 1 / 12


class Band(NamedTuple):
    """Limits at one age: rate (per min), P (98th percentile), PR, QRS, QTc (ms), QRS axis (°)."""

    rate: Range
    p_ms: float
    pr_ms: Range
    qrs_ms: Range
    qtc_ms: Range
    axis_deg: Range


def _band(*numbers: float) -> Band:
    rate, p_ms, *others = numbers[:2], numbers[2], *zip(numbers[3::2], numbers[4::2], strict=True)
    return Band(Range(*rate), p_ms, *(Range(low, high) for low, high in others))


# From this age in years on, the name of the band, and the limits of boys and of girls.
_CHILDREN = (
    (FIRST_DAYS, "11 days to 1 month",
     _band(129, 192, 85, 77, 120, 50, 85, 378, 448, 75, 140),
     _band(136, 216, 106, 91, 121, 54, 79, 379, 462, 63, 155)),
    (1 * MONTH, "1 to 3 months",
     _band(126, 187, 98, 85, 120, 52, 77, 396, 458, 37, 138),
     _band(126, 200, 105, 78, 133, 48, 77, 381, 454, 39, 121)),
    (3 * MONTH, "3 to 6 months",
     _band(112, 165, 103, 87, 134, 54, 85, 391, 453, -6, 107),
     _band(122, 191, 106, 84, 127, 50, 78, 386, 448, 17, 108)),
    (6 * MONTH, "6 to 12 months",
     _band(106, 194, 96, 82, 141, 52, 86, 379, 449, 14, 122),
     _band(106, 187, 107, 88, 133, 52, 80, 381, 446, 1, 102)),
    (1.0, "1 to 3 years",
     _band(97, 155, 113, 86, 151, 54, 88, 383, 455, -4, 118),
     _band(95, 178, 104, 78, 147, 54, 85, 381, 447, 2, 121)),
    (3.0, "3 to 5 years",
     _band(73, 123, 102, 98, 152, 58, 92, 377, 448, 7, 112),
     _band(78, 124, 101, 99, 153, 58, 88, 388, 442, 3, 106)),
    (5.0, "5 to 8 years",
     _band(62, 113, 108, 99, 160, 63, 98, 371, 443, -10, 112),
     _band(68, 115, 107, 92, 156, 59, 95, 375, 449, 27, 117)),
    (8.0, "8 to 12 years",
     _band(55, 101, 117, 105, 174, 67, 103, 373, 440, -21, 114),
     _band(58, 110, 114, 103, 163, 66, 99, 365, 447, 5, 117)),
    (12.0, "12 to 16 years",
     _band(48, 99, 118, 107, 178, 78, 111, 362, 449, -9, 112),
     _band(54, 107, 122, 106, 176, 72, 106, 370, 457, 5, 101)),
)  # fmt: skip


class Blocks(NamedTuple):
    """QRS durations in ms of conduction disturbances, AHA/ACCF/HRS 2009, part III."""

    complete: Range
    incomplete_right: Range
    incomplete_left: Range
    unspecific: Range


_BLOCKS_OF_ADULTS = Blocks(
    Range(120, math.inf), Range(110, 120), Range(110, 120), Range(110, math.inf)
)


@dataclass(frozen=True)
class Limits:
    """What is normal in some people.

    whose: who they are, "" for adults of unknown sex. source: in a few words. ranges: by the names
    in `NORMAL_RANGES`, `OTHER_QTC`, `SOKOLOW_LYON` and `CORNELL`, without those that are not known.
    blocks: see there. is_child: limits of adults, and what was learned from them, do not hold.
    """

    whose: str
    source: str
    ranges: Mapping[str, Range]
    blocks: Blocks = _BLOCKS_OF_ADULTS
    is_child: bool = False

    @property
    def words(self) -> str:
        """Whose limits they are and where they come from, "" for those of all adults."""
        return f"Normal: {self.whose} ({self.source})" if self.whose else ""


_VOLTAGES = {SOKOLOW_LYON: SOKOLOW_LYON_MV, CORNELL: CORNELL_MV}
ADULTS = Limits(
    "", "AHA/ACCF/HRS 2009",
    {**NORMAL_RANGES, OTHER_QTC: NORMAL_RANGES["qt corrected"], **_VOLTAGES},
)  # fmt: skip
_QTC_OF_WOMEN = Range(NORMAL_RANGES["qt corrected"].low, LONGEST_QTC_OF_WOMEN_MS)
WOMEN = Limits(
    "women", "AHA/ACCF/HRS 2009",
    {**ADULTS.ranges, "qt corrected": _QTC_OF_WOMEN, OTHER_QTC: _QTC_OF_WOMEN},
)  # fmt: skip
MEN = Limits("men", ADULTS.source, ADULTS.ranges)
NEWBORN = Limits("under 11 days no limits are known", "Rijnbeek 2001", {}, is_child=True)


def limits_for(age_years: float | None, sex: str) -> Limits:
    """The normal limits at an age (years; None: not known) and of a sex ("": not known)."""
    if age_years is None or age_years >= ADULT_YEARS:
        return {FEMALE: WOMEN, MALE: MEN}.get(sex, ADULTS)
    if age_years < FIRST_DAYS:
        return NEWBORN
    name, boys, girls = next(row[1:] for row in reversed(_CHILDREN) if age_years >= row[0])
    who = {FEMALE: "girls", MALE: "boys"}.get(sex, "children")
    bands = {FEMALE: (girls,), MALE: (boys,)}.get(sex, (boys, girls))
    source = "2nd to 98th percentile, Rijnbeek 2001; QTc: Bazett"
    blocks = _blocks_of_child(age_years)
    return Limits(f"{who}, {name}", source, _ranges_of(bands), blocks, is_child=True)


def limits_of(m: Measurements) -> Limits:
    """The normal limits of the one whose ECG was measured."""
    return limits_for(m.age_years, m.sex)


def _ranges_of(bands: tuple[Band, ...]) -> dict[str, Range]:
    """The limits of one band, or the wider ones of two."""

    def wider(which: str) -> Range:
        own = [getattr(band, which) for band in bands]
        return Range(min(one.low for one in own), max(one.high for one in own))

    rate = wider("rate")
    return {
        "heart rate": rate,
        "rr interval": Range(round(60_000 / rate.high), round(60_000 / rate.low)),
        "p duration": Range(0.0, max(band.p_ms for band in bands)),
        "pr interval": wider("pr_ms"),
        "qrs duration": wider("qrs_ms"),
        "qt corrected": wider("qtc_ms"),
        "qrs axis": wider("axis_deg"),
    }


def _blocks_of_child(age_years: float) -> Blocks:
    """Part III: complete from 4 years on above 100 ms, before above 90 ms; the others likewise."""
    return Blocks(
        Range(100 if age_years >= 4 else 90, math.inf),
        Range(90, 100) if age_years >= 4 else Range(86, 90),
        Range(90, 100) if age_years >= 8 else Range(80, 90),
        Range(90 if age_years >= 8 else 80, math.inf),
    )


NEXT_BEAT_MS, LONGEST_QTC_MS, SHORTEST_PR_MS, WIDE_MS = 40, 540, 80, 120


def implausible(m: Measurements) -> dict[str, str]:
    """Label of a number → why it should be checked on the paper before it is believed."""
    found = {}
    if m.qt_ms is not None and m.rr_ms is not None and m.qt_ms >= m.rr_ms - NEXT_BEAT_MS:
        found["QT interval"] = "QT reaches up to the beat that follows"
    qtc_ms = m.qtc_ms.get("Fridericia")
    narrow = m.qrs_ms is None or m.qrs_ms < WIDE_MS
    if qtc_ms is not None and qtc_ms > LONGEST_QTC_MS and narrow:
        found["QTc, Fridericia"] = f"QTc above {LONGEST_QTC_MS} ms with a QRS that is not wide"
    normal = limits_of(m).ranges.get("pr interval")
    shortest_ms = min(SHORTEST_PR_MS, normal.low if normal else math.inf)  # an infant's may be 77
    if m.pr_ms is not None and m.pr_ms < shortest_ms:
        found["PR interval"] = f"PR below {shortest_ms:g} ms"
    return found


def doubts(m: Measurements) -> list[str]:
    """What was moved by hand, and what should be checked before it is believed."""
    lines = [f"Moved by hand: {', '.join(m.by_hand)}"] if m.by_hand else []
    return lines + [f"⚠ check: {why}" for why in implausible(m).values()]
