"""`report`: an ECG in sentences, section by section, from its measurements and likely findings.

Every number is copied from `ecgqa.measure`; a finding is told only where its probability reaches
its own limit and no measured number speaks against it, and of findings that exclude each other the
likeliest. `contradictions` counts what is left: it must find nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecgqa.answer.case import Case
from ecgqa.answer.findings import UNNAMED, Finding, findings
from ecgqa.measure import Measurements
from ecgqa.measure.criteria import criteria_of
from ecgqa.measure.numbers import MEASURED
from ecgqa.question.quantity import EARLY_KINDS, QUANTITIES, side_of, value_of
from ecgqa.question.reading import ABOVE, BELOW, WITHIN, phrase

SECTIONS = (
    "Rate and rhythm", "Conduction and axis", "Hypertrophy", "Infarct and ischaemia, ST-T",
    "Intervals", "Technical quality", "Conclusion",
)  # fmt: skip
RHYTHMS = (
    "sinus rhythm", "atrial fibrillation", "sinus tachycardia", "sinus arrhythmia",
    "sinus bradycardia", "normal functioning artificial pacemaker", "atrial flutter",
    "supraventricular tachycardia", "paroxysmal supraventricular tachycardia",
    "supraventricular arrhythmia",
)  # fmt: skip
OF_SINUS = {"sinus rhythm", "sinus tachycardia", "sinus arrhythmia", "sinus bradycardia"}
ECTOPY = (
    "ventricular premature complex", "atrial premature complex", "premature complex(es)",
    "bigeminal pattern (unknown origin, supraventricular, or ventricular)",
    "trigeminal pattern (unknown origin, supraventricular, or ventricular)",
)  # fmt: skip
CONDUCTION = (
    "complete left bundle branch block", "complete right bundle branch block",
    "incomplete left bundle branch block", "incomplete right bundle branch block",
    "left anterior fascicular block", "left posterior fascicular block",
    "non-specific intraventricular conduction disturbance (block)", "first degree av block",
    "prolonged pr interval", "second degree av block", "third degree av block",
    "wolff-parkinson-white syndrome",
)  # fmt: skip
HYPERTROPHY = (
    "left ventricular hypertrophy", "right ventricular hypertrophy", "septal hypertrophy",
    "left atrial overload/enlargement", "right atrial overload/enlargement",
    "voltage criteria (qrs) for left ventricular hypertrophy", "high qrs voltage",
    "low qrs voltages in the frontal and horizontal leads",
)  # fmt: skip
NOISE = ("baseline drift", "static noise", "burst noise", "electrodes problems")
SILENT = {  # told elsewhere or by numbers, or too general beside the others
    *UNNAMED, "conduction disturbance", "hypertrophy", "myocardial infarction", "st/t change",
    "normal ecg", "normal heart axis", "left axis deviation", "right axis deviation",
    "extreme axis deviation", "extrasystoles", "supraventricular extrasystoles",
    "ventricular extrasystoles", "none of myocardial infarction",
    "unknown stage of myocardial infarction", "long qt-interval",
}  # fmt: skip
NEAR, MOST_POSSIBLE = 0.6, 3  # share of its own limit from which a finding is possible; how many
ALIKE = "No finding is new or gone, and no number changed by more than its spread."
AXIS_TEXT = {BELOW: "left axis", WITHIN: "normal axis", ABOVE: "right axis"}


@dataclass(frozen=True)
class Report:
    """Sections [(title, sentences)], and the statements that the sentences affirm."""

    sections: tuple[tuple[str, tuple[str, ...]], ...]
    statements: tuple[str, ...]

    @property
    def text(self) -> str:
        """A line for each section."""
        return "\n".join(f"{title}: {' '.join(said)}" for title, said in self.sections)


def report(case: Case, which: int = -1) -> Report:
    """The report on one ECG of a case, by default on the latest one."""
    m, found = case.measured[which], findings(case, which)
    told = [name for name in stated(found, m) if name not in SILENT]
    rhythm = [name for name in told if name in RHYTHMS]
    conduction = [name for name in told if name in CONDUCTION]
    large = [name for name in told if name in HYPERTROPHY]
    ectopy = [name for name in told if name in ECTOPY]
    noise = [name for name in told if name in NOISE]
    other = [n for n in told if n not in {*rhythm, *conduction, *large, *ectopy, *noise}]
    abnormal = [n for n in told if n not in {*noise, "sinus rhythm"}]
    normal = found["normal ecg"].there if "normal ecg" in found else False
    sections = (
        _rate_and_rhythm(rhythm, ectopy, m),
        (*_sentences(conduction, "No conduction disturbance seen."), _axis(m)),
        (*_sentences(large, "No hypertrophy or unusual voltage seen."), _sokolow(m)),
        _sentences(other, "No infarct and no ST-T change seen."),
        _intervals(m),
        _quality(case, which, noise),
        (*_conclusion(abnormal, normal and not abnormal, m), _possible(found, told, m)),
    )
    kept = tuple(zip(SECTIONS, (tuple(filter(None, s)) for s in sections), strict=True))
    statements = tuple(told)
    if normal and not abnormal:
        statements = ("normal ecg", *statements)
    return Report(kept, statements)


def stated(found: dict[str, Finding], m: Measurements) -> list[str]:
    """Findings to be told, the likeliest first: likely enough, not excluded, not spoken against."""
    likely = sorted((f for f in found.values() if f.there), key=lambda f: -f.chance)
    out: list[str] = []
    for finding in likely:
        if not spoken_against(finding.name, m) and not any(exclude(finding.name, o) for o in out):
            out.append(finding.name)
    if not any(name in RHYTHMS for name in out):
        known = [found[name] for name in RHYTHMS if name in found]
        fitting = [f for f in known if not spoken_against(f.name, m)]
        best = max(fitting, key=lambda f: f.chance / max(f.limit, 1e-3), default=None)
        if best is not None and best.chance >= 0.5 * best.limit:
            out.append(best.name)
    return out


def _possible(found: dict[str, Finding], told: list[str], m: Measurements) -> str:
    """Findings that come near their limit, said to be no more than possible."""
    near = [
        f for f in found.values()
        if NEAR * f.limit <= f.chance < f.limit and f.name not in SILENT
        and f.name not in (*RHYTHMS, *NOISE) and not spoken_against(f.name, m)
        and not any(exclude(f.name, name) for name in told)
    ]  # fmt: skip
    near.sort(key=lambda f: -f.chance / f.limit)
    names = [phrase(f.name) for f in near[:MOST_POSSIBLE]]
    return f"Possible, not certain: {', '.join(names)}." if names else ""


def spoken_against(name: str, m: Measurements) -> bool:
    """Whether a measured number contradicts a finding by more than its own uncertainty."""
    for criterion in criteria_of(m).get(name, ()):
        value = criterion.value(m)
        if value is not None and criterion.side(value) < 0:
            return True
    return False


def exclude(one: str, other: str) -> bool:
    """Whether two findings cannot both be."""
    if one == other:
        return False
    both = {one, other}
    sides = {
        frozenset({"complete left bundle branch block", "incomplete left bundle branch block"}),
        frozenset({"complete right bundle branch block", "incomplete right bundle branch block"}),
        frozenset({"complete left bundle branch block", "complete right bundle branch block"}),
        frozenset({"sinus tachycardia", "sinus bradycardia"}),
        frozenset({"high qrs voltage", "low qrs voltages in the frontal and horizontal leads"}),
        frozenset({"normal ecg", "abnormal ecg"}),
        frozenset({"first degree av block", "third degree av block"}),
        frozenset({"first degree av block", "atrial fibrillation"}),
        frozenset({"prolonged pr interval", "atrial fibrillation"}),
    }
    if frozenset(both) in sides:
        return True
    if both <= set(RHYTHMS):
        return not both <= OF_SINUS
    return False


def contradictions(told: Report, m: Measurements) -> list[str]:
    """What a report says against its numbers or against itself, in words; must be empty."""
    out = [f"{name} against the numbers" for name in told.statements if spoken_against(name, m)]
    names = list(told.statements)
    out += [f"{a} beside {b}" for i, a in enumerate(names) for b in names[i + 1 :] if exclude(a, b)]
    abnormal = [n for n in names if n not in {*NOISE, "sinus rhythm", "normal ecg"}]
    if "normal ecg" in names and abnormal:
        out.append(f"normal beside {', '.join(abnormal)}")
    return out


def comparison(case: Case) -> list[str]:
    """What differs between the two ECGs of a pair, in sentences; `ALIKE` where nothing does."""
    first, second = (report(case, which).statements for which in (0, 1))
    quiet = {*NOISE, "normal ecg"}
    new = [phrase(name) for name in second if name not in {*first, *quiet}]
    gone = [phrase(name) for name in first if name not in {*second, *quiet}]
    out = []
    if new:
        out.append(f"New in the second ECG: {', '.join(new)}.")
    if gone:
        out.append(f"Not seen any more: {', '.join(gone)}.")
    changes = []
    for row in MEASURED:
        then, now = (row.value(m) for m in case.measured)
        change = row.change(now, then)
        if change is not None and abs(change) > row.repeats_within:
            told = f"{row.label} {row.text(then)} to {row.text(now)} {row.unit}"
            changes.append(f"{told} ({row.text(change, signed=True)})")
    if changes:
        out.append(f"Changed by more than the measurement's own spread: {', '.join(changes)}.")
    return out or [ALIKE]


def _sentences(names: Iterable[str], otherwise: str) -> tuple[str, ...]:
    said = tuple(_capital(phrase(name)) + "." for name in names)
    return said or (otherwise,)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rate_and_rhythm(rhythm: list[str], ectopy: list[str], m: Measurements) -> tuple[str, ...]:
    rate = value_of("heart rate", m)
    plain = [n for n in rhythm if n != "sinus rhythm"] or rhythm
    words = " with ".join(phrase(name) for name in plain) or "rhythm not clear"
    out = [f"{_capital(words)}, {_lower(rate.sentence())}."]
    early = [beat for beat in m.beats if beat.kind in EARLY_KINDS]
    out += [_capital(phrase(name)) + "." for name in ectopy]
    if early and m.r_peaks_s:
        out.append(f"Premature beats: {len(early)} of {len(m.r_peaks_s)}.")
    return tuple(out)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _axis(m: Measurements) -> str:
    axis = value_of("qrs axis", m)
    if axis.number is None:
        return axis.sentence() + "."
    said = f"{axis.quantity.label} {axis.quantity.text(axis.number)}"
    if axis.normal is None:
        return f"{said}."
    side = side_of(axis.number, *axis.normal)
    name = "extreme axis" if not -90 <= axis.number <= 180 else AXIS_TEXT[side]
    return f"{said}: {name}."


def _sokolow(m: Measurements) -> str:
    value = value_of("sokolow-lyon index", m)
    return "" if value.number is None else f"{value.sentence()}."


def _intervals(m: Measurements) -> tuple[str, ...]:
    out = []
    for name in ("p duration", "pr interval", "qrs duration", "qt interval", "qt corrected"):
        value = value_of(name, m)
        if value.number is None:
            out.append(value.sentence() + ".")
            continue
        side = WITHIN if value.normal is None else side_of(value.number, *value.normal)
        flag = "" if side == WITHIN else f", {side} the normal range"
        out.append(f"{value.label} {QUANTITIES[name].text(value.number)}{flag}.")
    return tuple(out)


def _quality(case: Case, which: int, noise: list[str]) -> tuple[str, ...]:
    quality = case.quality[which]
    faults = [f"{lead}: {', '.join(on)}" for lead, on in quality.leads.items()]
    out = [f"{_capital(phrase(name))}." for name in noise]
    out += [f"{'; '.join(faults)}."] if faults else []
    missing = case.ecgs[which].missing_leads  # the lost ones are named by their fault
    if missing:
        out.append(f"Not recorded: {', '.join(missing)}.")
    return tuple(out) or ("Good.",)


def _conclusion(abnormal: list[str], normal: bool, m: Measurements) -> tuple[str, ...]:
    out_of_range = [
        f"{value.label} {side} the normal range"
        for name in ("pr interval", "qrs duration", "qt corrected")
        if (value := value_of(name, m)).number is not None
        and value.normal is not None
        and (side := side_of(value.number, *value.normal)) != WITHIN
    ]
    if normal and not out_of_range:
        return ("Normal ECG.",)
    listed = [phrase(name) for name in abnormal] + out_of_range
    if not listed:
        return ("No certain abnormality, yet not surely normal.",)
    return (f"Abnormal: {', '.join(listed)}.",)
