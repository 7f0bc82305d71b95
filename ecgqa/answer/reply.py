"""What the model says to a question from the features of one ECG or two: the same for every use."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from ecgqa.answer.options import NONE, Asked, abstains, decide, is_list, weigh
from ecgqa.model.ecg_model import ABSTENTION, SEPARATOR, YES_NO, EcgModel
from ecgqa.model.features import EcgFeatures


class Said(NamedTuple):
    """What is said to a yes/no question.

    margin: log odds of "yes" as the model has them. yes: calibrated P("yes"). clear: whether the
    model begins with "yes" or "no" at all.
    """

    margin: float
    yes: float
    clear: bool

    @property
    def affirms(self) -> bool:
        """Where the calibrated probability turns the scales, it counts."""
        return self.yes >= 0.5

    @property
    def word(self) -> str:
        """ "yes" or "no"."""
        return YES_NO[0] if self.affirms else YES_NO[1]


@dataclass(frozen=True)
class Reply:
    """A text and how sure it is.

    confidence: 0..1, of yes and no calibrated. margins: of a list, the log odds of each option that
    was asked about and could be seen. answers: the same as single findings, by default the text's
    parts. remarks: what else is to be said of it. declined: it answers nothing. asked: the plain
    question that was put to the model, where it is another one than the user's; affirms: whether
    the answer to that one is yes; margin: the log odds of a yes to it, as the model has them.
    """

    text: str
    confidence: float
    margins: Mapping[str, float] = field(default_factory=dict)
    answers: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    declined: bool = False
    asked: str = ""
    affirms: bool = True
    margin: float = 0.0


def replies(
    model: EcgModel,
    question: str,
    asked: Asked,
    first: EcgFeatures | None,
    second: EcgFeatures | None = None,
    missing: Collection[str] = (),
) -> Iterator[Reply]:
    """Replies that grow; the last one counts. asked: the question, understood.

    missing: leads that were not recorded; they are never part of a list.
    """
    if is_list(model, asked):
        margins = weigh(model, asked, first, second)
        options, confidence = decide(model, asked.kind, margins)
        margins = {
            option: margin
            for option, margin in margins.items()
            if option.removeprefix("lead ") not in missing
        }
        if abstains(model, question, first, second):
            yield Reply(ABSTENTION, 0.0, margins)
            return
        said = [option for option in options if option in margins]
        yield Reply(SEPARATOR.join(said or [NONE]), confidence, margins)
        return
    (said,) = said_yes(model, [question], first, second)
    if said.clear:
        yield Reply(said.word, max(said.yes, 1 - said.yes))
        return
    for text, log_prob in model.stream(question, first, second):
        yield Reply(text, math.exp(log_prob))


def said_yes(
    model: EcgModel,
    questions: Sequence[str],
    first: EcgFeatures | None,
    second: EcgFeatures | None = None,
    plain: bool = False,
) -> list[Said]:
    """What is said to each question about one ECG or pair.

    plain: the questions are `respond.asked_plainly`'s, whose probabilities are calibrated apart.
    One pass for all: the word and its probability come from the same logits.
    """
    kind = "verify" if second is None else "compare"
    if plain and second is None and "plain" in model.config.calibration:
        kind = "plain"
    openings = model.openings(list(questions), first, second)
    chances = model.calibrated(torch.tensor([one.margin for one in openings]), kind).tolist()
    return [
        Said(one.margin, chance, one.word in YES_NO)
        for one, chance in zip(openings, chances, strict=True)
    ]
