"""The question bank: what a clinician gets who asks in own words, on ECG-QA's test ECGs.

    python -m training.clinic --ptbxl DIR --ecgqa DIR [--bank FILE] [--ecgs 2] [--out FILE.json] \
        [--readme README.md]

Every question goes through `EcgAssistant.ask`, as on the page. What is right: of findings, choices,
lists and places PTB-XL's labels; of numbers, limits, ranges and times what `ecgqa.measure` says;
advice, other subjects, findings nobody labelled and other languages must be declined. ECGs are
drawn so that yes and no are about equally often right.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ecgqa import ECG, EcgAssistant, measure
from ecgqa.answer.answer import Answer
from ecgqa.answer.place import FAMILIES, SEEN
from ecgqa.measure import Measurements
from ecgqa.measure.quality import assess
from ecgqa.question.quantity import (
    EARLY_KINDS,
    QUANTITIES,
    RANGES,
    in_units_of,
    longest_pause,
    side_of,
    value_of,
    values_of,
)
from ecgqa.question.reading import TOGETHER, Limit, formula_in, leads_in, phrase
from ecgqa.record import LEADS
from training import ptbxl, questions
from training.tables import interval, markdown, put_between

BANK = Path(__file__).parent.parent / "tests" / "clinic_questions.json"
POOL = 400  # test ECGs that questions are asked about
REGIONS = ("inferior", "anterior", "septal", "lateral", "posterior")
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?")
DECLINED = ("advice", "outside", "untrained", "language")
Check = Callable[[str, Sequence[str], bool], bool]  # text, answers, declined → right


class Patients:
    """Test ECGs with their labels and measurements."""

    def __init__(self, data: ptbxl.PtbXl, facts: questions.Facts, rows: np.ndarray) -> None:
        self.data, self.facts = data, facts
        rng = np.random.default_rng(11)
        self.rows = [int(i) for i in rng.permutation(rows)]
        self._ecgs: dict[int, ECG] = {}
        self._measured: dict[int, Measurements] = {}
        self._readable: dict[int, bool] = {}

    def ecg(self, row: int) -> ECG:
        """One recording."""
        if row not in self._ecgs:
            self._ecgs[row] = ptbxl.read_plain(self.data.folder / self.data.path[row])
        return self._ecgs[row]

    def measured(self, row: int) -> Measurements:
        """Its measurements."""
        if row not in self._measured:
            self._measured[row] = measure(self.ecg(row))
        return self._measured[row]

    def readable(self, row: int) -> bool:
        """Whether the assistant would answer about it at all."""
        if row not in self._readable:
            self._readable[row] = assess(self.ecg(row)).readable
        return self._readable[row]

    def label(self, finding: str) -> np.ndarray:
        """1, 0 or NaN for every row."""
        if finding in TOGETHER:
            known = np.stack([self.label(member) for member in TOGETHER[finding]])
            return np.where((known > 0).any(0), 1.0, np.where(np.isnan(known).any(0), np.nan, 0.0))
        if finding in UNNAMED_OF:
            return self.facts.columns[UNNAMED_OF[finding], ""]
        for group, names in questions.GROUPS.items():
            if finding in names:
                return self.data.facts[group][:, names.index(finding)]
        raise KeyError(finding)

    def draw(self, rng: random.Random, fits: Callable[[int], bool], count: int) -> list[int]:
        """Readable rows that fit, at most `count`."""
        out, rows = [], self.rows[:]
        rng.shuffle(rows)
        for row in rows:
            if fits(row) and self.readable(row):
                out.append(row)
                if len(out) == count:
                    break
        return out


UNNAMED_OF = {name: group for group, name in questions.UNNAMED.items()}


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


def expected(
    row: dict, patients: Patients, rng: random.Random, count: int
) -> list[tuple[int, Check]]:
    """Rows of ECGs to ask a question of, and how each answer is judged."""
    kind = row["kind"]
    return EXPECT[kind](row, patients, rng, count)


def _yes_no(row, patients, rng, count):
    label, out = patients.label(row["finding"]), []
    for k in range(count):
        truth = bool(k % 2) if count > 1 else rng.random() < 0.5
        for i in patients.draw(rng, lambda i, t=truth: label[i] == float(t), 1):
            right = "yes" if truth != bool(row.get("absent")) else "no"
            out.append((i, lambda text, answers, declined, r=right: said(answers, text) == r))
    return out


def _range(row, patients, rng, count):
    if row["quantity"] not in RANGES:
        return []
    low, high = RANGES[row["quantity"]]
    out = []
    for k in range(count):
        truth = bool(k % 2) if count > 1 else rng.random() < 0.5

        def fits(i, t=truth):
            number = value_of(row["quantity"], patients.measured(i)).number
            return number is not None and (side_of(number, low, high) == row["range"]) == t

        pool = [i for i in patients.rows[:POOL] if patients.readable(i) and fits(i)]
        if pool:
            right = "yes" if truth else "no"
            check = lambda text, answers, declined, r=right: said(answers, text) == r  # noqa: E731
            out.append((rng.choice(pool), check))
    return out


def _threshold(row, patients, rng, count):
    quantity = QUANTITIES[row["quantity"]]
    limit = in_units_of(quantity, _limit(row)).value
    out = []
    for k in range(count):
        truth = bool(k % 2) if count > 1 else rng.random() < 0.5

        def number(i):
            m, lead = patients.measured(i), row.get("lead", "")
            return value_of(quantity.name, m, lead, row.get("formula", "")).number

        def fits(i, t=truth):
            value = number(i)
            if value is None:
                return False
            value = round(value, quantity.decimals)
            return (
                value != limit and (value > limit if row["side"] == "above" else value < limit) == t
            )

        pool = [i for i in patients.rows[:POOL] if patients.readable(i) and fits(i)]
        if pool:
            right = "yes" if truth else "no"
            check = lambda text, answers, declined, r=right: said(answers, text) == r  # noqa: E731
            out.append((rng.choice(pool), check))
    return out


def _limit(row: dict) -> Limit:
    unit = row.get("unit", "")
    factor, name = {"s": (1000, "ms"), "mm": (0.1, "mV"), "per min": (1, "per min")}.get(
        unit, (1, unit)
    )
    return Limit(row["limit"] * factor, name)


def _all_near(values, decimals, text, answers, declined):
    return not declined and all(near(text, value, decimals) for value in values)


def _number(row, patients, rng, count):
    out = []
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


def _choose(row, patients, rng, count):
    a, b = row["options"]
    left, right = patients.label(a), patients.label(b)
    out = []
    for k in range(count):
        wanted = (1.0, 0.0) if k % 2 else (0.0, 1.0)
        for i in patients.draw(rng, lambda i, w=wanted: (left[i], right[i]) == w, 1):
            name = a if wanted[0] else b
            out.append((i, lambda text, answers, declined, n=name: tuple(answers) == (n,)))
    return out


def _report(row, patients, rng, count):
    rhythms = questions.GROUPS["rhythm"]
    diagnoses = (*questions.GROUPS["diagnostic"], *questions.GROUPS["form"])

    def labels(i, names):
        return [name for name in names if patients.label(name)[i] > 0]

    rows = patients.draw(
        rng, lambda i: bool(labels(i, rhythms)) and bool(labels(i, questions.GROUPS["diagnostic"])),
        count,
    )  # fmt: skip
    out = []
    for i in rows:
        rate = patients.measured(i).rate_bpm
        beat, ill = labels(i, rhythms), labels(i, diagnoses)

        def check(text, answers, declined, rate=rate, beat=beat, ill=ill):
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


def _where(row, patients, rng, count):
    name = row["finding"]
    family = next((f for f in FAMILIES if f in name), "")
    if family:
        start = FAMILIES[family][0]
        places = [n for n in questions.GROUPS["diagnostic"] if n.startswith(start)]
        labels = {n: patients.label(n) for n in places}
        rows = patients.draw(rng, lambda i: any(labels[n][i] > 0 for n in places), count)
        out = []
        for i in rows:
            true = {r for n in places if labels[n][i] > 0 for r in _regions(n)}
            walls = lambda text, answers, declined, t=true: bool(  # noqa: E731
                t & _regions(" ".join(answers))
            )
            out.append((i, walls))
        return out
    forms = list(questions.LEAD_FORMS)
    in_lead = patients.data.facts["lead_form"][:, :, forms.index(name)]
    rows = patients.draw(rng, lambda i: float(np.nansum(in_lead[i])) > 0, count)
    out = []
    for i in rows:
        labelled = {LEADS[k] for k in np.flatnonzero(in_lead[i] == 1)}
        seen = {lead for lead, v in patients.measured(i).leads.items() if SEEN[name][1](v)}

        def check(text, answers, declined, labelled=labelled, seen=seen):
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


def _when(row, patients, rng, count):
    what = row["what"]
    wanted = {
        "premature beats": EARLY_KINDS, "premature wide beats": ("premature wide",),
        "premature narrow beats": ("premature narrow",),
    }  # fmt: skip
    out = []
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


def _list(row, patients, rng, count):
    of = row["of"]
    if of.startswith("intervals"):
        side = of.split()[1]
        out = []
        for i in patients.draw(rng, lambda i: i in patients.rows[:POOL], count):
            m = patients.measured(i)
            true = {n for n in ("rr interval", "p duration", "pr interval", "qrs duration",
                                "qt interval", "qt corrected")
                    if (v := value_of(n, m).number) is not None
                    and side_of(v, *RANGES[n]) == side}  # fmt: skip
            check = lambda text, answers, declined, t=true: set(answers) == (t or {"none"})  # noqa: E731
            out.append((i, check))
        return out
    group = {"diagnosis": "diagnostic", "extrasystoles": "extrasystole"}.get(of) or str(of)
    names = questions.GROUPS[group]
    labels = np.stack([patients.label(name) for name in names])
    rows = patients.draw(
        rng, lambda i: not np.isnan(labels[:, i]).any() and labels[:, i].any(), count
    )
    out = []
    for i in rows:
        true = {name for k, name in enumerate(names) if labels[k, i] > 0}
        out.append((i, lambda text, answers, declined, t=true: set(answers) == t))
    return out


def _any(patients: Patients, rng: random.Random, count: int, check: Check):
    pool = [i for i in patients.rows[:POOL] if patients.readable(i)]
    return [(i, check) for i in rng.sample(pool, count)]


def _declines(row, patients, rng, count):
    return _any(patients, rng, count, lambda text, answers, declined: declined)


def _talk(row, patients, rng, count):
    return _any(patients, rng, count, lambda text, answers, declined: len(text) > 20)


EXPECT = {
    "yes_no": _yes_no, "range": _range, "threshold": _threshold, "number": _number,
    "choose": _choose, "report": _report, "where": _where, "when": _when, "list": _list,
    "advice": _declines, "outside": _declines, "untrained": _declines, "language": _declines,
    "why": _talk, "how sure": _talk, "since when": _talk,
}  # fmt: skip


def judged(assistant: EcgAssistant, row: dict, patients: Patients, count: int, seed: int):
    """(ECG row, right, answer) of a question for each ECG it is asked of."""
    rng = random.Random(seed)
    kind = row["kind"]
    ask = lambda i, question, before=(): assistant.ask(  # noqa: E731
        question, patients.ecg(i), alone=True, before=before
    )
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


def _on(part: dict, i: int, patients: Patients, rng: random.Random) -> Check | None:
    """How a part of several questions is judged on one given ECG."""
    only = Patients.__new__(Patients)
    only.__dict__ = {**patients.__dict__, "rows": [i]}
    for _ in range(8):
        found = EXPECT[part["kind"]](part, only, rng, 2 if part["kind"] in
                                     ("yes_no", "range", "threshold", "choose") else 1)  # fmt: skip
        if found:
            return found[0][1]
    return None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--ecgqa", required=True)
    parser.add_argument("--intervals", default="")
    parser.add_argument("--bank", type=Path, default=BANK)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--ecgs", type=int, default=2, help="that each question is asked of")
    parser.add_argument("--split", default="test", help="of ECG-QA, whose ECGs are asked about")
    parser.add_argument("--only", nargs="*", help="kinds of the bank, by default all")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--readme", type=Path, help="file between whose marks the table goes")
    parser.add_argument("--wrong", action="store_true", help="print what was answered wrongly")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    facts = questions.Facts(data, args.intervals or None)
    patients = Patients(data, facts, ptbxl.splits(data, args.ecgqa)[args.split])
    assistant = EcgAssistant.load(args.checkpoint)
    bank = json.loads(args.bank.read_text())
    hits: dict[str, list[list[float]]] = defaultdict(list)
    sure: list[tuple[float, bool]] = []
    begun = time.monotonic()
    for k, row in enumerate(bank):
        if args.only and row["kind"] not in args.only:
            continue
        found = judged(assistant, row, patients, args.ecgs, k)
        if found:
            hits[row["kind"]].append([float(right) for _, right, _ in found])
        for _, right, answer in found:
            if not answer.declined and answer.confidence:
                sure.append((answer.confidence, right))
            if args.wrong and not right:
                known = {a: b for a, b in row.items() if a not in ("question", "kind")}
                print(f"[{row['kind']}] {row['question']!r} {known}\n    read {answer.kind!r} "
                      f"{answer.understood!r} sure {answer.sure:.2f}"
                      f" → {answer.text[:160]!r}", flush=True)  # fmt: skip
        if k % 100 == 0:
            print(f"asked {k}/{len(bank)}, {time.monotonic() - begun:.0f} s", flush=True)
    record = {}
    for kind, each in hits.items():
        mean = np.array([np.mean(one) for one in each])
        low, high = interval(mean)
        record[kind] = {"right": 100 * float(mean.mean()), "low": 100 * low, "high": 100 * high,
                        "questions": len(each), "n": sum(map(len, each))}  # fmt: skip
    if sure:
        chances, right = np.array([s for s, _ in sure]), np.array([r for _, r in sure])
        record["confidence"] = {"auc": float(roc_auc_score(right, chances)), "n": len(sure),
                                "right": float(right.mean())}  # fmt: skip
        order = np.argsort(-chances)
        for share in (1.0, 0.8, 0.6, 0.4):
            kept = right[order[: max(1, int(share * len(order)))]]
            record["confidence"][f"right at {share:.0%}"] = float(kept.mean())
    print(report(record))
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n")
    if args.readme:
        put_between(args.readme, "clinic", report(record))


def report(record: dict) -> str:
    """The table of a record, and how well the confidence tells right from wrong."""
    rows = [
        [
            kind,
            one["questions"],
            one["n"],
            f"{one['right']:.1f} ({one['low']:.1f}-{one['high']:.1f})",
        ]
        for kind, one in record.items()
        if kind != "confidence"
    ]
    text = markdown(["kind of question", "questions", "n", "right, %"], rows)
    if sure := record.get("confidence"):
        covered = ", ".join(
            f"{100 * value:.1f} % of the {key.removeprefix('right at ')} surest"
            for key, value in sure.items()
            if key.startswith("right at ")
        )
        text += (
            f"\n\nConfidence of right against wrong answers: AUC {sure['auc']:.3f} (n "
            f"{sure['n']}). Right: {covered}."
        )
    return text


if __name__ == "__main__":
    main()
