"""The question bank: what a clinician gets who asks in own words, on ECG-QA's test ECGs.

    python -m training.judge.clinic --ptbxl DIR --ecgqa DIR [--bank FILE] [--ecgs 2] \
        [--out FILE.json] [--readme README.md]

Every question goes through `EcgAssistant.ask`, as on the page. What is right: of findings, choices,
lists and places PTB-XL's labels; of numbers, limits, ranges and times what `ecgqa.measure` says;
advice, other subjects, findings nobody labelled and other languages must be declined. ECGs are
drawn so that yes and no are about equally often right.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from ecgqa import EcgAssistant
from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.data.expected import judged
from training.data.patients import Patients
from training.judge.tables import markdown, put_between

BANK = Path(__file__).parents[2] / "tests" / "clinic_questions.json"


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint", "llm")
    parser.add_argument("--intervals", default="")
    parser.add_argument("--bank", type=Path, default=BANK)
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
    assistant = EcgAssistant.load(args.checkpoint, args.llm)
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
        chances, truth = np.array([s for s, _ in sure]), np.array([r for _, r in sure])
        record["confidence"] = {"auc": float(roc_auc_score(truth, chances)), "n": len(sure),
                                "right": float(truth.mean())}  # fmt: skip
        order = np.argsort(-chances)
        for share in (1.0, 0.8, 0.6, 0.4):
            kept = truth[order[: max(1, int(share * len(order)))]]
            record["confidence"][f"right at {share:.0%}"] = float(kept.mean())
    print(report(record))
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n")
    if args.readme:
        put_between(args.readme, "clinic", report(record))


def report(record: dict[str, Any]) -> str:
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
