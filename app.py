"""The screen: `python app.py` opens the page on which an ECG is read, compared and asked about.

Everything that knows gradio is here; what a number or a line on the paper means is in `ecgqa`. A
patient's recordings live in the `Desk` of one browser session and in function arguments only. What
a session was last shown (paper, picture, answers) gradio itself keeps in memory, until `SESSIONS`
others have come after it.
"""

import argparse
import base64
import functools
import html
import inspect
import os
import re
import secrets
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

# Both must be said before gradio is imported: nothing is looked up on the network while serving.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
import torch
from gradio.events import api as add_endpoint
from gradio.themes import Base as Theme
from gradio.utils import get_upload_folder

from ecgqa import INTENDED_USE, EcgAssistant, measure, paper, read_ecg
from ecgqa.answer import QuestionError, checked, need_second
from ecgqa.criteria import checks
from ecgqa.desk import Desk, Turn, Waiting
from ecgqa.evidence import evidence_words
from ecgqa.examples import EXAMPLES
from ecgqa.export import Said, measurements_csv, pdf, png
from ecgqa.formats import supported_suffixes
from ecgqa.gallery import Gallery
from ecgqa.language import ModelError
from ecgqa.loader import ModelLoader
from ecgqa.numbers import as_json
from ecgqa.quality import assess
from ecgqa.record import ECG, EcgFileError
from ecgqa.report import (
    answer_html,
    as_text,
    dependence_html,
    measurement_html,
    provenance,
    quality_html,
    sureness,
    tracing_html,
    understanding,
)
from ecgqa.wording import compares

KEPT_S = 1200  # a session's ECGs are forgotten after 20 minutes without use, or when it is closed
SESSIONS = 64  # of so many gradio keeps what they were last shown
SEED = 7  # the "random" patients of the dependence test are the same ones for the same ECG
NO_COMPARISON = "None"
BY_WORDING, THIS_ONLY, BOTH = "as worded", "this ECG", "both ECGs"
UNITS = ["mV", "uV", "V"]
STYLE = Path(__file__).parent / "ecgqa" / "paper.css"
# Hands the marks of an answer's evidence to the paper, which need not be sent again for them.
TELL_PAPER = """
const tell = () => window.dispatchEvent(new CustomEvent("ecg-evidence", {detail: props.value}));
watch("value", tell);
"""
# What `Desk.walk` is told: the drawing on the paper, and where each ECG of it begins.
WHERE_IT_STANDS = """
(places, ...others) => {
  const sheet = document.querySelector("#paper .ecg-paper");
  return [JSON.parse(sheet?.dataset.places ?? "null"), ...others];
}
"""
# Gives a file to the browser: it comes in the page's own data and never lies on the server's disk.
HAND_OVER = """
watch("value", () => {
  if (!props.value) return;
  const bytes = Uint8Array.from(atob(props.value.base64), (letter) => letter.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: props.value.type}));
  link.download = props.value.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
"""
KEEP = (("pdf", "Page as PDF"), ("png", "Page as PNG"), ("csv", "Measurements as CSV"))
MEDIA = {"pdf": "application/pdf", "png": "image/png", "csv": "text/csv"}
# One question at a time; drawing never waits for it.
MODEL_QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
FREE: dict[str, Any] = {"concurrency_limit": None}


# ------------------------------------------------------------------------------ words and errors


def spoken(error: Exception) -> str:
    """An error as the user may read it: plain words, or an apology with an id of the log entry."""
    if isinstance(error, EcgFileError | QuestionError | ModelError):
        return str(error)
    log_id = secrets.token_hex(4)
    print(f"[{log_id}]", "".join(traceback.format_exception(error)), file=sys.stderr, flush=True)
    return f"Sorry, something went wrong that is not your fault. The log has it as {log_id}."


def in_plain_words(handler: Callable, on_page: bool = True) -> Callable:
    """The one place where errors become messages. The page shows messages as HTML: escape them."""

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


def second_ecg(question: str, which: str, other: ECG | None) -> ECG | None:
    """The comparison ECG where the question is about two, by the user's choice or its wording."""
    if which == BOTH and other is None:
        raise QuestionError("Please choose a comparison ECG first.")
    if which == BY_WORDING:
        need_second(question, other)
    return other if which == BOTH or (which == BY_WORDING and compares(question)) else None


def conversation(
    desk: Desk, asked: Waiting | None = None, so_far: str = ""
) -> tuple[list[dict], str]:
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
        by_ecgs.setdefault(" and ".join(turn.names), []).append(turn)
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


def refused_html(names: Iterable[str]) -> str:
    """A line for each place that is empty because what came for it could not be read."""
    places = zip(("This ECG", "Comparison ECG"), names, strict=True)
    return "".join(
        f'<div class="quality-line"><span class="warn">{place}: {html.escape(name)} could not be '
        "read, so there is none.</span></div>"
        for place, name in places
        if name
    )


def status_html(loader: ModelLoader) -> str:
    """A small light: loading (how far), ready, or why not."""
    if loader.error:
        return f'<div class="status bad" role="status">{html.escape(loader.error)}</div>'
    if loader.is_done:
        return '<div class="status good" role="status">Model ready</div>'
    share = "" if loader.fraction is None else f' value="{loader.fraction:.3f}"'
    text = html.escape(loader.text)
    return f'<div class="status" role="status">{text}<progress{share}></progress></div>'


# ------------------------------------------------------------------------------ reading


def take(uploads: Iterable[str | Path]) -> list[tuple[str, bytes]]:
    """The bytes of uploaded files, which are deleted here and now: others could read them by URL.

    Raises EcgFileError for a path that is not an upload of this app.
    """
    folder = Path(get_upload_folder()).resolve()
    taken = []
    for upload in uploads:
        path = Path(upload).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise EcgFileError("This file is not here any more: please upload it again.")
        taken.append((path.name, path.read_bytes()))
        path.unlink(missing_ok=True)
    return taken


def read_taken(taken: list[tuple[str, bytes]], rate_hz: float | None, units: str | None) -> ECG:
    """Read files that were taken, through a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ecgqa-") as folder:
        paths = []
        for index, (name, content) in enumerate(taken):
            path = Path(folder, str(index), name)
            path.parent.mkdir()
            path.write_bytes(content)
            paths.append(path)
        return read_ecg(paths, rate_hz=rate_hz or None, units=units or None)


def uploaded(files: object) -> Iterable[str]:
    """Paths of files as `gradio_client.handle_file` sends them: a list of {"path": ...}."""
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and isinstance(file.get("path"), str) for file in files
    ):
        raise EcgFileError("Please give `files` as a list of handle_file(...).")
    return [file["path"] for file in files]


def read_request(
    files: object,
    comparison_files: object,
    rate_hz: float | None,
    units: str | None,
    start_s: float = 0.0,
) -> tuple[ECG, ECG | None]:
    """The ten seconds of a request's ECG, and of the one to compare it with if it sent one."""
    # All are taken, and so deleted, before the first is read: it may be at fault.
    taken = take(uploaded(files))
    other = take(uploaded(comparison_files)) if comparison_files else None
    ecg = read_taken(taken, rate_hz, units).stretch(start_s)
    return ecg, None if other is None else read_taken(other, rate_hz, units).stretch(0)


def present(ecg: ECG | None) -> ECG:
    """The ECG of this session, or a plain word that there is none."""
    if ecg is None:
        raise EcgFileError(
            "There is no ECG here: please choose or upload one "
            f"(recordings are forgotten after {KEPT_S // 60} minutes without use)."
        )
    return ecg


def placed(stretch: ECG, whole: ECG) -> str:
    """A stretch's name with its seconds, also where it is the beginning of a longer recording."""
    if stretch is whole:
        return whole.name
    return f"{whole.name}, {stretch.start_s:g} to {stretch.start_s + stretch.seconds:.0f} s"


def random_patients(gallery: Gallery, ecg: ECG, other: ECG | None) -> list[tuple[str, ECG]]:
    """Three other patients for the dependence test, the same ones for the same recordings."""
    own = [one.sha256 for one in (ecg, other) if one is not None]
    return gallery.random_other(own, 3, SEED)


# ------------------------------------------------------------------------------ the page


def build(assistant_factory: Callable, gallery: Gallery) -> gr.Blocks:
    """The page and its four endpoints; starts to load the model in the background.

    assistant_factory: called once with a progress callable (text, fraction | None); returns an
        `EcgAssistant`. gallery: the recordings to choose from.
    """
    loader = ModelLoader(assistant_factory, spoken)
    names = list(gallery.names())
    with gr.Blocks(
        title="ECG question answering",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(600, 600),
    ) as page:
        with gr.Row(elem_id="top"):
            _html(
                "<h1>ECG question answering</h1>"
                f'<p id="intended-use">{html.escape(INTENDED_USE)}</p>',
                elem_id="title",
            )
            status = _html(status_html(loader), elem_id="status")
        with gr.Row(elem_id="choose"):
            one = _slot(
                "This ECG (the second, later one where there are two)",
                "this", names, names[0] if names else None,
            )  # fmt: skip
            two = _slot(
                "Comparison ECG (the first, earlier one; optional)",
                "other",
                [NO_COMPARISON, *names],
                NO_COMPARISON,
            )
        desk = gr.State(Desk(), time_to_live=KEPT_S)
        places = gr.JSON(visible=False)
        sheet = _paper("strips", "paper")
        quality = _html(elem_id="quality")
        tracing = _html(elem_id="tracing")
        with gr.Row(elem_id="talk-and-numbers"):
            with gr.Column(scale=6, min_width=320):
                chat, earlier, about, question, ask_button, stop_button = _talk()
            with gr.Column(scale=5, min_width=320):
                table = _html(measurement_html(None, None), elem_id="measurements")
        examples = _examples()
        with gr.Accordion("Median beats, overlaid and aligned on R", open=False, elem_id="median"):
            beats = _paper("beats", "beats")
        with gr.Row(elem_id="dependence"):
            with gr.Column(scale=2, min_width=260):
                test_button = gr.Button(
                    "Does the answer depend on the ECG?", variant="primary", elem_id="depends"
                )
                _html(
                    "<p class='hint'>Asks the same question with other patients' ECGs, noise, a "
                    "flat line and no ECG at all. An answer that comes from the ECG gets more or "
                    "less likely with another one; its words may stay (most patients have a "
                    "“no” in common).</p>"
                )
            with gr.Column(scale=6, min_width=320):
                proof = _html(elem_id="proof")
        marks = gr.HTML(
            [], html_template="<div></div>", js_on_load=TELL_PAPER, apply_default_css=False,
            elem_id="marks",
        )  # fmt: skip
        with gr.Row(elem_id="keep"):
            keep_buttons = {
                kind: gr.Button(label, size="sm", min_width=120, elem_id=f"keep-{kind}")
                for kind, label in KEEP
            }
        handed = gr.HTML(
            None, html_template="<div></div>", js_on_load=HAND_OVER, apply_default_css=False,
            elem_id="handed",
        )  # fmt: skip
        clock = gr.Timer(0.7)
        _wire_reading(
            page, gallery, (one, two), desk, places, sheet, quality, tracing, table, beats, proof,
            marks, chat, earlier,
        )  # fmt: skip
        _wire_questions(
            loader, gallery, desk, places, chat, earlier, about, question, ask_button, stop_button,
            examples, test_button, proof, marks,
        )  # fmt: skip
        _wire_export(desk, keep_buttons, handed)
        clock.tick(
            lambda: (status_html(loader), gr.Timer(active=not loader.is_done)),
            outputs=[status, clock],
            show_progress="hidden",
            api_visibility="private",
            **FREE,
        )
        _add_endpoints(loader, gallery)
    loader.start()
    return page


def _html(value: str = "", elem_id: str | None = None) -> gr.HTML:
    """A piece of the page in its own style. User text in `value` must be escaped.

    The default template is kept on purpose: gradio evaluates any other one as a JavaScript template
    literal after filling it in, so that a file called "${...}" would run.
    """
    return gr.HTML(value, apply_default_css=False, elem_id=elem_id)


def _paper(kind: str, elem_id: str) -> gr.HTML:
    """A canvas of `paper.js`; its value is data, never part of a template."""
    return gr.HTML(
        {"kind": kind, "ecgs": []},
        html_template=f'<div data-kind="{kind}"></div>',
        js_on_load=paper.script(),
        apply_default_css=False,
        elem_id=elem_id,
    )


def _slot(title: str, elem_id: str, choices: list[str], value: str | None) -> dict:
    """The controls that choose one ECG: gallery, upload, and what a text file may leave unsaid."""
    with gr.Column(min_width=300, elem_id=elem_id, elem_classes="slot"):
        _html(f"<h2>{title}</h2>")
        with gr.Row(elem_classes="slot-row"):
            pick = gr.Dropdown(
                choices, value=value, label="From the gallery", elem_id=f"{elem_id}-pick",
                min_width=180, scale=4, allow_custom_value=False,
            )  # fmt: skip
            upload = gr.File(
                label="Upload: a file, .hea and .dat, or a scan",
                file_count="multiple", height=84, elem_id=f"{elem_id}-upload", min_width=200,
                scale=5,
            )  # fmt: skip
        with gr.Row(visible=False, elem_classes="slot-row") as unsaid:
            rate = gr.Number(
                None, label="Sampling rate (Hz)", minimum=0, min_width=120,
                elem_id=f"{elem_id}-rate",
            )  # fmt: skip
            units = gr.Dropdown(
                UNITS, value=None, label="Unit of the numbers", allow_custom_value=True,
                min_width=120, elem_id=f"{elem_id}-units",
            )  # fmt: skip
            again = gr.Button("Read the file with these", min_width=140, elem_id=f"{elem_id}-again")
    return {
        "pick": pick, "upload": upload, "unsaid": unsaid, "rate": rate, "units": units,
        "again": again,
    }  # fmt: skip


def _talk() -> tuple:
    chat = gr.Chatbot(
        label="Answers", height=320, elem_id="answers", buttons=["copy"], layout="panel",
        feedback_options=None, latex_delimiters=[], allow_tags=False,
        placeholder="Ask about the ECG above. Every answer names the recordings it used.",
    )  # fmt: skip
    earlier = _html(elem_id="earlier")
    with gr.Row(elem_id="ask-row"):
        question = gr.Textbox(
            label="Question", placeholder="Is there an old inferior infarct?", lines=1,
            max_lines=4, scale=8, min_width=200, elem_id="question", max_length=100_000,
        )  # fmt: skip
        ask_button = gr.Button("Ask", variant="primary", scale=1, min_width=84, elem_id="ask")
        stop_button = gr.Button("Stop", scale=1, min_width=84, elem_id="stop")
    about = gr.Radio(
        [BY_WORDING, THIS_ONLY, BOTH], value=BY_WORDING, label="The question is about",
        elem_id="about", min_width=200,
    )  # fmt: skip
    return chat, earlier, about, question, ask_button, stop_button


def _examples() -> list[gr.Dataset]:
    with gr.Row(elem_id="examples"):
        return [
            gr.Dataset(
                components=["textbox"], samples=[[text] for text in texts], label=theme,
                elem_classes="examples", samples_per_page=20,
            )
            for theme, texts in EXAMPLES.items()
        ]  # fmt: skip


def _wire_reading(
    page, gallery, slots, desk, places, sheet, quality, tracing, table, beats, proof, marks, chat,
    earlier,
) -> None:  # fmt: skip
    """Events that choose, draw and measure; none of them touches the model.

    Recordings are read at once, each for its own place. What follows is done one by one: an event
    of a state's change that comes while another runs is run after it, on the newest desk.
    """
    desks: WeakValueDictionary[str, Desk] = WeakValueDictionary()
    chosen, moved = gr.State(""), gr.State("")

    def placed_now(desk):
        """The row of questions about a file is put away, and the drawing begins."""
        return desk, secrets.token_hex(8), gr.Row(visible=False), None, None

    def choose(place, name, desk):
        if not name:  # an upload emptied the box
            return gr.skip()
        turn = desk.turn(place)
        try:
            ecg = gallery.open(name) if name != NO_COMPARISON else None
        except Exception:
            desk.refuse(place, turn, name)
            raise
        return placed_now(desk) if desk.settle(place, turn, ecg) else gr.skip()

    def read(place, turn, taken, rate_hz, units, desk):
        """A recording, or the question what the file leaves unsaid, with the files kept for it.

        Rate and unit are asked for each file anew: what was typed for one says nothing of another.
        """
        try:
            ecg = read_taken(taken or [], rate_hz, units)
        except EcgFileError as error:
            if not error.wants:
                raise
            if not desk.wait_for_facts(place, turn, taken):
                return gr.skip()
            gr.Info(html.escape(str(error)), title="One more thing", duration=20)
            asked = gr.Row(visible=True), rate_hz or None, units or None
            return desk, secrets.token_hex(8), *asked, None, gr.skip()
        return (*placed_now(desk), None, None) if desk.settle(place, turn, ecg) else gr.skip()

    def upload(place, files, desk):
        files, turn = files or [], desk.turn(place)
        # Until a file is read its box keeps it, and sends it along with the next one.
        files = [file for file in files if Path(file).is_file()] or files
        try:
            return read(place, turn, take(files), None, None, desk)
        except Exception:
            desk.refuse(place, turn, ", ".join(Path(file).name for file in files))
            raise

    def read_again(place, rate_hz, units, desk):
        taken, turn = desk.pending[place], desk.turn(place)
        try:
            return read(place, turn, taken, rate_hz, units, desk)
        except Exception:
            desk.refuse(place, turn, ", ".join(name for name, _ in taken or ()))
            raise

    def quality_of(ecgs, desk):
        """Of the ten seconds that are asked about, as the answers' own judgement is."""
        pairs = zip(ecgs, desk.drawn.seen, strict=True)
        judged = quality_html(seen and replace(seen, name=placed(seen, ecg)) for ecg, seen in pairs)
        return judged + refused_html(desk.refused)

    def draw(desk, request: gr.Request):
        """The paper, from the beginning of both recordings, and the answers about them."""
        desks[request.session_hash or ""] = desk
        drawing = secrets.token_hex(8)
        ecgs = desk.draw(drawing)
        strips = [paper.payload(ecg) if ecg else None for ecg in ecgs]
        shown = {"kind": "strips", "drawing": drawing, "ecgs": strips}
        judged = quality_of(ecgs, desk)
        return desk, drawing, shown, judged, tracing_html(ecgs), "", [], *conversation(desk)

    def forget(request: gr.Request):
        """The page was closed; by itself gradio would keep its states for another hour."""
        if desk := desks.pop(request.session_hash or "", None):
            desk.clear()

    def walk(to, desk):
        """Ten other seconds of a long recording, where the paper's sliders stand."""
        present(desk.drawn.seen[0] or desk.drawn.seen[1])
        ecgs = tuple(desk.ecgs)
        if not desk.walk(to):
            return gr.skip()
        return desk, secrets.token_hex(8), quality_of(ecgs, desk), "", []

    def measure_both(desk):
        this, other = desk.drawn.seen
        found = [measure(ecg) if ecg else None for ecg in (this, other)]
        beats_drawn = [
            paper.beat_payload(ecg, m, None if ecg is this else found[0])
            for ecg, m in zip((this, other), found, strict=True)
            if ecg and m
        ]
        return measurement_html(*found), {"kind": "beats", "ecgs": beats_drawn}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", **FREE}
    at_once: dict[str, Any] = {**quiet, "trigger_mode": "multiple"}
    page.unload(forget)
    chosen.change(
        in_plain_words(draw), desk,
        [desk, moved, sheet, quality, tracing, proof, marks, chat, earlier], **quiet,
    )  # fmt: skip
    # An event that was put off would bring the data it came with: this one asks where they stand.
    sheet.select(
        in_plain_words(walk), [places, desk], [desk, moved, quality, proof, marks],
        js=WHERE_IT_STANDS, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    moved.change(
        in_plain_words(measure_both), desk, [table, beats],
        show_progress="minimal", api_visibility="private", **FREE,
    )  # fmt: skip
    for place, slot in enumerate(slots):
        settled = [desk, chosen, slot["unsaid"], slot["rate"], slot["units"]]
        boxes = [slot["upload"], slot["pick"]]
        choosing = in_plain_words(functools.partial(choose, place))
        # gradio's dropdown sends `input` twice for each choice, and `select` only for the mouse's
        picked = slot["pick"].change(choosing, [slot["pick"], desk], settled, **at_once)
        if place == 0:
            page.load(choosing, [slot["pick"], desk], settled, **quiet)
        uploaded = slot["upload"].upload(
            in_plain_words(functools.partial(upload, place)), [slot["upload"], desk],
            [*settled, *boxes], **at_once,
        )  # fmt: skip
        # What could not be read leaves its boxes too, so that the next one can come.
        again = slot["again"].click(
            in_plain_words(functools.partial(read_again, place)),
            [slot["rate"], slot["units"], desk], [*settled, *boxes], **at_once,
        )  # fmt: skip
        for refused in (picked, uploaded, again):
            refused.failure(placed_now, desk, settled, **quiet)
            refused.failure(None, js="() => [null, null]", outputs=boxes[::-1])


def _wire_questions(
    loader, gallery, desk, places, chat, earlier, about, question, ask_button, stop_button,
    examples, test_button, proof, marks,
) -> None:  # fmt: skip
    """Events that ask the model.

    A question waits for its turn together with the ECGs that were on the page when it was asked:
    another one may be chosen meanwhile.
    """

    def about_what_is_shown(to, text, which, desk):
        desk.walk(to)  # the slider may just have been moved
        this, other = desk.drawn.seen
        ecg, text = present(this), checked(text)
        return Waiting(text, ecg, second_ecg(text, which, other))

    def put(to, text, which, desk):
        """The box is emptied once: what is typed while the answer comes stays in it."""
        if desk.waiting:
            raise QuestionError("Please wait for the answer to your last question, or press Stop.")
        desk.put(about_what_is_shown(to, text, which, desk))
        return desk, ""

    def put_again(to, text, which, desk):
        text = (text or "").strip() or desk.asked
        if not text:
            raise QuestionError("Please ask a question first; the test then asks it again.")
        desk.to_prove = about_what_is_shown(to, text, which, desk)
        return desk

    def stopped(desk):
        desk.stop()
        return desk, *conversation(desk)

    def converse(desk):
        waiting = desk.waiting
        try:
            # None: it was stopped before its turn came.
            if waiting is None or not (yield from answering(desk, waiting)):
                # The desk has the last word: frames on their way when Stop came are behind it.
                yield *conversation(desk), gr.skip()
        finally:
            desk.done(waiting)

    def answering(desk, waiting):
        """Frames of the page while a question is answered; returns whether it was, to its end."""
        text, ecg, other = waiting
        desk.asked, desk.answering = text, waiting
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
        facts = (understanding(answer), *answer.remarks, sureness(answer), provenance(answer))
        said = Said(text, answer.text, " · ".join(filter(None, facts)))
        turn = desk.add(waiting, answer_html(answer), said, answer)
        yield *conversation(desk), []
        found = assistant.evidence(text, answer, ecg, other)
        rests_on = evidence_words(found, answer.ecg_names)
        numbers = checks(found.findings, measure(ecg)) if found.findings else []
        said_so = [f"Measured: {one.words}" for one in numbers]
        known = (
            understanding(answer),
            *answer.remarks,
            *said_so,
            sureness(answer),
            provenance(answer),
            rests_on,
        )
        said = Said(text, answer.text, " · ".join(filter(None, known)))
        desk.add(waiting, answer_html(answer, rests_on, numbers), said, answer, instead=turn)
        yield *conversation(desk), paper.marks(found, waiting.ecgs) if desk.shows(waiting) else []
        return True

    def prove(desk, progress=gr.Progress()):  # noqa: B008
        waiting = desk.to_prove
        if waiting is None:
            return ""
        try:
            return proof_of(desk, waiting, progress)
        finally:
            desk.done(waiting)

    def proof_of(desk, waiting, progress):
        text, ecg, other = waiting
        progress(0, desc="Waiting for the model")
        assistant = loader.assistant()
        result = assistant.random_ecg_test(
            text, ecg, comparison=other, others=random_patients(gallery, ecg, other),
            progress=lambda words, share=None: progress(share, desc=words), alone=other is None,
        )  # fmt: skip
        if not desk.shows(waiting):
            return ""
        return f'<p class="asked">{html.escape(text)}</p>' + dependence_html(result)

    def forget_answers(desk):
        desk.forget_answers()
        return desk, *conversation(desk)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", **FREE}
    gr.on(
        [question.submit, ask_button.click],
        in_plain_words(put),
        [places, question, about, desk],
        [desk, question],
        js=WHERE_IT_STANDS,
        **quiet,
    ).success(
        in_plain_words(converse),
        desk,
        [chat, earlier, marks],
        show_progress="minimal",
        show_progress_on=chat,
        api_visibility="private",
        trigger_mode="multiple",  # also while gradio has not yet ended one that was stopped
        **MODEL_QUEUE,
    )
    testing = test_button.click(
        in_plain_words(put_again),
        [places, question, about, desk],
        desk,
        js=WHERE_IT_STANDS,
        **quiet,
    ).success(
        in_plain_words(prove),
        desk,
        proof,
        show_progress="full",
        api_visibility="private",
        **MODEL_QUEUE,
    )
    stop_button.click(stopped, desk, [desk, chat, earlier], cancels=testing, **quiet)
    chat.clear(forget_answers, desk, [desk, chat, earlier], **quiet)
    for dataset in examples:
        dataset.click(
            lambda sample: sample[0], dataset, question,
            show_progress="hidden", api_visibility="private", **FREE,
        )  # fmt: skip


def _wire_export(desk, buttons, handed) -> None:
    """Events that hand out the page or its numbers."""

    def export(kind, desk):
        this, other = desk.drawn.seen
        ecgs = [ecg for ecg in (present(this), other) if ecg is not None]
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
        }, desk  # fmt: skip

    for kind, button in buttons.items():
        given = button.click(
            in_plain_words(functools.partial(export, kind)), desk, [handed, desk],
            show_progress="minimal", show_progress_on=button, api_visibility="private", **FREE,
        )  # fmt: skip
        # It is not kept; and what did not change would not be handed out a second time.
        given.success(
            lambda: None, outputs=handed,
            show_progress="hidden", api_visibility="private", **FREE,
        )  # fmt: skip


def _add_endpoints(loader: ModelLoader, gallery: Gallery) -> None:
    """`/read`, `/measure`, `/ask`, `/random_ecg_test`: files in, JSON out, no session involved."""

    def read(
        files: list[gr.FileData], rate_hz: float | None = None, units: str | None = None
    ) -> dict:
        """Read an ECG: its name, rate, length, missing leads, checksum, notes and quality."""
        ecg = read_taken(take(uploaded(files)), rate_hz, units)
        quality = assess(ecg)
        return {
            "name": ecg.name, "rate_hz": ecg.rate_hz, "seconds": ecg.seconds,
            "missing_leads": list(ecg.missing_leads), "sha256": ecg.sha256,
            "notes": list(ecg.notes),
            "quality": {
                "readable": quality.readable, "reasons": list(quality.reasons),
                "leads": {lead: list(faults) for lead, faults in quality.leads.items()},
                "limb_residual_mv": quality.limb_residual_mv,
            },
        }  # fmt: skip

    def measure_files(
        files: list[gr.FileData],
        comparison_files: list[gr.FileData] | None = None,
        rate_hz: float | None = None,
        units: str | None = None,
        start_s: float = 0.0,
    ) -> dict:
        """Measure one ECG or two: rates, intervals, axes; null where not measurable."""
        ecg, other = read_request(files, comparison_files, rate_hz, units, start_s)
        found = {"ecg": as_json(measure(ecg))}
        return found if other is None else {**found, "comparison": as_json(measure(other))}

    def ask(
        files: list[gr.FileData],
        question: str,
        comparison_files: list[gr.FileData] | None = None,
        rate_hz: float | None = None,
        units: str | None = None,
        start_s: float = 0.0,
        before: list[str] | None = None,
    ) -> dict:
        """Ask a question about one ECG or two. before: questions asked before it, oldest first."""
        ecg, other = read_request(files, comparison_files, rate_hz, units, start_s)
        if before is not None and not all(isinstance(text, str) for text in before):
            raise QuestionError("Please give `before` as a list of questions.")
        asked = [*(before or [])[-2:], question]
        answer = loader.assistant().talk(asked, ecg, other)[-1]
        return {**answer.as_json(), "intended_use": INTENDED_USE}

    def random_ecg_test(
        files: list[gr.FileData],
        question: str,
        comparison_files: list[gr.FileData] | None = None,
        rate_hz: float | None = None,
        units: str | None = None,
        start_s: float = 0.0,
    ) -> dict:
        """Ask the same question with other ECGs: does the answer depend on this one?"""
        ecg, other = read_request(files, comparison_files, rate_hz, units, start_s)
        result = loader.assistant().random_ecg_test(
            question, ecg, comparison=other, others=random_patients(gallery, ecg, other)
        )
        rows = [
            {
                "ecg": row.ecg, "answer": row.answer, "log_prob_change": row.log_prob_change,
                "log_odds_change": row.log_odds_change,
            }
            for row in result.rows
        ]  # fmt: skip
        return {
            "rows": rows, "verdict": result.verdict, "depends": result.depends,
            "least_move": result.least_move,
        }  # fmt: skip

    for name, endpoint, limits in (
        ("read", read, FREE),
        ("measure", measure_files, FREE),
        ("ask", ask, MODEL_QUEUE),
        ("random_ecg_test", random_ecg_test, MODEL_QUEUE),
    ):
        add_endpoint(in_plain_words(endpoint, on_page=False), api_name=name, **limits)


def launch_settings() -> dict:
    """How the page is served: locally, nothing shared, nothing recorded, nothing from outside."""
    system = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
    return {
        "share": False, "show_error": False, "max_file_size": "64mb", "run_history": False,
        "state_session_capacity": SESSIONS, "enable_monitoring": False, "mcp_server": False,
        "ssr_mode": False, "pwa": False,
        "footer_links": [], "inbrowser": False, "css_paths": [STYLE],
        "theme": Theme(
            primary_hue="blue", neutral_hue="slate", radius_size="sm", spacing_size="sm",
            font=system, font_mono=("ui-monospace", "DejaVu Sans Mono", "monospace"),
        ).set(  # the theme's own blue is too light for white letters (WCAG 2 AA: 4.5 to 1)
            button_primary_background_fill="#1d4ed8", button_primary_background_fill_dark="#1d4ed8",
            button_primary_background_fill_hover="#1e40af",
            button_primary_background_fill_hover_dark="#1e40af",
        ),
    }  # fmt: skip


def known_users(file: Path) -> list[tuple[str, str]]:
    """(name, password) of each line NAME:PASSWORD. Raises ValueError, OSError in plain words."""
    pairs = [line.strip().partition(":") for line in file.read_text("utf-8").splitlines()]
    users = [(name, password) for name, colon, password in pairs if colon and name and password]
    if not users or len(users) < sum(any(pair) for pair in pairs):
        raise ValueError(f"{file} must hold lines of the form NAME:PASSWORD, and at least one")
    return users


def main(argv: list[str] | None = None) -> None:
    """Serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description="Read, compare and ask about ECGs in the browser.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on")
    parser.add_argument("--gallery", type=Path, help="folder with recordings of your own")
    parser.add_argument(
        "--checkpoint", help="folder of a trained model, instead of the bundled one"
    )
    parser.add_argument("--llm", help="path or hub id of the base language model")
    parser.add_argument("--auth-file", type=Path, help="let in only the lines NAME:PASSWORD of it")
    args = parser.parse_args(argv)
    try:
        gallery = Gallery(args.gallery)
        users = known_users(args.auth_file) if args.auth_file else None
    except (EcgFileError, ValueError, OSError) as error:
        parser.error(str(error))

    def load(progress: Callable) -> EcgAssistant:
        return EcgAssistant.load(checkpoint=args.checkpoint, llm=args.llm, progress=progress)

    # Paper must not wait for the model: one core stays free for the page, and so does the
    # interpreter, often. Eight sessions are then also answered in half the time.
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    sys.setswitchinterval(0.0005)
    page = build(load, gallery)
    print(f"Accepted files: {', '.join(supported_suffixes())}")
    page.queue(max_size=64).launch(
        server_name=args.host, server_port=args.port, auth=users, **launch_settings()
    )


if __name__ == "__main__":
    main()
