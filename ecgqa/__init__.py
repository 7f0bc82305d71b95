"""ecgqa: ask a real ECG a question, and prove that the answer depends on it."""

from ecgqa.record import ECG, EcgFileError

__all__ = ["ECG", "EcgFileError"]
