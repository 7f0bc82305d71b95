"""Measurements against known truth, against cardiologists (LUDB, beside peers), PTB-XL's labels.

    pip install openecg onnxruntime
    python tests/bench_measure.py LUDB_FOLDER [PTBXL_FOLDER [RECORDINGS]]

Simulated ECGs: intervals within 8 ms of the truth, under white noise and at four rates of sampling.
LUDB: sensitivity and positive predictive value of P, QRS and T (peaks within 150 ms of marks, only
where beats were marked) and mean ± SD of the errors of onset and offset, in each lead by itself and
for all leads together. Marks of all leads together are their median; peers, which read one lead
at a time, are put together in the same way. openecg was trained on LUDB.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import neurokit2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ludb
from noise import noisy

from ecgqa import ECG, measure
from ecgqa.gallery.simulate import simulate
from ecgqa.record import LEADS
from training.data import ptbxl
from training.judge.evaluate import area

NAMES = {
    "p": ("p_on", "p_peak", "p_off"),
    "qrs": ("qrs_on", "r_peak", "qrs_off"),
    "t": ("t_on", "t_peak", "t_off"),
}
SIMULATED = (
    "normal", "left anterior fascicular block", "inferior myocardial infarction", "long qt",
    "first degree av block", "complete left bundle branch block",
    "complete right bundle branch block",
)  # fmt: skip
# A method: ECG -> waves of each lead, waves of all leads together.
Read = tuple[dict[str, ludb.Marks], ludb.Marks]
Method = Callable[[ECG], Read]


def _rows(beats: list) -> ludb.Marks:
    """Waves of beats as in `ludb.marks`."""
    out = {}
    for wave, names in NAMES.items():
        rows = np.array([[getattr(beat, name) for name in names] for beat in beats], float)
        rows = rows.reshape(-1, 3)
        out[wave] = rows[np.isfinite(rows[:, 1])]
    return out


def ours(ecg: ECG) -> Read:
    """`ecgqa.measure`."""
    beats = measure(ecg).beats
    leads = {lead: _rows([b.leads[lead] for b in beats if lead in b.leads]) for lead in LEADS}
    return leads, _rows(beats)


def neurokit(ecg: ECG, method: str) -> Read:
    """Each lead as neurokit2's documentation shows it."""
    rate, leads = int(ecg.rate_hz), {}
    for lead in LEADS:
        leads[lead] = {wave: np.zeros((0, 3)) for wave in NAMES}
        try:
            clean = neurokit2.ecg_clean(ecg.lead(lead).astype(float), sampling_rate=rate)
            peaks = neurokit2.ecg_peaks(clean, sampling_rate=rate)[1]["ECG_R_Peaks"]
            found = neurokit2.ecg_delineate(clean, peaks, sampling_rate=rate, method=method)[1]
        except (ValueError, IndexError, KeyError, ZeroDivisionError, TypeError):
            continue
        for wave, key in (("p", "P"), ("qrs", "R"), ("t", "T")):
            at = [found.get(f"ECG_{key}_{part}") for part in ("Onsets", "Peaks", "Offsets")]
            at[1] = peaks if wave == "qrs" else at[1]
            columns = [np.full(len(peaks), np.nan) if x is None else x for x in at]
            if len({len(x) for x in columns}) == 1:
                rows = np.array(columns, float).T / rate
                leads[lead][wave] = rows[np.isfinite(rows[:, 1])]
    return leads, ludb.together(leads)


@cache
def _codec():
    import openecg

    return openecg.load_codec_onnx()


def openecg_codec(ecg: ECG) -> Read:
    """openecg's network, its int8 ONNX form."""
    import openecg

    leads = {}
    for lead in LEADS:
        frame = openecg.encode(ecg.lead(lead).astype(float), 500, model=_codec()).frame
        leads[lead] = {}
        for wave, number in (("p", 1), ("qrs", 2), ("t", 3)):
            edges = np.flatnonzero(np.diff(np.pad((frame == number).astype(int), 1)))
            on, off = edges[::2] / 500, (edges[1::2] - 1) / 500
            rows = np.stack([on, (on + off) / 2, off], axis=1)
            leads[lead][wave] = rows[off - on > 0.02]
    return leads, ludb.together(leads)


METHODS: dict[str, Method] = {
    "ecgqa": ours,
    "neurokit2 dwt": lambda ecg: neurokit(ecg, "dwt"),
    "neurokit2 peak": lambda ecg: neurokit(ecg, "peak"),
    "neurokit2 prominence": lambda ecg: neurokit(ecg, "prominence"),
    "openecg": openecg_codec,
}


class Score:
    """Hits, errors and misses of one wave."""

    def __init__(self) -> None:
        self.hits = self.false = self.missed = 0
        self.on_ms: list[float] = []
        self.off_ms: list[float] = []

    def add(self, found: np.ndarray, marked: np.ndarray, qrs: np.ndarray) -> None:
        """Compare the waves of one lead of one record."""
        found = ludb.inside(found, marked, qrs)
        both = ludb.pairs(found, marked)
        self.hits += len(both)
        self.false += len(found) - len(both)
        self.missed += len(marked) - len(both)
        for i, j in both:
            self.on_ms.append(1000 * (found[i, 0] - marked[j, 0]))
            self.off_ms.append(1000 * (found[i, 2] - marked[j, 2]))

    def line(self) -> str:
        """In words."""
        se = 100 * self.hits / max(1, self.hits + self.missed)
        ppv = 100 * self.hits / max(1, self.hits + self.false)
        errors = []
        for values in (self.on_ms, self.off_ms):
            known = np.array(values)[np.isfinite(values)]
            errors.append(f"{known.mean():+6.1f} ± {known.std():5.1f}" if len(known) else " " * 14)
        return f"Se {se:6.2f} PPV {ppv:6.2f}  on {errors[0]}  off {errors[1]} ms  n {self.hits}"


def on_ludb(folder: Path) -> None:
    """All methods on all records, and the time of one record."""
    folder = folder / "data" if (folder / "data").exists() else folder
    names, fibrillating = ludb.records(folder), ludb.fibrillating(folder)
    seconds = {}
    for label, method in METHODS.items():
        whole = {wave: Score() for wave in NAMES}
        extreme = {wave: Score() for wave in NAMES}
        each = {lead: {wave: Score() for wave in NAMES} for lead in LEADS}
        pooled = {wave: Score() for wave in NAMES}
        seconds[label], false_p, beats = 0.0, 0, 0
        for name in names:
            ecg, marks = ludb.read(folder, name), ludb.marks(folder, name)
            started = time.perf_counter()
            leads, found = method(ecg)
            seconds[label] += time.perf_counter() - started
            middle, outer = ludb.together(marks), ludb.together(marks, extreme=True)
            for wave in NAMES:
                whole[wave].add(found[wave], middle[wave], middle["qrs"])
                extreme[wave].add(found[wave], outer[wave], outer["qrs"])
                for lead in LEADS:
                    for score in (each[lead][wave], pooled[wave]):
                        score.add(leads[lead][wave], marks[lead][wave], marks[lead]["qrs"])
            if name in fibrillating:
                false_p += len(found["p"])
                beats += len(found["qrs"])
        for wave in NAMES:
            print(f"{label:20s} {wave:3s} global         {whole[wave].line()}")
            print(f"{label:20s} {wave:3s} global, outer  {extreme[wave].line()}")
            print(f"{label:20s} {wave:3s} all leads      {pooled[wave].line()}")
            if label == "ecgqa":
                for lead in LEADS:
                    print(f"{label:20s} {wave:3s} {lead:14s} {each[lead][wave].line()}")
        print(f"{label:20s} false P in fibrillation: {false_p} at {beats} beats")
        print(f"{label:20s} {1000 * seconds[label] / len(names):.0f} ms per record", flush=True)
    ratio = seconds["neurokit2 dwt"] / seconds["ecgqa"]
    print(f"neurokit2 dwt on 12 leads takes {ratio:.1f} times as long as measure\n")


def on_simulated(seeds: int = 2) -> None:
    """Intervals over a grid of findings, rates, noise and rates of sampling."""
    errors: dict[tuple[str, int, str], list[float]] = {}
    grid = itertools.product(SIMULATED, (55, 75, 95), (100, 250, 500, 1000), range(seeds))
    for finding, rate_bpm, rate_hz, seed in grid:
        if (finding, rate_bpm) == ("first degree av block", 95):
            continue  # P lies on T there, and nobody can measure PR
        sim = simulate(finding, rate_hz=rate_hz, rate_bpm=rate_bpm, seed=seed)
        for noise_db in (10, 15, 20, 40):
            m = measure(noisy(sim.ecg, noise_db, 100 * rate_bpm + seed))
            width = "wide" if "bundle" in finding else "narrow"
            for name in ("pr_ms", "qrs_ms", "qt_ms"):
                value = getattr(m, name)
                error = np.nan if value is None else value - sim.truth[name]
                errors.setdefault((width, noise_db, name), []).append(error)
    for (width, noise_db, name), values in sorted(errors.items()):
        error = np.array(values)
        print(
            f"simulated, {width} QRS, {noise_db} dB, {name:6s} within 8 ms "
            f"{100 * (np.abs(error) <= 8).mean():5.1f} %, not found {np.isnan(error).sum()}, "
            f"{np.nanmean(error):+.1f} ± {np.nanstd(error):.1f}, "
            f"at most {np.nanmax(np.abs(error)):.0f} ms, n {len(error)}"
        )


def on_ptbxl(folder: Path, count: int) -> None:
    """What the 100 Hz recordings' labels say against what was measured."""
    import csv

    data = ptbxl.load(folder)
    with (folder / "ptbxl_database.csv").open(newline="", encoding="utf-8") as file:
        axis_of = {int(row["ecg_id"]): row["heart_axis"] for row in csv.DictReader(file)}
    rows = np.random.default_rng(0).permutation(len(data.ecg_id))[:count]
    score, fibrillating, agree = [], [], {}
    for i in rows:
        m, codes = measure(ptbxl.read_plain(data.folder / data.path[i])), set(data.codes[i])
        irregularity = m.irregularity if m.irregularity is not None else 0.0
        score.append(irregularity * (1.05 - (m.p_presence or 0.0)))
        fibrillating.append("AFIB" in codes)
        checks: list[tuple[str, float | None, float, float]] = []
        if "STACH" in codes:
            checks.append(("rate of STACH > 97", m.rate_bpm, 97, 300))
        if "SBRAD" in codes:
            checks.append(("rate of SBRAD < 63", m.rate_bpm, 0, 63))
        if "SR" in codes:
            checks.append(("rate of SR 47 to 113", m.rate_bpm, 47, 113))
        if codes & {"CLBBB", "CRBBB"}:
            checks.append(("QRS >= 120 in CLBBB/CRBBB", m.qrs_ms, 120, 400))
        if "NORM" in codes:
            checks.append(("QRS < 120 in NORM", m.qrs_ms, 0, 119.9))
        # PTB-XL's "left" seems to begin near +10, where its own labels part (read off them), and
        # not at -30: both limits are printed. None of the ranges overlap.
        for limit in (-30, 10):
            low_high = {"LAD": (-90, limit), "MID": (limit, 90), "RAD": (90, 180)}
            if (axis := axis_of[int(data.ecg_id[i])]) in low_high:
                for name in (axis, "LAD, MID, RAD"):
                    label = f"axis of {name}, left < {limit:+d}"
                    checks.append((label, m.qrs_axis_deg, *low_high[axis]))
        for label, value, low, high in checks:
            agree.setdefault(label, []).append(value is not None and low <= value <= high)
    auc = area(np.stack([fibrillating, score], axis=1))
    print(f"PTB-XL, {len(rows)} of {len(data.ecg_id)} recordings at 100 Hz")
    print(f"AUC of irregularity × (1.05 − p_presence) for AFIB {auc:.3f} (n {sum(fibrillating)})")
    for label, hits in sorted(agree.items()):
        print(f"{label:34s} {100 * np.mean(hits):5.1f} %  n {len(hits)}")


def main() -> None:
    """Command line."""
    warnings.simplefilter("ignore")
    on_simulated()
    on_ludb(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        on_ptbxl(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 25_000)


if __name__ == "__main__":
    main()
