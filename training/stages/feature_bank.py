"""The encoder's features of every ECG, made once and kept on disk, and the encoders themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ecgqa.model.encoder import EcgEncoder, EncoderConfig, EncoderEnsemble
from ecgqa.model.features import EcgFeatures

BLANKS = 256  # made-up recordings without an ECG


class FeatureBank:
    """Frozen encoder features of every row, and of recordings that hold no ECG (rows n ...)."""

    def __init__(
        self, encoder: EncoderEnsemble, signals: np.ndarray, cache: Path, seed: int
    ) -> None:
        self.rows = len(signals)
        blank = blank_signals(BLANKS, seed)
        path = cache / f"features_{_digest(encoder, signals, blank)}.pt"
        if not path.exists():
            place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            encoder.eval().to(place)
            parts: list[EcgFeatures] = []
            with torch.no_grad():
                for start in range(0, self.rows + BLANKS, 256):
                    real = np.asarray(signals[start : start + 256], np.float32)
                    more = blank[max(0, start - self.rows) : max(0, start + 256 - self.rows)]
                    batch = torch.from_numpy(np.concatenate([real, more])).to(place)
                    parts.append(EcgFeatures(*(v.half().cpu() for v in encoder(batch))))
                    if start % 5120 == 0:
                        print(f"encoding {start}/{self.rows}", flush=True)
            encoder.cpu()
            whole = EcgFeatures(*(torch.cat(v) for v in zip(*parts, strict=True)))
            torch.save(tuple(whole), path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
        self.features = EcgFeatures(*torch.load(path, weights_only=True, mmap=True))

    def of(self, rows: list[int], device: torch.device | str) -> EcgFeatures:
        """Features of these rows, float32."""
        return EcgFeatures(*(v[rows].float().to(device) for v in self.features))


def _digest(encoder: EncoderEnsemble, *signals: np.ndarray) -> str:
    """Of the weights and of one ECG in a hundred."""
    whole = hashlib.sha256()
    for value in encoder.state_dict().values():
        whole.update(value.numpy().tobytes())
    for part in signals:
        whole.update(f"{part.shape}".encode() + np.ascontiguousarray(part[::100]).tobytes())
    return whole.hexdigest()[:16]


def blank_signals(count: int, seed: int) -> np.ndarray:
    """float32 [count, 12, 1000] mV: flat lines, white noise, mains hum, wandering baselines."""
    rng = np.random.default_rng([seed, 7])
    t = np.arange(1000) / 100
    out = np.zeros((count, 12, 1000), np.float32)
    for i in range(count):
        kind = i % 4
        if kind == 1:
            out[i] = rng.normal(0, rng.uniform(0.02, 1.0), (12, 1000))
        elif kind == 2:
            walk = rng.normal(0, 1, (12, 1000)).cumsum(1)
            out[i] = (walk - walk.mean(1, keepdims=True)) * rng.uniform(0.002, 0.05)
        elif kind == 3:
            phase = rng.uniform(0, 6.3, (12, 1))
            hum = np.sin(2 * np.pi * rng.uniform(8, 45) * t + phase)
            out[i] = hum * rng.uniform(0.02, 0.6) + rng.normal(0, 0.03, (12, 1000))
    return out


def load_encoder(folders: str) -> EncoderEnsemble:
    """The encoders that stage 1 saved in these folders (a comma between), side by side."""
    members = []
    for folder in map(Path, folders.split(",")):
        raw = json.loads((folder / "encoder.json").read_text())["encoder"]
        member = EcgEncoder(EncoderConfig.from_json(raw))
        member.load_state_dict(load_file(folder / "encoder.safetensors"))
        members.append(member)
    return EncoderEnsemble(members).eval()
