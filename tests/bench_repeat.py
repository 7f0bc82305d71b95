"""How well the measurements repeat: the two halves of one recording, measured apart.

    python tests/bench_repeat.py PTBXL_FOLDER [RECORDINGS]

Prints, for each measurement, the difference that 95 % of the recordings stay within: the limit from
which `ecgqa.measure.numbers` says that something changed between two ECGs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ecgqa import ECG, measure
from ecgqa.measure.numbers import MEASURED
from training.data import ptbxl


def main() -> None:
    """Command line."""
    folder, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600
    data = ptbxl.load(folder)
    signals = ptbxl.signals(data, ".work/cache")
    found: dict[str, list[float]] = {row.label: [] for row in MEASURED}
    for i in np.random.default_rng(0).choice(len(data.ecg_id), count, replace=False):
        halves = np.split(np.asarray(signals[i], np.float32), 2, axis=1)
        first, second = (measure(ECG(half, 100.0, "half")) for half in halves)
        for row in MEASURED:
            change = row.change(row.value(second), row.value(first))
            if change is not None:
                found[row.label].append(change)
    for row in MEASURED:
        size = np.abs(found[row.label])
        print(
            f"{row.label:18s} n {len(size)}: 95 % within {row.text(np.quantile(size, 0.95))} "
            f"{row.unit}, median {row.text(np.median(size))}; stated {row.repeats_within}"
        )


if __name__ == "__main__":
    main()
