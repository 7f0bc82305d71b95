"""EDF, EDF+C, EDF+D and BDF files, also such as no proper library would write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS


@dataclass
class Signal:
    """One channel: label, unit, physical values [n] and samples per record."""

    label: str
    unit: str
    values: np.ndarray
    per_record: int
    span: tuple[float, float] = (-10.0, 10.0)
    steps: tuple[int, int] = (-32768, 32767)


@dataclass
class Written:
    """Header fields that may be overwritten, and when each record began (EDF+)."""

    record_s: float = 1.0
    onsets_s: Sequence[float] | None = None
    discontinuous: bool = False
    bdf: bool = False
    main: dict[str, str] = field(default_factory=dict)


def leads_as_signals(
    signal_mv: np.ndarray, names=LEADS, per_record: int = 250, unit: str = "mV", bdf: bool = False
) -> list[Signal]:
    """The leads of one ECG, spanning ±8 mV in 16 bits, or ±100 mV in 24."""
    factor = {"mV": 1.0, "uV": 1e3, "V": 1e-3, "nV": 1e6}.get(unit, 1.0)
    span_mv, steps = (100.0, (-(2**23), 2**23 - 1)) if bdf else (8.0, (-32768, 32767))
    span = (-span_mv * factor, span_mv * factor)
    return [
        Signal(name, unit, row.astype(float) * factor, per_record, span, steps)
        for name, row in zip(names, signal_mv, strict=True)
    ]


def step_mv(bdf: bool = False) -> float:
    return 200.0 / (2**24 - 1) if bdf else 16.0 / 65535


def write_edf(path: Path, signals: Sequence[Signal], how: Written | None = None) -> Path:
    how = how or Written()
    kind = "BDF" if how.bdf else "EDF"
    n_records = min(s.values.size // s.per_record for s in signals)
    columns = []
    for s in signals:
        low, high = s.span
        steps = (s.values - low) / (high - low) * (s.steps[1] - s.steps[0]) + s.steps[0]
        raw = np.round(steps)[: n_records * s.per_record].astype("<i4")
        raw = raw.reshape(n_records, s.per_record)
        octets = raw.view(np.uint8).reshape(n_records, s.per_record, 4)
        columns.append(octets[:, :, : 3 if how.bdf else 2].reshape(n_records, -1))
    rows = [(s.label, "", s.unit, *s.span, *s.steps, "", s.per_record, "") for s in signals]
    if how.onsets_s is not None:
        width = 60
        notes = [f"+{at:g}\x14\x14\0".encode().ljust(width, b"\0") for at in how.onsets_s]
        columns.append(np.frombuffer(b"".join(notes[:n_records]), np.uint8).reshape(-1, width))
        low, high = (-(2**23), 2**23 - 1) if how.bdf else (-32768, 32767)
        label = f"{kind} Annotations"
        rows.append((label, "", "", -1, 1, low, high, "", width // (3 if how.bdf else 2), ""))
    plus = f"{kind}+{'D' if how.discontinuous else 'C'}" if how.onsets_s is not None else ""
    fields = {
        "version": "\xffBIOSEMI" if how.bdf else "0",
        "patient": "X F 02-AUG-1951 Doe_Jane",
        "recording": "Startdate X X X X",
        "date": "02.08.51",
        "time": "12.00.00",
        "n_bytes": str(256 * (len(rows) + 1)),
        "reserved": plus or ("24BIT" if how.bdf else ""),
        "n_records": str(n_records),
        "record_s": f"{how.record_s:g}",
        "n_signals": str(len(rows)),
    } | how.main
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
    head = "".join(v[:w].ljust(w) for v, w in zip(fields.values(), widths, strict=True))
    for column, width in enumerate((16, 80, 8, 8, 8, 8, 8, 80, 8, 32)):
        head += "".join(_text(row[column])[:width].ljust(width) for row in rows)
    path.write_bytes(head.encode("latin-1") + np.concatenate(columns, axis=1).tobytes())
    return path


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.8g}"
