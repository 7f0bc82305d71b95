"""`Line`: who waits for the model, and behind how many others."""

from __future__ import annotations

import time

import gradio as gr

MODEL = "model"  # events with this `concurrency_id` are done one at a time


class Line:
    """The screen library's own queue, read only."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page

    def __len__(self) -> int:
        """How many questions wait."""
        return len(self._waiting())

    def _waiting(self) -> list:
        queue = self._page._queue.event_queue_per_concurrency_id.get(MODEL)
        return list(queue.queue) if queue else []

    @property
    def running(self) -> int:
        """How many questions are being answered."""
        queue = self._page._queue.event_queue_per_concurrency_id.get(MODEL)
        return queue.current_concurrency if queue else 0

    @property
    def is_busy(self) -> bool:
        """Whether any event of the page waits or is under way."""
        queue = self._page._queue
        return len(queue) > 0 or queue.get_active_worker_count() > 0

    def before(self, session_hash: str | None) -> int | None:
        """How many questions come before this session's; None: none of its own waits."""
        for place, event in enumerate(self._waiting()):
            if event.session_hash == session_hash:
                return place + self.running
        return None

    def wait_until_told(self, seconds: float) -> None:
        """Wait until every message has left for its session, but no longer than this."""
        messages = self._page._queue.pending_messages_per_session
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if all(queue.empty() for queue in list(messages.values())):
                return
            time.sleep(0.05)


def place_in_words(before: int | None) -> str:
    """How many come first, as the page says it."""
    if before is None:
        return ""
    return f"{before} before you" if before else "You are next"
