"""Do the measured numbers speak for what the model says? Definitions of findings as numbers.

The limits are those of the AHA/ACCF/HRS recommendations for the standardization and interpretation
of the electrocardiogram, 2009: part III, conduction (doi 10.1161/CIRCULATIONAHA.108.191095), part
IV, QT (10.1161/CIRCULATIONAHA.108.191096), part V, chamber hypertrophy with Sokolow and Lyon's sum
(10.1161/CIRCULATIONAHA.108.191097); rates of sinus rhythms and the PR limit as in every textbook.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecgqa.measure import Measurements
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
_WIDE = Criterion("QRS", "ms", _QRS, 120, INF, 8)
_FAST = Criterion("rate", "per min", _RATE, 100, INF, 3)
_LONG_PR = Criterion("PR", "ms", _PR, 200, INF, 12, defining=True)
_LVH = Criterion("S V1 + R V5/V6", "mV", lambda m: m.sokolow_lyon_mv, 3.5, INF, 0.3)

CRITERIA: dict[str, tuple[Criterion, ...]] = {
    "complete left bundle branch block": (_WIDE,),
    "complete right bundle branch block": (_WIDE,),
    "incomplete right bundle branch block": (Criterion("QRS", "ms", _QRS, 110, 120, 12),),
    "incomplete left bundle branch block": (Criterion("QRS", "ms", _QRS, 110, 120, 12),),
    "non-specific intraventricular conduction disturbance (block)": (
        Criterion("QRS", "ms", _QRS, 110, INF, 8),
    ),
    "left anterior fascicular block": (Criterion("QRS axis", "°", _AXIS, -90, -45, 10),),
    "left posterior fascicular block": (Criterion("QRS axis", "°", _AXIS, 90, 180, 10),),
    "left axis deviation": (Criterion("QRS axis", "°", _AXIS, -90, -30, 10, defining=True),),
    "right axis deviation": (Criterion("QRS axis", "°", _AXIS, 90, 180, 10, defining=True),),
    "normal heart axis": (Criterion("QRS axis", "°", _AXIS, -30, 90, 10, defining=True),),
    "first degree av block": (_LONG_PR,),
    "prolonged pr interval": (_LONG_PR,),
    "long qt-interval": (Criterion("QTc, Fridericia", "ms", _QTC, 450, INF, 15, defining=True),),
    "sinus tachycardia": (_FAST,),
    "supraventricular tachycardia": (_FAST,),
    "paroxysmal supraventricular tachycardia": (_FAST,),
    "sinus bradycardia": (Criterion("rate", "per min", _RATE, -INF, 60, 3),),
    "sinus rhythm": (Criterion("rate", "per min", _RATE, 50, 110, 5),),
    "atrial fibrillation": (Criterion("RR spread", "% of RR", _spread, 5, INF, 2),),
    "left ventricular hypertrophy": (_LVH,),
    "voltage criteria (qrs) for left ventricular hypertrophy": (_LVH,),
    "low qrs voltages in the frontal and horizontal leads": (
        Criterion("largest limb QRS", "mV", largest_limb_mv, -INF, 0.5, 0.1),
    ),
    "normal ecg": (
        Criterion("QRS", "ms", _QRS, -INF, 120, 8),
        Criterion("PR", "ms", _PR, 120, 200, 15),
        Criterion("QTc, Fridericia", "ms", _QTC, 340, 460, 15),
    ),
}


# Intervals that a question may ask about by name, with the limits that the model was taught.
# Whether "yes" means normal depends on the wording: the number is shown and left to the reader.
INTERVALS = {
    "rr interval": Criterion("RR", "ms", lambda m: m.rr_ms, 600, 1000, 0),
    "p duration": Criterion("P", "ms", lambda m: m.p_ms, -INF, 120, 0),
    "pr interval": Criterion("PR", "ms", _PR, 120, 200, 0),
    "qrs duration": Criterion("QRS", "ms", _QRS, 60, 120, 0),
    "qt interval": Criterion("QT", "ms", lambda m: m.qt_ms, 360, 440, 0),
    "qt corrected": Criterion("QTc, Bazett", "ms", lambda m: m.qtc_ms.get("Bazett"), 330, 450, 0),
}


def checks(said: Iterable[tuple[str, bool]], m: Measurements) -> list[Check]:
    """What the numbers say to findings that were affirmed (True) or denied (False).

    A number that could not be measured, or that cannot decide, is left out.
    """
    out = []
    for finding, there in said:
        for name, normal in INTERVALS.items():
            if finding.startswith(name) and (value := normal.value(m)) is not None:
                words = f"{normal.label} {value:.0f} ms (normal: {normal.limits()})"
                out.append(Check(words, True))
        for criterion in CRITERIA.get(finding, ()):
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
