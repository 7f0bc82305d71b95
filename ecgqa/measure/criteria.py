"""Do the measured numbers speak for what the model says? Definitions of findings as numbers.

The limits are those of the AHA/ACCF/HRS recommendations for the standardization and interpretation
of the electrocardiogram, 2009: part III, conduction (doi 10.1161/CIRCULATIONAHA.108.191095), part
IV, QT (10.1161/CIRCULATIONAHA.108.191096), part V, chamber hypertrophy with Sokolow and Lyon's sum
(10.1161/CIRCULATIONAHA.108.191097); rates of sinus rhythms and the PR limit as in every textbook.
Those of children and of women follow from `ecgqa.measure.normal`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecgqa.measure import Measurements
from ecgqa.measure.normal import (
    ADULTS,
    NEWBORN,
    SOKOLOW_LYON,
    SOKOLOW_LYON_MV,
    Limits,
    limits_of,
)
from ecgqa.record import LEADS

Value = Callable[[Measurements], float | None]


@dataclass(frozen=True)
class Criterion:
    """A number that a finding must have.

    low, high: where it lies when the finding is there. slack: the measurement's own uncertainty;
    nearer to a limit the number says nothing. defining: the number alone makes the finding, so that
    it speaks for it, and also against a "no".
    """

    label: str
    unit: str
    value: Value
    low: float
    high: float
    slack: float
    defining: bool = False

    def side(self, value: float) -> int:
        """1 for a value within the limits by more than the slack, -1 for one outside, else 0."""
        if self.unit == "°":
            middle = (self.low + self.high) / 2
            value = (value - middle + 180) % 360 - 180 + middle
        within = min(value - self.low, self.high - value)
        return 0 if abs(within) <= self.slack else 1 if within > 0 else -1

    def limits(self) -> str:
        """The criterion in words."""
        low, high = (f"{limit:g}".replace("-", "−") for limit in (self.low, self.high))
        if math.isinf(self.high):
            return f"{low} {self.unit} and more"
        if math.isinf(self.low):
            return f"{high} {self.unit} and less"
        return f"{low} to {high} {self.unit}"


@dataclass(frozen=True)
class Check:
    """A measured number beside an answer, in words, and whether the two agree."""

    words: str
    agrees: bool


def largest_limb_mv(m: Measurements) -> float | None:
    """The largest QRS of the limb leads from peak to peak, on the median beat."""
    limb = [m.leads[lead] for lead in LEADS[:6] if lead in m.leads]
    return max((v.r_mv - min(v.q_mv, v.s_mv) for v in limb), default=None)


def _spread(m: Measurements) -> float | None:
    if m.rr_ms is None or m.rr_spread_ms is None:
        return None
    return 100 * m.rr_spread_ms / m.rr_ms


INF = math.inf
_RATE: Value = lambda m: m.rate_bpm  # noqa: E731
_PR: Value = lambda m: m.pr_ms  # noqa: E731
_QRS: Value = lambda m: m.qrs_ms  # noqa: E731
_AXIS: Value = lambda m: m.qrs_axis_deg  # noqa: E731
_QTC: Value = lambda m: m.qtc_ms.get("Fridericia")  # noqa: E731
_BAZETT: Value = lambda m: m.qtc_ms.get("Bazett")  # noqa: E731


def _criteria(limits: Limits) -> dict[str, tuple[Criterion, ...]]:
    """What the numbers of a finding must be in those who have these limits."""
    rate, pr, qrs, axis = (
        limits.ranges[name] for name in ("heart rate", "pr interval", "qrs duration", "qrs axis")
    )
    qtc, blocks = limits.ranges["qt corrected"], limits.blocks
    wide = Criterion("QRS", "ms", _QRS, blocks.complete.low, INF, 8)
    fast = Criterion("rate", "per min", _RATE, rate.high, INF, 3)
    long_pr = Criterion("PR", "ms", _PR, pr.high, INF, 12, defining=True)
    large = Criterion("S V1 + R V5/V6", "mV", lambda m: m.sokolow_lyon_mv, SOKOLOW_LYON_MV.high,
                      INF, 0.3)  # fmt: skip
    voltages = (large,) if SOKOLOW_LYON in limits.ranges else ()
    # A child's axis points to the right: without an earlier ECG that is no sign of this block.
    right = () if limits.is_child else (Criterion("QRS axis", "°", _AXIS, 90, 180, 10),)
    formula = ("QTc, Bazett", _BAZETT) if limits.is_child else ("QTc, Fridericia", _QTC)
    usual_qtc = qtc if limits.is_child else (340.0, 460.0)
    return {
        "complete left bundle branch block": (wide,),
        "complete right bundle branch block": (wide,),
        "incomplete right bundle branch block": (
            Criterion("QRS", "ms", _QRS, *blocks.incomplete_right, 12),
        ),
        "incomplete left bundle branch block": (
            Criterion("QRS", "ms", _QRS, *blocks.incomplete_left, 12),
        ),
        "non-specific intraventricular conduction disturbance (block)": (
            Criterion("QRS", "ms", _QRS, blocks.unspecific.low, INF, 8),
        ),
        "left anterior fascicular block": (Criterion("QRS axis", "°", _AXIS, -90, -45, 10),),
        "left posterior fascicular block": right,
        "left axis deviation": (Criterion("QRS axis", "°", _AXIS, -90, axis.low, 10, True),),
        "right axis deviation": (Criterion("QRS axis", "°", _AXIS, axis.high, 180, 10, True),),
        "normal heart axis": (Criterion("QRS axis", "°", _AXIS, *axis, 10, True),),
        "first degree av block": (long_pr,),
        "prolonged pr interval": (long_pr,),
        "long qt-interval": (
            Criterion(formula[0], "ms", formula[1], qtc.high, INF, 15, defining=True),
        ),
        "sinus tachycardia": (fast,),
        "supraventricular tachycardia": (fast,),
        "paroxysmal supraventricular tachycardia": (fast,),
        "sinus bradycardia": (Criterion("rate", "per min", _RATE, -INF, rate.low, 3),),
        "sinus rhythm": (Criterion("rate", "per min", _RATE, rate.low - 10, rate.high + 10, 5),),
        "atrial fibrillation": (Criterion("RR spread", "% of RR", _spread, 5, INF, 2),),
        "left ventricular hypertrophy": voltages,
        "voltage criteria (qrs) for left ventricular hypertrophy": voltages,
        "low qrs voltages in the frontal and horizontal leads": (
            Criterion("largest limb QRS", "mV", largest_limb_mv, -INF, 0.5, 0.1),
        ),
        "normal ecg": (
            Criterion("QRS", "ms", _QRS, -INF, qrs.high, 8),
            Criterion("PR", "ms", _PR, *pr, 15),
            Criterion(*formula[:1], "ms", formula[1], *usual_qtc, 15),
        ),
    }


CRITERIA = _criteria(ADULTS)


def criteria_of(m: Measurements) -> dict[str, tuple[Criterion, ...]]:
    """Finding → the criteria in the one whose ECG was measured; empty where no limits are known."""
    limits = limits_of(m)
    if limits is ADULTS:
        return CRITERIA
    return {} if limits is NEWBORN else _criteria(limits)


# Intervals that a question may ask about by name, with the limits that the model was taught.
# Whether "yes" means normal depends on the wording: the number is shown and left to the reader.
_OF_INTERVALS: tuple[tuple[str, str, Value], ...] = (
    ("rr interval", "RR", lambda m: m.rr_ms),
    ("p duration", "P", lambda m: m.p_ms),
    ("pr interval", "PR", _PR),
    ("qrs duration", "QRS", _QRS),
    ("qt interval", "QT", lambda m: m.qt_ms),
    ("qt corrected", "QTc, Bazett", _BAZETT),
)


def _intervals(limits: Limits) -> dict[str, Criterion]:
    """The normal range of each interval; without an end where there is no limit."""
    found = {}
    for name, label, value in _OF_INTERVALS:
        normal = limits.ranges.get(name)
        ends = (-INF, INF) if normal is None else (normal.low or -INF, normal.high)
        found[name] = Criterion(label, "ms", value, *ends, 0)
    return found


INTERVALS = _intervals(ADULTS)


def checks(said: Iterable[tuple[str, bool]], m: Measurements) -> list[Check]:
    """What the numbers say to findings that were affirmed (True) or denied (False).

    A number that could not be measured, or that cannot decide, is left out.
    """
    out = []
    intervals, criteria = _intervals(limits_of(m)), criteria_of(m)
    for finding, there in said:
        for name, normal in intervals.items():
            if finding.startswith(name) and (value := normal.value(m)) is not None:
                words = f"{normal.label} {value:.0f} ms"
                if math.isfinite(normal.high):
                    words += f" (normal: {normal.limits()})"
                out.append(Check(words, True))
        for criterion in criteria.get(finding, ()):
            value = criterion.value(m)
            if value is None or not (there or criterion.defining):
                continue
            side = criterion.side(value)
            if side == 0:
                continue
            speaks = "speaks for" if criterion.defining else "fits"
            digits = 2 if criterion.unit == "mV" else 0
            number = f"{value:.{digits}f}".replace("-", "−")
            words = (
                f"{criterion.label} {number} {criterion.unit} "
                f"{speaks if side > 0 else 'speaks against'} {finding} ({criterion.limits()})"
            )
            out.append(Check(words, (side > 0) == there))
    return out
