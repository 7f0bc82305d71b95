"""Set a checkpoint's probabilities and thresholds on validation questions.

    python -m training.stages.calibrate --ptbxl DIR --questions VALID.json [--checkpoint DIR] \
        [--limit 900] [--verdicts 80]

Platt scaling of P(yes) (Platt 1999), the P(yes) that a cautious yes needs, and how far an answer
must move before the random-ECG test says that it depends on the ECG. Written into the checkpoint's
config.json; the weights stay.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from ecgqa.answer.grounding import ground, move
from ecgqa.answer.options import NONE, UNFITTED, candidates, decide
from ecgqa.model.ecg_model import EcgModel
from ecgqa.model.tensor import MODEL_RATE_HZ
from ecgqa.record import ECG
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.data.questions import TEMPLATES, Question
from training.stages.replies import (
    KINDS,
    Encoded,
    margins_of,
    predict,
    rows_of,
    some_questions,
    stand_ins,
)

CAUTIOUS_YES = 0.05  # share of validation questions about another patient's ECG that get a "yes"


def platt(
    margins: dict[str, list[float]], truth: dict[str, list[bool]]
) -> dict[str, tuple[float, float]]:
    """(scale, shift) of each kind: one scale for all, and shifts that stay close to each other
    where the questions are too few to tell (the groups of choose questions have about 60 each).
    Nothing where all are true or all are false."""
    kinds = sorted(margins)
    if len({true for kind in kinds for true in truth[kind]}) < 2:
        return {}
    rows = [[m, *(k == kind for k in kinds)] for kind in kinds for m in margins[kind]]
    fit = LogisticRegression(C=1e6 if len(kinds) == 1 else 1.0)
    fit.fit(np.array(rows, float), [t for kind in kinds for t in truth[kind]])
    weights, base = np.asarray(fit.coef_)[0], float(np.asarray(fit.intercept_)[0])
    scale, shifts = weights[0], base + weights[1:]
    return {
        k: (round(float(scale), 4), round(float(shift), 4))
        for k, shift in zip(kinds, shifts, strict=True)
    }


def fit_yes(model: EcgModel, encoded: Encoded, asked: list[Question], folder: Path) -> None:
    """Fit Platt scaling of P(yes), the weights of lists and the cautious P(yes); write them into
    the checkpoint."""
    given: list[tuple[int | str, ...] | None] = [q.ecg_id for q in asked]
    rows = rows_of(model, encoded, asked, given)
    margins: dict[str, list[float]] = defaultdict(list)
    truth: dict[str, list[bool]] = defaultdict(list)
    lists: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row, margin in zip(rows, margins_of(model, encoded, rows, given), strict=True):
        right = (row.option or "yes") in asked[row.k].answer
        kinds = [row.kind, "option"] if row.option else [row.kind]
        if row.option and row.kind in model.config.vocabulary:
            lists[row.kind][row.k][row.option] = margin
            kinds = ["option"]
        for kind in kinds:
            margins[kind].append(margin)
            truth[kind].append(right)
    choosing = {kind: margins[kind] for kind in margins if kind.startswith("choose")}
    fitted = {
        kind: platt({kind: margins[kind]}, truth)[kind]
        for kind in sorted(margins)
        if kind not in choosing and len(set(truth[kind])) == 2
    } | platt(choosing, truth)
    for kind, (scale, shift) in fitted.items():
        print(f"{kind}: scale {scale}, shift {shift}, n {len(truth[kind])}", flush=True)
    weights = {kind: fit_list(model, kind, asked, found) for kind, found in sorted(lists.items())}
    model.config = replace(model.config, calibration=fitted, lists=weights)
    verify = [q for q in asked if TEMPLATES[q.template_id].kind == "verify"]
    given = stand_ins(verify, "shuffled", encoded.data)
    chances = [chance for _, chance in predict(model, encoded, verify, given)]
    cautious = round(max(0.5, float(np.quantile(chances, 1 - CAUTIOUS_YES))), 3)
    print(f"cautious: P(yes) of {cautious} and more, n {len(chances)}")
    model.config = replace(model.config, cautious_yes=cautious)
    write(folder, {"calibration": fitted, "lists": weights, "cautious_yes": cautious})


def fit_list(
    model: EcgModel, kind: str, asked: list[Question], found: dict[int, dict[str, float]]
) -> tuple[float, ...]:
    """The weights of `options.decide` that make the right answers likeliest (conditional logit).

    found: {number of the question: log odds of its options}. Answers that training never had, or
    with an option that was not asked about, cannot be chosen and are left out.
    """
    rows: list[tuple[np.ndarray, int]] = []
    for k, margins in found.items():
        answers, scores = candidates(model, kind, margins)
        right = [i for i, a in enumerate(answers) if set(a or (NONE,)) == set(asked[k].answer)]
        if right:
            rows.append((scores.numpy(), right[0]))

    def unlikely(weights: np.ndarray) -> float:
        total = float(((weights - np.array(UNFITTED)) ** 2).sum())
        for scores, right in rows:
            score = scores @ weights
            total += float(logsumexp(score) - score[right])
        return total

    fitted = minimize(unlikely, np.array(UNFITTED)).x
    chosen = [decide(model, kind, margins).options for margins in found.values()]
    model.config = replace(model.config, lists=model.config.lists | {kind: tuple(fitted)})
    better = [decide(model, kind, margins).options for margins in found.values()]
    before, after = (
        np.mean([set(c) == set(asked[k].answer) for k, c in zip(found, each, strict=True)])
        for each in (chosen, better)
    )
    print(f"list {kind}: n {len(found)}, within reach {len(rows)}, right {before:.2f}, {after:.2f}")
    return tuple(round(float(w), 3) for w in fitted)


def same_but_different(signal: np.ndarray, seed: int) -> np.ndarray:
    """The recording as another second of it would look: shifted by up to 1 s, 10 µV of noise."""
    rng = np.random.default_rng(seed)
    shifted = np.roll(np.asarray(signal, np.float32), int(rng.integers(-100, 101)), axis=1)
    return shifted + rng.normal(0, 0.01, shifted.shape).astype(np.float32)


def set_verdict(model: EcgModel, encoded: Encoded, asked: list[Question], folder: Path) -> None:
    """Set the random-ECG test's threshold from what moves an answer that should not move.

    asked: about one ECG each. An answer may depend on which second of the recording was taken; it
    depends on the patient when other patients, and nothing at all, move it further than that does
    for 19 of 20 questions.
    """
    pool = [i for q in asked for i in q.ecg_id]
    if any(len(pool) - pool.count(i) < 3 for i in pool):
        raise SystemExit("The verdict's threshold needs three other ECGs for each: ask more.")
    rng = np.random.default_rng(0)
    still, moved = [], []
    for k, question in enumerate(asked):
        own = np.asarray(encoded.signal(question.ecg_id[0]), np.float32)
        ecg = ECG(own, MODEL_RATE_HZ, "this")
        same = [ECG(same_but_different(own, 3 * k + i), MODEL_RATE_HZ, "same") for i in range(3)]
        strangers = [
            ECG(np.asarray(encoded.signal(int(i)), np.float32), MODEL_RATE_HZ, str(i))
            for i in rng.choice([i for i in pool if i != question.ecg_id[0]], 3, replace=False)
        ]
        rows = ground(model, question.question, ecg, None, [(e.name, e) for e in same]).rows
        still.append(float(np.mean([abs(row.log_odds_change) for row in rows[1:-3]])))
        result = ground(model, question.question, ecg, None, [(e.name, e) for e in strangers])
        moved.append(move(result.rows))
    least = round(float(np.quantile(still, 0.95)), 2)
    low, high = interval(np.array(moved) >= least)
    print(f"same recording: 95 % move less than {least} (median {np.median(still):.2f})")
    share = np.mean(np.array(moved) >= least)
    print(
        f"other patients and no ECG: {share:.2f} ({low:.2f}-{high:.2f}) move more, n {len(moved)}"
    )
    write(folder, {"least_move": least})


def write(folder: Path, settings: dict[str, Any]) -> None:
    """Change a few settings of the checkpoint's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings, indent=1) + "\n")


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "checkpoint", "llm", "cache")
    parser.add_argument("--questions", required=True, type=Path, help="about validation ECGs")
    parser.add_argument("--limit", type=int, default=3000, help="questions to fit P(yes) on")
    parser.add_argument("--verdicts", type=int, default=80, help="questions for the verdict")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    model = EcgModel.load(args.checkpoint, args.llm)
    encoded = Encoded(model, data, ptbxl.signals(data, args.cache))
    asked = some_questions(args.questions, KINDS, args.limit)
    fit_yes(model, encoded, asked, args.checkpoint)
    asked = [q for q in some_questions(args.questions, ("verify",), 0) if len(q.ecg_id) == 1]
    chosen = np.random.default_rng(1).permutation(len(asked))[: args.verdicts]
    set_verdict(model, encoded, [asked[i] for i in chosen], args.checkpoint)


if __name__ == "__main__":
    main()
