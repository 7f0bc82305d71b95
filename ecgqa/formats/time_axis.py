"""The sampling rate that a column or variable of times shows."""

from __future__ import annotations

import numpy as np

from ecgqa.formats.recording import MAX_RATE_HZ, MIN_RATE_HZ
from ecgqa.record import EcgFileError

_SECONDS = {"s": 1.0, "m": 1e-3, "u": 1e-6, "μ": 1e-6, "µ": 1e-6, "n": 1e-9}
_ROUGHLY = 0.05  # by which the mean rate of packets may differ from the one that is stated


def rate_shown_by(
    times: np.ndarray, unit: str | None, other_hz: float | None, where: str
) -> tuple[float | None, tuple[str, ...]]:
    """The sampling rate in Hz, None where the times cannot tell, and remarks.

    times: float [n], evenly spaced. unit: "s", "ms", "us" or "ns" in any spelling, or None.
    other_hz: a rate known from elsewhere, used where there is no unit to tell.
    where: what the times are, for the message ("The time column of demo.csv").
    Raises EcgFileError when the times are not evenly spaced, but for those of a radio's packets,
    where many samples share a time and `other_hz` is known.
    """
    n = len(times)
    step = (times[-1] - times[0]) / (n - 1) if n > 1 else np.nan
    ideal = times[0] + step * np.arange(n) if n else times
    if not (np.isfinite(times).all() and step > 0 and np.abs(times - ideal).max() <= 1.5 * step):
        if _are_of_packets(times, unit, other_hz):
            note = f"{where} tells when packets arrived; the rate of {other_hz:g} Hz was used."
            return other_hz, (note,)
        raise EcgFileError(
            f"{where} has gaps, repeats or steps back, so the recording is not one continuous ECG."
        )
    notes: tuple[str, ...] = ()
    if unit is None:
        # Without a unit only one reading can give the rate of an ECG: the ranges do not overlap.
        # Except a plain count 0, 1, 2, ...: that may be milliseconds or just the line number.
        if step == 1:
            return other_hz, ()
        fits = [
            u
            for u in ("s", "ms", "us", "ns")
            if MIN_RATE_HZ <= 1 / (step * _SECONDS[u[0]]) <= MAX_RATE_HZ
        ]
        if len(fits) != 1:
            return other_hz, ()
        unit = fits[0]
        notes = (f"{where} has no unit; its steps fit only {unit}.",)
    rate_hz = 1 / (step * _SECONDS[unit[0]])
    # Times are written with few digits: 360.01 is 360.
    whole = round(rate_hz)
    return (float(whole) if whole and abs(rate_hz - whole) < 1e-3 * rate_hz else rate_hz), notes


def _are_of_packets(times: np.ndarray, unit: str | None, other_hz: float | None) -> bool:
    """Whether most samples share their time with the one before, at about the rate known."""
    steps = np.diff(times)
    if unit is None or other_hz is None or not (np.isfinite(times).all() and (steps >= 0).all()):
        return False
    seconds = float(times[-1] - times[0]) * _SECONDS[unit[0]]
    # Late packets are usual, lost ones are a gap: the samples would be fewer than the time.
    as_expected = abs(len(steps) - seconds * other_hz) <= _ROUGHLY * len(steps)
    return bool((steps == 0).mean() > 0.5) and as_expected
