"""The numbers of a measurement as they are shown: on the page, on paper, in CSV and in JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from ecgqa.measure import Measurements
from ecgqa.measure.normal import CORNELL, OTHER_QTC, SOKOLOW_LYON, Range, limits_of


class Row(NamedTuple):
    """A line of the table of measurements.

    repeats_within: 95 % of the differences between two halves of one recording are smaller (600
    ECGs of PTB-XL, `tests/bench_repeat.py`); a smaller change says nothing. decimals: that are
    shown. limit: the name of its range in `ecgqa.measure.normal.Limits`, "" where there is none.
    """

    label: str
    unit: str
    value: Callable[[Measurements], float | None]
    repeats_within: float
    decimals: int = 0
    limit: str = ""

    def normal(self, m: Measurements) -> Range | None:
        """The normal range in the one whose ECG this is, where there is one."""
        return limits_of(m).ranges.get(self.limit)

    def text(self, value: float | None, signed: bool = False) -> str:
        """A value for the table; a dash where there is none."""
        if value is None:
            return "–"
        shown = f"{value:{'+' if signed else ''}.{self.decimals}f}"
        if float(shown) == 0:
            shown = shown.lstrip("+-")
        return shown.replace("-", "−")

    def flagged(self, m: Measurements | None, doubtful: bool = False) -> str:
        """The value with its flags: above or below the normal range, and whether to check it."""
        if m is None:
            return self.text(None)
        value, normal = self.value(m), self.normal(m)
        flag = "" if normal is None else normal.flag(value)
        return " ".join(filter(None, ("⚠ check" if doubtful else "", flag, self.text(value))))

    def change(self, now: float | None, then: float | None) -> float | None:
        """Now minus then, of the numbers as they are shown; of an axis the shorter way round."""
        if now is None or then is None:
            return None
        change = round(round(now, self.decimals) - round(then, self.decimals), self.decimals)
        return (change + 180) % 360 - 180 if self.unit == "°" else change


MEASURED = (
    Row("Heart rate", "per min", lambda m: m.rate_bpm, 10, 0, "heart rate"),
    Row("RR interval", "ms", lambda m: m.rr_ms, 100, 0, "rr interval"),
    Row("RR spread (SD)", "ms", lambda m: m.rr_spread_ms, 127),
    Row("P duration", "ms", lambda m: m.p_ms, 23, 0, "p duration"),
    Row("PR interval", "ms", lambda m: m.pr_ms, 18, 0, "pr interval"),
    Row("QRS duration", "ms", lambda m: m.qrs_ms, 10, 0, "qrs duration"),
    Row("QT interval", "ms", lambda m: m.qt_ms, 18, 0, "qt interval"),
    Row("QTc, Bazett", "ms", lambda m: m.qtc_ms.get("Bazett"), 33, 0, "qt corrected"),
    Row("QTc, Fridericia", "ms", lambda m: m.qtc_ms.get("Fridericia"), 26, 0, OTHER_QTC),
    Row("QTc, Framingham", "ms", lambda m: m.qtc_ms.get("Framingham"), 22, 0, OTHER_QTC),
    Row("QTc, Hodges", "ms", lambda m: m.qtc_ms.get("Hodges"), 25, 0, OTHER_QTC),
    Row("P axis", "°", lambda m: m.p_axis_deg, 23),
    Row("QRS axis", "°", lambda m: m.qrs_axis_deg, 10, 0, "qrs axis"),
    Row("T axis", "°", lambda m: m.t_axis_deg, 29),
    Row("Sokolow–Lyon", "mV", lambda m: m.sokolow_lyon_mv, 0.14, 2, SOKOLOW_LYON),
    Row("Cornell", "mV", lambda m: m.cornell_mv, 0.15, 2, CORNELL),
)


def reasons(m: Measurements) -> list[str]:
    """Why something could not be measured, each reason once."""
    return sorted(set(m.not_measurable.values()))


def as_json(m: Measurements, beats: bool = True) -> dict[str, Any]:
    """All numbers of a measurement, ready for JSON, without its signals; each beat if wanted."""
    plain = (
        "rate_bpm", "rr_ms", "rr_spread_ms", "irregularity", "regular", "p_presence", "p_ms",
        "pr_ms", "qrs_ms", "qt_ms", "p_axis_deg", "qrs_axis_deg", "t_axis_deg", "sokolow_lyon_mv",
        "cornell_mv",
    )  # fmt: skip
    each = {"beats": [asdict(beat) for beat in m.beats]} if beats else {}
    return {
        **{name: getattr(m, name) for name in plain},
        "qtc_ms": dict(m.qtc_ms),
        "leads": {lead: asdict(values) for lead, values in m.leads.items()},
        **each,
        "not_measurable": dict(m.not_measurable),
    }
