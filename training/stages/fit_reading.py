"""From which probability on a question counts as none about an ECG: fitted on validation wordings.

    python -m training.stages.fit_reading [--reader assets/checkpoint/reader]

Questions turned away as being outside, untrained, advice or another language are those of which the
reader gives these kinds together a probability of `away` and more, and none of the other kinds one
half. The limit is the lowest one that turns away at most one in a hundred true ECG questions, of
the development set and of the held-out wordings of ECG-QA's templates. Written into the reader's
JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ecgqa.answer.assistant import CHECKPOINT
from ecgqa.model.reader import Reader
from ecgqa.question.conversation import turned_away
from ecgqa.question.kinds import kind_of
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.data.reading_texts import DEV
from training.data.wordings import load_wordings

MOST_TURNED = 0.01
OF_AN_ECG = ("yes_no", "range", "choose", "number", "threshold", "report", "where", "when")
SLOTS = {
    "scp_code": "atrial fibrillation", "scp_code1": "sinus rhythm",
    "scp_code2": "atrial fibrillation", "lead": "V2", "axis": "left axis deviation",
    "axis1": "left axis deviation", "axis2": "right axis deviation",
    "stage": "old stage of myocardial infarction",
    "stage1": "old stage of myocardial infarction",
    "stage2": "early stage of myocardial infarction", "noise": "baseline drift",
    "noise1": "baseline drift", "noise2": "static noise", "extra_systole": "extrasystoles",
    "extra_systole1": "supraventricular extrasystoles",
    "extra_systole2": "ventricular extrasystoles", "numeric_feature": "qrs duration",
    "range": "above the normal range", "range1": "below the normal range",
    "range2": "above the normal range",
}  # fmt: skip


def template_wordings() -> list[str]:
    """The held-out wordings of all templates, their slots filled."""
    out = []
    for texts in load_wordings("heldout").values():
        for text in texts:
            for slot, value in SLOTS.items():
                text = text.replace("{" + slot + "}", value)
            out.append(text)
    return out


@torch.no_grad()
def away(reader: Reader, texts: list[str]) -> np.ndarray:
    """How much speaks for each text asking nothing that this model can see in an ECG."""
    apart = torch.tensor([not kind_of(kind).of_an_ecg for kind in reader.config.kinds])
    out = []
    for i in range(0, len(texts), 64):
        for chances in reader(texts[i : i + 64]).kind.softmax(-1):
            out.append(turned_away(chances[apart].sum(), chances[~apart].max()))
    return np.array(out)


def main() -> None:
    """Command line."""
    parser = command_line(__doc__)
    parser.add_argument("--reader", type=Path, default=CHECKPOINT / "reader")
    args = parser.parse_args()
    reader = Reader.load(args.reader)
    rows = json.loads(DEV.read_text())
    mine = [row["question"] for row in rows if row["kind"] in OF_AN_ECG]
    inside = np.concatenate([away(reader, mine), away(reader, template_wordings())])
    limits = np.round(np.arange(0.05, 0.96, 0.01), 2)
    good = [limit for limit in limits if (inside >= limit).mean() <= MOST_TURNED]
    limit = float(min(good, default=0.95))
    print(f"away from {limit:.2f}: {100 * (inside >= limit).mean():.2f} % of {len(inside)} true "
          f"questions turned away")  # fmt: skip
    for kind in ("untrained", "outside", "advice", "language"):
        hits = away(reader, [r["question"] for r in rows if r["kind"] == kind]) >= limit
        low, high = interval(hits.astype(float))
        print(
            f"{kind}: {100 * hits.mean():.1f} % ({100 * low:.1f}-{100 * high:.1f}) of {len(hits)}"
        )
    path = args.reader / "reader.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"away": limit}, indent=0) + "\n")


if __name__ == "__main__":
    main()
