"""Reports side by side: composed, retrieved and generated, against PTB-XL's statements.

    python -m training.judge.reports --ptbxl DIR --ecgqa DIR [--n 500] [--out FILE.json]

composed: `ecgqa.answer.narrative`, as the page writes it. retrieved: the statements of the
nearest train ECG (or those that most of the nearest five have), by the encoder's pooled features.
generated: what the language model writes freely, asked for diagnoses, forms and rhythm. F1 over the
statements of the test ECG (micro, and the mean over ECGs); contradictions: findings told against a
measured number or against each other, counted by code (`narrative.contradictions`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from ecgqa.answer import narrative
from ecgqa.answer.case import Case
from ecgqa.model.ecg_model import SEPARATOR, EcgModel, expand
from ecgqa.model.features import EcgFeatures
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.data.encoded import pooled
from training.judge.tables import markdown

ASKED = (
    "What diagnostic symptoms does this ECG show, including uncertain symptoms?",
    "What form-related symptoms does this ECG show?",
    "What rhythm-related symptoms does this ECG show?",
)
STATEMENTS = [ptbxl.concept_names()[k] for k in ptbxl.statement_columns()]


def statements_of(data: ptbxl.PtbXl, row: int, names: Iterable[str]) -> set[str]:
    """The statements of an ECG among `names`."""
    return {name for name in names if label(data, row, name) > 0}


def label(data: ptbxl.PtbXl, row: int, name: str) -> float:
    """1 where an ECG has a statement, else 0."""
    for group in ptbxl.CONCEPT_GROUPS:
        if name in ptbxl.GROUPS[group]:
            return float(np.nan_to_num(data.facts[group][row, ptbxl.GROUPS[group].index(name)]))
    raise KeyError(name)


def nearest_of(
    model: EcgModel, data: ptbxl.PtbXl, test: np.ndarray, train: np.ndarray, cache: str
) -> np.ndarray:
    """[len(test), 5]: places in `train` of the ECGs with the most similar features, in order."""
    own, others = (pooled(model, data, rows, cache).features for rows in (test, train))
    centre = others.mean(0)
    spread = others.std(0) + 1e-6
    own, others = (own - centre) / spread, (others - centre) / spread
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    return np.argsort(-(own @ others.T), axis=1)[:, :5]


def told_of(case: Case, near: list[set[str]]) -> dict[str, tuple[str, ...]]:
    """The statements that each way of writing tells of an ECG. near: those of the nearest five."""
    with torch.no_grad():
        texts = case.model.generate(list(ASKED), *_thrice(case))
    voted = {n for n in set().union(*near) if sum(n in one for one in near) >= 3}
    written = {part for text in texts for part in text.split(SEPARATOR)}
    return {
        "composed": narrative.report(case).statements,
        "retrieved": tuple(sorted(near[0])),
        "retrieved, of five": tuple(sorted(voted)),
        "generated": tuple(sorted(written & set(STATEMENTS))),
    }


def score(found: list[set[str]], true: list[set[str]], against: int) -> dict[str, float]:
    """F1 with its 95 % interval, and the share of ECGs whose report holds a contradiction."""
    hits = np.array([len(a & b) for a, b in zip(found, true, strict=True)], float)
    sizes = np.array([len(a) + len(b) for a, b in zip(found, true, strict=True)], float)

    def micro(some: np.ndarray) -> float:
        return float(2 * hits[some].sum() / sizes[some].sum())

    every = np.arange(len(true))
    low, high = interval(every, micro)
    return {
        "f1": micro(every), "low": low, "high": high,
        "mean f1": float(np.mean(2 * hits / np.maximum(sizes, 1))),
        "contradictions": against / len(true), "n": len(true),
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint", "cache")
    parser.add_argument("--n", type=int, default=500, help="test ECGs")
    parser.add_argument("--train", type=int, default=0, help="train ECGs to retrieve from, 0: all")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    split = ptbxl.splits(data, args.ecgqa)
    model = EcgModel.load(args.checkpoint)
    test = np.random.default_rng(2).permutation(split["test"])[: args.n]
    train = np.random.default_rng(3).permutation(split["train"])[: args.train or None]
    nearest = nearest_of(model, data, test, train, args.cache)
    said: dict[str, list[set[str]]] = defaultdict(list)
    against: dict[str, int] = defaultdict(int)
    for k, row in enumerate(test):
        case = Case(model, ptbxl.read_plain(data.folder / data.path[row]))
        near = [statements_of(data, int(train[i]), STATEMENTS) for i in nearest[k]]
        for kind, statements in told_of(case, near).items():
            said[kind].append(set(statements) & set(STATEMENTS))
            report = narrative.Report((), statements)
            against[kind] += bool(narrative.contradictions(report, case.measured[0]))
        if k % 50 == 0:
            print(f"written {k}/{len(test)}", flush=True)
    true = [statements_of(data, int(row), STATEMENTS) for row in test]
    record = {kind: score(found, true, against[kind]) for kind, found in said.items()}
    rows = [[kind, one["n"], f"{one['f1']:.3f} ({one['low']:.3f}-{one['high']:.3f})",
             f"{one['mean f1']:.3f}", f"{100 * one['contradictions']:.1f}"]
            for kind, one in record.items()]  # fmt: skip
    print(markdown(["report", "n", "F1 of statements", "mean F1", "contradictory, %"], rows))
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def _thrice(case: Case) -> tuple[EcgFeatures | None, None]:
    """Features of the ECG for the three questions."""
    return expand(case.each[0], len(ASKED)), None


if __name__ == "__main__":
    main()
