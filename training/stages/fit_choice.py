"""How "A or B?" is decided: what "both" and "neither" need, fitted on validation questions.

    python -m training.stages.fit_choice --ptbxl DIR --questions VALID.json [--checkpoint DIR]

With the calibrated log odds a and b of the two options, the scores of {A}, {B}, both and neither
are a, b, a + b + `both` and `neither` (conditional logit). Written into the checkpoint's
config.json as `choice`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from ecgqa.answer.options import NONE, decide
from ecgqa.model.ecg_model import EcgModel
from training.data import ptbxl
from training.data.arguments import command_line
from training.stages.calibrate import write
from training.stages.replies import Encoded, margins_of, rows_of, some_questions


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "checkpoint", "llm", "cache")
    parser.add_argument("--questions", required=True, type=Path, help="about validation ECGs")
    parser.add_argument("--limit", type=int, default=700)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    model = EcgModel.load(args.checkpoint, args.llm)
    encoded = Encoded(model, data, ptbxl.signals(data, args.cache))
    asked = some_questions(args.questions, ("choose",), args.limit)
    given: list[tuple[int | str, ...] | None] = [q.ecg_id for q in asked]
    rows = rows_of(model, encoded, asked, given)
    found: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for row, margin in zip(rows, margins_of(model, encoded, rows, given), strict=True):
        found[row.k, row.kind][row.option or ""] = margin
    pairs = {key: margins for key, margins in found.items() if len(margins) == 2}
    scores, right = [], []
    for (k, kind), margins in pairs.items():
        scale, shift = model.config.calibration.get(kind) or model.config.calibration["option"]
        a, b = (scale * margin + shift for margin in margins.values())
        answer = set(asked[k].answer)
        sets: list[set[str]] = [{option} for option in margins]
        sets += [set(margins), {NONE}]
        if answer in sets:
            scores.append((a, b))
            right.append(sets.index(answer))
    if not scores:
        print("choice: not fitted, no question has both its options asked about")
        return
    odds = np.array(scores)

    def unlikely(weights: np.ndarray) -> float:
        scale, both, neither = weights
        a, b = scale * odds[:, 0], scale * odds[:, 1]
        each = np.stack([a, b, a + b + both, np.full(len(a), neither)], axis=1)
        chosen = each[np.arange(len(each)), right]
        prior = ((weights - np.array([1.0, 0.0, 0.0])) ** 2).sum()
        return float((logsumexp(each, axis=1) - chosen).sum() + prior)

    fitted = tuple(round(float(w), 3) for w in minimize(unlikely, [1.0, 0.0, 0.0]).x)

    def share() -> float:
        hits = [set(decide(model, kind, m).options) == set(asked[k].answer)
                for (k, kind), m in pairs.items()]  # fmt: skip
        return float(np.mean(hits))

    model.config = replace(model.config, choice=())
    before = share()
    model.config = replace(model.config, choice=fitted)
    print(f"choice: {fitted}, n {len(pairs)}, right {before:.3f} before, {share():.3f} after")
    write(args.checkpoint, {"choice": fitted})


if __name__ == "__main__":
    main()
