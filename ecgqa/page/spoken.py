"""The one place where errors become messages, for the page and for the endpoints."""

from __future__ import annotations

import functools
import html
import inspect
import secrets
import sys
import traceback
from collections.abc import Callable

import gradio as gr

from ecgqa.answer.askable import QuestionError
from ecgqa.model.language import ModelError
from ecgqa.record import EcgFileError


def spoken(error: Exception) -> str:
    """An error as the user may read it: plain words, or an apology with an id of the log entry."""
    if isinstance(error, EcgFileError | QuestionError | ModelError):
        return str(error)
    log_id = secrets.token_hex(4)
    print(f"[{log_id}]", "".join(traceback.format_exception(error)), file=sys.stderr, flush=True)
    return f"Sorry, something went wrong that is not your fault. The log has it as {log_id}."


def in_plain_words(handler: Callable, on_page: bool = True) -> Callable:
    """The handler, with its errors as messages. The page shows messages as HTML: escape them."""

    def message(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        text = spoken(error)
        return gr.Error(html.escape(text) if on_page else text, print_exception=False)

    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def safe_stream(*args, **kwargs):
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                raise message(error) from None

        return safe_stream

    @functools.wraps(handler)
    def safe(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise message(error) from None

    return safe
