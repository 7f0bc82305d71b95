"""GE CardioSoft XML files, as the carts of the CASE and CardioSoft families export them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS

STEP_MV = 0.005


def block(
    tag: str, signal_mv: np.ndarray, names: Sequence[str] = LEADS, rate_hz: float = 500
) -> str:
    """StripData (the rhythm) or MedianSamples (the calculated beat)."""
    steps = np.round(signal_mv / STEP_MV).astype(int)
    waves = "".join(
        f'<WaveformData lead="{name}">\n\t{",".join(map(str, row))}\n</WaveformData>'
        for name, row in zip(names, steps, strict=True)
    )
    return (
        f"<{tag}><NumberOfLeads>{len(names)}</NumberOfLeads>"
        f'<SampleRate units="Hz">{rate_hz:g}</SampleRate>'
        f"<ChannelSampleCountTotal>{steps.shape[1]}</ChannelSampleCountTotal>"
        f'<Resolution units="uVperLsb">5</Resolution>{waves}</{tag}>'
    )


def write_cardiosoft(path: Path, *blocks: str, encoding: str = "iso-8859-1") -> Path:
    text = (
        f'<?xml version="1.0" encoding="{encoding}" ?>\n<CardiologyXML>'
        "<ObservationType>RestECG</ObservationType>"
        f"<RestingECGMeasurements><VentricularRate>60</VentricularRate></RestingECGMeasurements>"
        f"{''.join(blocks)}</CardiologyXML>\n"
    )
    path.write_text(text, encoding=encoding)
    return path
