"""Pooled features and statement logits of every ECG of the splits, kept on disk.

What the fitting of limits, the retrieval of reports and the bench of questions share.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ecgqa.model.ecg_model import EcgModel
from training.data import ptbxl


class Pooled(NamedTuple):
    """features [n, width] and chances [n, statements] of the rows that were asked for."""

    features: np.ndarray
    chances: np.ndarray


def pooled(model: EcgModel, data: ptbxl.PtbXl, rows: np.ndarray, cache: Path | str) -> Pooled:
    """Of these rows of `data`; read from the cache where they are there."""
    signals = ptbxl.signals(data, cache)
    path = Path(cache) / f"pooled_{model.version}.npz"
    known: dict[str, np.ndarray] = dict(np.load(path)) if path.exists() else {}
    have = set(known.get("rows", np.zeros(0, int)).tolist())
    missing = [int(i) for i in rows if int(i) not in have]
    if missing:
        features, chances = [], []
        with torch.no_grad():
            for start in range(0, len(missing), 64):
                signal = np.asarray(signals[missing[start : start + 64]], np.float32)
                found = model.encode(torch.from_numpy(signal))
                features.append(found.pooled.half().numpy())
                chances.append(found.statement_logits.sigmoid().numpy())
                if start % 2048 == 0:
                    print(f"encoding {start}/{len(missing)}", flush=True)
        new = {"rows": np.array(missing), "features": np.concatenate(features),
               "chances": np.concatenate(chances)}  # fmt: skip
        known = {k: np.concatenate([known[k], v]) if known else v for k, v in new.items()}
        np.savez(path, allow_pickle=False, **known)
    place = {int(row): i for i, row in enumerate(known["rows"])}
    at = [place[int(i)] for i in rows]
    return Pooled(known["features"][at].astype(np.float32), known["chances"][at])
