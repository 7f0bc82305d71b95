"""What the model says to a question from the features of one ECG or two: the same for every use."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from ecgqa.answer.options import NONE, Asked, abstains, check, decide, is_list
from ecgqa.model.ecg_model import ABSTENTION, SEPARATOR, YES_NO, EcgModel
from ecgqa.model.features import EcgFeatures


@dataclass(frozen=True)
class Reply:
    """A text and how sure it is.

    confidence: 0..1, of yes and no calibrated. margins: of a list, the log odds of each option that
    was asked about and could be seen. answers: the same as single findings, by default the text's
    parts. remarks: what else is to be said of it. declined: it answers nothing. asked: the plain
    question that was put to the model, where it is another one than the user's; affirms: whether
    the answer to that one is yes.
    """

    text: str
    confidence: float
    margins: Mapping[str, float] = field(default_factory=dict)
    answers: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    declined: bool = False
    asked: str = ""
    affirms: bool = True


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
        margins = check(model, asked, first, second)
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
    if (yes := said_yes(model, question, first, second)) is not None:
        # Where the calibrated probability turns the scales, it counts.
        yield Reply("yes", yes) if yes >= 0.5 else Reply("no", 1 - yes)
        return
    for text, log_prob in model.stream(question, first, second):
        yield Reply(text, math.exp(log_prob))


def said_yes(
    model: EcgModel,
    question: str,
    first: EcgFeatures | None,
    second: EcgFeatures | None = None,
    plain: bool = False,
) -> float | None:
    """P("yes") of a question to which the model begins to say yes or no, else None.

    plain: the question is `respond.asked_plainly`'s, whose probabilities are calibrated apart. One
    pass: the word and its probability come from the same logits.
    """
    margin, word = model.opening(question, first, second)
    if word not in YES_NO:
        return None
    kind = "verify" if second is None else "compare"
    if plain and second is None and "plain" in model.config.calibration:
        kind = "plain"
    return float(model.calibrated(torch.tensor(margin), kind))
