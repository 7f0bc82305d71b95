"""How much and how long: the limits on what one request may ask for."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ecgqa.answer.askable import QuestionError

T = TypeVar("T")
MB = 2**20


@dataclass(frozen=True)
class Caps:
    """The limits. Seconds count from when the work begins, not the wait before it.

    file_bytes: of one file; upload_bytes: of one upload, whatever it holds; files: in one request;
    body_bytes: of any other request; upload_s: until either has arrived. texts: how many earlier
    questions a request may bring; unsaid: characters of what a file leaves unsaid (unit, leads).
    read_s: to read and measure; answer_s: to answer, or to test the dependence. left_over: how many
    calls that were given up may still be computing when the next begins. stop_s: how long questions
    that are being answered are waited for when the server is stopped.
    """

    file_bytes: int = 64 * MB
    upload_bytes: int = 256 * MB
    body_bytes: int = 1 * MB
    files: int = 500
    texts: int = 20
    unsaid: int = 2000
    upload_s: float = 300.0
    read_s: float = 120.0
    answer_s: float = 300.0
    left_over: int = 2
    stop_s: float = 30.0


class TooLong(QuestionError):
    """It took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"This took longer than {seconds:g} seconds and was given up. Please try a shorter "
            "recording, or again when fewer people are asking."
        )


class Workbench:
    """Runs work that must end in time. A thread cannot be ended: it is left, and counted."""

    def __init__(self, left_over: int) -> None:
        self.left_over = left_over
        self._left: set[threading.Thread] = set()

    def within(self, seconds: float, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What `work` returns, or what it raises; TooLong where it takes more than `seconds`."""
        self._left = {thread for thread in self._left if thread.is_alive()}
        if len(self._left) >= self.left_over:
            raise QuestionError(
                "The server is still busy with requests that took too long. Please try again in a "
                "few minutes."
            )
        ended: list[tuple[bool, Any]] = []
        context = contextvars.copy_context()

        def run() -> None:
            try:
                ended.append((True, context.run(work, *args, **kwargs)))
            except BaseException as error:
                ended.append((False, error))

        thread = threading.Thread(target=run, name="capped", daemon=True)
        thread.start()
        thread.join(seconds)
        if not ended:
            self._left = {*self._left, thread}
            raise TooLong(seconds)
        is_well, outcome = ended[0]
        if not is_well:
            raise outcome
        return outcome
