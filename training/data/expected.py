"""Which ECGs a clinician's question is asked of, and which answers to it are right.

Of findings, choices, lists and places PTB-XL's labels are right; of numbers, limits, ranges and
times what `ecgqa.measure` says; advice, other subjects, findings nobody labelled and other
languages must be declined. ECGs are drawn so that yes and no are about equally often right.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecgqa import EcgAssistant
from ecgqa.answer.answer import Answer
from ecgqa.answer.place import FAMILIES, SEEN
from ecgqa.measure.normal import NORMAL_RANGES
from ecgqa.question.quantity import (
    EARLY_KINDS,
    QUANTITIES,
    in_units_of,
    longest_pause,
    side_of,
    value_of,
    values_of,
)
from ecgqa.question.reading import Limit, formula_in, leads_in, phrase
from ecgqa.record import LEADS
from training.data.patients import POOL, Patients
from training.data.ptbxl import GROUPS, LEAD_FORMS

REGIONS = ("inferior", "anterior", "septal", "lateral", "posterior")
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?")
DECLINED = ("advice", "outside", "untrained", "language")
Check = Callable[[str, Sequence[str], bool], bool]  # text, answers, declined → right
Row = dict[str, Any]  # a question of the bank
Judged = list[tuple[int, Check]]


def numbers_in(text: str) -> list[float]:
    """All numbers of a text."""
    return [float(found.replace("−", "-")) for found in NUMBER.findall(text)]


def near(text: str, value: float, decimals: int) -> bool:
    """Whether a text has this number, within 2 % or 2 of its last decimals."""
    slack = max(0.02 * abs(value), 2 * 10.0**-decimals if decimals == 0 else 0.02)
    return any(abs(found - value) <= slack for found in numbers_in(text))


def said(answers: Sequence[str], text: str) -> str:
    """ "yes", "no" or ""."""
    first = (answers[0] if answers else text).lower()
    return next((word for word in ("yes", "no") if re.match(rf"{word}\b", first)), "")


def expected(row: dict[str, Any], patients: Patients, rng: random.Random, count: int) -> Judged:
    """Rows of ECGs to ask a question of, and how each answer is judged."""
    kind = row["kind"]
    return EXPECT[kind](row, patients, rng, count)


def _yes_no(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    label = patients.label(row["finding"])
    out: Judged = []
    for k in range(count):
        truth = bool(k % 2) if count > 1 else rng.random() < 0.5
        for i in patients.draw(rng, lambda i, t=truth: label[i] == float(t), 1):
            right = "yes" if truth != bool(row.get("absent")) else "no"
            out.append((i, lambda text, answers, declined, r=right: said(answers, text) == r))
    return out


def _range(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    if row["quantity"] not in NORMAL_RANGES:
        return []
    low, high = NORMAL_RANGES[row["quantity"]]

    def holds(i: int) -> bool | None:
        number = value_of(row["quantity"], patients.measured(i)).number
        return None if number is None else side_of(number, low, high) == row["range"]

    return _true_and_false(holds, patients, rng, count)


def _threshold(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    quantity = QUANTITIES[row["quantity"]]
    limit = in_units_of(quantity, _limit(row)).value

    def holds(i: int) -> bool | None:
        m, lead = patients.measured(i), row.get("lead", "")
        number = value_of(quantity.name, m, lead, row.get("formula", "")).number
        value = None if number is None else round(number, quantity.decimals)
        if value is None or value == limit:
            return None
        return value > limit if row["side"] == "above" else value < limit

    return _true_and_false(holds, patients, rng, count)


def _true_and_false(
    holds: Callable[[int], bool | None], patients: Patients, rng: random.Random, count: int
) -> Judged:
    """By turns ECGs of which a measured statement holds and does not; None: it is not asked of."""
    out: Judged = []
    for k in range(count):
        truth = bool(k % 2) if count > 1 else rng.random() < 0.5
        pool = [i for i in patients.rows[:POOL] if patients.readable(i) and holds(i) is truth]
        if pool:
            right = "yes" if truth else "no"
            check = lambda text, answers, declined, r=right: said(answers, text) == r  # noqa: E731
            out.append((rng.choice(pool), check))
    return out


def _limit(row: dict[str, Any]) -> Limit:
    unit = row.get("unit", "")
    factor, name = {"s": (1000, "ms"), "mm": (0.1, "mV"), "per min": (1, "per min")}.get(
        unit, (1, unit)
    )
    return Limit(row["limit"] * factor, name)


def _all_near(
    values: list[float], decimals: int, text: str, answers: Sequence[str], declined: bool
) -> bool:
    return not declined and all(near(text, value, decimals) for value in values)


def _number(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    out: Judged = []
    quantity = QUANTITIES[row["quantity"]]
    pool = [i for i in patients.rows[:POOL] if patients.readable(i)]
    for _ in range(count):
        for i in rng.sample(pool, len(pool)):
            leads = (row["lead"],) if row.get("lead") else leads_in(row.get("question", ""))
            formula = row.get("formula") or formula_in(row.get("question", ""))
            values = values_of(quantity.name, patients.measured(i), leads, formula)
            known = [v.number for v in values if v.number is not None]
            if known:
                check = functools.partial(_all_near, known, quantity.decimals)
                out.append((i, check))
                break
    return out


def _choose(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    a, b = row["options"]
    left, right = patients.label(a), patients.label(b)
    out: Judged = []
    for k in range(count):
        wanted = (1.0, 0.0) if k % 2 else (0.0, 1.0)
        for i in patients.draw(rng, lambda i, w=wanted: (left[i], right[i]) == w, 1):
            name = a if wanted[0] else b
            out.append((i, lambda text, answers, declined, n=name: tuple(answers) == (n,)))
    return out


def _report(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    rhythms = GROUPS["rhythm"]
    diagnoses = (*GROUPS["diagnostic"], *GROUPS["form"])

    def labels(i: int, names: Sequence[str]) -> list[str]:
        return [name for name in names if patients.label(name)[i] > 0]

    rows = patients.draw(
        rng, lambda i: bool(labels(i, rhythms)) and bool(labels(i, GROUPS["diagnostic"])),
        count,
    )  # fmt: skip
    out: Judged = []
    for i in rows:
        rate = patients.measured(i).rate_bpm
        beat, ill = labels(i, rhythms), labels(i, diagnoses)

        def check(
            text: str, answers: Sequence[str], declined: bool,
            rate: float | None = rate, beat: list[str] = beat, ill: list[str] = ill,
        ) -> bool:  # fmt: skip
            told = text.lower()
            has = lambda name: phrase(name).lower().removeprefix("a ") in told  # noqa: E731
            sinus = "sinus" in told and any("sinus" in name for name in beat)
            return (
                (rate is None or near(text, rate, 0))
                and (sinus or any(map(has, beat)))
                and any(map(has, ill))
            )

        out.append((i, check))
    return out


def _where(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    name = row["finding"]
    out: Judged = []
    family = next((f for f in FAMILIES if f in name), "")
    if family:
        start = FAMILIES[family][0]
        places = [n for n in GROUPS["diagnostic"] if n.startswith(start)]
        labels = {n: patients.label(n) for n in places}
        rows = patients.draw(rng, lambda i: any(labels[n][i] > 0 for n in places), count)
        for i in rows:
            true = {r for n in places if labels[n][i] > 0 for r in _regions(n)}
            walls = lambda text, answers, declined, t=true: bool(  # noqa: E731
                t & _regions(" ".join(answers))
            )
            out.append((i, walls))
        return out
    forms = list(LEAD_FORMS)
    in_lead = patients.data.facts["lead_form"][:, :, forms.index(name)]
    rows = patients.draw(rng, lambda i: float(np.nansum(in_lead[i])) > 0, count)
    for i in rows:
        labelled = {LEADS[k] for k in np.flatnonzero(in_lead[i] == 1)}
        seen = {lead for lead, v in patients.measured(i).leads.items() if SEEN[name][1](v)}

        def check(
            text: str, answers: Sequence[str], declined: bool,
            labelled: set[str] = labelled, seen: set[str] = seen,
        ) -> bool:  # fmt: skip
            named = {a.removeprefix("lead ") for a in answers if a.startswith("lead ")}
            return bool(named) and any(
                len(named & true) >= 0.5 * len(named | true) for true in (labelled, seen) if true
            )

        out.append((i, check))
    return out


def _regions(text: str) -> set[str]:
    """Walls in a place's name: "anteroseptal" is anterior and septal."""
    text = text.lower()
    found = {r for r in REGIONS if r in text}
    if "antero" in text:
        found.add("anterior")
    if "infero" in text:
        found.add("inferior")
    if "postero" in text:
        found.add("posterior")
    return found


def _when(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    what = row["what"]
    wanted = {
        "premature beats": EARLY_KINDS, "premature wide beats": ("premature wide",),
        "premature narrow beats": ("premature narrow",),
    }  # fmt: skip
    out: Judged = []
    pool = [i for i in patients.rows[:POOL] if patients.readable(i)]
    rng.shuffle(pool)
    for i in pool:
        m = patients.measured(i)
        if what == "longest pause":
            found = longest_pause(m)
            times = [] if found is None else [found[0]]
        else:
            times = [t for beat, t in zip(m.beats, m.r_peaks_s, strict=False)
                     if beat.kind in wanted[what]]  # fmt: skip
        if times:
            check = lambda text, answers, declined, t=times: any(  # noqa: E731
                any(abs(n - at) < 0.02 for n in numbers_in(text)) for at in t
            )
            out.append((i, check))
            if len(out) == count:
                break
    return out


def _list(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    of = row["of"]
    out: Judged = []
    if of.startswith("intervals"):
        side = of.split()[1]
        for i in patients.draw(rng, lambda i: i in patients.rows[:POOL], count):
            m = patients.measured(i)
            true = {n for n in ("rr interval", "p duration", "pr interval", "qrs duration",
                                "qt interval", "qt corrected")
                    if (v := value_of(n, m).number) is not None
                    and side_of(v, *NORMAL_RANGES[n]) == side}  # fmt: skip
            check = lambda text, answers, declined, t=true: set(answers) == (t or {"none"})  # noqa: E731
            out.append((i, check))
        return out
    group = {"diagnosis": "diagnostic", "extrasystoles": "extrasystole"}.get(of) or str(of)
    names = GROUPS[group]
    labels = np.stack([patients.label(name) for name in names])
    rows = patients.draw(
        rng, lambda i: bool(not np.isnan(labels[:, i]).any() and labels[:, i].any()), count
    )
    for i in rows:
        true = {name for k, name in enumerate(names) if labels[k, i] > 0}
        out.append((i, lambda text, answers, declined, t=true: set(answers) == t))
    return out


def _any(patients: Patients, rng: random.Random, count: int, check: Check) -> Judged:
    pool = [i for i in patients.rows[:POOL] if patients.readable(i)]
    return [(i, check) for i in rng.sample(pool, count)]


def _declines(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    return _any(patients, rng, count, lambda text, answers, declined: declined)


def _talk(row: Row, patients: Patients, rng: random.Random, count: int) -> Judged:
    return _any(patients, rng, count, lambda text, answers, declined: len(text) > 20)


EXPECT: dict[str, Callable[[Row, Patients, random.Random, int], Judged]] = {
    "yes_no": _yes_no, "range": _range, "threshold": _threshold, "number": _number,
    "choose": _choose, "report": _report, "where": _where, "when": _when, "list": _list,
    "advice": _declines, "outside": _declines, "untrained": _declines, "language": _declines,
    "why": _talk, "how sure": _talk, "since when": _talk,
}  # fmt: skip


def judged(
    assistant: EcgAssistant, row: Row, patients: Patients, count: int, seed: int
) -> list[tuple[int, bool, Answer]]:
    """(ECG row, right, answer) of a question for each ECG it is asked of."""
    rng = random.Random(seed)
    kind = row["kind"]

    def ask(i: int, question: str, before: Sequence[Answer] = ()) -> Answer:
        return assistant.ask(question, patients.ecg(i), alone=True, before=before)

    out: list[tuple[int, bool, Answer]] = []
    if kind == "several":
        (i, _), *_ = _any(patients, rng, 1, lambda *_: True)
        checks = []
        for part in row["parts"]:
            found = _on(part, i, patients, rng)
            if found is not None:
                checks.append(found)
        answer = ask(i, row["question"])
        lines = [re.sub(r"^\d+\. ", "", line) for line in answer.text.split("\n")]
        parts = answer.reading.parts if answer.reading else ()
        count = max(len(parts), sum(len(p.quantities or p.findings) for p in parts))
        if answer.kind == "number" and answer.reading:
            count = max(count, len(answer.reading.quantities) * max(1, len(answer.reading.leads)))
        enough = count >= len(row["parts"])
        right = enough and all(
            any(check(line, [line], False) or check(answer.text, answer.answers, answer.declined)
                for line in lines)
            for check in checks
        )  # fmt: skip
        return [(i, right, answer)]
    if kind == "follow_up":
        for i, check in expected(row["means"], patients, rng, count):
            first = ask(i, row["before"])
            answer = ask(i, row["question"], [first])
            out.append((i, check(answer.text, answer.answers, answer.declined), answer))
        return out
    for i, check in expected(row, patients, rng, count):
        before = [ask(i, row["before"])] if row.get("before") else []
        answer = ask(i, row["question"], before)
        right = check(answer.text, answer.answers, answer.declined)
        if kind == "untrained":
            right = right and answer.kind == "untrained"
        if kind in ("why", "how sure", "since when"):
            right = right and answer.kind == kind
        out.append((i, bool(right), answer))
    return out


def _on(part: dict[str, Any], i: int, patients: Patients, rng: random.Random) -> Check | None:
    """How a part of several questions is judged on one given ECG."""
    only = Patients.__new__(Patients)
    only.__dict__ = {**patients.__dict__, "rows": [i]}
    for _ in range(8):
        found = EXPECT[part["kind"]](part, only, rng, 2 if part["kind"] in
                                     ("yes_no", "range", "threshold", "choose") else 1)  # fmt: skip
        if found:
            return found[0][1]
    return None
