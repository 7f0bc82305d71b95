"""Intervals against cardiologists' marks (LUDB), ours beside neurokit2's, in one run.

    python tests/bench_measure.py LUDB_FOLDER

neurokit2 delineates lead II (its `dwt` method, medians over the beats), as its documentation shows;
`ecgqa.measure` reads all leads. Prints errors in ms, how many records could be measured, and time.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import neurokit2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ludb

from ecgqa import ECG, measure

INTERVALS = ("pr_ms", "qrs_ms", "qt_ms")


def ours(ecg: ECG) -> dict[str, float | None]:
    """From all leads."""
    found = measure(ecg)
    return {name: getattr(found, name) for name in INTERVALS}


def neurokit(ecg: ECG) -> dict[str, float | None]:
    """From lead II; None where a wave was not found in any beat."""
    rate = int(ecg.rate_hz)
    clean = neurokit2.ecg_clean(ecg.lead("II").astype(float), sampling_rate=rate)
    peaks = neurokit2.ecg_peaks(clean, sampling_rate=rate)[1]["ECG_R_Peaks"]
    waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=rate, method="dwt")[1]
    at = {key: np.asarray(values, float) for key, values in waves.items()}
    p_on, r_on, r_off, t_off = (
        at[f"ECG_{name}"] for name in ("P_Onsets", "R_Onsets", "R_Offsets", "T_Offsets")
    )
    out = {}
    for name, start, end in zip(INTERVALS, (p_on, r_on, r_on), (r_on, r_off, t_off), strict=True):
        value = np.nanmedian(end - start) * 1000 / rate
        out[name] = float(value) if np.isfinite(value) else None
    return out


def main() -> None:
    """Command line."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    folder = folder / "data" if (folder / "data").exists() else folder
    names = ludb.records(folder)
    for label, method in (("ecgqa", ours), ("neurokit2", neurokit)):
        errors: dict[str, list[float]] = {name: [] for name in INTERVALS}
        wanted, seconds = dict.fromkeys(INTERVALS, 0), 0.0
        for name in names:
            ecg, marks = ludb.read(folder, name), ludb.marked_ms(folder, name)
            started = time.perf_counter()
            try:
                found = method(ecg)
            except (ValueError, IndexError, KeyError, ZeroDivisionError):
                found = {}
            seconds += time.perf_counter() - started
            for key, truth in marks.items():
                wanted[key] += 1
                if (value := found.get(key)) is not None:
                    errors[key].append(value - truth)
        for key in INTERVALS:
            e = np.array(errors[key])
            print(
                f"{label:9s} {key:6s} {len(e)} of {wanted[key]} records: mean {e.mean():+.1f}, "
                f"SD {e.std():.1f}, median of |error| {np.median(np.abs(e)):.1f} ms"
            )
        print(f"{label:9s} {1000 * seconds / len(names):.0f} ms per record")


if __name__ == "__main__":
    main()
