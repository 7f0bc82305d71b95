"""ecgqa: ask a real ECG a question, and prove that the answer depends on it."""

from ecgqa.answer.answer import INTENDED_USE, Answer
from ecgqa.answer.askable import QuestionError
from ecgqa.answer.assistant import EcgAssistant
from ecgqa.formats import read_ecg
from ecgqa.measure import Measurements, measure
from ecgqa.model.language import ModelError
from ecgqa.record import ECG, EcgFileError

__version__ = "1.0.0"

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
