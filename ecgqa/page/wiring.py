"""Which control does what: the steps of `looking` and `asking`, bound to the page's parts."""

import base64
import contextlib
import html
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ecgqa.answer.askable import QuestionError
from ecgqa.gallery.gallery import Gallery
from ecgqa.page import asking, looking
from ecgqa.page.caps import TooLong
from ecgqa.page.desk import Desk
from ecgqa.page.export import measurements_csv, pdf, png
from ecgqa.page.line import MODEL, place_in_words
from ecgqa.page.parts import Screen, Slot, status_html
from ecgqa.page.site import Site
from ecgqa.page.spoken import in_plain_words
from ecgqa.page.talk import conversation
from ecgqa.page.uploads import read_taken, still_here, take

MEDIA = {"pdf": "application/pdf", "png": "image/png", "csv": "text/csv"}
# What `Desk.walk` is told: the drawing on the paper, and where each ECG of it begins.
WHERE_IT_STANDS = """
(places, ...others) => {
  const sheet = document.querySelector("#paper .ecg-paper");
  return [JSON.parse(sheet?.dataset.places ?? "null"), ...others];
}
"""
# What `Desk.move_marks` is told: the median beats on the page, and the marks on them.
WHERE_MARKS_ARE = """
(places, ...others) => {
  const beats = document.querySelector("#beats .ecg-paper");
  return [JSON.parse(beats?.dataset.marks ?? "null"), ...others];
}
"""
# Brings what comes into sight, above the bar, without moving what is in sight already.
INTO_SIGHT = """
() => {
  const what = document.querySelector("%s");
  const bar = document.querySelector("#ask-bar").getBoundingClientRect().height;
  document.documentElement.style.setProperty("--ask-bar", `${bar + 8}px`);
  const show = () => {
    const isHigh = what.getBoundingClientRect().height > innerHeight - bar - 16;
    what.scrollIntoView({block: isHigh ? "start" : "nearest", behavior: "instant"});
  };
  show();
  requestAnimationFrame(() => requestAnimationFrame(show)); // what is above it may just grow
}
"""
# One question at a time; drawing never waits for it.
MODEL_QUEUE: dict[str, Any] = {"concurrency_id": MODEL, "concurrency_limit": 1}
FREE: dict[str, Any] = {"concurrency_limit": None}
PRIVATE: dict[str, Any] = {"api_visibility": "private", **FREE}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
AT_ONCE: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}


def wire(site: Site, screen: Screen, gallery: Gallery) -> gr.State:
    """All events of the page but the trend's; returns what changes when an ECG was placed."""
    chosen, loader = gr.State(""), site.loader
    _wire_looking(site, screen, chosen)
    for place, slot in enumerate(screen.slots):
        _wire_slot(site, screen, gallery, chosen, place, slot)
    _wire_swap(screen, chosen)
    _wire_asking(site, screen)
    _wire_testing(site, screen, gallery)
    _wire_line(site, screen)
    _wire_keeping(screen)
    for dataset in screen.examples:
        dataset.click(lambda sample: sample[0], dataset, screen.talk.question, **QUIET)
    screen.clock.tick(
        lambda: (status_html(loader), gr.Timer(active=not loader.is_done)),
        outputs=[screen.status, screen.clock], **QUIET,
    )  # fmt: skip
    return chosen


def _wire_looking(site: Site, screen: Screen, chosen: gr.State) -> None:
    """What follows when a recording was chosen, and the moves of the slider.

    This is done one by one: an event of a state's change that comes while another runs is run
    after it, on the newest desk.
    """
    moved, talk, desks = gr.State(""), screen.talk, site.desks

    def draw(desk, request: gr.Request):
        desks[request.session_hash or ""] = desk
        drawing, shown, quality, tracing, *said = looking.draw(desk)
        return desk, drawing, shown, quality, tracing, "", [], *said

    def walk(to, desk):
        quality = looking.walk(desk, to)
        return gr.skip() if quality is None else (desk, secrets.token_hex(8), quality, "", [])

    def measure_both(desk):
        return desk, *looking.measure_both(desk)

    def move_marks(to, desk):
        table = looking.move_marks(desk, to)
        return gr.skip() if table is None else (desk, table)

    def forget(request: gr.Request):
        """The page was closed; by itself gradio would keep its states for another hour."""
        if desk := desks.pop(request.session_hash or "", None):
            desk.clear()

    site.page.unload(forget)
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
        in_plain_words(measure_both), screen.desk,
        [screen.desk, screen.table, screen.beats, screen.waves],
        show_progress="minimal", **PRIVATE,
    )  # fmt: skip
    screen.beats.select(
        in_plain_words(move_marks), [screen.places, screen.desk], [screen.desk, screen.table],
        js=WHERE_MARKS_ARE, **{**QUIET, "trigger_mode": "always_last"},
    )  # fmt: skip


def empty_after(read: Dependency, box: gr.File) -> None:
    """Empty a box of files once they were read or refused.

    gradio's box fails if it is emptied while another file is on its way: then it stays as it is
    until that one was read.
    """
    emptied = f"() => document.querySelector('#{box.elem_id} .uploading') ? undefined : null"
    read.success(None, js=emptied, outputs=box)
    read.failure(None, js=emptied, outputs=box)


def rows(desk: Desk) -> list[gr.Row]:
    """The row of questions about a file is shown in the place where one waits for them."""
    return [gr.Row(visible=files is not None) for files in desk.pending]


def placed_now(desk: Desk) -> tuple:
    """What was asked about a file is put away, and the drawing begins."""
    return desk, secrets.token_hex(8), *rows(desk), None, None, None


def _read(site: Site, place: int, taking, name: str, unsaid: tuple, desk: Desk) -> Any:
    """A recording, or the question what its file leaves unsaid; the gallery's box follows."""

    def read(taken):
        return site.workbench.within(site.caps.read_s, read_taken, taken, *unsaid)

    in_place, question = looking.read(desk, place, taking, name, read)
    if not in_place:
        return gr.skip()
    box = looking.box_of(desk, place)
    if not question:
        return *placed_now(desk), box
    gr.Info(html.escape(question), title="One more thing", duration=20)
    asked = *rows(desk), *(value or None for value in unsaid)
    return desk, secrets.token_hex(8), *asked, box


def _wire_slot(
    site: Site, screen: Screen, gallery: Gallery, chosen: gr.State, place: int, slot: Slot
) -> None:
    """The events that bring a recording to its place, at once and each for its own."""

    def choose(name, desk):
        # No name: an upload emptied the box.
        return (
            placed_now(desk) if name and looking.choose(desk, place, name, gallery) else gr.skip()
        )

    def upload(files, desk):
        files = still_here(files)
        names = ", ".join(Path(file).name for file in files)
        return _read(site, place, lambda: take(files), names, (None, None, None), desk)

    def put_away(desk):
        return *placed_now(desk), looking.box_of(desk, place)

    def read_again(rate_hz, units, leads, desk):
        taken = desk.pending[place] or []
        names = ", ".join(name for name, _ in taken)
        return _read(site, place, lambda: taken, names, (rate_hz, units, leads), desk)

    asked = [one.unsaid for one in screen.slots]
    settled = [screen.desk, chosen, *asked, slot.rate, slot.units, slot.leads]
    choosing = in_plain_words(choose)
    # gradio's dropdown sends `input` twice for each choice, and `select` only for the mouse's
    picked = slot.pick.change(choosing, [slot.pick, screen.desk], settled, **AT_ONCE)
    if place == 0:
        site.page.load(choosing, [slot.pick, screen.desk], settled, **QUIET)
    uploaded = slot.upload.upload(
        in_plain_words(upload), [slot.upload, screen.desk], [*settled, slot.pick], **AT_ONCE
    )
    again = slot.again.click(
        in_plain_words(read_again), [slot.rate, slot.units, slot.leads, screen.desk],
        [*settled, slot.pick], **AT_ONCE,
    )  # fmt: skip
    for read in (uploaded, again):
        empty_after(read, slot.upload)
    # What could not be read leaves the gallery's box too, so that it can be chosen again.
    for refused in (picked, uploaded, again):
        refused.failure(put_away, screen.desk, [*settled, slot.pick], **QUIET)


def _wire_swap(screen: Screen, chosen: gr.State) -> None:
    """The two ECGs change places, with what their boxes say and what was typed for them."""
    boxes = [box for one in screen.slots for box in (one.rate, one.units, one.leads)]

    def swap(desk, *typed):
        desk.swap()
        picked = [looking.box_of(desk, place) for place in (0, 1)]
        typed = typed[3:] + typed[:3]
        return desk, secrets.token_hex(8), *rows(desk), *picked, *(one or None for one in typed)

    screen.swap.click(
        in_plain_words(swap), [screen.desk, *boxes],
        [screen.desk, chosen, *(one.unsaid for one in screen.slots),
         *(one.pick for one in screen.slots), *boxes], **QUIET,
    )  # fmt: skip


def _wire_asking(site: Site, screen: Screen) -> None:
    """The events of a question: it waits for its turn, is answered, stopped, forgotten."""
    talk = screen.talk

    def put(to, text, which, desk):
        """The box is emptied once: what is typed while the answer comes stays in it."""
        site.check_open()
        asking.put(desk, to, text, which)
        return desk, "", "", gr.Timer(active=True)

    def converse(desk):
        with _turn(site, desk):
            until = None
            for frame in asking.converse(desk, site.loader, gr.skip()):
                yield frame
                if site.loader.is_done:  # the wait for it is not the question's own time
                    until = until or time.monotonic() + site.caps.answer_s
                    if time.monotonic() > until:
                        raise TooLong(site.caps.answer_s)

    def forget_answers(desk):
        desk.forget_answers()
        return desk, *conversation(desk), ""

    asked = gr.on(
        [talk.question.submit, talk.ask.click],
        in_plain_words(put),
        [screen.places, talk.question, talk.about, screen.desk],
        [screen.desk, talk.question, screen.proof, screen.turn],
        js=WHERE_IT_STANDS,
        **QUIET,
    )
    answered = asked.success(
        in_plain_words(converse),
        screen.desk,
        [talk.chat, talk.earlier, screen.marks],
        show_progress="minimal",
        show_progress_on=talk.chat,
        api_visibility="private",
        trigger_mode="multiple",  # also while gradio has not yet ended one that was stopped
        **MODEL_QUEUE,
    )
    for step in (asked, answered):
        step.success(None, js=INTO_SIGHT % "#said")
    talk.chat.clear(
        forget_answers, screen.desk, [screen.desk, talk.chat, talk.earlier, screen.proof], **QUIET
    )


def _wire_testing(site: Site, screen: Screen, gallery: Gallery) -> None:
    """The dependence test, and Stop, which ends it and the answer that is under way."""
    talk = screen.talk

    def put_to_test(to, desk):
        site.check_open()
        asking.put_to_test(desk, to)
        return desk, "", gr.Timer(active=True)

    def prove(desk, progress=gr.Progress()):  # noqa: B008
        with _turn(site, desk):
            return site.workbench.within(
                site.caps.answer_s, asking.prove, desk, site.loader, gallery, progress
            )

    def stopped(desk):
        desk.stop()
        return desk, *conversation(desk)

    put = screen.test.click(
        in_plain_words(put_to_test),
        [screen.places, screen.desk],
        [screen.desk, screen.proof, screen.turn],
        js=WHERE_IT_STANDS,
        **QUIET,
    )
    put.success(None, js=INTO_SIGHT % "#tested")
    testing = put.success(
        in_plain_words(prove),
        screen.desk,
        screen.proof,
        show_progress="full",
        api_visibility="private",
        **MODEL_QUEUE,
    )
    testing.success(None, js=INTO_SIGHT % "#tested")
    talk.stop.click(
        stopped, screen.desk, [screen.desk, talk.chat, talk.earlier], cancels=testing, **QUIET
    )


@contextlib.contextmanager
def _turn(site: Site, desk: Desk) -> Iterator[None]:
    """The turn of what waits at a desk; its end, too, where nothing is answered any more."""
    waits = [waiting for waiting in (desk.waiting, desk.to_prove) if waiting is not None]
    try:
        site.check_open()
        yield
    except QuestionError:
        for waiting in waits:
            desk.done(waiting)
        raise


def _wire_line(site: Site, screen: Screen) -> None:
    """How many questions come before the one that waits here, as long as it waits."""

    def look(desk, request: gr.Request):
        words = place_in_words(site.line.before(request.session_hash))
        shown = f'<div class="status" role="status">{words}</div>'
        waits = desk.waiting is not None or desk.to_prove is not None
        return gr.HTML(shown, visible=bool(words)), gr.Timer(active=waits)

    screen.turn.tick(look, screen.desk, [screen.line, screen.turn], **QUIET)


def handed_out(kind: str, desk: Desk) -> dict:
    """The page as "pdf" or "png", or its numbers as "csv", for `HAND_OVER`."""
    looking.present(desk.drawn.seen[0])
    ecgs = [ecg for ecg in desk.drawn.seen[::-1] if ecg is not None]
    measured = [m for m in looking.measured(desk)[::-1] if m is not None]
    said = [turn.said for turn in desk.shown]
    if kind == "csv":
        content = measurements_csv(ecgs, measured).encode("utf-8-sig")
    else:
        content = (pdf if kind == "pdf" else png)(ecgs, measured, said)
    name = re.sub(r"[^\w.-]+", "_", ecgs[-1].name)[:60].strip("._") or "ecg"
    return file_of(name, kind, content)


def file_of(name: str, kind: str, content: bytes) -> dict[str, str]:
    """A file as `HAND_OVER` takes it. kind: of `MEDIA`."""
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
