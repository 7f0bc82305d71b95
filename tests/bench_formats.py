"""How exactly each format comes back, and what the real files of these formats hold.

    ECGQA_DATA=folder python tests/bench_formats.py

One simulated ECG in every format: the step of the format, the largest error, the rate. Then every
real file: length, rate, how far the limb leads miss Einthoven's and Goldberger's laws, or why it is
refused.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from test_archive import one_of_each

from ecgqa.formats import read_ecg
from ecgqa.gallery.simulate import simulate
from ecgqa.record import LEADS, EcgFileError

FOLDERS = ("philips_sierra_xml", "hl7_aecg", "text_columns")


def main() -> None:
    """Prints both tables."""
    signal = simulate("normal").ecg.signal_mv
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'format':12}{'step uV':>9}{'error uV':>10}{'rate Hz':>9}  leads missing")
        for kind, (path, given, step_mv) in one_of_each(Path(folder), signal).items():
            ecg = read_ecg(path, **given)
            error_uv = np.abs(ecg.signal_mv - signal).max() * 1000
            row = f"{kind:12}{step_mv * 1000:9.2f}{error_uv:10.2f}{ecg.rate_hz:9.0f}"
            print(row, "", len(ecg.missing_leads))
    data = Path(os.environ["ECGQA_DATA"]) / "formats"
    print(f"\n{'file':36}{'s':>6}{'Hz':>6}{'I+III-II':>10}{'aVR':>8}{'aVL':>8}{'aVF':>8}  uV, most")
    for path in (p for name in FOLDERS for p in sorted((data / name).iterdir())):
        if path.name in ("LICENSE", "readme.txt"):
            continue
        given = {"rate_hz": 500, "units": "uV"} if path.suffix == ".txt" else {}
        try:
            ecg = read_ecg(path, **given)
        except EcgFileError as error:
            print(f"{path.name:36}refused: {error}")
            continue
        one, two, three, avr, avl, avf = ecg.signal_mv[:6] * 1000
        off = (one + three - two, avr + (one + two) / 2, avl - (one - three) / 2)
        off = [np.nanmax(np.abs(row)) for row in (*off, avf - (two + three) / 2)]
        numbers = "".join(f"{value:8.1f}" for value in off)
        print(f"{path.name:36}{ecg.seconds:6.2f}{ecg.rate_hz:6.0f}  {numbers}", *ecg.notes)
        assert len(ecg.missing_leads) < len(LEADS)


if __name__ == "__main__":
    main()
