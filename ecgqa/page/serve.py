"""How the page is built and served: locally, nothing shared, recorded or fetched from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr
from gradio.themes import Base as Theme

from ecgqa.gallery.gallery import Gallery
from ecgqa.page.endpoints import add_endpoints
from ecgqa.page.loader import ModelLoader
from ecgqa.page.parts import lay_out
from ecgqa.page.spoken import spoken
from ecgqa.page.wiring import wire

SESSIONS = 64  # of so many gradio keeps what they were last shown
STYLE = Path(__file__).parent.parent / "paper" / "paper.css"


def build(assistant_factory: Callable, gallery: Gallery) -> gr.Blocks:
    """The page and its four endpoints; starts to load the model in the background.

    assistant_factory: called once with a progress callable (text, fraction | None); returns an
        `EcgAssistant`. gallery: the recordings to choose from.
    """
    loader = ModelLoader(assistant_factory, spoken)
    with gr.Blocks(
        title="ECG question answering",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(600, 600),
    ) as page:
        wire(page, lay_out(list(gallery.names()), loader), gallery, loader)
        add_endpoints(loader, gallery)
    loader.start()
    return page


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
