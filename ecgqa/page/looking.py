"""Steps of a session that choose, read, draw and measure; none of them touches the model.

Each takes the session's `Desk`, changes it, and returns what the page shows of it. Nothing here
knows the screen library.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ecgqa.gallery.gallery import Gallery
from ecgqa.measure import measure
from ecgqa.page.desk import Desk
from ecgqa.page.html import measurement_html, quality_html, tracing_html
from ecgqa.page.talk import conversation
from ecgqa.paper import drawing as paper
from ecgqa.record import ECG, EcgFileError

KEPT_S = 1200  # a session's ECGs are forgotten after 20 minutes without use, or when it is closed
NO_COMPARISON = "None"


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


def refused_html(names: Iterable[str]) -> str:
    """A line for each place that is empty because what came for it could not be read."""
    places = zip(("This ECG", "Comparison ECG"), names, strict=True)
    return "".join(
        f'<div class="quality-line"><span class="warn">{place}: {html.escape(name)} could not be '
        "read, so there is none.</span></div>"
        for place, name in places
        if name
    )


def choose(desk: Desk, place: int, name: str, gallery: Gallery) -> bool:
    """Put an ECG of the gallery, or none, in its place; False: a newer one was asked for."""
    turn = desk.turn(place)
    try:
        ecg = gallery.open(name) if name != NO_COMPARISON else None
    except Exception:
        desk.refuse(place, turn, name)
        raise
    return desk.settle(place, turn, ecg)


def read(
    desk: Desk, place: int, take: Callable[[], list[tuple[str, bytes]]], name: str, read: Callable
) -> tuple[bool, str]:
    """Read a recording for a place: whether it is there or waits, and what the file leaves unsaid.

    take: gives the files, once; name: what they are called if they are refused; read: files → ECG.
    Rate and unit are asked for each file anew: what was typed for one says nothing of another.
    """
    turn = desk.turn(place)
    try:
        taken = take()
        try:
            ecg = read(taken)
        except EcgFileError as error:
            if not error.wants:
                raise
            return desk.wait_for_facts(place, turn, taken), str(error)
    except Exception:
        desk.refuse(place, turn, name)
        raise
    return desk.settle(place, turn, ecg), ""


def quality_of(desk: Desk, ecgs: Iterable[ECG | None]) -> str:
    """Of the ten seconds that are asked about, as the answers' own judgement is."""
    pairs = zip(ecgs, desk.drawn.seen, strict=True)
    judged = quality_html(
        seen and ecg and replace(seen, name=placed(seen, ecg)) for ecg, seen in pairs
    )
    return judged + refused_html(desk.refused)


def draw(desk: Desk) -> tuple[Any, ...]:
    """The paper, from the beginning of both recordings, and the answers about them.

    Returns the drawing's id, the paper's data, quality, picture, chat and folded answers.
    """
    drawing = secrets.token_hex(8)
    ecgs = desk.draw(drawing)
    strips = [paper.payload(ecg) if ecg else None for ecg in ecgs]
    shown = {"kind": "strips", "drawing": drawing, "ecgs": strips}
    return drawing, shown, quality_of(desk, ecgs), tracing_html(ecgs), *conversation(desk)


def walk(desk: Desk, to: dict | None) -> str | None:
    """Ten other seconds of a long recording, where the paper's sliders stand: their quality.

    None: another drawing is on its way to the page. Raises EcgFileError where there is no ECG.
    """
    present(desk.drawn.seen[0] or desk.drawn.seen[1])
    ecgs = tuple(desk.ecgs)
    return quality_of(desk, ecgs) if desk.walk(to) else None


def measure_both(desk: Desk) -> tuple[str, dict]:
    """The table of what was measured, and the median beats for the paper."""
    this, other = desk.drawn.seen
    found = [measure(ecg) if ecg else None for ecg in (this, other)]
    beats = [
        paper.beat_payload(ecg, m, None if ecg is this else found[0])
        for ecg, m in zip((this, other), found, strict=True)
        if ecg and m
    ]
    return measurement_html(*found), {"kind": "beats", "ecgs": beats}
