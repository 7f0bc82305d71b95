"""How often an answer with such a confidence is right: fitted on validation ECGs.

    python -m training.stages.fit_confidence --ptbxl DIR --ecgqa DIR [--checkpoint DIR] [--ecgs 4]

The wordings to develop with (`reading_dev.json`, `followup_dev.json`) are asked of ECGs of the
validation split through `ask`, and judged as `training.judge.clinic` judges. For each kind of
answer a shift, and one scale for all, of the log odds of the confidence (Platt 1999), so that a
list and a measured number with the same confidence are right equally often. Written into the
checkpoint's config.json as `confidence`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from ecgqa import EcgAssistant
from ecgqa.answer.answer import kind_of_answer
from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.expected import EXPECT, judged
from training.data.patients import Patients
from training.data.reading_texts import DEV
from training.stages.calibrate import platt, write
from training.stages.replies import some

FOLLOW_UPS = DEV.with_name("followup_dev.json")
FEWEST = 12  # answers of a kind that get a shift of their own


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint", "llm")
    parser.add_argument("--ecgs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=0, help="a random so many of the questions")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    valid = ptbxl.splits(data, args.ecgqa)["valid"]
    patients = Patients(data, questions.Facts(data), valid)
    assistant = EcgAssistant.load(args.checkpoint, args.llm)
    assistant.model.config = replace(assistant.model.config, confidence={})
    rows = [row for row in json.loads(DEV.read_text()) if row["kind"] in EXPECT]
    rows = [row for row in rows if row["kind"] not in ("why", "how sure", "since when")]
    rows = [row for row in rows if row["kind"] != "when" or "what" in row]
    known = {"myocardial infarction", "inverted t-waves", "non-specific st depression",
             "non-specific st elevation", "q waves present", "ischemia (any place)"}  # fmt: skip
    rows = [row for row in rows if row["kind"] != "where" or row["finding"] in known]
    rows += [row | {"kind": "follow_up"} for row in json.loads(FOLLOW_UPS.read_text())]
    if args.limit:
        rows = [rows[i] for i in some(len(rows), args.limit)]
    odds: dict[str, list[float]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    hits: dict[str, list[bool]] = defaultdict(list)
    for k, row in enumerate(rows):
        for _, hit, answer in judged(assistant, row, patients, args.ecgs, 1000 + k):
            hits[row["kind"]].append(hit)
            if not answer.declined and answer.confidence:
                kind = kind_of_answer(answer)
                odds[kind].append(float(logit(np.clip(answer.confidence, 0.02, 0.98))))
                right[kind].append(hit)
        if k % 100 == 0:
            print(f"asked {k}/{len(rows)}", flush=True)
    for kind, each in sorted(hits.items()):
        print(f"{kind}: right {100 * np.mean(each):.1f} %, n {len(each)}")
    for kind in [k for k in odds if len(odds[k]) < FEWEST]:
        odds["other"] += odds.pop(kind)
        right["other"] += right.pop(kind)
    if len({hit for each in right.values() for hit in each}) < 2:
        print("confidence: not fitted, the answers are not right and wrong")
        return
    fitted = platt(odds, right)
    before = np.concatenate([odds[k] for k in sorted(odds)])
    after = np.concatenate([fitted[k][0] * np.array(odds[k]) + fitted[k][1] for k in sorted(odds)])
    truth = np.concatenate([right[k] for k in sorted(odds)])
    for kind in sorted(odds):
        print(f"{kind}: {fitted[kind]}, n {len(right[kind])}, right {np.mean(right[kind]):.2f}")
    print(
        f"AUC {roc_auc_score(truth, before):.3f} before, {roc_auc_score(truth, after):.3f} after, "
        f"n {len(truth)}; mean confidence {expit(after).mean():.3f}, right {truth.mean():.3f}"
    )
    write(args.checkpoint, {"confidence": fitted})


if __name__ == "__main__":
    main()
