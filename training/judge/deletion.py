"""Do the marked stretches matter? Remove them, and as much at random, and ask again.

    python -m training.judge.deletion --ptbxl DIR --questions FILE.json [--limit 200] \
        [--out FILE.json]

Of each yes/no question the cells that weigh most for the model's answer
(`ecgqa.answer.evidence`) are set to the baseline, then as many others at random, three times. How
far the log probability of the answer moves is measured through the whole model, language model
included.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ecgqa.answer.evidence import CELLS, cell_weights
from ecgqa.model.ecg_model import EcgModel
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.questions import Question
from training.judge.tables import Control, measured, table
from training.stages.replies import some_questions

REMOVED = 0.2  # share of the cells
DRAWS = 3  # of as many cells at random


def removed(signals: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Signals [ecgs, 12, 1000] with the cells [ecgs, 12, CELLS] that are True at the baseline."""
    per_cell = signals.shape[-1] // CELLS
    return np.where(np.repeat(cells, per_cell, axis=-1), 0.0, signals).astype(np.float32)


def moves(model: EcgModel, question: Question, signals: np.ndarray, seed: int) -> np.ndarray:
    """[2]: |change of the answer's log probability| without its evidence, and at random (mean).

    signals [ecgs, 12, 1000]: model inputs, the earlier ECG first.
    """
    margins = ask(model, question.question, signals[None])
    yes = bool(margins[0] > 0)
    weights = cell_weights(model, question.question, list(signals), yes)
    count = round(REMOVED * weights.size)
    rng = np.random.default_rng(seed)
    some = [np.argsort(-weights, axis=None)[:count]]
    some += [rng.choice(weights.size, count, replace=False) for _ in range(DRAWS)]
    changed = []
    for chosen in some:
        cells = np.zeros(weights.size, bool)
        cells[chosen] = True
        changed.append(removed(signals, cells.reshape(weights.shape)))
    margins = torch.cat([margins, ask(model, question.question, np.stack(changed))])
    log_prob = F.logsigmoid(margins if yes else -margins)
    change = (log_prob[1:] - log_prob[0]).abs().numpy()
    return np.array([change[0], change[1:].mean()])


def ask(model: EcgModel, question: str, signals: np.ndarray) -> torch.Tensor:
    """Log odds of "yes" for recordings [n, ecgs, 12, 1000]."""
    with torch.no_grad():
        ecgs = [model.encode(torch.from_numpy(signals[:, e])) for e in range(signals.shape[1])]
        first, second, *_ = [*ecgs, None]
        return model.yes_margin([question] * len(signals), first, second)


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "checkpoint", "llm", "cache")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    signals = ptbxl.signals(data, args.cache)
    index = {int(e): i for i, e in enumerate(data.ecg_id)}
    model = EcgModel.load(args.checkpoint, args.llm).requires_grad_(False)
    asked = some_questions(args.questions, ("verify",), args.limit)
    each = []
    for seed, question in enumerate(asked):
        ecgs = np.stack([signals[index[i]] for i in question.ecg_id]).astype(np.float32)
        each.append(moves(model, question, ecgs, seed))
    found = np.array(each)
    lines: list[Control] = [
        measured("evidence removed: change of the answer's log probability, × that at random",
                 found, lambda rows: float(rows[:, 0].mean() / rows[:, 1].mean()), 2, ""),
        *(
            replace(measured(f"{name}: mean change", found[:, k], np.mean, 0, ""), wanted="")
            for k, name in enumerate(("evidence removed", "as much at random removed"))
        ),
    ]  # fmt: skip
    print(table(lines))
    if args.out:
        args.out.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")


if __name__ == "__main__":
    main()
