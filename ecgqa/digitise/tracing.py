"""`draw`: the picture with the digitised traces over it, for the user to compare."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MAX_WIDTH = 2000
_RED, _BLUE = (225, 0, 40), (0, 60, 200)


@dataclass(frozen=True, eq=False)
class Line:
    """A digitised lead on the picture: its name, and x, y [n] in pixels, NaN where nothing is."""

    name: str
    x: np.ndarray
    y: np.ndarray


def draw(picture: np.ndarray, lines: Sequence[Line]) -> bytes:
    """A PNG of the picture, paled, with the lines in red and their names in blue.

    picture: uint8 [h, w, 3]; at most `MAX_WIDTH` wide in the PNG.
    """
    height, width, _ = picture.shape
    scale = min(1.0, MAX_WIDTH / width)
    pale = Image.fromarray(255 - (255 - picture) // 2)
    if scale < 1:
        pale = pale.resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    pen = ImageDraw.Draw(pale)
    font = ImageFont.load_default(max(11, round(pale.width / 90)))
    for line in lines:
        x, y = (line.x + 0.5) * scale, (line.y + 0.5) * scale
        known = np.isfinite(y)
        for part in np.split(np.arange(len(y)), np.flatnonzero(np.diff(known)) + 1):
            if len(part) > 1 and known[part[0]]:
                points = np.column_stack([x[part], y[part]]).ravel().tolist()
                pen.line(points, fill=_RED, width=max(1, round(pale.width / 1600)))
        if known.any():
            at = (float(x[0]) + 2, float(np.nanpercentile(y, 50)) + pale.width / 200)
            pen.text(at, line.name, fill=_BLUE, font=font)
    out = io.BytesIO()
    pale.save(out, format="PNG", compress_level=2)
    return out.getvalue()
