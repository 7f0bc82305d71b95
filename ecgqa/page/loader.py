"""`ModelLoader`: the assistant, loaded while the paper already works."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ecgqa.answer.assistant import EcgAssistant
from ecgqa.model.language import ModelError


class ModelLoader:
    """Loads the assistant on a thread of its own.

    error: why it could not be loaded, for the screen. text, fraction: how far loading is, 0..1 or
    None where that is not known.
    """

    def __init__(self, factory: Callable[..., EcgAssistant], spoken: Callable[[Exception], str]):
        """factory: makes the assistant, given a progress callable (text, fraction | None).

        spoken: an error as the user may read it.
        """
        self._factory, self._spoken = factory, spoken
        self._done = threading.Event()
        self._assistant = None
        self.error: str | None = None
        self.text, self.fraction = "Loading the model", None

    def start(self) -> None:
        """Begin to load; returns at once."""
        threading.Thread(target=self._load, name="model-loader", daemon=True).start()

    def _load(self) -> None:
        try:
            self._assistant = self._factory(self._report)
        except Exception as error:
            self.error = self._spoken(error)
        finally:
            self._done.set()

    def _report(self, text: str, fraction: float | None = None) -> None:
        self.text, self.fraction = text, fraction

    @property
    def is_done(self) -> bool:
        """True once the model is ready or has failed."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until loading ends; True when it did."""
        return self._done.wait(seconds)

    def assistant(self) -> EcgAssistant:
        """The loaded assistant; waits for it. Raises ModelError where it could not be loaded."""
        self._done.wait()
        if self._assistant is None:
            raise ModelError(self.error or "The model could not be loaded.")
        return self._assistant
