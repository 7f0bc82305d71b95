"""The sampling rate that a column or variable of times shows."""

from __future__ import annotations

import numpy as np

from ecgqa.formats.recording import MAX_RATE_HZ, MIN_RATE_HZ
from ecgqa.record import EcgFileError

_SECONDS = {"s": 1.0, "m": 1e-3, "u": 1e-6, "μ": 1e-6, "µ": 1e-6}


def rate_shown_by(
    times: np.ndarray, unit: str | None, other_hz: float | None, where: str
) -> tuple[float | None, tuple[str, ...]]:
    """The sampling rate in Hz, None where the times cannot tell, and remarks.

    times: float [n], evenly spaced. unit: "s", "ms" or "us" in any spelling, None where not stated.
    other_hz: a rate known from elsewhere, used where there is no unit to tell.
    where: what the times are, for the message ("The time column of demo.csv").
    Raises EcgFileError when the times are not evenly spaced.
    """
    n = len(times)
    step = (times[-1] - times[0]) / (n - 1) if n > 1 else np.nan
    ideal = times[0] + step * np.arange(n) if n else times
    if not (np.isfinite(times).all() and step > 0 and np.abs(times - ideal).max() <= 1.5 * step):
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
            for u in ("s", "ms", "us")
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
