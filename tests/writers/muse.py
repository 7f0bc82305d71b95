"""GE MUSE XML files, laid out as GE's own carts and archives export them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS

STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def waveform(
    signal_mv: np.ndarray,
    names: Sequence[str] = LEADS,
    kind: str = "Rhythm",
    base: float = 500,
    exponent: int = 0,
    step_uv: float = 4.88,
    lines: int = 76,
    written_out: bool = False,
) -> str:
    """One Waveform element of the given leads."""
    leads = []
    for name, row in zip(names, signal_mv, strict=True):
        samples = np.round(row * 1000 / step_uv).astype("<i2")
        data = base64.b64encode(samples.tobytes()).decode()
        data = "\n".join(data[k : k + lines] for k in range(0, len(data), lines))
        if written_out:
            data = ",".join(map(str, samples))
        leads.append(
            "<LeadData>"
            f"<LeadByteCountTotal>{samples.nbytes}</LeadByteCountTotal>"
            "<LeadTimeOffset>0</LeadTimeOffset>"
            f"<LeadSampleCountTotal>{samples.size}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{step_uv}</LeadAmplitudeUnitsPerBit>"
            "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
            "<LeadHighLimit>32767</LeadHighLimit><LeadLowLimit>-32768</LeadLowLimit>"
            f"<LeadID>{name}</LeadID><LeadOffsetFirstSample>0</LeadOffsetFirstSample>"
            "<FirstSampleBaseline>0</FirstSampleBaseline><LeadSampleSize>2</LeadSampleSize>"
            "<LeadOff>FALSE</LeadOff><BaselineSway>FALSE</BaselineSway>"
            f"<WaveFormData>{data}\n</WaveFormData></LeadData>\n"
        )
    return (
        f"<Waveform><WaveformType>{kind}</WaveformType><WaveformStartTime>0</WaveformStartTime>"
        f"<NumberofLeads>{len(leads)}</NumberofLeads><SampleType>CONTINUOUS_SAMPLES</SampleType>"
        f"<SampleBase>{base:g}</SampleBase><SampleExponent>{exponent}</SampleExponent>"
        f"<HighPassFilter>1</HighPassFilter>{''.join(leads)}</Waveform>\n"
    )


def write_muse(
    path: Path,
    *waveforms: str,
    encoding: str = "iso-8859-1",
    stated: str | None = None,
    doctype: str = '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">',
) -> Path:
    """encoding: of the bytes; stated: what the first line says, the same where None."""
    text = (
        f'<?xml version="1.0" encoding="{stated or encoding.removesuffix("-sig")}"?>\n{doctype}\n'
        "<RestingECG><MuseInfo><MuseVersion>8.0</MuseVersion></MuseInfo>"
        "<PatientDemographics><PatientLastName>Müller</PatientLastName></PatientDemographics>"
        f"{''.join(waveforms)}</RestingECG>\n"
    )
    path.write_bytes(text.encode(encoding))
    return path
