"""`Grid`: the squares of ECG paper in a picture, where they are, how large, how far turned.

The lines of the paper are found as periodic patterns: a projection of the picture along the lines
has peaks in its Fourier spectrum at the multiples of one frequency, however faint each line is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy import ndimage

MAX_TURN_DEG = 6.0
"""How far a picture may be turned."""
MIN_PX_PER_MM = 2.6
"""Below about 65 dpi a trace is thinner than a pixel and its waves cannot be measured."""
MAX_SQUARE_PX = 160.0
_LARGE_MM = 5.0
_MOST_LARGE = 110  # squares across: more than any sheet has of 5 mm, fewer than it has of 1 mm
_MIN_SQUARES = 20  # across the sheet: 10 cm, or the lines are those of a table
_LINE_DARKNESS = 0.25  # darker than this is not made to count more: traces and letters
_SOFT_PX = 0.8
_MIN_PEAK = 6.0  # of the spectrum over its median; text pages and photos stay below in x or y


@dataclass(frozen=True)
class Grid:
    """The paper in a levelled picture.

    px_per_mm_x, px_per_mm_y: scale along the time axis and along the voltage axis.
    box: left, top, right, bottom of the squares, pixels.
    """

    px_per_mm_x: float
    px_per_mm_y: float
    box: tuple[int, int, int, int]


def even_light(picture: np.ndarray) -> np.ndarray:
    """Divides each colour by that of the blank paper around: uint8 [h, w, 3], paper white.

    picture: uint8 [h, w, 3]. The blank paper is the 90th percentile in blocks of 1/32 of the width,
    smoothed: shadows and coloured paper go, lines and traces stay.
    """
    height, width, _ = picture.shape
    block = max(16, width // 32)
    rows, columns = -(-height // block), -(-width // block)
    padding = ((0, rows * block - height), (0, columns * block - width), (0, 0))
    blocks = np.pad(picture, padding, mode="edge").reshape(rows, block, columns, block, 3)
    paper = np.percentile(blocks, 90, axis=(1, 3)).astype(np.float32)
    paper = ndimage.median_filter(paper, size=(3, 3, 1), mode="nearest")
    paper = ndimage.gaussian_filter(paper, sigma=(0.7, 0.7, 0), mode="nearest")
    out = np.empty_like(picture)
    for channel in range(3):
        wide = Image.fromarray(np.maximum(paper[..., channel], 40.0), mode="F")
        wide = wide.resize((columns * block, rows * block), Image.Resampling.BILINEAR)
        level = np.asarray(wide)[:height, :width]
        out[..., channel] = np.minimum(picture[..., channel] * (255.0 / level), 255.0)
    return out


def level(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Turns a picture so that the lines of its grid run along rows and columns.

    picture: uint8 [h, w, 3], evenly lit.
    Returns the levelled picture, same shape, and the turn in degrees.
    """
    lines = line_darkness(picture)
    flat, flat_clear = _slope(lines)
    upright, upright_clear = _slope(lines.T)
    # A turned sheet has both slopes alike with opposite signs; where not, the clearer one decides.
    if abs(flat + upright) > np.tan(np.deg2rad(0.5)):
        if flat_clear >= upright_clear:
            upright = -flat
        else:
            flat = -upright
    if max(abs(flat), abs(upright)) < 1e-4:
        return picture, 0.0
    height, width, _ = picture.shape
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    turned = Image.fromarray(picture).transform(
        (width, height),
        Image.Transform.AFFINE,
        (1.0, upright, -upright * middle_y, flat, 1.0, -flat * middle_x),
        Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )
    return np.asarray(turned), float(np.rad2deg(np.arctan(flat)))


def line_darkness(picture: np.ndarray) -> np.ndarray:
    """How dark each pixel is in its darkest colour, float32 [h, w], capped at that of a line."""
    darkest = 1.0 - picture.min(axis=2) / np.float32(255.0)
    capped: np.ndarray = np.minimum(darkest, np.float32(_LINE_DARKNESS))
    return capped


def find_grid(picture: np.ndarray) -> Grid | None:
    """The grid of a levelled, evenly lit picture, uint8 [h, w, 3]; None where there is none."""
    lines = line_darkness(picture)
    across, down = lines.mean(axis=0), lines.mean(axis=1)
    found_x, found_y = _period(across), _period(down)
    if found_x is None or found_y is None:
        return None
    ratio = max(found_x / found_y, found_y / found_x)
    if ratio > 1.05 and abs(ratio / _LARGE_MM - 1) > 0.03:
        # Rows of traces or letters may be as regular as the squares: what both axes show, counts.
        if (same := _near(down, found_x)) is not None:
            found_y = same
        elif (same := _near(across, found_y)) is not None:
            found_x = same
    # Each axis may have shown its small or its large squares.
    square_x, square_y = found_x, found_y
    if abs(square_y / square_x / _LARGE_MM - 1) < 0.03:
        square_x *= _LARGE_MM
    elif abs(square_x / square_y / _LARGE_MM - 1) < 0.03:
        square_y *= _LARGE_MM
    if not 0.75 < square_x / square_y < 1.33:
        return None
    box = _box(lines, found_x, found_y)
    n_squares = (box[2] - box[0]) / square_x
    if n_squares < _MIN_SQUARES:
        return None
    unit_mm = _LARGE_MM if n_squares < _MOST_LARGE else 1.0
    return Grid(square_x / unit_mm, square_y / unit_mm, box)


def _slope(lines: np.ndarray) -> tuple[float, float]:
    """Slope of the lines that run along the rows, and how clear it is.

    The picture is cut into narrow strips side by side; for the right slope their projections,
    shifted by it, add up coherently.
    """
    height, width = lines.shape
    edges = np.linspace(0, width, 49).astype(int)
    strips = np.stack([lines[:, a:b].mean(axis=1) for a, b in pairwise(edges)])
    strips = strips - strips.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(strips * np.hanning(height), axis=1)
    frequency = np.fft.rfftfreq(height)
    band = (frequency > 1 / MAX_SQUARE_PX) & (frequency < 1 / 2.5)
    spectrum, frequency = spectrum[:, band], frequency[band]
    middles = (edges[:-1] + edges[1:]) / 2 - (width - 1) / 2

    def clarity(slope: float) -> float:
        turn = np.exp(2j * np.pi * np.outer(middles, frequency) * slope)
        return float((np.abs((spectrum * turn).sum(axis=0)) ** 4).sum())

    steepest = np.tan(np.deg2rad(MAX_TURN_DEG))
    coarse = np.linspace(-steepest, steepest, 121)
    scores = np.array([clarity(slope) for slope in coarse])
    best = coarse[scores.argmax()]
    step = coarse[1] - coarse[0]
    fine = np.linspace(best - step, best + step, 41)
    best = fine[int(np.argmax([clarity(slope) for slope in fine]))]
    return float(best), float(scores.max() / (np.median(scores) + 1e-30))


def _spectrum(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (1/px) and amplitudes of a projection, finely sampled."""
    smooth = ndimage.gaussian_filter1d(profile, 60, mode="nearest")
    # The spectrum of lines one pixel wide is flat: softened, its lowest multiples stand out.
    soft = ndimage.gaussian_filter1d(profile, _SOFT_PX, mode="nearest")
    shape = (soft - smooth) * np.hanning(profile.size)
    n = 8 * int(2 ** np.ceil(np.log2(profile.size)))
    return np.fft.rfftfreq(n), np.abs(np.fft.rfft(shape, n))


def _period(profile: np.ndarray) -> float | None:
    """Distance of the lines in pixels, None where the profile is not periodic."""
    frequency, amplitude = _spectrum(profile)
    lowest, highest = 1 / MAX_SQUARE_PX, 0.45
    band = (frequency > lowest) & (frequency < highest)
    strongest = frequency[band][amplitude[band].argmax()]
    typical = np.median(amplitude[band])
    if typical <= 0 or amplitude[band].max() < _MIN_PEAK * typical:
        return None
    width = 1.5 / profile.size  # half the width of a line of the spectrum

    def explained(base: float) -> float:
        """Amplitude at the multiples of a frequency over what the neighbourhood has anyway."""
        total = 0.0
        for multiple in base * np.arange(1, int(highest / base) + 1):
            near = np.abs(frequency - multiple)
            around = amplitude[(near > width) & (near < max(4 * width, 0.4 * base))]
            total += max(float(amplitude[near < width].max() ** 2 - np.mean(around**2)), 0.0)
        return total

    whole = {k: explained(strongest / k) for k in range(1, 6) if strongest / k > lowest}
    # The largest frequency whose multiples explain nearly all that any other's do.
    divisor = min(k for k, value in whole.items() if value > 0.75 * max(whole.values()))
    base = strongest / divisor
    # Lines rounded to whole pixels repeat exactly only with every second one.
    pair = np.array([base, 2 * base])
    there = np.interp(pair, frequency, amplitude) * np.exp(2 * (np.pi * _SOFT_PX * pair) ** 2)
    if there[1] > 2 * there[0]:
        base *= 2
    return _refined(base, frequency, amplitude)


def _near(profile: np.ndarray, period: float) -> float | None:
    """The period of a profile within 3 % of a given one, None where it has none there."""
    frequency, amplitude = _spectrum(profile)
    band = (frequency > 1 / MAX_SQUARE_PX) & (frequency < 0.45)
    near = np.abs(frequency * period - 1) < 0.03
    if amplitude[near].max(initial=0.0) < _MIN_PEAK * np.median(amplitude[band]):
        return None
    return _refined(float(frequency[near][amplitude[near].argmax()]), frequency, amplitude)


def _refined(base: float, frequency: np.ndarray, amplitude: np.ndarray) -> float:
    """The period, in pixels, near that of a frequency whose multiples are strongest together."""
    candidates = base * (1 + np.linspace(-0.01, 0.01, 401))
    orders = np.arange(1, max(1, int(min(0.45, 10.5 * base) / base)) + 1)
    at = np.interp(np.outer(candidates, orders).ravel(), frequency, amplitude)
    scores = (at.reshape(candidates.size, -1) ** 2).sum(axis=1)
    return float(1 / candidates[scores.argmax()])


def _box(lines: np.ndarray, period_x: float, period_y: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the area where the lines are."""
    left, right = _extent(lines.T, period_y)
    top, bottom = _extent(lines[:, left:right], period_x)
    return left, top, right, bottom


def _extent(lines: np.ndarray, period: float) -> tuple[int, int]:
    """First and last row of the picture in which the lines across the rows show."""
    height, width = lines.shape
    step = max(4, round(period / 2))
    n = height // step
    blocks = lines[: n * step].reshape(n, step, width).mean(axis=1)
    blocks = blocks - ndimage.uniform_filter1d(blocks, max(3, round(2 * period)), axis=1)
    orders = np.arange(1, max(1, min(5, int(0.45 * period))) + 1)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(width), orders) / period)
    strength = ndimage.median_filter(np.abs(blocks @ wave).sum(axis=1), size=5, mode="nearest")
    inside = np.flatnonzero(strength > 0.3 * np.percentile(strength, 95))
    return int(inside[0] * step), int((inside[-1] + 1) * step)
