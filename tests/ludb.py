"""Cardiologists' marks of LUDB (Kalyakulina et al. 2020, doi 10.1109/ACCESS.2020.3029211)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import wfdb

from ecgqa.record import ECG, LEADS

SYMBOLS = {"p": "p", "N": "qrs", "t": "t"}
WITHIN_S = 0.15  # a wave is found when its peak is at most this far from a marked one
FEWEST_LEADS = 6  # in which a wave is marked, for a mark of all leads together

# One wave a row: onset, peak and offset in seconds, NaN where it was not marked.
Marks = dict[str, np.ndarray]


def records(folder: Path) -> list[str]:
    """Names of the records, in order of number."""
    return sorted((path.stem for path in folder.glob("*.hea")), key=int)


def fibrillating(folder: Path) -> set[str]:
    """Names of the records that the cardiologists called atrial fibrillation."""
    with (folder.parent / "ludb.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["ID"].strip() for row in rows if "fibrillation" in row["Rhythms"]}


def read(folder: Path, name: str) -> ECG:
    """One record as an `ECG`."""
    record = wfdb.rdrecord(str(folder / name))
    order = [lead.lower() for lead in record.sig_name]
    columns = [order.index(lead.lower()) for lead in LEADS]
    return ECG(record.p_signal[:, columns].T, record.fs, name)


def marks(folder: Path, name: str) -> dict[str, Marks]:
    """Lead → wave ("p", "qrs", "t") → [k, 3] s."""
    out = {}
    for lead in LEADS:
        note = wfdb.rdann(str(folder / name), lead.lower())
        rows: dict[str, list[list[float]]] = {wave: [] for wave in SYMBOLS.values()}
        symbols = ["", *note.symbol, ""]
        times = [np.nan, *(note.sample / note.fs), np.nan]
        for k, symbol in enumerate(symbols):
            if symbol in SYMBOLS:
                on = times[k - 1] if symbols[k - 1] == "(" else np.nan
                off = times[k + 1] if symbols[k + 1] == ")" else np.nan
                rows[SYMBOLS[symbol]].append([on, times[k], off])
        out[lead] = {wave: np.array(found).reshape(-1, 3) for wave, found in rows.items()}
    return out


def together(leads: dict[str, Marks], extreme: bool = False) -> Marks:
    """Waves of at least `FEWEST_LEADS` leads as one: [k, 3] s, the medians over the leads.

    extreme: onset the second earliest and offset the second latest instead, as near as marks
        with the jitter of a hand come to the earliest onset and latest offset of the AHA.
    """
    out = {}
    for wave in SYMBOLS.values():
        rows = np.concatenate([found[wave] for found in leads.values()])
        rows = rows[np.isfinite(rows[:, 1])]
        rows = rows[rows[:, 1].argsort()]
        groups: list[list[np.ndarray]] = []
        for row in rows:
            if groups and row[1] - np.median([other[1] for other in groups[-1]]) < WITHIN_S / 2:
                groups[-1].append(row)
            else:
                groups.append([row])
        found = []
        for group in map(np.array, groups):
            if len(group) < FEWEST_LEADS:
                continue
            middle = np.nanmedian(group, axis=0)
            if extreme:
                on, off = np.sort(group[:, 0]), -np.sort(-group[:, 2])
                middle = np.array([on[1], middle[1], off[1]])
            found.append(middle)
        out[wave] = np.array(found).reshape(-1, 3)
    return out


def pairs(found: np.ndarray, marked: np.ndarray) -> list[tuple[int, int]]:
    """Which found wave is which marked one: (row, row), nearest peaks first, each used once."""
    if len(found) == 0 or len(marked) == 0:
        return []
    far = np.abs(found[:, 1][:, None] - marked[:, 1][None])
    out = []
    while (far <= WITHIN_S).any():
        i, j = np.unravel_index(np.nanargmin(far), far.shape)
        out.append((int(i), int(j)))
        far[i], far[:, j] = np.inf, np.inf
    return out


def inside(found: np.ndarray, marked: np.ndarray, qrs: np.ndarray) -> np.ndarray:
    """Of the found waves [m, 3] those where waves were marked: only inner beats are.

    Where none of this kind was marked, those between the first and the last marked QRS.
    """
    span = marked if len(marked) else qrs
    if len(span) == 0:
        return found[:0]
    first, last = span[:, 1].min() - WITHIN_S, span[:, 1].max() + WITHIN_S
    return found[(found[:, 1] >= first) & (found[:, 1] <= last)]
