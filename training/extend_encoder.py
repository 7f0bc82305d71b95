"""Stage 1b: teach the trained encoder more names, from its frozen features.

    python -m training.extend_encoder --ptbxl DIR --ecgqa DIR --intervals FILE.csv \
        [--encoder .work/encoder] [--out .work/encoder_x]

The statement head gets one more row per name: interval ranges ("pr interval above the normal
range") and what questions ask without naming a finding ("any noise"), fitted by logistic regression
on the pooled features of the train ECGs. Nothing else of the encoder changes.
Prints the AUC on the validation ECGs per name.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import nn

from ecgqa.encoder import EcgEncoder
from training import ptbxl
from training.pretrain_encoder import known_bce
from training.questions import RANGE_NAMES, RANGES_MS, UNNAMED, Facts
from training.train import load_encoder


@torch.no_grad()
def pooled_features(encoder: EcgEncoder, signals: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    """[len(rows), width]"""
    parts = np.array_split(rows, max(1, len(rows) // 256))
    batches = (torch.from_numpy(np.asarray(signals[part], np.float32)) for part in parts)
    return torch.cat([encoder(batch).pooled for batch in batches])


def fit_rows(x: torch.Tensor, y: torch.Tensor, epochs: int = 12, seed: int = 1) -> nn.Linear:
    """Logistic regression of every column of y [n, k] (NaN: unknown) on x [n, width]."""
    torch.manual_seed(seed)
    mean, spread = x.mean(0), x.std(0) + 1e-3
    head = nn.Linear(x.shape[1], y.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(256):
            loss = known_bce(head((x[batch] - mean) / spread), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():  # fold the standardisation into the weights
        head.weight.div_(spread)
        head.bias.sub_(head.weight @ mean)
    return head


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--ecgqa", required=True)
    parser.add_argument("--intervals", required=True)
    parser.add_argument("--encoder", type=Path, default=Path(".work/encoder"))
    parser.add_argument("--out", type=Path, default=Path(".work/encoder_x"))
    parser.add_argument("--cache", default=".work/cache")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    split = ptbxl.splits(data, args.ecgqa)
    signals = ptbxl.signals(data, args.cache)
    facts = Facts(data, args.intervals)
    columns = {f"{f} {r}": (f"range@{f}", r) for f in RANGES_MS for r in RANGE_NAMES}
    columns |= {name: (group, "") for group, name in UNNAMED.items()}
    names = list(columns)
    truth = np.stack([facts.columns[c] for c in columns.values()], axis=1).astype(np.float32)

    encoder = load_encoder(args.encoder)
    train = pooled_features(encoder, signals, split["train"])
    head = fit_rows(train, torch.from_numpy(truth[split["train"]]))
    with torch.no_grad():
        scores = head(pooled_features(encoder, signals, split["valid"])).numpy()
    for k, name in enumerate(names):
        known = ~np.isnan(truth[split["valid"], k])
        y = truth[split["valid"], k][known]
        if 0 < y.sum() < len(y):
            area = roc_auc_score(y, scores[known, k])
            print(f"{name}: AUC {area:.3f} ({int(y.sum())} of {len(y)})")

    config = replace(encoder.config, statements=(*encoder.config.statements, *names))
    state = encoder.state_dict()
    for part in ("weight", "bias"):
        old = state[f"statement_head.{part}"]
        state[f"statement_head.{part}"] = torch.cat([old, getattr(head, part).detach()])
    EcgEncoder(config).load_state_dict(state)
    args.out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in state.items()}, args.out / "encoder.safetensors")
    record = json.loads((args.encoder / "encoder.json").read_text())
    record["encoder"] = asdict(config)
    (args.out / "encoder.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
