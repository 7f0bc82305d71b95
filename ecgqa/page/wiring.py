"""Which control does what: the steps of `looking` and `asking`, bound to the page's parts."""

import base64
import html
import re
import secrets
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

from ecgqa.gallery.gallery import Gallery
from ecgqa.measure import measure
from ecgqa.page import asking, looking
from ecgqa.page.desk import Desk
from ecgqa.page.export import measurements_csv, pdf, png
from ecgqa.page.loader import ModelLoader
from ecgqa.page.parts import Screen, Slot, status_html
from ecgqa.page.spoken import in_plain_words
from ecgqa.page.talk import conversation
from ecgqa.page.uploads import read_taken, take

MEDIA = {"pdf": "application/pdf", "png": "image/png", "csv": "text/csv"}
# What `Desk.walk` is told: the drawing on the paper, and where each ECG of it begins.
WHERE_IT_STANDS = """
(places, ...others) => {
  const sheet = document.querySelector("#paper .ecg-paper");
  return [JSON.parse(sheet?.dataset.places ?? "null"), ...others];
}
"""
# One question at a time; drawing never waits for it.
MODEL_QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
FREE: dict[str, Any] = {"concurrency_limit": None}
PRIVATE: dict[str, Any] = {"api_visibility": "private", **FREE}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
AT_ONCE: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}


def wire(page: gr.Blocks, screen: Screen, gallery: Gallery, loader: ModelLoader) -> None:
    """All events of the page."""
    chosen = gr.State("")
    _wire_looking(page, screen, chosen)
    for place, slot in enumerate(screen.slots):
        _wire_slot(page, screen, gallery, chosen, place, slot)
    _wire_asking(screen, loader)
    _wire_testing(screen, loader, gallery)
    _wire_keeping(screen)
    for dataset in screen.examples:
        dataset.click(lambda sample: sample[0], dataset, screen.talk.question, **QUIET)
    screen.clock.tick(
        lambda: (status_html(loader), gr.Timer(active=not loader.is_done)),
        outputs=[screen.status, screen.clock], **QUIET,
    )  # fmt: skip


def _wire_looking(page: gr.Blocks, screen: Screen, chosen: gr.State) -> None:
    """What follows when a recording was chosen, and the moves of the slider.

    This is done one by one: an event of a state's change that comes while another runs is run
    after it, on the newest desk.
    """
    desks: WeakValueDictionary[str, Desk] = WeakValueDictionary()
    moved, talk = gr.State(""), screen.talk

    def draw(desk, request: gr.Request):
        desks[request.session_hash or ""] = desk
        drawing, shown, quality, tracing, *said = looking.draw(desk)
        return desk, drawing, shown, quality, tracing, "", [], *said

    def walk(to, desk):
        quality = looking.walk(desk, to)
        return gr.skip() if quality is None else (desk, secrets.token_hex(8), quality, "", [])

    def forget(request: gr.Request):
        """The page was closed; by itself gradio would keep its states for another hour."""
        if desk := desks.pop(request.session_hash or "", None):
            desk.clear()

    page.unload(forget)
    chosen.change(
        in_plain_words(draw), screen.desk,
        [screen.desk, moved, screen.sheet, screen.quality, screen.tracing, screen.proof,
         screen.marks, talk.chat, talk.earlier], **QUIET,
    )  # fmt: skip
    # An event that was put off would bring the data it came with: this one asks where they stand.
    screen.sheet.select(
        in_plain_words(walk), [screen.places, screen.desk],
        [screen.desk, moved, screen.quality, screen.proof, screen.marks],
        js=WHERE_IT_STANDS, **{**QUIET, "trigger_mode": "always_last"},
    )  # fmt: skip
    moved.change(
        in_plain_words(looking.measure_both), screen.desk, [screen.table, screen.beats],
        show_progress="minimal", **PRIVATE,
    )  # fmt: skip


def _placed_now(desk: Desk) -> tuple:
    """The row of questions about a file is put away, and the drawing begins."""
    return desk, secrets.token_hex(8), gr.Row(visible=False), None, None, None


def _read(place: int, taking, name: str, unsaid: tuple, desk: Desk) -> Any:
    """A recording, or the question what its file leaves unsaid; the gallery's box is emptied."""
    in_place, question = looking.read(
        desk, place, taking, name, lambda taken: read_taken(taken, *unsaid)
    )
    if not in_place:
        return gr.skip()
    if not question:
        return *_placed_now(desk), None
    gr.Info(html.escape(question), title="One more thing", duration=20)
    asked = gr.Row(visible=True), *(value or None for value in unsaid)
    return desk, secrets.token_hex(8), *asked, gr.skip()


def _wire_slot(
    page: gr.Blocks, screen: Screen, gallery: Gallery, chosen: gr.State, place: int, slot: Slot
) -> None:
    """The events that bring a recording to its place, at once and each for its own."""

    def choose(name, desk):
        # No name: an upload emptied the box.
        return (
            _placed_now(desk) if name and looking.choose(desk, place, name, gallery) else gr.skip()
        )

    def upload(files, desk):
        files = files or []
        # Until a file is read its box keeps it, and sends it along with the next one.
        files = [file for file in files if Path(file).is_file()] or files
        names = ", ".join(Path(file).name for file in files)
        return _read(place, lambda: take(files), names, (None, None, None), desk)

    def read_again(rate_hz, units, leads, desk):
        taken = desk.pending[place] or []
        names = ", ".join(name for name, _ in taken)
        return _read(place, lambda: taken, names, (rate_hz, units, leads), desk)

    settled = [screen.desk, chosen, slot.unsaid, slot.rate, slot.units, slot.leads]
    # gradio's box of files fails if it is emptied while another file is on its way: then it stays
    # as it is until that one was read.
    emptied = f"document.querySelector('#{slot.upload.elem_id} .uploading') ? undefined : null"
    choosing = in_plain_words(choose)
    # gradio's dropdown sends `input` twice for each choice, and `select` only for the mouse's
    picked = slot.pick.change(choosing, [slot.pick, screen.desk], settled, **AT_ONCE)
    if place == 0:
        page.load(choosing, [slot.pick, screen.desk], settled, **QUIET)
    uploaded = slot.upload.upload(
        in_plain_words(upload), [slot.upload, screen.desk], [*settled, slot.pick], **AT_ONCE
    )
    again = slot.again.click(
        in_plain_words(read_again), [slot.rate, slot.units, slot.leads, screen.desk],
        [*settled, slot.pick], **AT_ONCE,
    )  # fmt: skip
    for read in (uploaded, again):
        read.success(None, js=f"() => {emptied}", outputs=slot.upload)
    # What could not be read leaves its boxes too, so that the next one can come.
    for refused in (picked, uploaded, again):
        refused.failure(_placed_now, screen.desk, settled, **QUIET)
        refused.failure(None, js=f"() => [{emptied}, null]", outputs=[slot.upload, slot.pick])


def _wire_asking(screen: Screen, loader: ModelLoader) -> None:
    """The events of a question: it waits for its turn, is answered, stopped, forgotten."""
    talk = screen.talk

    def put(to, text, which, desk):
        """The box is emptied once: what is typed while the answer comes stays in it."""
        asking.put(desk, to, text, which)
        return desk, ""

    def converse(desk):
        yield from asking.converse(desk, loader, gr.skip())

    def forget_answers(desk):
        desk.forget_answers()
        return desk, *conversation(desk)

    gr.on(
        [talk.question.submit, talk.ask.click],
        in_plain_words(put),
        [screen.places, talk.question, talk.about, screen.desk],
        [screen.desk, talk.question],
        js=WHERE_IT_STANDS,
        **QUIET,
    ).success(
        in_plain_words(converse),
        screen.desk,
        [talk.chat, talk.earlier, screen.marks],
        show_progress="minimal",
        show_progress_on=talk.chat,
        api_visibility="private",
        trigger_mode="multiple",  # also while gradio has not yet ended one that was stopped
        **MODEL_QUEUE,
    )
    talk.chat.clear(forget_answers, screen.desk, [screen.desk, talk.chat, talk.earlier], **QUIET)


def _wire_testing(screen: Screen, loader: ModelLoader, gallery: Gallery) -> None:
    """The dependence test, and Stop, which ends it and the answer that is under way."""
    talk = screen.talk

    def put_to_test(to, text, which, desk):
        asking.put_to_test(desk, to, text, which)
        return desk

    def prove(desk, progress=gr.Progress()):  # noqa: B008
        return asking.prove(desk, loader, gallery, progress)

    def stopped(desk):
        desk.stop()
        return desk, *conversation(desk)

    testing = screen.test.click(
        in_plain_words(put_to_test),
        [screen.places, talk.question, talk.about, screen.desk],
        screen.desk,
        js=WHERE_IT_STANDS,
        **QUIET,
    ).success(
        in_plain_words(prove),
        screen.desk,
        screen.proof,
        show_progress="full",
        api_visibility="private",
        **MODEL_QUEUE,
    )
    talk.stop.click(
        stopped, screen.desk, [screen.desk, talk.chat, talk.earlier], cancels=testing, **QUIET
    )


def handed_out(kind: str, desk: Desk) -> dict:
    """The page as "pdf" or "png", or its numbers as "csv", for `HAND_OVER`."""
    this, other = desk.drawn.seen
    ecgs = [ecg for ecg in (looking.present(this), other) if ecg is not None]
    measured = [measure(ecg) for ecg in ecgs]
    said = [turn.said for turn in desk.shown]
    if kind == "csv":
        content = measurements_csv(ecgs, measured).encode("utf-8-sig")
    else:
        content = (pdf if kind == "pdf" else png)(ecgs, measured, said)
    name = re.sub(r"[^\w.-]+", "_", ecgs[0].name)[:60].strip("._") or "ecg"
    return {
        "name": f"{name}.{kind}", "type": MEDIA[kind],
        "base64": base64.b64encode(content).decode("ascii"),
    }  # fmt: skip


def _wire_keeping(screen: Screen) -> None:
    """The buttons that hand out the page or its numbers."""
    for kind, button in screen.keep.items():

        def keep(desk, kind=kind):
            return handed_out(kind, desk), desk

        given = button.click(
            in_plain_words(keep), screen.desk, [screen.handed, screen.desk],
            show_progress="minimal", show_progress_on=button, **PRIVATE,
        )  # fmt: skip
        # It is not kept; and what did not change would not be handed out a second time.
        given.success(lambda: None, outputs=screen.handed, **QUIET)
