"""The controls of the panel "Trend"; what they do is wired in `ecgqa.page.trend_wiring`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ecgqa.page import trend
from ecgqa.page.trend_view import list_html


@dataclass(frozen=True)
class Panel:
    """Controls of the trend. points, charts: its list, and what is drawn of it."""

    upload: gr.File
    pick: gr.Dropdown
    shown: gr.Button
    left_out: gr.HTML
    points: gr.HTML
    charts: gr.HTML
    keep: gr.Button
    forget: gr.Button


def trend_panel(names: list[str]) -> Panel:
    """The panel, closed. names: of the gallery's recordings."""
    script = (Path(__file__).parent / "trend.js").read_text(encoding="utf-8")

    def part(value: str, elem_id: str) -> gr.HTML:
        return gr.HTML(value, js_on_load=script, apply_default_css=False, elem_id=elem_id)

    with gr.Accordion("Trend: several ECGs of one patient", open=False, elem_id="trend"):
        gr.HTML(
            f'<p class="hint">{trend.SAID_TO_BE_OF_ONE} At most {trend.MOST} recordings; the first '
            "ten seconds of each are measured. Files of several can be added at once.</p>"
        )
        with gr.Row(elem_id="trend-bar"):
            upload = gr.File(
                label="Add files to the trend", file_count="multiple", height=90,
                elem_id="trend-upload", min_width=220, scale=3,
            )  # fmt: skip
            pick = gr.Dropdown(
                names, value=None, label="Add from the gallery", elem_id="trend-pick",
                min_width=200, scale=3, allow_custom_value=False,
            )  # fmt: skip
            shown = gr.Button("Add the ECGs on the paper", size="sm", elem_id="trend-shown")
            keep = gr.Button("Trend as CSV", size="sm", elem_id="trend-csv")
            forget = gr.Button("Forget the trend", size="sm", elem_id="trend-forget")
        left_out = gr.HTML(elem_id="trend-left-out")
        points = part(list_html([]), "trend-list")
        charts = part("", "trend-charts")
    return Panel(upload, pick, shown, left_out, points, charts, keep, forget)
