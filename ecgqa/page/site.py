"""`Site`: the page while it is served: its address, its health, its end."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakValueDictionary

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from ecgqa import __version__
from ecgqa.answer.askable import QuestionError
from ecgqa.page.address import check_free
from ecgqa.page.caps import Caps, Workbench
from ecgqa.page.desk import Desk
from ecgqa.page.gate import ADDRESS, Gate
from ecgqa.page.journal import note
from ecgqa.page.line import Line
from ecgqa.page.loader import ModelLoader
from ecgqa.page.passwords import Doorman, TooManyTries

MOST_WAITING = 64
WORDS_OF_LOG_IN = "After several wrong passwords, further ones are not looked at for a minute."


@dataclass
class Site:
    """What the page's events share. Nothing of any patient, but for `desks`, which are emptied.

    desks: what lies before each open session, by its hash; gradio owns them.
    """

    page: gr.Blocks
    loader: ModelLoader
    caps: Caps = field(default_factory=Caps)
    is_stopping: bool = False
    desks: WeakValueDictionary[str, Desk] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.line = Line(self.page)
        self.workbench = Workbench(self.caps.left_over)

    def check_open(self) -> None:
        """Raise QuestionError where no new question is taken."""
        if self.is_stopping:
            raise QuestionError(
                "The server is being stopped and takes no new questions. Please try again later."
            )

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status of HTTP, and what may be known by anybody: model, version, how many wait."""
        model = "loading"
        if self.loader.is_done:
            model = "error" if self.loader.error else "ready"
        is_well = model != "error" and not self.is_stopping
        found = {"model": model, "version": __version__, "queue": len(self.line)}
        return (200 if is_well else 503), {**found, "stopping": self.is_stopping}

    def open(
        self,
        host: str,
        port: int,
        settings: dict[str, Any],
        doorman: Doorman | None = None,
        names: Collection[str] = (),
    ) -> str:
        """Serve the page; returns its address. settings: see `launch_settings`.

        names: further hosts under which the page is reached, say by way of a proxy.

        Raises OSError, in plain words, where it cannot be opened.
        """

        async def log_in(name: str, password: str) -> bool:
            assert doorman
            try:
                is_known = await doorman.lets_in(name, password, ADDRESS.get())
            except TooManyTries as error:
                note("log-in", outcome="too many tries")
                wait = {"Retry-After": str(error.seconds)}
                raise HTTPException(429, str(error), headers=wait) from None
            note("log-in", outcome="ok" if is_known else "refused")
            return is_known

        gate = Middleware(
            Gate, health=self.health, caps=self.caps, bound_to=host, names=names, doorman=doorman
        )
        try:
            _, url, _ = self.page.queue(max_size=MOST_WAITING).launch(
                server_name=host, server_port=port, prevent_thread_lock=True, quiet=True,
                auth=cast(Any, log_in) if doorman else None, auth_message=WORDS_OF_LOG_IN,
                max_file_size=self.caps.file_bytes, app_kwargs={"middleware": [gate]}, **settings,
            )  # fmt: skip
        except OSError:  # after five seconds gradio takes the port for one in use
            check_free(host, port)
            raise OSError("The page did not open in time: please start it again.") from None
        note("open", port=self.page.server_port)
        return url

    def stop(self) -> bool:
        """Take no new questions, let those end that are being answered, forget everything.

        Returns whether all ended before `caps.stop_s` were over.
        """
        self.is_stopping = True
        note("stopping", running=self.line.running, waiting=len(self.line))
        until = time.monotonic() + self.caps.stop_s
        while self.line.is_busy and time.monotonic() < until:
            time.sleep(0.05)
        is_well = not self.line.is_busy
        self.line.wait_until_told(2.0)  # what was answered is still on its way
        for desk in list(self.desks.values()):
            desk.clear()
        self.page.close(verbose=False)  # deletes the uploads that nobody has read
        note("stopped", outcome="ok" if is_well else "given up")
        return is_well
