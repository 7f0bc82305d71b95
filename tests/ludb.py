"""Cardiologists' marks of LUDB (Kalyakulina et al. 2020, doi 10.1109/ACCESS.2020.3029211)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb

from ecgqa.record import ECG, LEADS


def records(folder: Path) -> list[str]:
    """Names of the records, in order of number."""
    return sorted((path.stem for path in folder.glob("*.hea")), key=int)


def read(folder: Path, name: str) -> ECG:
    """One record as an `ECG`."""
    record = wfdb.rdrecord(str(folder / name))
    order = [lead.lower() for lead in record.sig_name]
    columns = [order.index(lead.lower()) for lead in LEADS]
    return ECG(record.p_signal[:, columns].T, record.fs, name)


def marked_ms(folder: Path, name: str, fewest: int = 30) -> dict[str, float]:
    """Median over beats and leads of the marked intervals; only those with `fewest` marks."""
    marks: dict[str, list[float]] = {"pr_ms": [], "qrs_ms": [], "qt_ms": []}
    for lead in LEADS:
        note = wfdb.rdann(str(folder / name), lead.lower())
        step_ms = 1000 / note.fs
        on: dict[str, float] = {}
        for k, symbol in enumerate(note.symbol):
            if symbol not in "pNt" or k == 0 or note.symbol[k - 1] != "(":
                continue
            start_ms = note.sample[k - 1] * step_ms
            ends = k + 1 < len(note.symbol) and note.symbol[k + 1] == ")"
            end_ms = note.sample[k + 1] * step_ms if ends else None
            if symbol == "p":
                on = {"p": start_ms}
            elif symbol == "N":
                if "p" in on:
                    marks["pr_ms"].append(start_ms - on["p"])
                if end_ms is not None:
                    marks["qrs_ms"].append(end_ms - start_ms)
                on = {"qrs": start_ms}
            elif "qrs" in on and end_ms is not None:
                marks["qt_ms"].append(end_ms - on.pop("qrs"))
    return {key: float(np.median(found)) for key, found in marks.items() if len(found) >= fewest}
