"""ecgqa: ask a real ECG a question, and prove that the answer depends on it."""

import importlib
from typing import TYPE_CHECKING, Any

from ecgqa.formats import read_ecg
from ecgqa.measure import Measurements, measure
from ecgqa.record import ECG, EcgFileError

if TYPE_CHECKING:
    from ecgqa.answer.answer import INTENDED_USE, Answer
    from ecgqa.answer.askable import QuestionError
    from ecgqa.answer.assistant import EcgAssistant
    from ecgqa.model.language import ModelError

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

# Imported when first used: PyTorch and Transformers take seconds, and who reads and measures ECGs
# needs neither.
_OF_THE_MODEL = {
    "INTENDED_USE": "ecgqa.answer.answer",
    "Answer": "ecgqa.answer.answer",
    "QuestionError": "ecgqa.answer.askable",
    "EcgAssistant": "ecgqa.answer.assistant",
    "ModelError": "ecgqa.model.language",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_MODEL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_OF_THE_MODEL[name]), name)
