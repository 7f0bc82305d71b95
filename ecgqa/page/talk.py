"""What was asked and answered, as the page shows it: the chat, and the answers about other ECGs."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from ecgqa.page.desk import Desk, Turn, Waiting
from ecgqa.page.html import as_text


def conversation(
    desk: Desk, asked: Waiting | None = None, so_far: str = ""
) -> tuple[list[dict[str, Any]], str]:
    """The chat about the ECGs on the page, and, folded, what was said about others.

    asked: a question that is not answered yet; so_far: what the page says to it, as Markdown.
    """
    pairs = [(turn.question, turn.shown) for turn in desk.shown]
    if asked is not None and desk.shows(asked):
        pairs.append((asked.text, so_far))
    elif desk.given_up is not None and desk.shows(desk.given_up):
        pairs.append((desk.given_up.text, "*Stopped before it was answered.*"))
    messages = []
    for question, shown in pairs:
        messages.append({"role": "user", "content": as_text(question)})
        messages.append({"role": "assistant", "content": shown})
    return messages, earlier_html(desk.folded)


def earlier_html(turns: Iterable[Turn]) -> str:
    """Answers about ECGs that are not on the page, folded, under the names of those."""
    by_ecgs: dict[str, list[Turn]] = {}
    for turn in turns:
        by_ecgs.setdefault(", then ".join(turn.names), []).append(turn)
    parts = []
    for names, about in by_ecgs.items():
        answers = "".join(
            f"<dt>{html.escape(turn.question)}</dt><dd>{html.escape(turn.said.answer)}</dd>"
            f"<dd class='hint'>{html.escape(turn.said.facts)}</dd>"
            for turn in about
        )
        title = f"Not on the page now: {html.escape(names)} ({len(about)} answered)"
        parts.append(f"<details><summary>{title}</summary><dl>{answers}</dl></details>")
    return "".join(parts)
