"""`QUANTITIES`: what can be asked as a number, how it is measured, and what is normal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist

from ecgqa.measure import Beat, LeadValues, Measurements
from ecgqa.measure.normal import ADULTS, NORMAL_RANGES, OTHER_QTC, Range, limits_of
from ecgqa.question.reading import ABOVE, BELOW, WITHIN, Limit

EARLY_KINDS = ("premature narrow", "premature wide")
INTERVALS = (
    "rr interval", "p duration", "pr interval", "qrs duration", "qt interval", "qt corrected",
)  # fmt: skip
"""The six quantities that ECG-QA asks about."""
WITH_RANGE = frozenset(NORMAL_RANGES)
"""What can be asked whether it is normal."""
FORMULA = "Bazett"  # of QTc where none is named: its limits are the ones above


@dataclass(frozen=True)
class Quantity:
    """A number of an ECG.

    label: as it begins a sentence. unit: of the value. value: of a whole recording (None: not
    measurable), in_lead: of one lead. repeats_within: 95 % of the differences between two halves of
    one recording are smaller (`tests/bench_repeat.py`). reason: its key in
    `Measurements.not_measurable`. depth: it is a deflection downwards, told as a positive number.
    """

    name: str
    label: str
    unit: str
    value: Callable[[Measurements], float | None] | None = None
    in_lead: Callable[[LeadValues], float | None] | None = None
    repeats_within: float = 0.0
    decimals: int = 0
    reason: str = ""
    depth: bool = False

    def text(self, value: float) -> str:
        """A value with its unit."""
        shown = f"{value:.{self.decimals}f}".replace("-", "−")
        return f"{shown}°" if self.unit == "°" else f"{shown} {self.unit}".rstrip()


@dataclass(frozen=True)
class Value:
    """A measured value: `number` is None where it is not measurable, for the reason in `why`.

    normal: the range in the one whose ECG this is, None where there is none; whose: who has these
    limits ("girls, 5 to 8 years"), "" where they are those of all adults.
    """

    quantity: Quantity
    number: float | None
    lead: str = ""
    formula: str = ""
    why: str = ""
    normal: Range | None = None
    whose: str = ""

    @property
    def label(self) -> str:
        """What it is, with its lead or formula."""
        where = f" in {self.lead}" if self.lead else ""
        by = f" ({self.formula})" if self.formula else ""
        return f"{self.quantity.label}{where}{by}"

    def sentence(self) -> str:
        """The value in words, with what is normal; or why there is none."""
        if self.number is None:
            return f"{self.label}: not measurable ({self.why})"
        words = f"{self.label} {self.quantity.text(self.number)}"
        return words if self.normal is None else f"{words} (normal: {self.range_words()})"

    def range_words(self) -> str:
        """The normal range in words, and whose it is; "" where there is none."""
        if self.normal is None:
            return ""
        low, high = (f"{limit:g}".replace("-", "−") for limit in self.normal)
        unit, of = self.quantity.unit, f" in {self.whose}" if self.whose else ""
        return (f"up to {high} {unit}" if self.normal.low == 0 else f"{low} to {high} {unit}") + of


def _extra(m: Measurements) -> list[Beat]:
    return [beat for beat in m.beats if beat.kind in EARLY_KINDS]


def longest_pause(m: Measurements) -> tuple[float, float] | None:
    """Start in s and length in ms of the longest interval between two beats."""
    peaks = m.r_peaks_s
    gaps = [(after - before, before) for before, after in pairwise(peaks)]
    if not gaps:
        return None
    longest, start = max(gaps)
    return start, 1000 * longest


def _pause(m: Measurements) -> float | None:
    found = longest_pause(m)
    return None if found is None else found[1]


def _counted(m: Measurements, beats: Sequence[Beat] | Sequence[float]) -> float | None:
    return float(len(beats)) if m.r_peaks_s else None


_ALL = (
    Quantity("heart rate", "Heart rate", "per min", lambda m: m.rate_bpm, None, 10, 0, "rate_bpm"),
    Quantity("rr interval", "RR interval", "ms", lambda m: m.rr_ms, None, 100, 0, "rr_ms"),
    Quantity("rr variability", "RR spread (SD)", "ms", lambda m: m.rr_spread_ms, None, 127, 0,
             "rr_spread_ms"),
    Quantity("p duration", "P duration", "ms", lambda m: m.p_ms, None, 23, 0, "p_ms"),
    Quantity("pr interval", "PR interval", "ms", lambda m: m.pr_ms, None, 18, 0, "pr_ms"),
    Quantity("qrs duration", "QRS duration", "ms", lambda m: m.qrs_ms, None, 10, 0, "qrs_ms"),
    Quantity("qt interval", "QT interval", "ms", lambda m: m.qt_ms, None, 18, 0, "qt_ms"),
    Quantity("qt corrected", "QTc", "ms", lambda m: m.qtc_ms.get(FORMULA), None, 33, 0, "qtc_ms"),
    Quantity("p axis", "P axis", "°", lambda m: m.p_axis_deg, None, 23, 0, "p_axis_deg"),
    Quantity("qrs axis", "QRS axis", "°", lambda m: m.qrs_axis_deg, None, 10, 0, "qrs_axis_deg"),
    Quantity("t axis", "T axis", "°", lambda m: m.t_axis_deg, None, 29, 0, "t_axis_deg"),
    Quantity("p amplitude", "P", "mV", None, lambda v: v.p_mv, 0.04, 2),
    Quantity("q amplitude", "Q", "mV", None, lambda v: -v.q_mv, 0.04, 2, depth=True),
    Quantity("r amplitude", "R", "mV", None, lambda v: v.r_mv, 0.1, 2),
    Quantity("s amplitude", "S", "mV", None, lambda v: -v.s_mv, 0.1, 2, depth=True),
    Quantity("t amplitude", "T", "mV", None, lambda v: v.t_mv, 0.06, 2),
    Quantity("st level", "ST at J", "mV", None, lambda v: v.st_j_mv, 0.04, 2),
    Quantity("sokolow-lyon index", "Sokolow–Lyon", "mV", lambda m: m.sokolow_lyon_mv, None, 0.14, 2,
             "sokolow_lyon_mv"),
    Quantity("cornell voltage", "Cornell", "mV", lambda m: m.cornell_mv, None, 0.15, 2,
             "cornell_mv"),
    Quantity("number of beats", "Beats", "", lambda m: _counted(m, m.r_peaks_s), reason="rate_bpm"),
    Quantity("number of extra beats", "Premature beats", "", lambda m: _counted(m, _extra(m)),
             reason="rate_bpm"),
    Quantity("longest pause", "Longest RR interval", "ms", _pause, reason="rr_ms"),
)  # fmt: skip
QUANTITIES = {quantity.name: quantity for quantity in _ALL}


def normal_of(name: str, m: Measurements, formula: str = "") -> Range | None:
    """The normal range of a quantity in the one whose ECG this is, where there is one."""
    other = name == "qt corrected" and formula not in ("", FORMULA)
    return limits_of(m).ranges.get(OTHER_QTC if other else name) if name in WITH_RANGE else None


def value_of(name: str, m: Measurements, lead: str = "", formula: str = "") -> Value:
    """One quantity of a measured ECG; of a lead where it is one of leads. Raises KeyError."""
    value = _value_of(name, m, lead, formula)
    normal, usual = normal_of(name, m, value.formula), ADULTS.ranges.get(name)
    whose = "" if normal == usual else limits_of(m).whose
    return replace(value, normal=normal, whose=whose)


def _value_of(name: str, m: Measurements, lead: str, formula: str) -> Value:
    quantity = QUANTITIES[name]
    if name == "qt corrected":
        formula = formula or FORMULA
        number, lead = m.qtc_ms.get(formula), ""
    elif quantity.value is not None:
        number, lead, formula = quantity.value(m), "", ""
    else:
        formula = ""
        assert quantity.in_lead is not None
        values = m.leads.get(lead)
        number = None if values is None else quantity.in_lead(values)
    if number is not None:
        return Value(quantity, number, lead, formula)
    missing = m.not_measurable
    why = missing.get(quantity.reason) or missing.get("qt_ms" if name == "qt corrected" else "")
    why = why or (f"lead {lead} cannot be measured" if lead else "no such wave was found")
    return Value(quantity, None, lead, formula, why)


def values_of(name: str, m: Measurements, leads: tuple[str, ...], formula: str = "") -> list[Value]:
    """A quantity in each lead that was named; of a wave without a lead, its extremes."""
    quantity = QUANTITIES[name]
    if quantity.value is not None:
        return [value_of(name, m, "", formula)]
    if leads:
        return [value_of(name, m, lead) for lead in leads]
    known = [v for lead in m.leads if (v := value_of(name, m, lead)).number is not None]
    if not known:
        return [Value(quantity, None, why="no lead can be measured")]
    highest = max(known, key=lambda v: v.number or 0.0)
    lowest = min(known, key=lambda v: v.number or 0.0)
    return [highest] if quantity.depth or highest is lowest else [highest, lowest]


def in_units_of(quantity: Quantity, limit: Limit) -> Limit:
    """A limit in the quantity's own unit, also where the question names none."""

    def convert(value: float) -> float:
        if limit.unit or not value:
            return value
        if quantity.unit == "ms" and abs(value) < 5:
            return value * 1000  # 0.2 means seconds
        if quantity.unit == "mV" and abs(value) >= (5 if quantity.value else 0.7):
            return value / 10  # millimetres at 10 mm/mV
        return value

    high = None if limit.high is None else convert(limit.high)
    return Limit(convert(limit.value), quantity.unit, high)


def side_of(value: float, low: float, high: float) -> str:
    """On which side of a range a value lies, both ends included."""
    return BELOW if value < low else ABOVE if value > high else WITHIN


def chance(value: Value, low: float, high: float) -> float:
    """Probability that the true value lies on the same side of the range as the measured one.

    The measurement's error is taken as normal, with the spread by which it differs between two
    halves of one recording.
    """
    assert value.number is not None
    spread = value.quantity.repeats_within / 1.96 / math.sqrt(2)
    if spread <= 0:
        return 1.0
    error = NormalDist(0, spread)
    over_low, over_high = error.cdf(value.number - low), error.cdf(value.number - high)
    return {BELOW: 1 - over_low, ABOVE: over_high, WITHIN: over_low - over_high}[
        side_of(value.number, low, high)
    ]
