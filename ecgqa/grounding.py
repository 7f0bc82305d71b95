"""The same question on other ECGs: does the answer depend on this one?

The test that catches a language model answering from the wording of the question (de-biased
multimodal ECG analysis, arXiv 2411.14795). Every answer is the one that the page would show; the
log probabilities come from teacher-forced passes over the first one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ecgqa.language import Progress
from ecgqa.model import SEPARATOR, EcgModel
from ecgqa.options import NONE, option_questions, understand
from ecgqa.record import ECG
from ecgqa.reply import replies
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
    """Rows of the test, this ECG first, and what they say.

    depends: every one of `moves` reaches least_move, a limit set on validation ECGs.
    """

    rows: tuple[GroundingRow, ...]
    verdict: str
    depends: bool
    least_move: float


class Run(NamedTuple):
    """What the model is given: inputs [12, 1000] mV of one ECG or two, and which leads lack."""

    name: str
    signals: tuple[np.ndarray | None, np.ndarray | None]
    missing: Collection[str] = ()


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
    runs: list[Run] = []
    strangers = [(name, model_input(other), set(other.missing_leads)) for name, other in others]
    if comparison is None:
        runs.append(Run(ecg.title, (own, None), set(ecg.missing_leads)))
        runs += [Run(name, (signal, None), missing) for name, signal, missing in strangers]
    else:
        missing = {*comparison.missing_leads, *ecg.missing_leads}
        runs.append(Run(f"{comparison.title}, then {ecg.title}", (first, own), missing))
        pairs = zip(strangers[-1:] + strangers[:-1], strangers, strict=True)
        runs += [Run(f"{a}, then {b}", (x, y), one | two) for (a, x, one), (b, y, two) in pairs]
    noise, flat = noise_signal(own, seed), flat_signal()
    runs.append(Run("Noise", (noise, None if comparison is None else noise)))
    runs.append(Run("Flat line", (flat, None if comparison is None else flat)))
    runs.append(Run("No ECG at all", (None, None)))

    (asked,) = understand(model, [question], comparison is not None)
    answers: list[str] = []
    log_probs: list[float] = []  # of the first answer, per token
    odds: list[float] = []
    about = ""  # of a list: the yes/no question about its first option
    for i, run in enumerate(runs):
        if progress:
            progress(f"Asking about: {run.name}", i / len(runs))
        first_ecg, second_ecg = (
            None if signal is None else model.encode(torch.from_numpy(signal).unsqueeze(0))
            for signal in run.signals
        )
        *_, reply = replies(model, question, asked, first_ecg, second_ecg, run.missing)
        answers.append(reply.text)
        if not reply.margins:
            total, count = model.answer_log_probs(question, [answers[0]], first_ecg, second_ecg)
            log_probs.append(float(total[0] / count[0]))
            odds.append(log_odds(float(total[0])))
            continue
        if not about:
            said = [part for part in reply.text.split(SEPARATOR) if part in reply.margins]
            option = max(said or reply.margins, key=reply.margins.__getitem__)
            (about,) = option_questions(model, asked, [option])
        margin = float(model.yes_margin([about], first_ecg, second_ecg)[0])
        odds.append(-margin if answers[0] == NONE else margin)
        log_probs.append(-math.log1p(math.exp(-odds[-1])))
    rows = tuple(
        GroundingRow(run.name, answers[i], log_probs[i] - log_probs[0], odds[i] - odds[0])
        for i, run in enumerate(runs)
    )
    depends = move(rows) >= model.config.least_move
    return GroundingResult(rows, DEPENDS if depends else DOES_NOT, depends, model.config.least_move)


def log_odds(log_prob: float) -> float:
    """log(p / (1 - p)) of a log probability, within -30..15 (what float32 can tell apart)."""
    log_prob = min(log_prob, -3e-7)
    return max(-30.0, log_prob - math.log(-math.expm1(log_prob)))


def moves(rows: Sequence[GroundingRow]) -> dict[str, float]:
    """How far the log odds of the first answer move from this ECG to others, on average (absolute).

    Log odds, because a sure answer's log probability has nowhere to go: a right "no" stays "no" for
    most patients. A model that looks at the question alone moves by exactly 0.
    """
    groups = {"other patients": rows[1:-3], "noise, a flat line and no ECG": rows[-3:]}
    return {
        name: float(np.mean([abs(row.log_odds_change) for row in group]))
        for name, group in groups.items()
        if group
    }


def move(rows: Sequence[GroundingRow]) -> float:
    """The smaller of `moves`: an answer that depends on the ECG needs both."""
    return min(moves(rows).values())
