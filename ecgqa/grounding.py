"""The same question on other ECGs: does the answer depend on this one?

The test that catches a language model answering from the wording of the question (de-biased
multimodal ECG analysis, arXiv 2411.14795). Everything is decoded greedily; the log probabilities
come from teacher-forced passes over the first answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ecgqa.language import Progress
from ecgqa.model import EcgModel
from ecgqa.record import ECG
from ecgqa.tensor import MODEL_SAMPLES, model_input

DEPENDS = "This answer depends on this ECG."
DOES_NOT = "This answer would be the same without this ECG. Do not use it."
# An answer depends on the ECG when, on average over the recordings without an ECG in them (noise,
# flat line, none), its log probability per token falls by at least this, or when the answer to most
# of the recordings without an ECG is another one. `training.evaluate --verdict` prints how often
# true and permuted ECGs pass on the validation set.
LEAST_DROP = 0.10


@dataclass(frozen=True)
class GroundingRow:
    """One run: what the model was given, what it said, and how much less likely the answer became.

    log_prob_change: change in the log probability of the first answer, per token; 0 for the first.
    """

    ecg: str
    answer: str
    log_prob_change: float


@dataclass(frozen=True)
class GroundingResult:
    """Rows of the test, this ECG first, and what they say."""

    rows: tuple[GroundingRow, ...]
    verdict: str
    depends: bool


def noise_signal(like: np.ndarray, seed: int) -> np.ndarray:
    """float32 [12, 1000] mV of white noise with the spread of each lead of `like`."""
    rng = np.random.default_rng(seed)
    spread = like.std(axis=1, keepdims=True).clip(0.05, 1.0)
    return (rng.normal(size=like.shape) * spread).astype(np.float32)


def flat_signal() -> np.ndarray:
    """float32 [12, 1000] mV of nothing."""
    return np.zeros((12, MODEL_SAMPLES), np.float32)


def ground(
    model: EcgModel,
    question: str,
    ecg: ECG,
    comparison: ECG | None,
    others: Iterable[tuple[str, ECG]],
    progress: Progress | None = None,
) -> GroundingResult:
    """Ask `question` of this ECG, of other patients, noise, a flat line and without any ECG.

    With a comparison ECG both places are filled with the stand-in, so that nothing of either is
    left; another patient takes the place of the second (more recent) ECG.
    """
    own = model_input(ecg)
    first = own if comparison is None else model_input(comparison)
    seed = zlib.crc32(own.tobytes())
    runs: list[tuple[str, tuple[np.ndarray, np.ndarray | None] | None]] = []

    def put(name: str, signal: np.ndarray, alone: bool) -> None:
        if comparison is None:
            runs.append((name, (signal, None)))
        else:
            runs.append((name, (signal if alone else first, signal)))

    runs.append((ecg.name, (own, None) if comparison is None else (first, own)))
    for name, other in others:
        put(name, model_input(other), alone=False)
    put("Noise", noise_signal(own, seed), alone=True)
    put("Flat line", flat_signal(), alone=True)
    runs.append(("No ECG at all", None))

    answers: list[str] = []
    totals: list[float] = []
    for i, (name, signals) in enumerate(runs):
        if progress:
            progress(f"Asking about: {name}", i / len(runs))
        features = [
            None if s is None else model.encode(torch.from_numpy(s).unsqueeze(0))
            for s in (signals or (None, None))
        ]
        *_, (text, _) = model.stream(question, features[0], features[1])
        answers.append(text)
        total, count = model.answer_log_probs(question, [answers[0]], features[0], features[1])
        totals.append(float(total[0] / count[0]))
    rows = tuple(
        GroundingRow(name, answer, total - totals[0])
        for (name, _), answer, total in zip(runs, answers, totals, strict=True)
    )
    depends = depends_on_ecg(rows)
    return GroundingResult(rows, DEPENDS if depends else DOES_NOT, depends)


def depends_on_ecg(rows: tuple[GroundingRow, ...]) -> bool:
    """The verdict, from the rows without an ECG (the last three) and the other patients'."""
    blank, others = rows[-3:], rows[1:-3]
    drop = -float(np.mean([row.log_prob_change for row in blank]))
    moved = -float(np.mean([row.log_prob_change for row in others])) if others else drop
    changed = sum(row.answer != rows[0].answer for row in blank) >= 2
    return (drop >= LEAST_DROP or changed) and (moved >= LEAST_DROP / 4 or not others)
