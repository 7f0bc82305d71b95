"""How well printed ECGs are digitised: PTB-XL printed in many ways, read back and compared.

    python -m tests.bench_digitise --data FOLDER [--n 60] [--first 0] [--out FOLDER]

FOLDER holds `ptbxl500` (500 Hz). Prints one line per printout and, over all leads, the median
correlation with the true signal and the median error of the peak-to-peak amplitude.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import wfdb

from ecgqa.digitise import digitise
from ecgqa.record import ECG, LEADS, EcgFileError
from tests.printouts import Style, printout, style


def ptbxl500(data: Path) -> list[ECG]:
    found = []
    for header in sorted((data / "ptbxl500").glob("*.hea")):
        record = wfdb.rdrecord(str(header.with_suffix("")))
        order = [[n.upper() for n in record.sig_name].index(lead.upper()) for lead in LEADS]
        found.append(ECG(record.p_signal.T[order], record.fs, header.stem))
    return found


def compare(truth_mv: np.ndarray, read_mv: np.ndarray) -> tuple[float, float, float]:
    """Correlation, relative error of the peak-to-peak amplitude, and share that was read.

    Both float [n] mV at one rate, NaN where nothing was printed or read.
    """
    n = min(len(truth_mv), len(read_mv))
    truth_mv, read_mv = truth_mv[:n], read_mv[:n]
    printed = np.isfinite(truth_mv)
    both = printed & np.isfinite(read_mv)
    if both.sum() < 100:
        return 0.0, 1.0, 0.0
    truth, read = truth_mv[both], read_mv[both]
    r = float(np.corrcoef(truth, read)[0, 1]) if read.std() > 0 and truth.std() > 0 else 0.0
    error = abs(np.ptp(read) / np.ptp(truth) - 1)
    return r, float(error), float(both.sum() / printed.sum())


def lag_ms(truth_mv: np.ndarray, read_mv: np.ndarray, rate_hz: float = 500.0) -> float:
    """How much later the reading is than the truth, by the best correlation within 40 ms."""
    n = min(len(truth_mv), len(read_mv))
    truth_mv, read_mv = truth_mv[:n], read_mv[:n]
    both = np.isfinite(truth_mv) & np.isfinite(read_mv)
    at = np.flatnonzero(both)[25:-25]
    truth = truth_mv[at] - truth_mv[at].mean()
    read = np.interp(np.arange(len(read_mv)), np.flatnonzero(both), read_mv[both])
    lags = np.arange(-20, 21)
    shifted = [read[np.clip(at + lag, 0, len(read) - 1)] for lag in lags]
    return float(
        lags[int(np.argmax([np.corrcoef(truth, s)[0, 1] for s in shifted]))] * 1e3 / rate_hz
    )


def styles(seed: int) -> Style:
    if seed % 10 == 8:
        return style(seed, grid=(6, 2), strips=("II",) if seed % 20 == 8 else ())
    if seed % 10 == 9:
        return style(seed, grid=(12, 1), strips=())
    return style(seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path.home() / "ecg-data")
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    ecgs = ptbxl500(args.data)
    every: list[tuple[float, float, float]] = []
    refused, seconds = 0, []
    for seed in range(args.first, args.first + args.n):
        looks = styles(seed)
        print_ = printout(ecgs[seed % len(ecgs)], looks, seed)
        start = time.perf_counter()
        try:
            read = digitise(print_.picture)
        except EcgFileError as error:
            refused += 1
            print(f"{seed:3d} REFUSED {error} {looks}")
            if args.out:
                print_.save(args.out / f"{seed}.png")
            every += [(0.0, 1.0, 0.0)] * len(print_.leads_mv)
            continue
        seconds.append(time.perf_counter() - start)
        scores = []
        for lead, truth_mv in print_.leads_mv.items():
            read_mv = read.leads_mv.get(lead, np.full(truth_mv.size, np.nan))
            scores.append(compare(truth_mv, read_mv))
        every += scores
        r, error, share = np.array(scores).T
        lag = np.median(
            [lag_ms(t, read.leads_mv[k]) for k, t in print_.leads_mv.items() if k in read.leads_mv]
        )
        if args.out:
            (args.out / f"{seed}.png").write_bytes(read.tracing_png)
        bad = [
            f"{lead} {one[0]:.2f}/{one[1]:.2f}"
            for lead, one in zip(print_.leads_mv, scores, strict=True)
            if one[0] < 0.9 or one[1] > 0.1 or one[2] < 0.9
        ]
        print(
            f"{seed:3d} r {np.median(r):.3f} (least {r.min():.2f}) lag {lag:+.0f} ms "
            f"amplitude {np.median(error):.3f} (most {error.max():.2f}) read {share.min():.2f} "
            f"{seconds[-1]:.1f} s | {looks.paper} {looks.dpi:.0f} dpi {looks.grid} {looks.strips} "
            f"pulse {looks.pulse} squares {looks.small_squares} separator {looks.separator} "
            f"labels {looks.labels} turn {looks.turn_deg:.1f} jpeg {looks.jpeg} "
            f"line {looks.line_mm:.2f} | {read.notes[0]} {read.notes[2]} | {bad}",
            flush=True,
        )
    r, error, share = np.array(every).T
    print(
        f"{args.n} printouts, {refused} refused, {len(every)} leads: median r {np.median(r):.4f}, "
        f"r >= 0.95 in {100 * np.mean(r >= 0.95):.1f} %, median amplitude error "
        f"{100 * np.median(error):.2f} %, within 5 % in {100 * np.mean(error <= 0.05):.1f} %, "
        f"median time {np.median(seconds):.1f} s, most {np.max(seconds):.1f} s"
    )


if __name__ == "__main__":
    main()
