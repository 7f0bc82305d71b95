"""The parts of the page, each with its controls; what they do is wired in `ecgqa.page.wiring`."""

from __future__ import annotations

import html
from dataclasses import dataclass

import gradio as gr

from ecgqa import INTENDED_USE
from ecgqa.page.asking import BOTH, BY_WORDING, THIS_ONLY
from ecgqa.page.desk import NO_COMPARISON, Desk
from ecgqa.page.examples import EXAMPLES
from ecgqa.page.html import measurement_html
from ecgqa.page.loader import ModelLoader
from ecgqa.page.looking import KEPT_S
from ecgqa.page.trend_panel import Panel, trend_panel
from ecgqa.paper import drawing as paper

UNITS = ["mV", "uV", "V"]
API_DESCRIPTION = "gradio_api/openapi.json"  # of the endpoints, from where the page is
# Hands marks (an answer's evidence, the waves) to the paper, which need not be sent again for them.
TELL_PAPER = """
const tell = () => window.dispatchEvent(new CustomEvent("%s", {detail: props.value}));
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

    slots: of this ECG and of the comparison; swap: exchanges what lies there. desk: what lies
    before the session. places: where the paper's sliders stand. marks, waves: what an answer rests
    on, and the waves of every beat, both for the paper. handed: a file on its way to the browser.
    clock: runs while the model loads; turn: while a question waits. line: how many come before it.
    """

    status: gr.HTML
    slots: tuple[Slot, Slot]
    swap: gr.Button
    desk: gr.State
    places: gr.JSON
    sheet: gr.HTML
    quality: gr.HTML
    tracing: gr.HTML
    talk: Talk
    table: gr.HTML
    examples: list[gr.Dataset]
    beats: gr.HTML
    trend: Panel
    test: gr.Button
    proof: gr.HTML
    marks: gr.HTML
    waves: gr.HTML
    keep: dict[str, gr.Button]
    handed: gr.HTML
    clock: gr.Timer
    line: gr.HTML
    turn: gr.Timer


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
        two = _slot(
            "Comparison ECG", "the first, earlier one; optional", "other",
            [NO_COMPARISON, *names], NO_COMPARISON,
        )  # fmt: skip
        swap = gr.Button("⇄ Swap", size="sm", scale=0, min_width=70, elem_id="swap")
        one = _slot(
            "This ECG", "the second, later one of two", "this", names,
            names[0] if names else None,
        )  # fmt: skip
    desk = gr.State(Desk(), time_to_live=KEPT_S)
    places = gr.JSON(visible=False)
    with gr.Row(elem_id="view"):
        with gr.Column(min_width=0, elem_id="look"):
            sheet = _paper("strips", "paper")
            quality = _html(elem_id="quality")
            tracing = _html(elem_id="tracing")
        with gr.Column(min_width=0, elem_id="numbers"):
            table = _html(measurement_html(None, None), elem_id="measurements")
        with gr.Row(elem_id="said"):
            with gr.Column(min_width=0, elem_id="answers-box"):
                chat, line, earlier = _answers()
            with gr.Column(min_width=0, elem_id="tested"):
                test = gr.Button(
                    "Would the question alone give this answer?", size="sm", elem_id="depends"
                )
                proof = _html(elem_id="proof")
    with gr.Accordion("Median beats, overlaid and aligned on R", open=False, elem_id="median"):
        beats = _paper("beats", "beats")
    trend = trend_panel(names)
    examples = _examples()
    marks, waves = (
        gr.HTML(
            [], html_template="<div></div>", js_on_load=TELL_PAPER % event,
            apply_default_css=False, elem_id=elem_id,
        )
        for elem_id, event in (("marks", "ecg-evidence"), ("waves", "ecg-waves"))
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
    talk = _ask_bar(chat, earlier)
    return Screen(
        status, (one, two), swap, desk, places, sheet, quality, tracing, talk, table, examples,
        beats, trend, test, proof, marks, waves, keep, handed, gr.Timer(0.7), line,
        gr.Timer(2, active=False),
    )  # fmt: skip


def _heading(loader: ModelLoader) -> gr.HTML:
    with gr.Row(elem_id="top"):
        _html(
            f'<h1>ECG question answering</h1><p id="intended-use">{html.escape(INTENDED_USE)}</p>'
            f'<a id="api" href="{API_DESCRIPTION}">HTTP API</a>'
            '<button type="button" id="keys-button" aria-haspopup="dialog">Keys: ?</button>',
            elem_id="title",
        )
        return _html(status_html(loader), elem_id="status")


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


def _slot(title: str, which: str, elem_id: str, choices: list[str], value: str | None) -> Slot:
    """The controls that choose one ECG: gallery, upload, and what a text file may leave unsaid."""
    with gr.Column(min_width=300, elem_id=elem_id, elem_classes="slot"):
        _html(f"<h2>{title} <small>{which}</small></h2>")
        with gr.Row(elem_classes="slot-row"):
            pick = gr.Dropdown(
                choices, value=value, label=f"{title} from the gallery", show_label=False,
                container=False, elem_id=f"{elem_id}-pick", min_width=130, scale=4,
                allow_custom_value=False,
            )  # fmt: skip
            upload = gr.File(
                label=f"{title}: upload a file, .hea and .dat, or a scan", show_label=False,
                file_count="multiple", height=44, elem_id=f"{elem_id}-upload", min_width=130,
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


def _answers() -> tuple[gr.Chatbot, gr.HTML, gr.HTML]:
    chat = gr.Chatbot(
        label="Answers", show_label=False, height=None, elem_id="answers", buttons=["copy"],
        layout="panel", feedback_options=None, latex_delimiters=[], allow_tags=False,
        placeholder="Ask about the ECG. Every answer names the recordings it used.",
    )  # fmt: skip
    line = gr.HTML("", apply_default_css=False, elem_id="line", visible=False)
    return chat, line, _html(elem_id="earlier")


def _ask_bar(chat: gr.Chatbot, earlier: gr.HTML) -> Talk:
    """What is needed to ask, always in sight at the lower edge."""
    with gr.Row(elem_id="ask-bar"):
        question = gr.Textbox(
            label="Question", show_label=False, container=False, lines=1, max_lines=4, scale=8,
            placeholder="Is there an old inferior infarct?",
            min_width=150, elem_id="question", max_length=100_000,
        )  # fmt: skip
        ask_button = gr.Button("Ask", variant="primary", scale=0, min_width=64, elem_id="ask")
        stop_button = gr.Button("Stop", scale=0, min_width=64, elem_id="stop")
        about = gr.Radio(
            [BY_WORDING, THIS_ONLY, BOTH], value=BY_WORDING, label="The question is about",
            container=False, scale=0, elem_id="about", min_width=200,
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
