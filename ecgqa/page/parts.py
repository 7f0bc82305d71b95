"""The parts of the page, each with its controls; what they do is wired in `ecgqa.page.wiring`."""

from __future__ import annotations

import html
from dataclasses import dataclass

import gradio as gr

from ecgqa import INTENDED_USE
from ecgqa.page.asking import BOTH, BY_WORDING, THIS_ONLY
from ecgqa.page.desk import Desk
from ecgqa.page.examples import EXAMPLES
from ecgqa.page.html import measurement_html
from ecgqa.page.loader import ModelLoader
from ecgqa.page.looking import KEPT_S, NO_COMPARISON
from ecgqa.paper import drawing as paper

UNITS = ["mV", "uV", "V"]
# Hands the marks of an answer's evidence to the paper, which need not be sent again for them.
TELL_PAPER = """
const tell = () => window.dispatchEvent(new CustomEvent("ecg-evidence", {detail: props.value}));
watch("value", tell);
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


@dataclass(frozen=True)
class Slot:
    """The controls that choose one ECG: gallery, upload, and what a text file may leave unsaid."""

    pick: gr.Dropdown
    upload: gr.File
    unsaid: gr.Row
    rate: gr.Number
    units: gr.Dropdown
    leads: gr.Textbox
    again: gr.Button


@dataclass(frozen=True)
class Talk:
    """Questions and their answers."""

    chat: gr.Chatbot
    earlier: gr.HTML
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    about: gr.Radio


@dataclass(frozen=True)
class Screen:
    """Everything on the page that an event reads or changes.

    desk: what lies before the session. places: where the paper's sliders stand. marks: what an
    answer rests on, for the paper. handed: a file on its way to the browser.
    """

    status: gr.HTML
    slots: tuple[Slot, Slot]
    desk: gr.State
    places: gr.JSON
    sheet: gr.HTML
    quality: gr.HTML
    tracing: gr.HTML
    talk: Talk
    table: gr.HTML
    examples: list[gr.Dataset]
    beats: gr.HTML
    test: gr.Button
    proof: gr.HTML
    marks: gr.HTML
    keep: dict[str, gr.Button]
    handed: gr.HTML
    clock: gr.Timer


def status_html(loader: ModelLoader) -> str:
    """A small light: loading (how far), ready, or why not."""
    if loader.error:
        return f'<div class="status bad" role="status">{html.escape(loader.error)}</div>'
    if loader.is_done:
        return '<div class="status good" role="status">Model ready</div>'
    share = "" if loader.fraction is None else f' value="{loader.fraction:.3f}"'
    text = html.escape(loader.text)
    return f'<div class="status" role="status">{text}<progress{share}></progress></div>'


def lay_out(names: list[str], loader: ModelLoader) -> Screen:
    """The whole page, from top to bottom. names: of the gallery's recordings."""
    status = _heading(loader)
    with gr.Row(elem_id="choose"):
        one = _slot(
            "This ECG (the second, later one where there are two)",
            "this", names, names[0] if names else None,
        )  # fmt: skip
        two = _slot(
            "Comparison ECG (the first, earlier one; optional)",
            "other", [NO_COMPARISON, *names], NO_COMPARISON,
        )  # fmt: skip
    desk = gr.State(Desk(), time_to_live=KEPT_S)
    places = gr.JSON(visible=False)
    sheet = _paper("strips", "paper")
    quality = _html(elem_id="quality")
    tracing = _html(elem_id="tracing")
    with gr.Row(elem_id="talk-and-numbers"):
        with gr.Column(scale=6, min_width=320):
            talk = _talk()
        with gr.Column(scale=5, min_width=320):
            table = _html(measurement_html(None, None), elem_id="measurements")
    examples = _examples()
    with gr.Accordion("Median beats, overlaid and aligned on R", open=False, elem_id="median"):
        beats = _paper("beats", "beats")
    test, proof = _dependence()
    marks = gr.HTML(
        [], html_template="<div></div>", js_on_load=TELL_PAPER, apply_default_css=False,
        elem_id="marks",
    )  # fmt: skip
    with gr.Row(elem_id="keep"):
        keep = {
            kind: gr.Button(label, size="sm", min_width=120, elem_id=f"keep-{kind}")
            for kind, label in KEEP
        }
    handed = gr.HTML(
        None, html_template="<div></div>", js_on_load=HAND_OVER, apply_default_css=False,
        elem_id="handed",
    )  # fmt: skip
    return Screen(
        status, (one, two), desk, places, sheet, quality, tracing, talk, table, examples, beats,
        test, proof, marks, keep, handed, gr.Timer(0.7),
    )  # fmt: skip


def _heading(loader: ModelLoader) -> gr.HTML:
    with gr.Row(elem_id="top"):
        _html(
            f'<h1>ECG question answering</h1><p id="intended-use">{html.escape(INTENDED_USE)}</p>',
            elem_id="title",
        )
        return _html(status_html(loader), elem_id="status")


def _dependence() -> tuple[gr.Button, gr.HTML]:
    with gr.Row(elem_id="dependence"):
        with gr.Column(scale=2, min_width=260):
            test = gr.Button(
                "Does the answer depend on the ECG?", variant="primary", elem_id="depends"
            )
            _html(
                "<p class='hint'>Asks the same question with other patients' ECGs, noise, a "
                "flat line and no ECG at all. An answer that comes from the ECG gets more or "
                "less likely with another one; its words may stay (most patients have a "
                "“no” in common).</p>"
            )
        with gr.Column(scale=6, min_width=320):
            return test, _html(elem_id="proof")


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


def _slot(title: str, elem_id: str, choices: list[str], value: str | None) -> Slot:
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
            leads = gr.Textbox(
                label="Leads, in their order", placeholder="II, or I, II, III, ...", min_width=160,
                max_lines=1, max_length=200, elem_id=f"{elem_id}-leads",
            )  # fmt: skip
            again = gr.Button("Read the file with these", min_width=140, elem_id=f"{elem_id}-again")
    return Slot(pick, upload, unsaid, rate, units, leads, again)


def _talk() -> Talk:
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
    return Talk(chat, earlier, question, ask_button, stop_button, about)


def _examples() -> list[gr.Dataset]:
    with gr.Row(elem_id="examples"):
        return [
            gr.Dataset(
                components=["textbox"], samples=[[text] for text in texts], label=theme,
                elem_classes="examples", samples_per_page=20,
            )
            for theme, texts in EXAMPLES.items()
        ]  # fmt: skip
