"""Does plain wording mean what template wording means? And are the page's examples answered right?

    python -m training.judge.plain --ptbxl DIR --ecgqa DIR [--ecgs 40] [--out FILE.json]

For every interval and side, and every statement that at least 20 test ECGs have, the held-out plain
wordings (`wordings_plain.json`, written by somebody who saw no other) are asked of the same test
ECGs as ECG-QA's own wording, half of them with the finding where there are so many; then each
yes/no example of the page, against its own template wording. An answer depends on the wording only
through what it was read as, so wordings that were read alike are asked once.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgqa import EcgAssistant
from ecgqa.answer.respond import LEAST_SURE, PLAINLY
from ecgqa.measure.normal import NORMAL_RANGES
from ecgqa.page.examples import EXAMPLES
from ecgqa.question.quantity import side_of, value_of
from ecgqa.question.reading import Reading
from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.data.patients import POOL, Patients
from training.data.wordings import WORDINGS
from training.judge.tables import markdown

PLAIN = WORDINGS.with_name("wordings_plain.json")
TEMPLATE = "Is {} present in this ECG?"
RANGE_TEMPLATE = "Is the {} in this ECG {} the normal range?"
EXAMPLE_OF = {  # yes/no examples of the page → the same in a template's words
    "Does this ECG show atrial fibrillation?": "atrial fibrillation",
    "Are there ventricular extrasystoles?": "ventricular extrasystoles",
    "Is there a complete left bundle branch block?": "complete left bundle branch block",
    "Is there a left anterior fascicular block?": "left anterior fascicular block",
    "Is there a first degree AV block?": "first degree av block",
    "Does this ECG show an old inferior infarct?": "myocardial infarction in inferior leads",
    "Any sign of an anterior infarct?": "myocardial infarction in anterior leads",
    "Are there signs of left ventricular hypertrophy?": "left ventricular hypertrophy",
    "Is the QRS voltage high?": "high qrs voltage",
    "Is the PR interval prolonged?": "pr interval above",
}
Truth = Callable[[int], bool | None]  # of an ECG (row number); None where it is not known


class Asked:
    """Answers of the assistant, one for each ECG and each way in which a question was read."""

    def __init__(self, assistant: EcgAssistant, patients: Patients) -> None:
        self.assistant, self.patients = assistant, patients
        self._answers: dict[tuple[Reading, int], str] = {}

    def key(self, text: str) -> Reading:
        """What a wording was read as, without its words."""
        read = self.assistant.read(text)
        return replace(read, text="", sure=float(read.sure >= LEAST_SURE))

    def said(self, text: str, rows: list[int]) -> list[str]:
        """Yes, no or something else for each ECG."""
        key = self.key(text)
        for i in rows:
            if (key, i) not in self._answers:
                answer = self.assistant.ask(text, self.patients.ecg(i), alone=True)
                self._answers[key, i] = answer.answers[0] if answer.answers else answer.text
        return [self._answers[key, i] for i in rows]


def drawn(patients: Patients, truth: Truth, count: int) -> list[int]:
    """Rows, half of them with the finding where there are so many."""
    rng = random.Random(5)
    with_it = patients.draw(rng, lambda i: truth(i) is True, count // 2)
    return with_it + patients.draw(rng, lambda i: truth(i) is False, count - len(with_it))


def compared(
    asked: Asked, count: int, name: str, own: str, texts: list[str], truth: Truth
) -> dict[str, Any]:
    """A line: how often `texts` get the answer that the template's wording `own` gets, and how
    often each is right, on `count` ECGs of known truth."""
    rows = drawn(asked.patients, truth, count)
    template = asked.said(own, rows)
    true = ["yes" if truth(i) else "no" for i in rows]
    said = [asked.said(text, rows) for text in texts]
    each = [[a == b for a, b in zip(one, template, strict=True)] for one in said]
    hits = [[a == b for a, b in zip(one, true, strict=True)] for one in said]
    line = {
        "name": name, "wordings": len(texts), "n": len(rows),
        "agree": float(np.mean(each)), "right": float(np.mean(hits)),
        "template right": float(np.mean([a == b for a, b in zip(template, true, strict=True)])),
        "misread": [t for t, e in zip(texts, each, strict=True) if np.mean(e) < 0.95],
    }  # fmt: skip
    print(f"{name}: {line['agree']:.3f}", flush=True)
    return line


def has(label: np.ndarray) -> Truth:
    """Whether an ECG has what this column [n] labels; None where it is not known."""
    return lambda i: None if np.isnan(label[i]) else bool(label[i] > 0)


def lies(patients: Patients, quantity: str, side: str) -> Truth:
    """Whether a number measured on an ECG lies on this side of its normal range; None where it was
    not measured, or the ECG is not among the first `POOL`."""
    pool = set(patients.rows[:POOL])

    def truth(i: int) -> bool | None:
        number = value_of(quantity, patients.measured(i)).number if i in pool else None
        return None if number is None else side_of(number, *NORMAL_RANGES[quantity]) == side

    return truth


def compare_wordings(asked: Asked, count: int) -> list[dict[str, Any]]:
    """A line for each finding and each side of an interval of `PLAIN`."""
    patients, wordings, lines = asked.patients, json.loads(PLAIN.read_text()), []
    for name, texts in wordings["findings"].items():
        label = patients.label(name)
        if np.nansum(label[patients.rows] > 0) >= 20:
            own = PLAINLY.get(name) or TEMPLATE.format(name)
            lines.append(compared(asked, count, name, own, texts, has(label)))
    for quantity, sides in wordings["ranges"].items():
        for side, texts in sides.items():
            own, truth = RANGE_TEMPLATE.format(quantity, side), lies(patients, quantity, side)
            lines.append(compared(asked, count, f"{quantity} {side}", own, texts, truth))
    return lines


def compare_examples(asked: Asked, count: int) -> list[dict[str, Any]]:
    """A line for each yes/no example of the page."""
    lines = []
    for text in (one for texts in EXAMPLES.values() for one in texts if one in EXAMPLE_OF):
        name = EXAMPLE_OF[text]
        own, truth = TEMPLATE.format(name), None
        if name == "pr interval above":
            quantity, side = name.rsplit(" ", 1)
            own, truth = RANGE_TEMPLATE.format(quantity, side), lies(asked.patients, quantity, side)
        truth = truth or has(asked.patients.label(name))
        lines.append(compared(asked, count, text, own, [text], truth))
    return lines


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint")
    parser.add_argument("--ecgs", type=int, default=40)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    patients = Patients(data, questions.Facts(data), ptbxl.splits(data, args.ecgqa)["test"])
    asked = Asked(EcgAssistant.load(args.checkpoint), patients)
    lines = compare_wordings(asked, args.ecgs)
    print("\n" + report(lines))
    examples = compare_examples(asked, args.ecgs)
    rows = [[e["name"], f"{100 * e['right']:.0f}", f"{100 * e['template right']:.0f}", e["n"]]
            for e in examples]  # fmt: skip
    print("\n" + markdown(["example of the page", "right, %", "template right, %", "n"], rows))
    if args.out:
        record = {"wordings": lines, "examples": examples}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def report(lines: list[dict[str, Any]]) -> str:
    """How many agree, and the ten that agree least."""
    shares = np.array([line["agree"] for line in lines])
    low, high = interval(shares)
    good = int((shares >= 0.95).sum())
    worst = sorted(lines, key=lambda line: line["agree"])[:10]
    by_n: dict[str, int] = defaultdict(int)
    for line in lines:
        by_n["wordings"] += line["wordings"]
    rows = [[w["name"], f"{100 * w['agree']:.1f}", f"{100 * w['right']:.1f}",
             f"{100 * w['template right']:.1f}", len(w["misread"])] for w in worst]  # fmt: skip
    return (
        f"{good} of {len(lines)} agree with their template in 95 % and more; mean "
        f"{100 * shares.mean():.1f} ({100 * low:.1f}-{100 * high:.1f}), "
        f"{by_n['wordings']} wordings.\n\n"
        + markdown(["worst ten", "agree, %", "right, %", "template right, %", "misread"], rows)
    )


if __name__ == "__main__":
    main()
