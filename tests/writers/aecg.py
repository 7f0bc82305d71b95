"""HL7 aECG files, as the HL7 implementation guide describes them (Brown, Badilini, 2005)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS

_START = "20240131{:02d}{:02d}{:06.3f}"


def sequence_set(
    signal_mv: np.ndarray,
    names: Sequence[str] = LEADS,
    rate_hz: float = 500,
    step_uv: float = 2.5,
    origin_uv: float = 0.0,
    start_s: float | None = 0.0,
    time: str = "TIME_ABSOLUTE",
    unit: str = "uV",
) -> str:
    """Leads that were sampled together; start_s None leaves out when."""
    per_unit = {"uV": 1.0, "mV": 1e3, "nV": 1e-3}[unit]
    increment = f'<increment value="{1000 / rate_hz!r}" unit="ms"/>'
    head = ""
    if start_s is not None and time == "TIME_ABSOLUTE":
        stamp = _START.format(int(start_s // 3600), int(start_s // 60 % 60), start_s % 60)
        head = f'<head value="{stamp}"/>'
    elif start_s is not None:
        head = f'<head value="{start_s * 1000:g}" unit="ms"/>'
    kind = "GLIST_TS" if time == "TIME_ABSOLUTE" else "GLIST_PQ"
    parts = [f'<code code="{time}"/><value xsi:type="{kind}">{head}{increment}</value>']
    for name, row in zip(names, signal_mv, strict=True):
        digits = np.round((row * 1000 - origin_uv) / step_uv).astype(int)
        code = f"MDC_ECG_LEAD_{name.upper()}"
        parts.append(
            f'<code code="{code}" codeSystem="2.16.840.1.113883.6.24" codeSystemName="MDC"/>'
            '<value xsi:type="SLIST_PQ">'
            f'<origin value="{origin_uv / per_unit!r}" unit="{unit}"/>'
            f'<scale value="{step_uv / per_unit!r}" unit="{unit}"/>'
            f"<digits>{' '.join(map(str, digits))}</digits></value>"
        )
    inside = "\n".join(f"<component><sequence>{part}</sequence></component>" for part in parts)
    return f"<component><sequenceSet>{inside}</sequenceSet></component>"


def series(*sets: str, code: str = "RHYTHM", derived: str = "") -> str:
    """A series; derived: sets of its representative beat."""
    beat = ""
    if derived:
        beat = (
            '<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>'
            f"{derived}</derivedSeries></derivation>"
        )
    return f'<component><series><code code="{code}"/>{"".join(sets)}{beat}</series></component>'


def write_aecg(path: Path, *all_series: str, encoding: str = "utf-8") -> Path:
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n'
        '<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<id root="1.2"/>{"".join(all_series)}</AnnotatedECG>\n'
    )
    path.write_text(text, encoding=encoding)
    return path
