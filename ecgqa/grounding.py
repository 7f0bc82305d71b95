"""The same question on other ECGs: does the answer depend on this one?

The test that catches a language model answering from the wording of the question (de-biased
multimodal ECG analysis, arXiv 2411.14795). Everything is decoded greedily; the log probabilities
come from teacher-forced passes over the first answer.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ecgqa.language import Progress
from ecgqa.model import ABSTENTION, SEPARATOR, EcgModel
from ecgqa.options import NONE, abstains, check, decide, is_list, option_questions, understand
from ecgqa.record import ECG
from ecgqa.tensor import MODEL_SAMPLES, model_input

DEPENDS = "This answer depends on this ECG."
DOES_NOT = "This answer would be the same without this ECG. Do not use it."


@dataclass(frozen=True)
class GroundingRow:
    """One run: what the model was given, what it said, and how much less likely the answer became.

    log_prob_change: change in the log probability of the first answer, per token; 0 for the first.
    log_odds_change: change in the log odds of the first answer as a whole.
    """

    ecg: str
    answer: str
    log_prob_change: float
    log_odds_change: float = 0.0


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

    Of a list, its likeliest option is put to the test. With a comparison ECG both places are filled
    with stand-ins, so that nothing of either is left: two other patients, or the same noise or flat
    line twice.
    """
    own = model_input(ecg)
    first = own if comparison is None else model_input(comparison)
    seed = zlib.crc32(own.tobytes())
    runs: list[tuple[str, tuple[np.ndarray, np.ndarray | None] | None]] = []

    strangers = [(name, model_input(other)) for name, other in others]
    if comparison is None:
        runs.append((ecg.name, (own, None)))
        runs += [(name, (signal, None)) for name, signal in strangers]
    else:
        runs.append((f"{comparison.name}, then {ecg.name}", (first, own)))
        pairs = zip(strangers[-1:] + strangers[:-1], strangers, strict=True)
        runs += [(f"{a}, then {b}", (one, two)) for (a, one), (b, two) in pairs]
    noise, flat = noise_signal(own, seed), flat_signal()
    runs.append(("Noise", (noise, None if comparison is None else noise)))
    runs.append(("Flat line", (flat, None if comparison is None else flat)))
    runs.append(("No ECG at all", None))

    (asked,) = understand(model, [question], comparison is not None)
    answers: list[str] = []
    log_probs: list[float] = []  # of the first answer, per token
    odds: list[float] = []
    about = ""  # of a list: the yes/no question about its first option
    for i, (name, signals) in enumerate(runs):
        if progress:
            progress(f"Asking about: {name}", i / len(runs))
        first_ecg, second_ecg = (
            None if s is None else model.encode(torch.from_numpy(s).unsqueeze(0))
            for s in (signals or (None, None))
        )
        if not is_list(model, asked):
            *_, (text, _) = model.stream(question, first_ecg, second_ecg)
            answers.append(text)
            total, count = model.answer_log_probs(question, [answers[0]], first_ecg, second_ecg)
            log_probs.append(float(total[0] / count[0]))
            odds.append(log_odds(float(total[0])))
            continue
        margins = check(model, asked, first_ecg, second_ecg)
        found, _ = decide(model, asked.kind, margins)
        silent = abstains(model, question, first_ecg, second_ecg)
        answers.append(ABSTENTION if silent else SEPARATOR.join(found))
        if not about:
            option = max(found if found != (NONE,) else margins, key=margins.__getitem__)
            (about,) = option_questions(model, asked, [option])
        margin = float(model.yes_margin([about], first_ecg, second_ecg)[0])
        odds.append(-margin if answers[0] == NONE else margin)
        log_probs.append(-math.log1p(math.exp(-odds[-1])))
    rows = tuple(
        GroundingRow(name, answers[i], log_probs[i] - log_probs[0], odds[i] - odds[0])
        for i, (name, _) in enumerate(runs)
    )
    depends = move(rows) >= model.config.least_move
    return GroundingResult(rows, DEPENDS if depends else DOES_NOT, depends)


def log_odds(log_prob: float) -> float:
    """log(p / (1 - p)) of a log probability, within -30..15 (what float32 can tell apart)."""
    log_prob = min(log_prob, -3e-7)
    return max(-30.0, log_prob - math.log(-math.expm1(log_prob)))


def move(rows: Sequence[GroundingRow]) -> float:
    """How far the log odds of the first answer move from this ECG to other recordings.

    The mean over the other patients or over the last three rows (nothing that is an ECG), whichever
    is smaller: an answer that depends on the ECG needs both. Log odds, because a sure answer's log
    probability has nowhere to go: a right "no" stays "no" for most patients. A model that looks at
    the question alone moves by exactly 0.
    """
    groups = [rows[-3:], rows[1:-3]]
    return min(float(np.mean([abs(r.log_odds_change) for r in g])) for g in groups if g)
