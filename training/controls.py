"""Does the answer come from the ECG? Controls that swap ECGs, wordings and order.

    python -m training.controls --ptbxl DIR --ecgqa DIR --intervals FILE.csv [--split test] \
        [--questions 400] [--out FILE.json]

Beside the shuffles of `training.evaluate` (another ECG, one of the same severity, none):

- swap: the ECG is replaced by one whose true answer differs (the answer should flip) or is the same
  (it should stay);
- severity: how often an absent finding is called present, by severity of illness: a model that
  answers from severity says yes to everything in the very ill;
- leak: I(answer given; severity | question, true answer), beside the same with severities permuted;
- wording: the same question about the same ECG in a wording of the training and in three that were
  written for the test alone;
- order: two ECGs exchanged, with "resolved" exchanged for "new": the answer should stay; the same
  ECG twice: nothing is resolved or new.

Every line has a 95 % bootstrap interval (leak: the range under permutation) and the number of
questions.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import mutual_info_score

from ecgqa.answer import CHECKPOINT
from ecgqa.model import EcgModel
from training import ptbxl, questions
from training.debias import Draw, Sampler
from training.evaluate import Encoded, interval, predict
from training.questions import TEMPLATES, Facts, Question

# "Resolved" ↔ "newly there" of the same finding, for two tracings of a patient and two ECGs.
EXCHANGED = {43: 44, 44: 43, 57: 58, 58: 57}


@dataclass(frozen=True)
class Control:
    """One line of the table. wanted: the threshold in words; passed: whether `value` meets it."""

    name: str
    value: float
    low: float
    high: float
    n: int
    wanted: str
    passed: bool


class Asker:
    """The model, put to yes/no questions."""

    def __init__(self, model: EcgModel, data: ptbxl.PtbXl, signals: np.ndarray) -> None:
        self.model, self.data = model, data
        self.encoded = Encoded(model, data, signals)

    def says_yes(self, asked: list[Question]) -> np.ndarray:
        """bool [n]: "yes" to each question about its ECGs."""
        found = predict(self.model, self.encoded, asked, [q.ecg_id for q in asked])
        return np.array([answer == ("yes",) for answer, _ in found])


def line(name: str, hits: np.ndarray, wanted: float, below: bool = False) -> Control:
    """A share in percent; wanted at least (or, with `below`, at most)."""
    low, high = (100 * v for v in interval(hits.astype(float)))
    value = 100 * float(hits.mean())
    passed = value <= wanted if below else value >= wanted
    sign = "≤" if below else "≥"
    return Control(name, value, low, high, len(hits), f"{sign} {wanted:g} %", passed)


def draws(
    facts: Facts, rows: np.ndarray, count: int, keep: Callable[[Draw], bool], which: str, seed: int
) -> list[Draw]:
    """`count` yes/no questions on these ECGs, evenly over the templates that `keep` passes."""
    wordings = questions.load_wordings(which)
    sampler = Sampler(
        facts, rows, lambda key, rng: questions.word(key, wordings, rng), "erm", seed=seed
    )
    ask = [t for t in sampler.templates() if TEMPLATES[t].kind == "verify"]
    out: list[Draw] = []
    for _ in range(200 * count):
        if len(out) == count:
            break
        draw = sampler.draw(sampler.rng.choice(ask))
        if draw.question.answer in (("yes",), ("no",)) and keep(draw):
            out.append(draw)
    return out


def swap(
    asker: Asker, facts: Facts, rows: np.ndarray, made: list[Draw], seed: int
) -> list[Control]:
    """Flips where the true answer differs, stays where it is the same."""
    rng = np.random.default_rng(seed)
    first = asker.says_yes([d.question for d in made])
    out = []
    for differs, name, wanted in ((True, "swap: flips", 60), (False, "swap: stays", 85)):
        moved, own = [], []
        for k, draw in enumerate(made):
            truth = facts.column(draw.key, draw.key.options[0])[rows]
            want = (truth[rows == draw.rows[0]][0] > 0) != differs
            others = rows[~np.isnan(truth) & (truth != 0.5) & ((truth > 0) == want)]
            others = others[others != draw.rows[0]]
            if len(others):
                ecg = int(asker.data.ecg_id[rng.choice(others)])
                moved.append(replace(draw.question, ecg_id=(ecg,)))
                own.append(first[k])
        changed = asker.says_yes(moved) != np.array(own)
        out.append(line(name, changed if differs else ~changed, wanted))
    return out


def by_severity(asker: Asker, made: list[Draw]) -> list[Control]:
    """Spread of false yes over severities, and what answers leak about severity."""
    severity = np.array([int(asker.data.severity[d.rows[0]]) for d in made])
    said = asker.says_yes([d.question for d in made])
    absent = np.array([d.question.answer == ("no",) for d in made])
    pairs = np.stack([severity, said], axis=1)[absent]

    def spread(rows: np.ndarray) -> float:
        shares = [rows[rows[:, 0] == s, 1].mean() for s in range(3) if (rows[:, 0] == s).any()]
        return 100 * float(max(shares) - min(shares))

    low, high = interval(pairs, spread)
    value = spread(pairs)
    controls = [
        Control("severity: spread of false yes", value, low, high, len(pairs), "≤ 5 points",
                value <= 5)
    ]  # fmt: skip
    cells: dict[tuple, list[int]] = defaultdict(list)
    for k, draw in enumerate(made):
        cells[draw.question.template_id, draw.key.options, draw.question.answer].append(k)

    def leaked(levels: np.ndarray) -> float:
        each = [(len(c), mutual_info_score(said[c], levels[c])) for c in cells.values()]
        return sum(n * bits for n, bits in each) / (len(said) * np.log(2))

    rng = np.random.default_rng(0)
    null = []
    for _ in range(200):
        mixed = severity.copy()
        for cell in cells.values():
            mixed[cell] = rng.permutation(mixed[cell])
        null.append(leaked(mixed))
    value, high = leaked(severity), float(np.quantile(null, 0.95))
    controls.append(
        Control("leak: I(answer; severity | question, truth), bit", value,
                float(np.quantile(null, 0.025)), float(np.quantile(null, 0.975)), len(made),
                f"≤ {high:.3f}, permuted", value <= high)
    )  # fmt: skip
    return controls


def wording(asker: Asker, made: list[Draw], ecgqa: Path, seed: int) -> list[Control]:
    """Accuracy in a train wording minus accuracy in test wordings; agreement among the latter."""
    rng = random.Random(seed)
    known = questions.load_wordings("train", ecgqa)
    new = questions.load_wordings("test")

    def put(texts: list[str]) -> np.ndarray:
        return asker.says_yes(
            [replace(d.question, question=t) for d, t in zip(made, texts, strict=True)]
        )

    truth = np.array([d.question.answer == ("yes",) for d in made])
    trained = put([questions.word(d.key, known, rng) for d in made])
    said = np.stack(
        [
            put([questions.word(d.key, {t: [w[i]] for t, w in new.items()}, rng) for d in made])
            for i in range(3)
        ]
    )
    drops = (trained == truth).astype(float) - (said == truth).mean(0)
    low, high = (100 * v for v in interval(drops))
    value = 100 * float(drops.mean())
    same = (said == said[0]).all(0)
    return [
        Control("wording: drop of accuracy", value, low, high, len(made), "≤ 1 point", value <= 1),
        line("wording: same answer in all three", same, 95),
    ]


def order(asker: Asker, made: list[Draw], seed: int) -> list[Control]:
    """Exchange the ECGs together with the fate asked for; and give the same ECG twice."""
    rng = random.Random(seed)
    words = questions.load_wordings("test")
    turned, twice = [], []
    for draw in made:
        template = TEMPLATES[EXCHANGED[draw.question.template_id]]
        text = questions.word(replace(draw.key, template=template), words, rng)
        ids = draw.question.ecg_id
        turned.append(
            replace(draw.question, template_id=template.id, question=text, ecg_id=ids[::-1])
        )
        twice.append(replace(draw.question, ecg_id=(ids[0], ids[0])))
    first = asker.says_yes([d.question for d in made])
    return [
        line("order: exchanged, the answer stays", asker.says_yes(turned) == first, 90),
        line("order: the same ECG twice, no change", ~asker.says_yes(twice), 90),
    ]


def table(controls: list[Control]) -> str:
    """Markdown."""
    rows = [
        f"| {c.name} | {c.value:.3g} ({c.low:.3g} to {c.high:.3g}) | {c.n} | {c.wanted} | "
        f"{'yes' if c.passed else 'no'} |"
        for c in controls
    ]
    return "\n".join(["| control | value | n | wanted | passed |", "|---|---|---|---|---|", *rows])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--ecgqa", required=True, type=Path)
    parser.add_argument("--intervals", required=True)
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    parser.add_argument("--questions", type=int, default=400, help="of each control")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--llm")
    parser.add_argument("--cache", default=".work/cache")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    facts = Facts(data, args.intervals)
    rows = ptbxl.splits(data, args.ecgqa)[args.split]
    asker = Asker(EcgModel.load(args.checkpoint, args.llm), data, ptbxl.signals(data, args.cache))

    def some(keep: Callable[[Draw], bool], count: int = args.questions) -> list[Draw]:
        return draws(facts, rows, count, keep, "test", args.seed)

    one = some(lambda d: len(d.rows) == 1)
    statements = some(lambda d: d.question.template_id == 1, 2 * args.questions)
    turned = some(lambda d: d.question.template_id in EXCHANGED)
    found = [
        *swap(asker, facts, rows, one, args.seed),
        *by_severity(asker, statements),
        *wording(asker, one, args.ecgqa, args.seed),
        *order(asker, turned, args.seed),
    ]
    print(table(found))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps([asdict(c) for c in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
