"""How the page is built and served: locally, nothing shared, recorded or fetched from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base as Theme

from ecgqa.answer.assistant import EcgAssistant
from ecgqa.gallery.gallery import Gallery
from ecgqa.page.caps import Caps
from ecgqa.page.endpoints import add_endpoints
from ecgqa.page.examples import EXAMPLES
from ecgqa.page.loader import ModelLoader
from ecgqa.page.parts import lay_out
from ecgqa.page.site import Site
from ecgqa.page.spoken import spoken
from ecgqa.page.trend_wiring import wire_trend
from ecgqa.page.wiring import wire

SESSIONS = 64  # of so many gradio keeps what they were last shown
HERE = Path(__file__).parent
STYLES = [HERE / "page.css", HERE / "trend.css", HERE.parent / "paper" / "paper.css"]


def build(
    assistant_factory: Callable[..., EcgAssistant], gallery: Gallery, caps: Caps | None = None
) -> Site:
    """The page and its four endpoints; starts to load the model in the background.

    assistant_factory: called once with a progress callable (text, fraction | None); returns an
        `EcgAssistant`. gallery: the recordings to choose from. caps: the limits on requests.
    """
    loader = ModelLoader(assistant_factory, spoken)
    with gr.Blocks(
        title="ECG question answering",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(600, 600),
    ) as page:
        site = Site(page, loader, caps or Caps())
        screen = lay_out(list(gallery.names()), loader)
        wire_trend(site, screen, gallery, wire(site, screen, gallery))
        add_endpoints(site, gallery)
    loader.start()
    return site


def keys_script() -> str:
    """The JavaScript of the page's keys, with the example questions that they walk through."""
    questions = json.dumps([text for texts in EXAMPLES.values() for text in texts])
    keys = (HERE / "keys.js").read_text(encoding="utf-8")
    return f"() => {{\nconst QUESTIONS = {questions};\n{keys}}}"


def launch_settings() -> dict[str, Any]:
    """How the page is served: locally, nothing shared, nothing recorded, nothing from outside."""
    system = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
    return {
        "share": False, "show_error": False, "run_history": False,
        "state_session_capacity": SESSIONS, "enable_monitoring": False, "mcp_server": False,
        "ssr_mode": False, "pwa": False,
        "footer_links": [], "inbrowser": False, "css_paths": STYLES,
        "js": keys_script(),
        "theme": Theme(
            primary_hue="blue", neutral_hue="slate", radius_size="sm", spacing_size="sm",
            font=system, font_mono=("ui-monospace", "DejaVu Sans Mono", "monospace"),
        ).set(  # the theme's own blue is too light for white letters (WCAG 2 AA: 4.5 to 1)
            button_primary_background_fill="#1d4ed8", button_primary_background_fill_dark="#1d4ed8",
            button_primary_background_fill_hover="#1e40af",
            button_primary_background_fill_hover_dark="#1e40af",
        ),
    }  # fmt: skip
