"""What the model says to a question from the features of one ECG or two: the same for every use."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ecgqa.features import EcgFeatures
from ecgqa.model import ABSTENTION, SEPARATOR, YES_NO, EcgModel
from ecgqa.options import NONE, Asked, abstains, check, decide, is_list


@dataclass(frozen=True)
class Reply:
    """A text and how sure it is.

    confidence: 0..1, of yes and no calibrated. margins: of a list, the log odds of each option that
    was asked about and could be seen.
    """

    text: str
    confidence: float
    margins: Mapping[str, float] = field(default_factory=dict)


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
    text = ""
    for text, log_prob in model.stream(question, first, second):
        yield Reply(text, math.exp(log_prob))
    if text in YES_NO:  # where the calibrated probability turns the scales, it counts
        yes = float(model.yes_probability([question], first, second)[0])
        yield Reply("yes", yes) if yes >= 0.5 else Reply("no", 1 - yes)
