"""Where a stand-in waits until the test lets it go on, and how long any wait may take."""

from __future__ import annotations

import threading

PATIENCE_S = 120  # nothing takes so long, on any machine: a wait that expires is a failure


class Gate:
    """Where a stand-in stops, in a thread of the server, until the test lets it go on."""

    def __init__(self):
        self._reached, self._open = threading.Event(), threading.Event()

    def stop(self):
        """Wait here."""
        self._reached.set()
        assert self._open.wait(PATIENCE_S), "nobody opened this gate"

    def reached(self):
        """Wait until somebody waits here."""
        assert self._reached.wait(PATIENCE_S), "nobody came to this gate"

    def open(self):
        """Let go on who waits, and all who come."""
        self._open.set()

    def shut(self):
        """Stop who comes next."""
        self._reached.clear()
        self._open.clear()
