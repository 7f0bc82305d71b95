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
from ecgqa.measure import Measurements, measure
from ecgqa.measure.by_hand import marks_of, moved
from ecgqa.page.desk import NO_COMPARISON, Desk
from ecgqa.page.html import measurement_html, quality_html, tracing_html
from ecgqa.page.talk import conversation
from ecgqa.paper import drawing as paper
from ecgqa.record import ECG, EcgFileError

KEPT_S = 1200  # a session's ECGs are forgotten after 20 minutes without use, or when it is closed


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
    this, other = names
    return "".join(
        f'<div class="quality-line"><span class="warn">{place}: {html.escape(name)} could not be '
        "read, so there is none.</span></div>"
        for place, name in (("Comparison ECG", other), ("This ECG", this))
        if name
    )


def choose(desk: Desk, place: int, name: str, gallery: Gallery) -> bool:
    """Put an ECG of the gallery, or none, in its place.

    False: a newer one was asked for, or that is what lies there: the box was filled by an exchange.
    """
    if desk.picked[place] == name:
        return False
    turn = desk.turn(place, name)
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


def box_of(desk: Desk, place: int) -> str | None:
    """What the gallery's box of a place says: None where what lies there came another way."""
    name = desk.picked[place]
    return None if place == 0 and name == NO_COMPARISON else name or None


def quality_of(desk: Desk, ecgs: Iterable[ECG | None]) -> str:
    """Of the ten seconds that are asked about, as the answers' own judgement is."""
    this, other = (
        seen and ecg and replace(seen, name=placed(seen, ecg))
        for ecg, seen in zip(ecgs, desk.drawn.seen, strict=True)
    )
    judged = quality_html((other, this))
    return judged + refused_html(desk.refused)


def draw(desk: Desk) -> tuple[Any, ...]:
    """The paper, and the answers about the recordings on it.

    Returns the drawing's id, the paper's data, quality, picture, chat and folded answers.
    """
    drawing = secrets.token_hex(8)
    ecgs = desk.draw(drawing)
    strips = [
        {**paper.payload(ecg), "start_s": seen.start_s - ecg.start_s} if ecg and seen else None
        for ecg, seen in zip(ecgs, desk.drawn.seen, strict=True)
    ]
    shown = {"kind": "strips", "drawing": drawing, "ecgs": strips}
    return drawing, shown, quality_of(desk, ecgs), tracing_html(ecgs[::-1]), *conversation(desk)


def walk(desk: Desk, to: dict | None) -> str | None:
    """Ten other seconds of a long recording, where the paper's sliders stand: their quality.

    None: another drawing is on its way to the page. Raises EcgFileError where there is no ECG.
    """
    present(desk.drawn.seen[0] or desk.drawn.seen[1])
    ecgs = tuple(desk.ecgs)
    return quality_of(desk, ecgs) if desk.walk(to) else None


def measured(desk: Desk) -> list[Measurements | None]:
    """What was measured on both ECGs, with the marks that were moved by hand."""
    found = [measure(ecg) if ecg else None for ecg in desk.drawn.seen]
    return [m and moved(m, marks) for m, marks in zip(found, desk.by_hand, strict=True)]


def measure_both(desk: Desk) -> tuple[str, dict, list[dict]]:
    """The table of what was measured, the median beats, and the waves of every beat.

    Beats whose marks were moved by hand bring where the algorithm found them ("found").
    """
    seen, found = desk.drawn.seen, measured(desk)
    pairs = [(i, ecg, m) for i, (ecg, m) in enumerate(zip(seen, found, strict=True)) if ecg and m]
    beats = []
    for place, ecg, m in pairs:
        beat = paper.beat_payload(ecg, m, found[0] if place else None)
        found_at = marks_of(measure(ecg)) if m.by_hand else None
        beats.append(beat and {**beat, "place": place, "found": found_at})
    desk.beats = secrets.token_hex(8)
    shown = {"kind": "beats", "id": desk.beats, "ecgs": beats}
    return measurement_html(*found), shown, [paper.waves(i, ecg, m) for i, ecg, m in pairs]


def move_marks(desk: Desk, to: dict | None) -> str | None:
    """Marks that were moved by hand on the median beats: the table of what follows from them.

    to: the beats' id, and of each place the marks in seconds. None: other beats are on their way.
    """
    if to is None or not desk.move_marks(to["id"], to["marks"]):
        return None
    try:
        return measurement_html(*measured(desk))
    except EcgFileError:
        desk.by_hand = [{}, {}]
        raise
