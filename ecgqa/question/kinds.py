"""`KINDS`: the kinds of questions, and what is true of all questions of a kind.

What one kind is allowed, needs and is answered with stands in its row here and nowhere else. The
lists of ECG-QA (`ModelConfig.vocabulary`) are kinds too: those without a row of their own are
`LIST`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecgqa.model.ecg_model import ONE_OF_TWO, YES_OR_NO

NUMBER, THRESHOLD, CHANGE = "number", "threshold", "change"
DIFFERENCE = "difference"  # all that changed: a `comparison`, which no reader was trained on
REPORT, WHERE, WHEN = "report", "where", "when"
WHY, HOW_SURE, SINCE_WHEN, FOLLOW_UP = "why", "how sure", "since when", "follow-up"
ADVICE, OUTSIDE, UNTRAINED = "advice", "outside", "untrained"
SEVERAL, LANGUAGE = "several", "another language"

# How an answer comes about, as it is told under it.
GREEDY = "greedy"
LISTED = "option by option"
MEASURED = "measured"  # by the algorithm: no language model has a part in it
COMPOSED = "composed from findings and measurements"
WRITTEN = "written"  # without a look at the ECG

# What a question asks about.
FINDING, QUANTITY, EITHER = "a finding", "a quantity", "two findings or a quantity"


@dataclass(frozen=True)
class Kind:
    """What is true of all questions of one kind.

    decoding: how the answer comes about. names: what it asks about, if it is answered only where
    that is clear. side: it may ask on which side of normal or of a limit something lies. of_an_ecg:
    False where nothing is read from the recording, so that none is needed. of_the_talk: it makes
    sense only after an answer.
    """

    decoding: str = GREEDY
    names: str = ""
    side: bool = False
    of_an_ecg: bool = True
    of_the_talk: bool = False

    @property
    def measured(self) -> bool:
        """Whether its answers are numbers, or follow from numbers alone."""
        return self.decoding == MEASURED


LIST = Kind(LISTED)
KINDS: dict[str, Kind] = {
    YES_OR_NO: Kind(GREEDY, names=FINDING, side=True),
    ONE_OF_TWO: Kind(LISTED, names=EITHER),
    NUMBER: Kind(MEASURED, names=QUANTITY, side=True),
    THRESHOLD: Kind(MEASURED, names=QUANTITY, side=True),
    CHANGE: Kind(MEASURED, names=QUANTITY, side=True),
    "features": Kind(MEASURED),
    "features_in_range": Kind(MEASURED, side=True),
    "ranges_of_feature": Kind(MEASURED),
    WHEN: Kind(MEASURED),
    WHERE: Kind(LISTED, names=FINDING),
    REPORT: Kind(COMPOSED),
    DIFFERENCE: Kind(COMPOSED),
    SEVERAL: Kind(COMPOSED),
    FOLLOW_UP: Kind(WRITTEN, side=True, of_the_talk=True),
    WHY: Kind(COMPOSED, of_the_talk=True),
    HOW_SURE: Kind(WRITTEN, of_the_talk=True),
    SINCE_WHEN: Kind(WRITTEN, of_the_talk=True),
    ADVICE: Kind(WRITTEN, of_an_ecg=False),
    OUTSIDE: Kind(WRITTEN, of_an_ecg=False),
    UNTRAINED: Kind(WRITTEN, of_an_ecg=False),
    LANGUAGE: Kind(WRITTEN, of_an_ecg=False),
}
NEW_KINDS = (
    NUMBER, THRESHOLD, CHANGE, REPORT, WHERE, WHEN, WHY, HOW_SURE, SINCE_WHEN, FOLLOW_UP, ADVICE,
    OUTSIDE, UNTRAINED, SEVERAL, LANGUAGE,
)  # fmt: skip
"""The kinds beside `ModelConfig.kinds`, in the order in which a reader was trained on them."""


def kind_of(name: str) -> Kind:
    """The kind of this name; a list where it has no row of its own."""
    return KINDS.get(name, LIST)
