"""Readable or not, against people's verdicts; reversed limb electrodes; time per ECG.

    python tests/bench_quality.py DATA_FOLDER [--fit]

DATA_FOLDER holds cinc2011, ptbxl and ludb. Prints, of the CinC Challenge 2011: balanced accuracy
with a 95 % bootstrap interval as the limits are shipped, at other sampling rates and lengths, and
by 10-fold cross-validation in which the limits are chosen anew on the other nine folds. Of PTB-XL
(every 50th ECG) and LUDB: the share declared unreadable; cardiologists read all of them. Of
PTB-XL's folds 9 and 10 (every second ECG): how often electrodes that were swapped by calculation
are suspected. --fit prints `quality.FROM_CHEST`, from every 8th ECG of folds 1 to 8.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import wfdb
from scipy import ndimage
from scipy.signal import resample_poly
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.model_selection import StratifiedKFold

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ludb
from electrodes import SWAPS, swapped

from ecgqa import ECG
from ecgqa.measure import quality
from ecgqa.measure.quality import assess

LIMITS = {
    "JUMP_MV": (6.0, 10.0, 15.0),
    "WANDER_LOST_MV": (2.5, 4.0, 6.0),
    "NOISE_LOST_MV": (0.08, 0.1, 0.15),
    "JUMP_SHARE": (0.1, 0.2, 0.3),
}
NOISES = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")


def share(hits: np.ndarray) -> str:
    """Percent with its 95 % interval (Wilson 1927) and n."""
    if len(hits) == 0:
        return "none of them"
    low, high = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return f"{100 * hits.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f}; n = {len(hits)})"


def cinc2011(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Signals [12, n] mV at 500 Hz, and whether people found them unacceptable."""
    with (folder / "quality.csv").open() as file:
        rows = list(csv.DictReader(file))
    signals = [
        np.loadtxt(folder / f"{row['record']}.txt", delimiter=",", dtype=np.int32)[:, 1:].T * 0.005
        for row in rows
    ]
    return signals, np.array([row["quality"] == "unacceptable" for row in rows])


def unreadable(signals: list[np.ndarray], rate_hz: float) -> np.ndarray:
    """Verdicts on signals [12, n] mV."""
    return np.array([not assess(ECG(signal, rate_hz, "")).acceptable for signal in signals])


def accuracy(bad: np.ndarray, found: np.ndarray) -> str:
    """Balanced accuracy and its parts; unacceptable is the positive class."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(bad), len(bad)) for _ in range(2000)]
    low, high = np.quantile(
        [balanced_accuracy_score(bad[d], found[d]) for d in draws], [0.025, 0.975]
    )
    return (
        f"balanced accuracy {balanced_accuracy_score(bad, found):.3f} ({low:.3f} to {high:.3f}), "
        f"sensitivity {recall_score(bad, found):.3f}, "
        f"specificity {recall_score(bad, found, pos_label=False):.3f}, n = {len(bad)}"
    )


def cross_validated(signals: list[np.ndarray], bad: np.ndarray) -> np.ndarray:
    """Verdicts [n] with limits that were chosen without the record's own fold."""
    shipped = {name: getattr(quality, name) for name in LIMITS}
    verdicts = []
    for values in itertools.product(*LIMITS.values()):
        for name, value in zip(LIMITS, values, strict=True):
            setattr(quality, name, value)
        verdicts.append(unreadable(signals, 500))
    for name, value in shipped.items():
        setattr(quality, name, value)
    found = np.zeros(len(bad), bool)
    for fit, held in StratifiedKFold(10, shuffle=True, random_state=0).split(bad, bad):
        best = max(verdicts, key=lambda one: balanced_accuracy_score(bad[fit], one[fit]))
        found[held] = best[held]
    return found


def ptbxl(folder: Path, rows: list[dict[str, str]]) -> Iterator[np.ndarray]:
    """Signals [12, 1000] mV at 100 Hz."""
    for row in rows:
        record = wfdb.rdrecord(str(folder / row["filename_lr"]))
        assert isinstance(record, wfdb.Record) and record.p_signal is not None
        yield record.p_signal.T


def fitted(signals: Iterator[np.ndarray]) -> np.ndarray:
    """[2, 6]: I and II from V1-V6 by least squares, each ECG scaled to the same power."""
    inner, outer = np.zeros((6, 6)), np.zeros((6, 2))
    for signal in signals:
        signal = signal - ndimage.uniform_filter1d(signal, 61, axis=1)
        signal /= np.sqrt(np.mean(signal**2))
        inner += signal[6:] @ signal[6:].T
        outer += signal[6:] @ signal[:2].T
    return np.linalg.solve(inner, outer).T


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit", action="store_true")
    args = parser.parse_args()
    folder = args.folder / "ptbxl"
    with (folder / "ptbxl_database.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if args.fit:
        early = [row for row in rows if int(row["strat_fold"]) <= 8][::8]
        print(fitted(ptbxl(folder, early)).round(3), "from", len(early), "ECGs")
        return

    signals, bad = cinc2011(args.folder / "cinc2011")
    started = time.process_time()
    found = unreadable(signals, 500)
    each_ms = 1000 * (time.process_time() - started) / len(signals)
    print(
        f"CinC 2011, as shipped: {accuracy(bad, found)}; {each_ms:.1f} ms of processor time per ECG"
    )
    print(f"  cross-validated limits: {accuracy(bad, cross_validated(signals, bad))}")
    for up, down in ((1, 5), (1, 2), (2, 1)):
        other = [resample_poly(s - s[:, :1], up, down, axis=1, padtype="line") for s in signals]
        print(f"  at {500 * up // down} Hz: {accuracy(bad, unreadable(other, 500 * up / down))}")
    for seconds in (2.5, 5):
        short = [signal[:, : round(500 * seconds)] for signal in signals]
        print(f"  first {seconds} s: {accuracy(bad, unreadable(short, 500))}")

    some = rows[::50]
    found = unreadable(list(ptbxl(folder, some)), 100)
    print(f"PTB-XL, every 50th, unreadable: {share(found)}")
    complete = [row for row in rows if row["complete"] == "True"]
    for noise in NOISES:
        noted = [row for row in complete if row[noise].strip()]
        noted = noted[:: max(1, len(noted) // 200)]
        found = unreadable(list(ptbxl(folder, noted)), 100)
        print(f"  with {noise} noted by the cardiologist: {share(found)}")
    clean = [row for row in complete if not any(row[noise].strip() for noise in NOISES)][::20]
    print(f"  with none of these noted: {share(unreadable(list(ptbxl(folder, clean)), 100))}")
    files = args.folder / "ludb" / "data"
    ecgs = [ludb.read(files, name) for name in ludb.records(files)]
    print(f"LUDB, unreadable: {share(np.array([not assess(ecg).acceptable for ecg in ecgs]))}")

    late = [row for row in rows if int(row["strat_fold"]) > 8][::2]
    said: dict[str, list[str]] = {name: [] for name in SWAPS}
    for seed, signal in enumerate(ptbxl(folder, late)):
        for name, plugs in SWAPS.items():
            reasons = assess(ECG(swapped(signal, plugs, seed), 100, "")).reasons
            said[name].append(next((words for words in reasons if "reversed" in words), ""))
    for name, sentences in said.items():
        print(
            f"PTB-XL, swapped: {name}: suspected in {share(np.array([s != '' for s in sentences]))}"
        )
        for words in sorted(set(sentences) - {""}):
            print(f"    {sentences.count(words):5d}  {words}")


if __name__ == "__main__":
    main()
