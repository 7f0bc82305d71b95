"""The same question on other ECGs: does the answer depend on this one?

The test that catches a language model answering from the wording of the question (de-biased
multimodal ECG analysis, arXiv 2411.14795). Every answer is the one that the page would show; the
log probabilities come from teacher-forced passes over the first one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ecgqa.answer.case import Case
from ecgqa.answer.options import NONE, Asked, option_question, option_questions, understand
from ecgqa.answer.reply import Reply, replies, said_yes
from ecgqa.answer.respond import respond
from ecgqa.model.ecg_model import ABSTENTION, SEPARATOR, EcgModel
from ecgqa.model.language import Progress
from ecgqa.model.tensor import MODEL_RATE_HZ, MODEL_SAMPLES, model_input
from ecgqa.question.reading import Reading
from ecgqa.record import ECG

DEPENDS = "This answer depends on this ECG."
DOES_NOT = "This answer would be the same without this ECG. Do not use it."
MEASURED = "This answer was measured on this ECG: other ECGs give other values."
MEASURED_ALIKE = "This answer was measured on this ECG; the other ECGs happen to give the same one."
NOTHING = "cannot tell: nothing to measure"


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

    depends: every one of `moves` reaches least_move, a limit set on validation ECGs; of what was
    measured (no odds are known then): another ECG gets another answer.
    """

    rows: tuple[GroundingRow, ...]
    verdict: str
    depends: bool
    least_move: float
    measured: bool = False


class Run(NamedTuple):
    """What the model is given: one ECG or two (the earlier first), or none."""

    name: str
    ecgs: tuple[ECG | None, ECG | None]

    def case(self, model: EcgModel) -> Case:
        """The same as a case; there must be an ECG."""
        first, second = self.ecgs
        assert first is not None
        return Case(model, first) if second is None else Case(model, second, first)


def noise_signal(like: np.ndarray, seed: int) -> np.ndarray:
    """float32 [12, 1000] mV of white noise with the spread of each lead of `like`."""
    rng = np.random.default_rng(seed)
    spread = like.std(axis=1, keepdims=True).clip(0.05, 1.0)
    return (rng.normal(size=like.shape) * spread).astype(np.float32)


def flat_signal() -> np.ndarray:
    """float32 [12, 1000] mV of nothing."""
    return np.zeros((12, MODEL_SAMPLES), np.float32)


def runs_of(ecg: ECG, comparison: ECG | None, others: Iterable[tuple[str, ECG]]) -> list[Run]:
    """This ECG (or pair), other patients, noise, a flat line, and no ECG at all.

    With a comparison ECG both places are filled with stand-ins, so that nothing of either is left:
    two other patients, or the same noise or flat line twice.
    """
    own = model_input(ecg)
    noise, flat = (
        ECG(signal, MODEL_RATE_HZ, "") for signal in
        (noise_signal(own, zlib.crc32(own.tobytes())), flat_signal())
    )  # fmt: skip
    strangers = list(others)
    if comparison is None:
        runs = [Run(ecg.title, (ecg, None)), *(Run(name, (one, None)) for name, one in strangers)]
    else:
        runs = [Run(f"{comparison.title}, then {ecg.title}", (comparison, ecg))]
        pairs = zip(strangers[-1:] + strangers[:-1], strangers, strict=True)
        runs += [Run(f"{a}, then {b}", (x, y)) for (a, x), (b, y) in pairs]
    second = comparison is not None
    runs.append(Run("Noise", (noise, noise if second else None)))
    runs.append(Run("Flat line", (flat, flat if second else None)))
    return [*runs, Run("No ECG at all", (None, None))]


def ground_reading(
    model: EcgModel,
    read: Reading,
    ecg: ECG,
    comparison: ECG | None,
    others: Iterable[tuple[str, ECG]],
    progress: Progress | None = None,
) -> GroundingResult:
    """The same as `ground` for a question that was read: every row is answered as the page would.

    Of a yes or no, the odds of the plain question that was put to the model decide; of a list or a
    choice, those of its likeliest option. What is measured has no odds: there it counts whether
    another ECG gets another answer.
    """
    answers: list[str] = []
    odds: list[float] = []
    about, sign = "", 1.0
    runs = runs_of(ecg, comparison, others)
    for i, run in enumerate(runs):
        if progress:
            progress(f"Asking about: {run.name}", i / len(runs))
        if run.ecgs[0] is None:
            said, margin = _without(model, about, sign) if about else (NOTHING, 0.0)
        else:
            case = run.case(model)
            *_, reply = respond(case, read)
            if i == 0:
                about, sign = _put(reply)
            said, margin = reply.text, reply.margin
            if about and reply.asked != about:  # it was not put to the model by itself
                given = case.asked_of(bool(read.fate))
                margin = float(model.yes_margin([about], *given)[0])
        answers.append(said)
        odds.append(sign * margin)
    least = model.config.least_move
    if not about:
        rows = tuple(
            GroundingRow(run.name, said, 0.0) for run, said in zip(runs, answers, strict=True)
        )
        depends = any(row.answer != rows[0].answer for row in rows[1:-3]) or len(rows) < 5
        return GroundingResult(rows, MEASURED if depends else MEASURED_ALIKE, depends, least, True)
    chances = [-math.log1p(math.exp(-odd)) for odd in odds]
    rows = tuple(
        GroundingRow(run.name, answers[i], chances[i] - chances[0], odds[i] - odds[0])
        for i, run in enumerate(runs)
    )
    depends = move(rows) >= least
    return GroundingResult(rows, DEPENDS if depends else DOES_NOT, depends, least)


def _put(reply: Reply) -> tuple[str, float]:
    """The yes/no question behind a reply, and 1 or -1 for what was said to it; "" for none."""
    if reply.asked:
        return reply.asked, 1.0 if reply.affirms else -1.0
    if not reply.margins:
        return "", 1.0
    said = [part for part in reply.answers or () if part in reply.margins]
    said = said or [part for part in reply.text.split(SEPARATOR) if part in reply.margins]
    option = max(said or reply.margins, key=reply.margins.__getitem__)
    return option_question(Asked(), option), 1.0 if said else -1.0


def _without(model: EcgModel, about: str, sign: float) -> tuple[str, float]:
    """What the model says to a plain question without any ECG, and its log odds of "yes"."""
    (said,) = said_yes(model, [about], None, plain=True)
    words = "yes" if said.affirms == (sign > 0) else "no"
    return words if said.clear else ABSTENTION, said.margin


def ground(
    model: EcgModel,
    question: str,
    ecg: ECG,
    comparison: ECG | None,
    others: Iterable[tuple[str, ECG]],
    progress: Progress | None = None,
) -> GroundingResult:
    """Ask `question` of this ECG, of other patients, noise, a flat line and without any ECG.

    For models without a reader. Of a list, its likeliest option is put to the test.
    """
    runs = runs_of(ecg, comparison, others)
    (asked,) = understand(model, [question], comparison is not None)
    answers: list[str] = []
    log_probs: list[float] = []  # of the first answer, per token
    odds: list[float] = []
    about = ""  # of a list: the yes/no question about its first option
    for i, run in enumerate(runs):
        if progress:
            progress(f"Asking about: {run.name}", i / len(runs))
        case = run.case(model) if run.ecgs[0] is not None else None
        first_ecg, second_ecg = case.features if case else (None, None)
        missing = case.missing_leads if case else set[str]()
        *_, reply = replies(model, question, asked, first_ecg, second_ecg, missing)
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
