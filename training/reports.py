"""Reports side by side: composed, retrieved and generated, against PTB-XL's statements.

    python -m training.reports --ptbxl DIR --ecgqa DIR [--n 500] [--out FILE.json]

composed: `ecgqa.answer.narrative`, as the page writes it. retrieved: the statements of the
nearest train ECG (or those that most of the nearest five have), by the encoder's pooled features.
generated: what the language model writes freely, asked for diagnoses, forms and rhythm. F1 over the
statements of the test ECG (micro, and the mean over ECGs); contradictions: findings told against a
measured number or against each other, counted by code (`narrative.contradictions`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from ecgqa.answer import narrative
from ecgqa.answer.assistant import CHECKPOINT
from ecgqa.answer.case import Case
from ecgqa.model.ecg_model import SEPARATOR, EcgModel, expand
from training import ptbxl
from training.encoded import pooled
from training.tables import interval, markdown

ASKED = (
    "What diagnostic symptoms does this ECG show, including uncertain symptoms?",
    "What form-related symptoms does this ECG show?",
    "What rhythm-related symptoms does this ECG show?",
)


def statements_of(data: ptbxl.PtbXl, row: int, names: Iterable[str]) -> set[str]:
    """The statements of an ECG among `names`."""
    return {name for name in names if label(data, row, name) > 0}


def label(data: ptbxl.PtbXl, row: int, name: str) -> float:
    """1 where an ECG has a statement, else 0."""
    for group in ptbxl.CONCEPT_GROUPS:
        if name in ptbxl.GROUPS[group]:
            return float(np.nan_to_num(data.facts[group][row, ptbxl.GROUPS[group].index(name)]))
    raise KeyError(name)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--ecgqa", required=True)
    parser.add_argument("--n", type=int, default=500, help="test ECGs")
    parser.add_argument("--train", type=int, default=0, help="train ECGs to retrieve from, 0: all")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--cache", default=".work/cache")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    split = ptbxl.splits(data, args.ecgqa)
    model = EcgModel.load(args.checkpoint)
    names = [ptbxl.concept_names()[k] for k in ptbxl.statement_columns()]
    test = np.random.default_rng(2).permutation(split["test"])[: args.n]
    train = np.random.default_rng(3).permutation(split["train"])[: args.train or None]
    own, others = (pooled(model, data, rows, args.cache).features for rows in (test, train))
    centre = others.mean(0)
    spread = others.std(0) + 1e-6
    own, others = (own - centre) / spread, (others - centre) / spread
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    nearest = np.argsort(-(own @ others.T), axis=1)[:, :5]
    kinds = ("composed", "retrieved", "retrieved, of five", "generated")
    said: dict[str, list[set[str]]] = {kind: [] for kind in kinds}
    against = dict.fromkeys(said, 0)
    true = [statements_of(data, int(row), names) for row in test]
    for k, row in enumerate(test):
        case = Case(model, ptbxl.read_plain(data.folder / data.path[row]))
        told = narrative.report(case)
        m = case.measured[0]
        each = [statements_of(data, int(train[i]), names) for i in nearest[k]]
        voted = {n for n in set().union(*each) if sum(n in one for one in each) >= 3}
        with torch.no_grad():
            texts = model.generate(list(ASKED), *_thrice(case))
        written = {part for text in texts for part in text.split(SEPARATOR)} & set(names)
        for kind, found in (
            ("composed", set(told.statements)), ("retrieved", each[0]),
            ("retrieved, of five", voted), ("generated", written),
        ):  # fmt: skip
            said[kind].append(found & set(names))
            statements = told.statements if kind == "composed" else tuple(sorted(found))
            report = narrative.Report((), statements)
            against[kind] += bool(narrative.contradictions(report, m))
        if k % 50 == 0:
            print(f"written {k}/{len(test)}", flush=True)
    record, rows = {}, []
    for kind, found in said.items():
        hits = np.array([len(a & b) for a, b in zip(found, true, strict=True)], float)
        sizes = np.array([len(a) + len(b) for a, b in zip(found, true, strict=True)], float)
        micro = lambda i, h=hits, s=sizes: 2 * h[i].sum() / s[i].sum()  # noqa: E731
        low, high = interval(np.arange(len(true)), micro)
        mean = float(np.mean(2 * hits / np.maximum(sizes, 1)))
        record[kind] = {
            "f1": float(micro(np.arange(len(true)))), "low": low, "high": high, "mean f1": mean,
            "contradictions": against[kind] / len(true), "n": len(true),
        }  # fmt: skip
        rows.append([kind, len(true), f"{record[kind]['f1']:.3f} ({low:.3f}-{high:.3f})",
                     f"{mean:.3f}", f"{100 * against[kind] / len(true):.1f}"])  # fmt: skip
    print(markdown(["report", "n", "F1 of statements", "mean F1", "contradictory, %"], rows))
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def _thrice(case: Case):
    """Features of the ECG for the three questions."""
    return expand(case.each[0], len(ASKED)), None


if __name__ == "__main__":
    main()
