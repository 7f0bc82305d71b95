"""The one place where errors become messages and a call becomes a line in the log."""

from __future__ import annotations

import functools
import html
import inspect
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from ecgqa.answer.askable import QuestionError
from ecgqa.model.language import ModelError
from ecgqa.page.caps import TooLong
from ecgqa.page.journal import note, note_bug, session_name
from ecgqa.record import EcgFileError

KNOWN = EcgFileError | QuestionError | ModelError


def spoken(error: Exception) -> str:
    """An error as the user may read it: plain words, or an apology with an id of the log entry."""
    if isinstance(error, KNOWN):
        return str(error)
    log_id = secrets.token_hex(4)
    note_bug(error, log_id)
    return f"Sorry, something went wrong that is not your fault. The log has it as {log_id}."


def in_plain_words(handler: Callable[..., Any], on_page: bool = True) -> Callable[..., Any]:
    """The handler, with its errors as messages. The page shows messages as HTML: escape them."""

    def message(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        text = spoken(error)
        return gr.Error(html.escape(text) if on_page else text, print_exception=False)

    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def safe_stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            call = Call(handler)
            try:
                yield from handler(*args, **kwargs)
                call.ended("ok")
            except GeneratorExit:
                call.ended("left")
                raise
            except Exception as error:
                call.ended(outcome_of(error))
                raise message(error) from None

        return safe_stream

    @functools.wraps(handler)
    def safe(*args: Any, **kwargs: Any) -> Any:
        call = Call(handler)
        try:
            result = handler(*args, **kwargs)
            call.ended("ok")
            return result
        except Exception as error:
            call.ended(outcome_of(error))
            raise message(error) from None

    return safe


class Call:
    """One call of a handler, for the log."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.endpoint, self.began = handler.__name__, time.perf_counter()
        request = LocalContext.request.get(None)
        self.session = session_name(getattr(request, "session_hash", None))

    def ended(self, outcome: str) -> None:
        """Write the line."""
        ms = round(1000 * (time.perf_counter() - self.began))
        note("call", endpoint=self.endpoint, ms=ms, outcome=outcome, session=self.session)


def outcome_of(error: Exception) -> str:
    """How a call that raised ended: "too long", "refused" in plain words, or "bug"."""
    if isinstance(error, TooLong):
        return "too long"
    return "refused" if isinstance(error, KNOWN | gr.Error) else "bug"
