"""P(yes) of a finding that was read from plain words: fitted on validation ECGs.

    python -m training.stages.fit_plain --ptbxl DIR --ecgqa DIR [--checkpoint DIR]

What is read is put to the model in one wording; its log odds are scaled (Platt 1999) on as many
validation ECGs with each statement as without it, so that neither answer is favoured. Written into
the checkpoint's config.json as calibration of the kind `plain`.
"""

from __future__ import annotations

import json

import numpy as np
import torch

from ecgqa.answer.respond import asked_plainly
from ecgqa.model.ecg_model import EcgModel
from training.data import ptbxl
from training.data.arguments import command_line
from training.stages.calibrate import platt, write

FEWEST, MOST = 15, 20  # validation ECGs with a statement, and so many without


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint", "llm", "cache")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    valid = ptbxl.splits(data, args.ecgqa)["valid"]
    model = EcgModel.load(args.checkpoint, args.llm)
    signals = ptbxl.signals(data, args.cache)
    targets = ptbxl.concept_targets(data)[valid]
    rng = np.random.default_rng(4)
    margins: list[float] = []
    truth: list[bool] = []
    for k, name in enumerate(ptbxl.concept_names()):
        there = valid[targets[:, k] == 1]
        absent = valid[targets[:, k] == 0]
        if len(there) < FEWEST or name not in model.encoder.config.statements:
            continue
        count = min(MOST, len(there), len(absent))
        rows = np.concatenate([rng.permutation(there)[:count], rng.permutation(absent)[:count]])
        signal = torch.from_numpy(np.asarray(signals[rows], np.float32))
        with torch.no_grad():
            found = model.yes_margin([asked_plainly(name)] * len(rows), model.encode(signal))
        margins += found.tolist()
        truth += [True] * count + [False] * count
        print(f"{name}: n {2 * count}", flush=True)
    if not margins:
        print(f"plain: not fitted, no statement is on {FEWEST} validation ECGs")
        return
    fitted = platt({"plain": margins}, {"plain": truth})
    scale, shift = fitted["plain"]
    right = ((np.array(margins) * scale + shift >= 0) == np.array(truth)).mean()
    print(f"plain: scale {scale}, shift {shift}, right {right:.3f}, n {len(truth)}")
    known = json.loads((args.checkpoint / "config.json").read_text())["calibration"]
    write(args.checkpoint, {"calibration": known | fitted})


if __name__ == "__main__":
    main()
