"""Steps of a session that ask the model. Nothing here knows the screen library.

A question waits for its turn together with the ECGs that were on the page when it was asked:
another one may be chosen meanwhile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any

from ecgqa.answer.answer import Answer
from ecgqa.answer.askable import QuestionError, need_second, one_line
from ecgqa.answer.assistant import EcgAssistant
from ecgqa.answer.evidence import evidence_words, numbers_beside
from ecgqa.gallery.gallery import Gallery
from ecgqa.page.desk import Desk, Turn, Waiting, identity
from ecgqa.page.export import Said
from ecgqa.page.html import (
    answer_html,
    as_text,
    provenance,
    sureness,
    understanding,
)
from ecgqa.page.loader import ModelLoader
from ecgqa.page.looking import present
from ecgqa.page.proof import can_be_tested, dependence_html, meaning
from ecgqa.page.talk import conversation
from ecgqa.paper import drawing as paper
from ecgqa.question.comparison import asks_of_two
from ecgqa.record import ECG

BY_WORDING, THIS_ONLY, BOTH = "as worded", "this ECG", "both ECGs"
# The chat, the folded answers, the marks on the paper.
Frame = tuple[list[dict[str, Any]], str, Any]


def second_ecg(question: str, which: str, other: ECG | None) -> ECG | None:
    """The comparison ECG where the question is about two, by the user's choice or its wording."""
    if which == BOTH and other is None:
        raise QuestionError("Please choose a comparison ECG first.")
    if which == BY_WORDING:
        need_second(question, other)
    return other if which == BOTH or (which == BY_WORDING and asks_of_two(question)) else None


def about_what_is_shown(desk: Desk, to: dict[str, Any] | None, text: str, which: str) -> Waiting:
    """A question with the ECGs it is about; to: where the paper's sliders stand."""
    desk.walk(to)  # the slider may just have been moved
    this, other = desk.drawn.seen
    ecg, text = present(this), one_line(text)
    return Waiting(text, ecg, second_ecg(text, which, other))


def put(desk: Desk, to: dict[str, Any] | None, text: str, which: str) -> None:
    """Let a question wait for its turn, one at a time."""
    if desk.waiting:
        raise QuestionError("Please wait for the answer to your last question, or press Stop.")
    desk.put(about_what_is_shown(desk, to, text, which))


def put_to_test(desk: Desk, to: dict[str, Any] | None) -> None:
    """Let the dependence test of the last answer wait, if it claims to come from an ECG."""
    last = desk.shown[-1] if desk.shown else None
    if last is None or last.answer is None or not can_be_tested(last.answer):
        raise QuestionError("There is no answer about an ECG here that could be put to the test.")
    which = BOTH if len(last.about) == 2 else THIS_ONLY
    waiting = about_what_is_shown(desk, to, last.question, which)
    if tuple(identity(ecg) for ecg in waiting.ecgs) != last.about:
        raise QuestionError(
            f"The last answer is about {' and '.join(last.names)}: please ask again about the ECG "
            "that lies here now."
        )
    desk.to_prove = waiting


def converse(desk: Desk, loader: ModelLoader, nothing: Any = None) -> Generator[Frame]:
    """Frames of the page while the waiting question is answered.

    nothing: stands for marks that stay as they are.
    """
    waiting = desk.waiting
    try:
        # None: it was stopped before its turn came.
        if waiting is None or not (yield from _answering(desk, waiting, loader)):
            # The desk has the last word: frames on their way when Stop came are behind it.
            yield *conversation(desk), nothing
    finally:
        if waiting is not None:
            desk.done(waiting)


def _answering(desk: Desk, waiting: Waiting, loader: ModelLoader) -> Generator[Frame, None, bool]:
    """Frames of one answer; returns whether it was given to its end, not stopped."""
    text, ecg, other = waiting
    desk.answering = waiting
    now = functools.partial(conversation, desk, waiting)
    yield *now("…"), []
    while not loader.wait(0.3) and desk.answering is waiting:
        yield *now(f"*Waiting for the model: {as_text(loader.text)} …*"), []
    if desk.answering is not waiting:  # it was stopped
        return False
    answer, assistant = None, loader.assistant()
    before = desk.before(waiting)
    for answer in assistant.stream_answer(text, ecg, other, other is None, before):
        if desk.answering is not waiting:
            return False
        yield *now(as_text(answer.text) or "…"), []
    if answer is None or desk.answering is not waiting:
        return False
    turn = keep(desk, waiting, answer)
    yield *conversation(desk), []
    marks = explain(desk, waiting, answer, assistant, turn)
    yield *conversation(desk), marks if desk.shows(waiting) else []
    return True


def keep(desk: Desk, waiting: Waiting, answer: Answer) -> Turn:
    """Keep an answer as it stands before what it rests on is known."""
    facts = (understanding(answer), *answer.remarks, sureness(answer), provenance(answer))
    said = Said(waiting.text, answer.text, " · ".join(filter(None, facts)))
    shown = answer_html(answer, testable=can_be_tested(answer))
    return desk.add(waiting, shown, said, answer)


def explain(
    desk: Desk, waiting: Waiting, answer: Answer, assistant: EcgAssistant, turn: Turn
) -> list[dict[str, Any]]:
    """Keep the answer with what it rests on instead of `turn`; returns the marks on the paper."""
    text, ecg, other = waiting
    found = assistant.evidence(text, answer, ecg, other)
    rests_on = evidence_words(found, answer.ecg_names)
    numbers = numbers_beside(found, ecg)
    known = (
        understanding(answer), *answer.remarks, *(f"Measured: {one.words}" for one in numbers),
        sureness(answer), provenance(answer), rests_on,
    )  # fmt: skip
    said = Said(text, answer.text, " · ".join(filter(None, known)))
    shown = answer_html(answer, rests_on, numbers, can_be_tested(answer))
    desk.add(waiting, shown, said, answer, instead=turn)
    return paper.marks(found, waiting.ecgs)


def prove(desk: Desk, loader: ModelLoader, gallery: Gallery, progress: Callable[..., Any]) -> str:
    """The dependence test of the question that waits for it, as HTML.

    progress: called with (share or None, desc=words).
    """
    waiting = desk.to_prove
    if waiting is None:
        return ""
    try:
        text, ecg, other = waiting
        progress(0, desc="Waiting for the model")
        result = loader.assistant().random_ecg_test(
            text, ecg, comparison=other, others=gallery.three_others(ecg, other),
            progress=lambda words, share=None: progress(share, desc=words), alone=other is None,
            before=desk.before(waiting)[:-1],
        )  # fmt: skip
        if not desk.shows(waiting):
            return ""
        desk.add_test(waiting, meaning(result).words)
        return dependence_html(text, result)
    finally:
        desk.done(waiting)
