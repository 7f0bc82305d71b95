"""Which control of the panel "Trend" does what: the steps of `trend`, bound to its parts."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ecgqa.formats import read_ecg
from ecgqa.gallery.gallery import Gallery
from ecgqa.page import looking, trend
from ecgqa.page.parts import Screen
from ecgqa.page.site import Site
from ecgqa.page.spoken import in_plain_words
from ecgqa.page.trend_panel import Panel
from ecgqa.page.trend_view import charts_html, left_out_html, list_html
from ecgqa.page.uploads import still_here, take
from ecgqa.page.wiring import PRIVATE, QUIET, empty_after, file_of, rows
from ecgqa.record import ECG, EcgFileError

WHAT_WAS_TOLD = """
(told, ...others) => [
  JSON.parse(document.querySelector("#trend-list").dataset.told ?? "null"), ...others,
];
"""

# Each is short, and answered before the next one begins: what is told last is drawn last.
IN_TURN: dict[str, Any] = {"concurrency_id": "trend", "concurrency_limit": 1}


def wire_trend(site: Site, screen: Screen, gallery: Gallery, chosen: gr.State) -> None:
    """All events of the panel. chosen: changes when something was laid on the paper."""
    panel = screen.trend
    drawn = [panel.points, panel.charts]

    def draw(desk) -> tuple[str, str]:
        return list_html(desk.trend), charts_html(desk.trend)

    def read(files: Sequence[Path]) -> ECG:
        return site.workbench.within(site.caps.read_s, read_ecg, files)

    def upload(files, desk):
        left_out = trend.add_files(desk, take(still_here(files)), read)
        return desk, left_out_html(left_out), *draw(desk)

    def pick(name, desk):
        if not name:
            return gr.skip()
        return desk, None, left_out_html(trend.add_named(desk, name, gallery.open)), *draw(desk)

    def add_shown(desk):
        looking.present(desk.ecgs[0] or desk.ecgs[1])
        return desk, left_out_html(trend.add_ecgs(desk, desk.ecgs[::-1])), *draw(desk)

    def forget(desk):
        desk.forget_trend()
        return desk, "", *draw(desk)

    def keep(desk):
        if not desk.trend:
            raise EcgFileError("There is no recording in the trend.")
        return file_of("trend", "csv", trend.trend_csv(desk.trend).encode("utf-8-sig")), desk

    added: dict[str, Any] = {**PRIVATE, "show_progress": "minimal"}
    uploaded = panel.upload.upload(
        in_plain_words(upload), [panel.upload, screen.desk],
        [screen.desk, panel.left_out, *drawn], **{**added, "trigger_mode": "multiple"},
    )  # fmt: skip
    empty_after(uploaded, panel.upload)
    panel.pick.change(
        in_plain_words(pick), [panel.pick, screen.desk],
        [screen.desk, panel.pick, panel.left_out, *drawn], **added,
    )  # fmt: skip
    panel.shown.click(
        in_plain_words(add_shown), screen.desk, [screen.desk, panel.left_out, *drawn], **added
    )
    panel.forget.click(
        in_plain_words(forget), screen.desk, [screen.desk, panel.left_out, *drawn], **QUIET
    )
    given = panel.keep.click(
        in_plain_words(keep), screen.desk, [screen.handed, screen.desk], **added
    )
    given.success(lambda: None, outputs=screen.handed, **QUIET)
    _wire_told(screen, panel, chosen)


def _wire_told(screen: Screen, panel: Panel, chosen: gr.State) -> None:
    """What was typed in the list, or pressed there or on a chart."""
    picks = [slot.pick for slot in screen.slots]
    outputs = [
        screen.desk, panel.points, panel.charts, chosen, *(slot.unsaid for slot in screen.slots),
        *picks,
    ]  # fmt: skip

    def told(what, desk):
        if not what:
            return gr.skip()
        skipped = [gr.skip()] * 5
        # What was typed last counts, whatever was pressed.
        moved = trend.edit(desk, what["rows"], float(what["turn"]))
        do = what["do"]
        if do.startswith("lay-"):
            place = int(do[-1])
            trend.lay(desk, what["key"], place)
            boxes: list[Any] = [gr.skip(), gr.skip()]
            boxes[place] = looking.box_of(desk, place)
            return desk, gr.skip(), gr.skip(), secrets.token_hex(8), *rows(desk), *boxes
        if do == "edit":
            points = list_html(desk.trend) if moved else gr.skip()
            return desk, points, charts_html(desk.trend), *skipped
        if do == "remove":
            trend.remove(desk, what["key"])
        else:
            trend.move(desk, what["key"], -1 if do == "up" else 1)
        return desk, list_html(desk.trend), charts_html(desk.trend), *skipped

    for part in (panel.points, panel.charts):
        part.select(
            in_plain_words(told), [screen.places, screen.desk], outputs, js=WHAT_WAS_TOLD,
            **{**QUIET, "trigger_mode": "multiple", **IN_TURN},
        )  # fmt: skip
