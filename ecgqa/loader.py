"""`ModelLoader`: the assistant, loaded and run while the paper already works."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from ecgqa.language import ModelError

BEHIND = 10  # the model's priority below that of the page ("nice")


class ModelLoader:
    """Loads the assistant on a thread of its own.

    error: why it could not be loaded, for the screen. text, fraction: how far loading is, 0..1 or
    None where that is not known.
    """

    def __init__(self, factory: Callable, spoken: Callable[[Exception], str]):
        """factory: makes the assistant, given a progress callable (text, fraction | None).

        spoken: an error as the user may read it.
        """
        self._factory, self._spoken = factory, spoken
        self._done = threading.Event()
        self._worker = ThreadPoolExecutor(1, "model", initializer=_step_back)
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

    def assistant(self):
        """The loaded assistant; waits for it. Raises ModelError where it could not be loaded."""
        self._done.wait()
        if self._assistant is None:
            raise ModelError(self.error or "The model could not be loaded.")
        return self._assistant

    def run(self, work: Callable, *args, **kwargs) -> Any:
        """`work(...)` on the model's own thread, which lets the page go first."""
        context = copy_context()  # the caller's, by which progress finds its way to the page
        return self._worker.submit(context.run, work, *args, **kwargs).result()

    def steps(self, work: Generator) -> Iterator:
        """What `work` yields, each made on the model's own thread; so is its end."""
        end = object()
        try:
            while (item := self.run(next, work, end)) is not end:
                yield item
        finally:
            self.run(work.close)


def _step_back() -> None:
    """Linux schedules each thread by itself; elsewhere the model keeps its priority."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND)
