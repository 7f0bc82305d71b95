"""Does the answer come from the ECG? Controls that swap ECGs, wordings and order.

    python -m training.judge.controls --ptbxl DIR --ecgqa DIR --intervals FILE.csv [--split test] \
        [--questions 400] [--out FILE.json]

Beside the shuffles of `training.judge.evaluate` (another ECG, one of the same severity, none):

- swap: the ECG is replaced by one whose true answer differs (the answer should flip) or is the same
  (it should stay);
- severity: how often an absent finding is called present, by severity of illness: a model that
  answers from severity says yes to everything in the very ill;
- leak: I(answer given; severity | question, true answer), beside the same with severities permuted;
- wording: the same question about the same ECG in a wording of the training and in three that were
  written for the test alone;
- order: two ECGs exchanged, with "resolved" exchanged for "new": the answer should stay; the same
  ECG twice: nothing is resolved or new;
- held out: findings and templates of which a checkpoint was trained without any question
  (`training.stages.train --without`), as its own config.json says;
- free wordings: yes/no questions in everyday clinical words, written when the wordings of the
  training were frozen;
- abstention: on noise, a flat line or no ECG the model says, in free generation, that it cannot
  tell, and on the true ECG hardly ever.

Every line has a 95 % bootstrap interval (leak: the range under permutation) and the number of
questions.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import mutual_info_score

from ecgqa.model.ecg_model import ABSTENTION, EcgModel
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.data.debias import Draw, Sampler
from training.data.questions import TEMPLATES, Facts, Question
from training.data.wordings import WORDINGS, load_wordings, word
from training.judge.evaluate import area
from training.judge.tables import Control, measured, put_between, share, table
from training.stages.replies import Encoded, generate, predict, stand_ins

# Clinicians' own words for findings, written after the wordings of the training were frozen.
FREE_WORDINGS = WORDINGS.with_name("wordings_free.json")
# "Resolved" ↔ "newly there" of the same finding, for two tracings of a patient and two ECGs.
EXCHANGED = {43: 44, 44: 43, 57: 58, 58: 57}
ABOUT_ONE = {t.id for t in TEMPLATES.values() if t.ecgs == 1}


class Asker:
    """The model, put to yes/no questions."""

    def __init__(self, model: EcgModel, data: ptbxl.PtbXl, signals: np.ndarray) -> None:
        self.model, self.data = model, data
        self.encoded = Encoded(model, data, signals)

    def says_yes(self, asked: list[Question]) -> np.ndarray:
        """bool [n]: "yes" to each question about its ECGs."""
        return self.chance_of_yes(asked) >= 0.5

    def chance_of_yes(self, asked: list[Question]) -> np.ndarray:
        """float [n]: P(yes) of each question about its ECGs."""
        found = predict(self.model, self.encoded, asked, [q.ecg_id for q in asked])
        return np.array([chance for _, chance in found])


def draws(
    facts: Facts,
    rows: np.ndarray,
    count: int,
    templates: Collection[int],
    which: str,
    seed: int,
    about: Collection[str] = (),
) -> list[Draw]:
    """`count` yes/no questions on these ECGs in `which` wordings, evenly over these templates.

    about: only questions about these findings (default: about any).
    """
    wordings = load_wordings(which)
    sampler = Sampler(facts, rows, lambda key, rng: word(key, wordings, rng), "erm", seed=seed)
    ask = [t for t in sampler.templates() if TEMPLATES[t].kind == "verify" and t in templates]
    out: list[Draw] = []
    for _ in range(200 * count if ask else 0):
        if len(out) == count:
            break
        draw = sampler.draw(sampler.rng.choice(ask))
        known = draw.question.answer in (("yes",), ("no",))
        if known and (not about or draw.key.options[0] in about):
            out.append(draw)
    return out


def swap(
    asker: Asker, facts: Facts, rows: np.ndarray, made: list[Draw], seed: int
) -> list[Control]:
    """Flips where the true answer differs, stays where it is the same."""
    rng = np.random.default_rng(seed)
    first = asker.says_yes([d.question for d in made])
    out = []
    for differs, name, wanted in ((True, "T4 swap: flips", 60), (False, "T4 swap: stays", 85)):
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
        out.append(share(name, changed if differs else ~changed, wanted))
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
    rng = np.random.default_rng(0)
    mixed = [np.stack([rng.permutation(pairs[:, 0]), pairs[:, 1]], axis=1) for _ in range(200)]
    chance = float(np.quantile([spread(rows) for rows in mixed], 0.95))
    wanted = f"≤ 5 points (permuted: 95 % up to {chance:.1f})"
    controls = [
        Control("T5 severity: spread of false yes", value, low, high, len(pairs), wanted,
                value <= 5)
    ]  # fmt: skip
    cells: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for k, draw in enumerate(made):
        cells[draw.question.template_id, draw.key.options, draw.question.answer].append(k)

    def leaked(levels: np.ndarray) -> float:
        each = [(len(c), mutual_info_score(said[c], levels[c])) for c in cells.values()]
        return sum(n * bits for n, bits in each) / (len(said) * np.log(2))

    null = []
    for _ in range(200):
        mixed = severity.copy()
        for cell in cells.values():
            mixed[cell] = rng.permutation(mixed[cell])
        null.append(leaked(mixed))
    value, high = leaked(severity), float(np.quantile(null, 0.95))
    controls.append(
        Control("T8 leak: I(answer; severity given question and truth), bit", value,
                float(np.quantile(null, 0.025)), float(np.quantile(null, 0.975)), len(made),
                f"≤ {high:.3f}, permuted", bool(value <= high))
    )  # fmt: skip
    return controls


def wording(asker: Asker, made: list[Draw], ecgqa: Path, seed: int) -> list[Control]:
    """Accuracy in a train wording minus accuracy in test wordings; agreement among the latter."""
    rng = random.Random(seed)
    known = load_wordings("train", ecgqa)
    new = load_wordings("test")

    def put(texts: list[str]) -> np.ndarray:
        return asker.says_yes(
            [replace(d.question, question=t) for d, t in zip(made, texts, strict=True)]
        )

    truth = np.array([d.question.answer == ("yes",) for d in made])
    trained = put([word(d.key, known, rng) for d in made])
    said = np.stack(
        [
            put([word(d.key, {t: [w[i]] for t, w in new.items()}, rng) for d in made])
            for i in range(3)
        ]
    )
    drops = (trained == truth).astype(float) - (said == truth).mean(0)
    low, high = (100 * v for v in interval(drops))
    value = 100 * float(drops.mean())
    same = (said == said[0]).all(0)
    return [
        Control(
            "T6 wording: drop of accuracy", value, low, high, len(made), "≤ 1 point", value <= 1
        ),
        share("T6 wording: same answer in all three", same, 95),
    ]  # fmt: skip


def abstention(asker: Asker, made: list[Draw]) -> list[Control]:
    """How often the model says that it cannot tell when it is given no ECG, and when it is."""
    asked = [d.question for d in made]
    out = []
    for control, name in (
        ("noise", "noise"), ("flat", "a flat line"), ("blind", "no ECG"), ("true", "the true ECG"),
    ):  # fmt: skip
        given = stand_ins(asked, control, asker.data)
        said = generate(asker.model, asker.encoded, asked, given)
        silent = np.array([answer == (ABSTENTION,) for answer, _ in said])
        real = control == "true"
        out.append(share(f"T1 abstains on {name}", silent, 5 if real else 90, below=real))
    return out


def free_wordings(
    asker: Asker, facts: Facts, rows: np.ndarray, seed: int, each: int = 10
) -> list[Control]:
    """Accuracy on questions in a clinician's own words, `each` ECGs with the finding and twice as
    many without; and the mean of the accuracies on both."""
    rng = np.random.default_rng(seed)
    asked: list[Question] = []
    for item in json.loads(FREE_WORDINGS.read_text()):
        names = item["finding"].split(" or ")
        truth = np.stack([facts.columns["statement", n][rows] for n in names]).max(0)
        for answer, count in (("yes", each), ("no", 2 * each)):
            there = rows[~np.isnan(truth) & (truth != 0.5) & ((truth > 0) == (answer == "yes"))]
            for row in rng.choice(there, min(count, len(there)), replace=False):
                ecg = (int(asker.data.ecg_id[row]),)
                asked.append(
                    Question(1, "single-verify", "scp_code", item["question"], (answer,), ecg)
                )
    said = asker.says_yes(asked)
    truth = np.array([q.answer == ("yes",) for q in asked])
    pairs = np.stack([truth, said == truth], axis=1)

    def both(some: np.ndarray) -> float:
        return 50 * float(some[some[:, 0], 1].mean() + some[~some[:, 0], 1].mean())

    words = [q.question for q in asked]
    name = f"free wordings ({len(set(words))})"
    alike = f"{name}: right, yes and no weighed alike"
    return [
        share(f"{name}: right", said == truth, 75, groups=words),
        measured(alike, pairs, both, 75, " %", groups=words),
    ]


def order(asker: Asker, made: list[Draw], seed: int) -> list[Control]:
    """Exchange the ECGs together with the fate asked for; and give the same ECG twice."""
    rng = random.Random(seed)
    words = load_wordings("test")
    turned, twice = [], []
    for draw in made:
        template = TEMPLATES[EXCHANGED[draw.question.template_id]]
        text = word(replace(draw.key, template=template), words, rng)
        ids = draw.question.ecg_id
        turned.append(
            replace(draw.question, template_id=template.id, question=text, ecg_id=ids[::-1])
        )
        twice.append(replace(draw.question, ecg_id=(ids[0], ids[0])))
    first = asker.says_yes([d.question for d in made])
    return [
        share("T10 order: exchanged, the answer stays", asker.says_yes(turned) == first, 90),
        share("T10 order: the same ECG twice, no change", ~asker.says_yes(twice), 90),
    ]


def held_out(
    asker: Asker, facts: Facts, rows: np.ndarray, count: int, which: str, seed: int
) -> list[Control]:
    """Accuracy above always "no" on what the training left out, and the AUC of P(yes) of each
    finding and template of it (a fifth as many questions); nothing if it left out nothing."""
    trained = asker.model.config.training.get("questions", {})
    without = {name for name in str(trained.get("without", "")).split(";") if name}
    templates = {int(name) for name in without if name.isdigit()}
    out = []
    for name, ask, about in (("findings", {1}, without), ("templates", templates, ())):
        made = draws(facts, rows, count, ask, which, seed, about) if without else []
        if not made:
            continue
        said = asker.says_yes([d.question for d in made])
        truth = np.array([d.question.answer == ("yes",) for d in made])
        gain = 100.0 * ((said == truth).astype(float) - ~truth)
        title = f'T9 held-out {name}: right, minus always "no"'
        out.append(measured(title, gain, np.mean, 5, " points"))
    for name in sorted(without):
        ask = {int(name)} if name.isdigit() else {1}
        about = () if name.isdigit() else (name,)
        made = draws(facts, rows, count // 5, ask, which, seed, about)
        truth = np.array([d.question.answer == ("yes",) for d in made], float)
        rows_of_name = np.stack([truth, asker.chance_of_yes([d.question for d in made])], axis=1)
        out.append(measured(f"T9 AUC, {name}", rows_of_name, area, 0.5, ""))
    return out


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint", "llm", "cache")
    parser.add_argument("--intervals", required=True)
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    parser.add_argument("--questions", type=int, default=400, help="of each control")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--readme", type=Path, help="put the table between this file's marks")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    facts = Facts(data, args.intervals)
    rows = ptbxl.splits(data, args.ecgqa)[args.split]
    asker = Asker(EcgModel.load(args.checkpoint, args.llm), data, ptbxl.signals(data, args.cache))

    def some(templates: Collection[int], count: int = args.questions) -> list[Draw]:
        return draws(facts, rows, count, templates, "test", args.seed)

    one, turned = some(ABOUT_ONE), some(EXCHANGED)
    # The spread over three strata is wide by chance alone when there are few in each.
    statements = some({1}, 10 * args.questions)
    found = [
        *swap(asker, facts, rows, one, args.seed),
        *by_severity(asker, statements),
        *wording(asker, one, args.ecgqa, args.seed),
        *order(asker, turned, args.seed),
        *abstention(asker, one),
        *free_wordings(asker, facts, rows, args.seed),
        *held_out(asker, facts, rows, args.questions, "test", args.seed),
    ]
    print(table(found))
    if args.readme:
        put_between(args.readme, "controls", table(found))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps([asdict(c) for c in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
