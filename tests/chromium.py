"""The Chromium that tests and benchmarks of the page run in."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
# For a browser that died or did not answer in time. What a test finds wrong is an AssertionError,
# and that is never tried again.
tried_twice = pytest.mark.flaky(
    reruns=1, only_rerun=[sync_api.TimeoutError, r"^TargetClosedError: ", r"^Error: .* crashed"]
)


class Chromium:
    """A browser without a window, started anew for the next page when it has died."""

    def __init__(self, playwright: Any) -> None:
        self._start = functools.partial(
            playwright.chromium.launch, executable_path=BROWSER, args=["--no-sandbox"]
        )
        self._running = self._start()

    def new_context(self, **settings: Any) -> Any:
        """A user of their own: pages, and what they keep."""
        if not self._running.is_connected():
            self._running = self._start()
        return self._running.new_context(**settings)

    def close(self) -> None:
        """End it."""
        self._running.close()


@contextlib.contextmanager
def launched() -> Iterator[Chromium]:
    """A browser, closed at the end."""
    with sync_api.sync_playwright() as playwright:
        chromium = Chromium(playwright)
        yield chromium
        chromium.close()
