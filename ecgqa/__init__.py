"""ecgqa: ask a real ECG a question, and prove that the answer depends on it."""

from ecgqa.answer import INTENDED_USE, Answer, EcgAssistant, QuestionError
from ecgqa.formats import read_ecg
from ecgqa.language import ModelError
from ecgqa.measure import Measurements, measure
from ecgqa.record import ECG, EcgFileError

__all__ = [
    "ECG",
    "INTENDED_USE",
    "Answer",
    "EcgAssistant",
    "EcgFileError",
    "Measurements",
    "ModelError",
    "QuestionError",
    "measure",
    "read_ecg",
]
