"""Measure every ECG of a PTB-XL folder once: the truth behind questions about intervals.

    python -m training.data.intervals --ptbxl DIR --ecgqa DIR --out FILE.csv

One row per ECG with the six features of ECG-QA in ms, empty where `ecgqa.measure` cannot tell. An
algorithm's numbers, not a cardiologist's: what the model learns of intervals is to agree with them.
"""

from __future__ import annotations

import csv
from pathlib import Path

from ecgqa.measure import measure
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.questions import RANGES_MS


def main() -> None:
    """Write the table, the splits of ECG-QA only."""
    parser = command_line(__doc__, "ptbxl", "ecgqa")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    split = ptbxl.splits(data, args.ecgqa)
    rows = [i for name in ("test", "valid", "train") for i in split[name]]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ecg_id", *RANGES_MS])
        for done, i in enumerate(rows):
            m = measure(ptbxl.read_plain(data.folder / data.path[i]))
            values = (m.rr_ms, m.p_ms, m.pr_ms, m.qrs_ms, m.qt_ms, m.qtc_ms.get("Bazett"))
            row = [round(v, 1) if v is not None else "" for v in values]
            writer.writerow([data.ecg_id[i], *row])
            if done % 1000 == 0:
                print(f"measured {done}/{len(rows)}", flush=True)
    part.rename(args.out)


if __name__ == "__main__":
    main()
