"""What can be asked at all, and of which recording: every "no" that is said before the model."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np

from ecgqa.answer.options import Asked
from ecgqa.measure.quality import RHYTHM_S, assess
from ecgqa.model.ecg_model import ONE_OF_TWO, YES_OR_NO, EcgModel
from ecgqa.question.wording import comparing_words
from ecgqa.record import ECG, LEADS

LONGEST_QUESTION = 2000  # characters
# What is still seen where leads or seconds are missing: `training/missing_leads.py`. With the limb
# leads or V1-V6 alone no more of what the encoder says is false, and no more infarcts are called
# normal; with one or two leads a quarter of them are, but the rhythm is told as well as from all.
FEWEST_LEADS = 6
PARTLY = 0.75  # a lead of which less is there, as on a printed page, deserves a remark


class QuestionError(ValueError):
    """A question that cannot be asked. The message is plain words, fit for the screen."""


def of_each(ecgs: Sequence[ECG], words_on: Callable[[ECG], str]) -> tuple[str, ...]:
    """What there is to say on each recording, with its name where there are two."""
    said = [(one.title, words_on(one)) for one in ecgs]
    return tuple(f"{title}: {words}" if len(ecgs) > 1 else words for title, words in said if words)


def unreadable(ecg: ECG) -> str:
    """Why nothing should be said about a recording, "" where it can be read."""
    quality = assess(ecg)
    return "" if quality.readable else quality.reasons[0]


def unanswerable(model: EcgModel, asked: Asked, ecg: ECG) -> str:
    """Why a question cannot be answered from what was recorded, "" where it can."""
    about = asked.names if asked.kind == ONE_OF_TWO else asked.names[:1]
    rhythms = model.config.vocabulary.get("rhythm", ())
    of_rhythm = asked.kind == "rhythm" or (
        asked.kind in (YES_OR_NO, ONE_OF_TWO) and set(about) <= set(rhythms)
    )
    held = [lead for lead in LEADS if lead not in ecg.missing_leads]
    if asked.lead in ecg.missing_leads:
        return f"Lead {asked.lead} is missing."
    if len(held) < FEWEST_LEADS and not of_rhythm:
        return (
            f"Only {', '.join(held)} recorded: from fewer than {FEWEST_LEADS} leads questions "
            "about the rhythm are answered, no others."
        )
    if ecg.seconds < RHYTHM_S and of_rhythm:
        return f"Only {ecg.seconds:.1f} s long: too short for a rhythm."
    return ""


def hidden(ecg: ECG) -> str:
    """Which findings cannot be seen in what was recorded, "" where all can."""
    known = np.isfinite(ecg.signal_mv).mean(axis=1)
    missing = [lead for lead, share in zip(LEADS, known, strict=True) if share == 0]
    partly = [lead for lead, share in zip(LEADS, known, strict=True) if 0 < share < PARTLY]
    words = []
    if missing:
        words.append(f"missing: {', '.join(missing)}")
    if partly:
        words.append(f"recorded in part: {', '.join(partly)}")
    return f"Leads {'; '.join(words)}. Findings that need them cannot be seen." if words else ""


def checked(question: str) -> str:
    """The question on one line. Raises QuestionError when it is empty or too long."""
    if not isinstance(question, str):
        raise QuestionError("Please type a question.")
    words = " ".join("".join(c if c.isprintable() else " " for c in question).split())
    if not words:
        raise QuestionError("Please type a question.")
    if len(words) > LONGEST_QUESTION:
        raise QuestionError(
            f"This question is {len(words):,} characters long; please keep it under "
            f"{LONGEST_QUESTION:,}."
        )
    return words


def need_second(question: str, comparison: ECG | None) -> None:
    """Raise QuestionError where the wording of a question compares two ECGs and there is one."""
    if comparison is None and (words := comparing_words(question)):
        raise QuestionError(
            f"“{textwrap.shorten(words, 60, placeholder=' …')}” asks about two ECGs, and there is "
            "only one. Please choose the earlier one as comparison ECG, or ask about this ECG "
            "alone: without these words, or with the choice “this ECG”."
        )


def asked_of(question: str, comparison: ECG | None, alone: bool) -> str:
    """The question on one line; alone: it may sound like a comparison. Raises QuestionError."""
    question = checked(question)
    if not alone:
        need_second(question, comparison)
    return question
