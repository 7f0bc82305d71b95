"""From which probability on a statement is told in a report: fitted on the validation ECGs.

    python -m training.stages.fit_findings --ptbxl DIR --ecgqa DIR [--checkpoint DIR]

For each statement the limit with the best F1; of one that fewer than `FEWEST` validation ECGs have,
a limit that all those together choose. Written into the checkpoint's config.json.
"""

from __future__ import annotations

import numpy as np

from ecgqa.answer.options import RANGE_NAMES
from ecgqa.model.ecg_model import EcgModel
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.encoded import pooled
from training.stages.calibrate import write

FEWEST = 15
LIMITS = np.round(np.arange(0.05, 0.96, 0.025), 3)


def best_limit(chances: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The limit with the best F1, and that F1; ties go to the middle of the best ones."""
    scores = []
    for limit in LIMITS:
        said = chances >= limit
        hits = float((said & truth).sum())
        scores.append(2 * hits / max(1.0, float(said.sum() + truth.sum())))
    near = np.flatnonzero(np.array(scores) >= max(scores) - 0.003)
    middle = int(near[len(near) // 2])
    return float(LIMITS[middle]), float(scores[middle])


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint", "llm", "cache")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    rows = ptbxl.splits(data, args.ecgqa)["valid"]
    model = EcgModel.load(args.checkpoint, args.llm)
    found = pooled(model, data, rows, args.cache)
    names = list(ptbxl.concept_names())
    truth = ptbxl.concept_targets(data)[rows]
    limits: dict[str, float] = {}
    rare_chances, rare_truth, rare = [], [], []
    for k, name in enumerate(model.encoder.config.statements):
        if name.endswith(RANGE_NAMES) or name not in names:
            continue
        column = truth[:, names.index(name)]
        known = ~np.isnan(column)
        there, chances = column[known] > 0, found.chances[known, k]
        if there.sum() >= FEWEST:
            limits[name], score = best_limit(chances, there)
            print(f"{name}: {limits[name]:.3f}, F1 {score:.2f}, n {int(there.sum())}")
        else:
            rare.append(name)
            rare_chances.append(chances)
            rare_truth.append(there)
    if rare:
        limit, score = best_limit(np.concatenate(rare_chances), np.concatenate(rare_truth))
        limits |= dict.fromkeys(rare, limit)
        print(f"{len(rare)} rare ones: {limit:.3f}, F1 {score:.2f}")
    write(args.checkpoint, {"finding_limits": limits})


if __name__ == "__main__":
    main()
