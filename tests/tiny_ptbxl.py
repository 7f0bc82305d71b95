"""A made-up data set in PTB-XL's and ECG-QA's layout, small enough to train on in a test."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import wfdb

from ecgqa.record import LEADS
from training.data.questions import RANGES_MS, TEMPLATES
from training.data.wordings import load_wordings

SCP = {
    "NORM": ("NORM", 1, 0, 0), "LVH": ("HYP", 1, 0, 0), "IMI": ("MI", 1, 0, 0),
    "CLBBB": ("CD", 1, 0, 0), "NDT": ("STTC", 1, 1, 0), "PVC": ("", 0, 1, 0),
    "SR": ("", 0, 0, 1), "AFIB": ("", 0, 0, 1),
}  # fmt: skip


def write_ptbxl(folder: Path, patients: int = 160, seed: int = 0) -> tuple[Path, Path]:
    """Two ECGs per patient; findings leave a mark in the signal. Returns (ptbxl, ecgqa) folders."""
    rng = np.random.default_rng(seed)
    ptbxl, ecgqa = folder / "ptbxl", folder / "ecgqa"
    (ptbxl / "records100/00000").mkdir(parents=True)
    ecgqa.mkdir()
    with (ptbxl / "scp_statements.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "description", "diagnostic", "form", "rhythm", "diagnostic_class"])
        writer.writerows([c, c, d, f, r, k] for c, (k, d, f, r) in SCP.items())
    columns = (
        "ecg_id", "patient_id", "report", "scp_codes", "heart_axis", "infarction_stadium1",
        "infarction_stadium2", "baseline_drift", "static_noise", "burst_noise",
        "electrodes_problems", "extra_beats", "filename_lr", "complete", "report_en",
    )  # fmt: skip
    rows, intervals = [], []
    for ecg_id in range(1, 2 * patients + 1):
        codes = {
            c: float(rng.choice([50, 100]))
            for c in ("LVH", "IMI", "CLBBB", "NDT")
            if rng.random() < 0.25
        }
        codes = codes or {"NORM": 100.0}
        codes |= {"PVC": 0.0} if rng.random() < 0.2 else {}
        codes |= {"AFIB": 0.0} if rng.random() < 0.3 else {"SR": 0.0}
        signal = rng.normal(0, 0.05, (1000, 12))
        for k, code in enumerate(SCP):
            signal[40 * k + 100 :: 400, :] += 1.5 * (code in codes)
        stem = f"{ecg_id:05d}_lr"
        wfdb.wrsamp(
            stem, 100, ["mV"] * 12, [x.upper() if x[0] == "a" else x for x in LEADS], signal,
            fmt=["16"] * 12, write_dir=str(ptbxl / "records100/00000"),
        )  # fmt: skip
        infarct = "IMI" in codes
        rows.append({
            "ecg_id": ecg_id, "patient_id": float((ecg_id + 1) // 2), "scp_codes": str(codes),
            "report": "sinus rhythm. t waves are inverted in v4,5,6. " + " ".join(codes),
            "heart_axis": rng.choice(["MID", "LAD", "RAD", "AXL", ""]),
            "infarction_stadium1": rng.choice(["unknown", "Stadium III"]) if infarct else "",
            "static_noise": " , I-AVR,  " if rng.random() < 0.3 else "",
            "baseline_drift": " , V6" if rng.random() < 0.3 else "",
            "extra_beats": rng.choice(["", "", "VES", "2ES"]),
            "filename_lr": f"records100/00000/{stem}", "complete": ecg_id % 5 != 0,
        })  # fmt: skip
        intervals.append([ecg_id, *(round(float(rng.uniform(50, 1200)), 1) for _ in RANGES_MS)])
    with (ptbxl / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    ids = np.arange(1, 2 * patients + 1)
    cuts = {
        "train": ids <= 1.4 * patients,
        "valid": (ids > 1.4 * patients) & (ids <= 1.7 * patients),
    }
    cuts["test"] = ids > 1.7 * patients
    for name, chosen in cuts.items():
        lines = [f"{i}\t{ecg_id}" for i, ecg_id in enumerate(ids[chosen])]
        (ecgqa / f"{name}_ecgs.tsv").write_text("\n".join(lines) + "\n")
    own = load_wordings("own")
    with (ecgqa / "train_paraphrases.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["template_id", "question_type", "attribute_type", "slots", "pattern"])
        for t in TEMPLATES.values():
            writer.writerow([t.id, t.type, t.attribute, "", own[t.id][0]])
    with (folder / "intervals.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["ecg_id", *RANGES_MS], *intervals])
    return ptbxl, ecgqa
