"""`Answer`: what is said to a question, and what it was made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ecgqa.model.ecg_model import YES_OR_NO
from ecgqa.question.kinds import MEASURED
from ecgqa.question.reading import Reading, understood

INTENDED_USE = (
    "Research demonstration, not a medical device. Do not upload identifiable patient data. "
    "Files stay on this computer and are deleted right after they are read."
)


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it used.

    text: the answer as a sentence part. answers: the same as a list of single findings.
    confidence: 0..1, for yes/no the calibrated probability of the answer given. declined: the
    recording does not allow an answer, or the model says so. seconds: time taken so far. remarks:
    why the recording does not allow an answer, or what it hides (missing leads), or what speaks
    against it. question, reading: what was asked, and as what it was understood. asked: the plain
    question that was put to the model, which the answer affirms or not (`affirms`).
    """

    text: str
    answers: tuple[str, ...]
    confidence: float
    model: str
    decoding: str
    seconds: float
    ecg_names: tuple[str, ...]
    declined: bool = False
    remarks: tuple[str, ...] = ()
    question: str = ""
    reading: Reading | None = None
    asked: str = ""
    affirms: bool = True

    @property
    def kind(self) -> str:
        """The kind of question that was answered, "" where it was not read."""
        return "" if self.reading is None else self.reading.kind

    @property
    def understood(self) -> str:
        """What the question was understood to ask, in one line."""
        return "" if self.reading is None else understood(self.reading)

    @property
    def sure(self) -> float:
        """How surely the question was read, 0..1."""
        return 1.0 if self.reading is None else self.reading.sure

    def as_json(self) -> dict[str, object]:
        """Everything but the inner workings, ready for JSON."""
        whole = {k: v for k, v in asdict(self).items() if k not in ("reading", "asked", "affirms")}
        return {**whole, "kind": self.kind, "understood": self.understood}


def kind_of_answer(answer: Answer) -> str:
    """What its confidence is calibrated with: the kind of question, and whether it was measured."""
    measured = ", measured" if answer.kind == YES_OR_NO and answer.decoding == MEASURED else ""
    return answer.kind + measured
