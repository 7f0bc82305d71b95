"""What can be asked at all, and of which recording: every "no" that is said before the model."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np

from ecgqa.answer.case import Case
from ecgqa.answer.options import Asked
from ecgqa.answer.place import wall_of
from ecgqa.measure.quality import RHYTHM_S, Quality
from ecgqa.model.ecg_model import ONE_OF_TWO, YES_OR_NO, EcgModel
from ecgqa.question.kinds import kind_of
from ecgqa.question.reading import Reading
from ecgqa.question.wording import comparing_words
from ecgqa.record import ECG, LEADS

LONGEST_QUESTION = 2000  # characters
# What is still seen where leads or seconds are missing: `training/judge/missing_leads.py`. With the
# limb leads or V1-V6 alone no more of what the encoder says is false, and no more infarcts are
# called normal; with one or two leads a quarter of them are, but the rhythm is told as well as from
# all.
FEWEST_LEADS = 6
WALL_LOST = 0.5  # of the leads that show a wall of the heart; with fewer of them it is not judged
PARTLY = 0.75  # a lead of which less is there, as on a printed page, deserves a remark


class QuestionError(ValueError):
    """A question that cannot be asked. The message is plain words, fit for the screen."""


def of_each(case: Case, words_on: Callable[[ECG, Quality], str]) -> tuple[str, ...]:
    """What there is to say on each recording, with its name where there are two."""
    said = [
        (one.title, words_on(one, quality))
        for one, quality in zip(case.seen, case.quality, strict=True)
    ]
    return tuple(f"{title}: {words}" if case.is_pair else words for title, words in said if words)


def unreadable(ecg: ECG, quality: Quality) -> str:
    """Why nothing should be said about a recording, "" where it can be read."""
    return "" if quality.readable else quality.reasons[0]


def unanswerable(model: EcgModel, asked: Asked, ecg: ECG, lost: tuple[str, ...] = ()) -> str:
    """Why a question cannot be answered from what was recorded, "" where it can.

    ecg: without its lost leads, which are empty like the missing ones.
    """
    about = asked.names if asked.kind == ONE_OF_TWO else asked.names[:1]
    rhythms = model.config.vocabulary.get("rhythm", ())
    of_rhythm = asked.kind == "rhythm" or (
        asked.kind in (YES_OR_NO, ONE_OF_TWO) and set(about) <= set(rhythms)
    )
    held = [lead for lead in LEADS if lead not in ecg.missing_leads]
    if asked.lead in ecg.missing_leads:
        return (
            f"Lead {asked.lead} {'has no usable signal' if asked.lead in lost else 'is missing'}."
        )
    if len(held) < FEWEST_LEADS and not of_rhythm:
        return (
            f"Only {', '.join(held)} {'can be used' if lost else 'recorded'}: from fewer than "
            f"{FEWEST_LEADS} leads questions about the rhythm are answered, no others."
        )
    for name in about:
        wall = wall_of(name)
        gone = [lead for lead in wall if lead not in held]
        if len(gone) > WALL_LOST * len(wall):
            return (
                f"There is no usable signal in {', '.join(gone)}; of the leads that show {name} "
                f"{', '.join(lead for lead in wall if lead in held) or 'none'} is left."
            )
    if ecg.seconds < RHYTHM_S and of_rhythm:
        return f"Only {ecg.seconds:.1f} s long: too short for a rhythm."
    return ""


def hidden(ecg: ECG, lost: tuple[str, ...] = ()) -> str:
    """Which findings cannot be seen in what was recorded, "" where all can."""
    known = np.isfinite(ecg.signal_mv).mean(axis=1)
    missing = [
        lead for lead, share in zip(LEADS, known, strict=True) if share == 0 and lead not in lost
    ]
    partly = [lead for lead, share in zip(LEADS, known, strict=True) if 0 < share < PARTLY]
    kinds = (("missing", missing), ("recorded in part", partly), ("without usable signal", lost))
    words = [f"{kind}: {', '.join(leads)}" for kind, leads in kinds if leads]
    return f"Leads {'; '.join(words)}. Findings that need them cannot be seen." if words else ""


def hidden_in(case: Case) -> tuple[str, ...]:
    """What cannot be seen in what was recorded of each ECG."""
    return of_each(case, lambda one, quality: hidden(one, quality.lost))


def unanswerable_of(case: Case, asked: Asked) -> tuple[str, ...]:
    """Why a question cannot be answered from what was recorded, nothing where it can."""
    return of_each(case, lambda one, quality: unanswerable(case.model, asked, one, quality.lost))


def hindered(case: Case, read: Reading) -> tuple[str, ...]:
    """Why the recordings do not allow an answer to a question that was read, nothing where they do.

    Of several questions: where they allow none of them.
    """
    if why_not := of_each(case, unreadable):
        return why_not
    if read.parts:
        each = [hindered(case, part) for part in read.parts if kind_of(part.kind).of_an_ecg]
        together = dict.fromkeys(why for one in each for why in one)
        return tuple(together) if len(each) == len(read.parts) and all(each) else ()
    if kind_of(read.kind).of_the_talk:
        return ()
    if kind_of(read.kind).measured or (read.quantities and not read.findings):
        return of_each(case, lambda _, quality: _unmeasurable(read.leads, quality.lost))
    asked = Asked(kind=read.kind, names=read.findings, lead=next(iter(read.leads), ""))
    return unanswerable_of(case, asked)


def _unmeasurable(leads: tuple[str, ...], lost: tuple[str, ...]) -> str:
    """Why nothing is measured in the leads that a question names, "" where it can be in one."""
    gone = [lead for lead in leads if lead in lost]
    return f"No usable signal in {', '.join(gone)}." if gone and len(gone) == len(leads) else ""


def one_line(question: str) -> str:
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
    question = one_line(question)
    if not alone:
        need_second(question, comparison)
    return question
