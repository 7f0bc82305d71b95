"""How often a checkpoint reads the fate right that a question about two ECGs asks for.

    python -m training.judge.fates_read [--checkpoint DIR]

Asked in `wordings_dev.json`: 320 wordings by somebody who saw none of the others, to develop with.
Test wordings are others.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict

import numpy as np
import torch

from ecgqa.answer.options import understand
from ecgqa.model.ecg_model import EcgModel
from training.data.arguments import command_line
from training.data.bootstrap import interval_over
from training.data.fates import DEV_WORDINGS

# What the wordings to develop with are filled in with.
NAMED = {
    "finding": (
        "atrial fibrillation", "first degree av block", "inverted t-waves",
        "left ventricular hypertrophy", "myocardial infarction in inferior leads",
    ),
    "feature": ("pr interval", "qrs duration", "qt interval", "rr interval"),
}  # fmt: skip


def fates_read(model: EcgModel, batch: int = 64) -> dict[str, tuple[list[str], np.ndarray]]:
    """Kind / fate → the wordings to develop with, and whether each was read right."""
    rng, asked = random.Random(1), []
    for kind, by_fate in json.loads(DEV_WORDINGS.read_text()).items():
        for fate, by_naming in by_fate.items():
            for text in (text for texts in by_naming.values() for text in texts):
                names = rng.sample(NAMED[kind], 2)
                asked += [(kind, fate, text, text.replace("{x}", name)) for name in names]
    found = defaultdict(list)
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        with torch.no_grad():
            read = understand(model, [row[3] for row in part], True)
        for (kind, fate, text, _), one in zip(part, read, strict=True):
            found[f"{kind} / {fate}"].append((text, one.fate == fate))
    return {
        name: ([text for text, _ in rows], np.array([right for _, right in rows], float))
        for name, rows in found.items()
    }


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "checkpoint")
    args = parser.parse_args()
    read = fates_read(EcgModel.load(args.checkpoint))
    texts = [text for words, _ in read.values() for text in words]
    read["all"] = texts, np.concatenate([right for _, right in read.values()])
    for name, (words, right) in read.items():
        low, high = interval_over(words, right)
        print(
            f"{name:20s} {100 * right.mean():5.1f} % ({100 * low:.1f}-{100 * high:.1f}), "
            f"{len(set(words))} wordings, n {len(right)}"
        )


if __name__ == "__main__":
    main()
