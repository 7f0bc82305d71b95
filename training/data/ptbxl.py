"""A PTB-XL folder as PhysioNet ships it → signals, facts about each ECG, patient-disjoint splits.

Facts are arrays aligned with `PtbXl.ecg_id`, one per group of `GROUPS`: 1 true, 0 false, NaN not
known (the row's metadata is not complete, or nobody wrote it down). Names are ECG-QA's own answers,
so that a fact, an answer option and a concept of the encoder are one and the same word.
"""

from __future__ import annotations

import ast
import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from ecgqa.model.tensor import MODEL_SAMPLES, model_input
from ecgqa.record import ECG, LEADS

SUPERCLASSES = {
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    "MI": "myocardial infarction",
    "STTC": "st/t change",
}
DIAGNOSTIC = {
    "NDT": "non-diagnostic t abnormalities",
    "NST_": "non-specific st changes",
    "DIG": "digitalis effect",
    "LNGQT": "long qt-interval",
    "IMI": "myocardial infarction in inferior leads",
    "ASMI": "myocardial infarction in anteroseptal leads",
    "LVH": "left ventricular hypertrophy",
    "LAFB": "left anterior fascicular block",
    "ISC_": "non-specific ischemic",
    "IRBBB": "incomplete right bundle branch block",
    "1AVB": "first degree av block",
    "IVCD": "non-specific intraventricular conduction disturbance (block)",
    "ISCAL": "ischemic in anterolateral leads",
    "CRBBB": "complete right bundle branch block",
    "CLBBB": "complete left bundle branch block",
    "ILMI": "myocardial infarction in inferolateral leads",
    "LAO/LAE": "left atrial overload/enlargement",
    "AMI": "myocardial infarction in anterior leads",
    "ALMI": "myocardial infarction in anterolateral leads",
    "ISCIN": "ischemic in inferior leads",
    "INJAS": "subendocardial injury in anteroseptal leads",
    "LMI": "myocardial infarction in lateral leads",
    "ISCIL": "ischemic in inferolateral leads",
    "LPFB": "left posterior fascicular block",
    "ISCAS": "ischemic in anteroseptal leads",
    "INJAL": "subendocardial injury in anterolateral leads",
    "ISCLA": "ischemic in lateral leads",
    "RVH": "right ventricular hypertrophy",
    "ANEUR": "st-t changes compatible with ventricular aneurysm",
    "RAO/RAE": "right atrial overload/enlargement",
    "EL": "electrolytic disturbance or drug effect",
    "WPW": "wolff-parkinson-white syndrome",
    "ILBBB": "incomplete left bundle branch block",
    "IPLMI": "myocardial infarction in inferoposterolateral leads",
    "ISCAN": "ischemic in anterior leads",
    "IPMI": "myocardial infarction in inferoposterior leads",
    "SEHYP": "septal hypertrophy",
    "INJIN": "subendocardial injury in inferior leads",
    "INJLA": "subendocardial injury in lateral leads",
    "PMI": "myocardial infarction in posterior leads",
    "3AVB": "third degree av block",
    "INJIL": "subendocardial injury in inferolateral leads",
    "2AVB": "second degree av block",
}
FORM = {
    "ABQRS": "abnormal qrs",
    "PVC": "ventricular premature complex",
    "STD_": "non-specific st depression",
    "VCLVH": "voltage criteria (qrs) for left ventricular hypertrophy",
    "QWAVE": "q waves present",
    "LOWT": "low amplitude t-wave",
    "NT_": "non-specific t-wave changes",
    "PAC": "atrial premature complex",
    "LPR": "prolonged pr interval",
    "INVT": "inverted t-waves",
    "LVOLT": "low qrs voltages in the frontal and horizontal leads",
    "HVOLT": "high qrs voltage",
    "TAB_": "t-wave abnormality",
    "STE_": "non-specific st elevation",
    "PRC(S)": "premature complex(es)",
    # Diagnostic statements that PTB-XL lists as form as well.
    "NDT": "non-diagnostic t abnormalities",
    "NST_": "non-specific st changes",
    "DIG": "digitalis effect",
    "LNGQT": "long qt-interval",
}
RHYTHM = {
    "SR": "sinus rhythm",
    "AFIB": "atrial fibrillation",
    "STACH": "sinus tachycardia",
    "SARRH": "sinus arrhythmia",
    "SBRAD": "sinus bradycardia",
    "PACE": "normal functioning artificial pacemaker",
    "SVARR": "supraventricular arrhythmia",
    "BIGU": "bigeminal pattern (unknown origin, supraventricular, or ventricular)",
    "AFLT": "atrial flutter",
    "SVTAC": "supraventricular tachycardia",
    "PSVT": "paroxysmal supraventricular tachycardia",
    "TRIGU": "trigeminal pattern (unknown origin, supraventricular, or ventricular)",
}
AXES = {
    "normal heart axis": {"MID"},
    "left axis deviation": {"LAD", "ALAD"},
    "right axis deviation": {"RAD", "ARAD"},
    "extreme axis deviation": {"AXL", "AXR", "SAG"},
}
STAGES = {
    "early stage of myocardial infarction": {"Stadium I", "Stadium I-II"},
    "middle stage of myocardial infarction": {"Stadium II", "Stadium I-II", "Stadium II-III"},
    "old stage of myocardial infarction": {"Stadium III", "Stadium II-III"},
    "unknown stage of myocardial infarction": {"unknown"},
}
NO_STAGE = "none of myocardial infarction"
NOISES = {
    "baseline drift": "baseline_drift",
    "static noise": "static_noise",
    "burst noise": "burst_noise",
    "electrodes problems": "electrodes_problems",
}
EXTRASYSTOLES = ("extrasystoles", "supraventricular extrasystoles", "ventricular extrasystoles")
# What a report may say of single leads: statement → pattern that names it.
LEAD_FORMS = {
    "non-specific st depression": r"st[- ](?:segments? )?(?:(?:are|is) )?(?:slightly )?"
    r"(?:depress|senkung)",
    "non-specific st elevation": r"st[- ](?:segments? )?(?:(?:are|is) )?(?:slightly )?"
    r"(?:elevat|hebung)",
    "inverted t-waves": r"invert|t wave inversion|t inversion|neg\w*\.? t\b",
    "low amplitude t-wave": r"t waves? (?:are |is )?(?:low|flat)|t wave flattening|flattening",
    "q waves present": r"q waves?|qs complex",
}
CRITICAL = {
    "CLBBB", "AFIB", "AFLT", "2AVB", "3AVB", "SVTAC", "PSVT", "LNGQT",
    "INJAS", "INJAL", "INJIN", "INJLA", "INJIL",
}  # fmt: skip
BORDERLINE = {"NDT", "NST_", "ISC_", "IRBBB", "LAFB", "1AVB", "IVCD", "LAO/LAE"}
SEVERITIES = ("critical", "count", "grade")
CHEST = [f"V{i}" for i in range(1, 7)]


@dataclass(frozen=True)
class PtbXl:
    """All records, row-aligned.

    folder; ecg_id int [n]; patient int [n]; report: original text or "" [n];
    codes: {code: likelihood} per row; facts: {group: float32 [n, ...]} as in `GROUPS`;
    severity int8 [n]: 0, 1 or 2 (see `severity_of`); path: record path relative to the folder.
    """

    folder: Path
    ecg_id: np.ndarray
    patient: np.ndarray
    report: list[str]
    codes: list[dict[str, float]]
    facts: dict[str, np.ndarray]
    severity: np.ndarray
    path: list[str]

    def rows(self, ecg_ids: np.ndarray | list[int]) -> np.ndarray:
        """Row numbers of ECG ids. Raises KeyError for an unknown one."""
        index = {int(e): i for i, e in enumerate(self.ecg_id)}
        return np.array([index[int(e)] for e in ecg_ids], dtype=np.int64)


GROUPS: dict[str, tuple[str, ...]] = {
    "normal": ("normal ecg",),
    "superclass": tuple(SUPERCLASSES.values()),
    "diagnostic": tuple(DIAGNOSTIC.values()),
    "form": tuple(FORM.values()),
    "rhythm": tuple(RHYTHM.values()),
    "axis": tuple(AXES),
    "stage": (*STAGES, NO_STAGE),
    "noise": tuple(NOISES),
    "extrasystole": EXTRASYSTOLES,
}
CONCEPT_GROUPS = tuple(GROUPS)
LEAD_FINDINGS = (*NOISES, *LEAD_FORMS)


def concept_names() -> tuple[str, ...]:
    """Every name of `GROUPS` once, in order: what the encoder's statement head estimates."""
    return tuple(dict.fromkeys(name for group in CONCEPT_GROUPS for name in GROUPS[group]))


def statement_columns() -> list[int]:
    """Which of `concept_names` are the 71 statements of PTB-XL (the rest: groups and remarks)."""
    statements = {"normal ecg", *DIAGNOSTIC.values(), *FORM.values(), *RHYTHM.values()}
    return [i for i, name in enumerate(concept_names()) if name in statements]


def concept_targets(data: PtbXl) -> np.ndarray:
    """float32 [n, concepts], NaN where not known."""
    columns: dict[str, np.ndarray] = {}
    for group in CONCEPT_GROUPS:
        for i, name in enumerate(GROUPS[group]):
            columns.setdefault(name, data.facts[group][:, i])
    return np.stack([columns[name] for name in concept_names()], axis=1)


def lead_targets(data: PtbXl) -> np.ndarray:
    """float32 [n, 12, len(LEAD_FINDINGS)], NaN where not known."""
    return np.concatenate([data.facts["lead_noise"], data.facts["lead_form"]], axis=2)


def load(folder: Path | str) -> PtbXl:
    """Read the metadata of a PTB-XL folder. Raises FileNotFoundError naming what is missing."""
    folder = Path(folder)
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing: is this a PTB-XL folder?")
    super_of = superclass_of(folder)
    with (folder / "ptbxl_database.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    codes = [ast.literal_eval(row["scp_codes"]) for row in rows]
    facts = _statement_facts(rows, codes, super_of)
    facts.update(_annotation_facts(rows, codes, super_of))
    return PtbXl(
        folder=folder,
        ecg_id=np.array([int(row["ecg_id"]) for row in rows]),
        patient=np.array([int(float(row["patient_id"])) for row in rows]),
        report=[_report(row) for row in rows],
        codes=codes,
        facts=facts,
        severity=np.array([severity_of(c, super_of) for c in codes], np.int8),
        path=[row["filename_lr"] for row in rows],
    )


def superclass_of(folder: Path | str) -> dict[str, str]:
    """{statement code: its diagnostic super-class or ""} as PTB-XL's table says."""
    with (Path(folder) / "scp_statements.csv").open(newline="") as file:
        return {row[""]: row["diagnostic_class"] for row in csv.DictReader(file)}


def severity_of(
    codes: dict[str, float], super_of: dict[str, str], definition: str = "critical"
) -> int:
    """Severity 0, 1 or 2 from the statements alone, by one of `SEVERITIES`.

    critical: 0 nothing abnormal; 1 one abnormal super-class; 2 two or more, or a critical statement
    (any infarction or subendocardial injury, complete LBBB, atrial fibrillation or flutter, 2nd or
    3rd degree AV block, supraventricular tachycardia, long QT). count: the number of abnormal
    super-classes, at most 2. grade: normal, borderline (nothing but statements of `BORDERLINE`), or
    abnormal, as machine readings grade an ECG.
    """
    classes = {super_of.get(code, "") for code in codes} & set(SUPERCLASSES)
    if definition == "count":
        return min(2, len(classes))
    if definition == "grade":
        findings = {c for c in codes if super_of.get(c) in SUPERCLASSES or c in CRITICAL}
        return 0 if not findings else 1 if findings <= BORDERLINE else 2
    if len(classes) >= 2 or "MI" in classes or CRITICAL & set(codes):
        return 2
    return len(classes)


def splits(data: PtbXl, ecgqa_folder: Path | str) -> dict[str, np.ndarray]:
    """Row numbers of train / valid / test ECGs of ECG-QA, and `pretrain`.

    `pretrain` holds every ECG of a patient who is in neither valid nor test: ECG-QA leaves some
    ECGs out, and its test ECGs come from all ten PTB-XL folds, so the folds must not be used.
    """
    out: dict[str, np.ndarray] = {}
    for name in ("train", "valid", "test"):
        lines = (Path(ecgqa_folder) / f"{name}_ecgs.tsv").read_text().split("\n")
        out[name] = data.rows([int(line.split("\t")[1]) for line in lines if line.strip()])
    held = np.isin(data.patient, data.patient[np.r_[out["valid"], out["test"]]])
    out["pretrain"] = np.flatnonzero(~held)
    out["train"] = out["train"][~held[out["train"]]]
    return out


def signals(data: PtbXl, cache: Path | str) -> np.ndarray:
    """Model inputs of every record, float16 [n, 12, 1000] mV, memory-mapped from `cache`.

    The first call reads each record and takes about a minute. Its leads stand in the standard
    order in every PTB-XL record; a test proves that `read_ecg` gives the very same input.
    """
    cache = Path(cache)
    path = cache / f"signals_{len(data.ecg_id)}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        shape = (len(data.ecg_id), len(LEADS), MODEL_SAMPLES)
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
        for i, stem in enumerate(data.path):
            out[i] = model_input(read_plain(data.folder / stem))
            if i % 2000 == 0:
                print(f"reading signals {i}/{len(data.path)}", flush=True)
        out.flush()
        part.rename(path)
    return np.load(path, mmap_mode="r")


def read_plain(path: Path) -> ECG:
    """One record of PTB-XL, whose leads already stand in the standard order."""
    record = wfdb.rdrecord(str(path))
    assert isinstance(record, wfdb.Record) and record.p_signal is not None
    assert record.fs is not None and record.record_name is not None
    return ECG(record.p_signal.T, record.fs, record.record_name)


def leads_in(text: str) -> set[str]:
    """Leads named in a PTB-XL remark: "I-AVF", "V4,5,6", "alles" (German for all), "" (none).

    A range runs in the standard order of leads. Text without a lead ("mittel") names none.
    """
    text = text.upper().replace(" - ", "-")
    if re.search(r"\bALLE[SN]?\b", text):
        return set(LEADS)
    upper = [lead.upper() for lead in LEADS]
    found: set[str] = set()
    token = r"(?:AVR|AVL|AVF|III|II|I|V[1-6]|(?<=[V,\-0-9 ])[1-6])"
    for match in re.finditer(rf"\b{token}(?:\s*[,\-]\s*{token})*\b", text):
        previous, previous_is_chest, dash = None, False, False
        for part in re.findall(rf"{token}|-", match.group()):
            if part == "-":
                dash = True
                continue
            if part.isdigit():
                if not previous_is_chest:
                    continue
                part = f"V{part}"
            i = upper.index(part)
            if dash and previous is not None and previous < i:
                found.update(LEADS[previous : i + 1])
            found.add(LEADS[i])
            previous, previous_is_chest, dash = i, part in CHEST, False
    return found


def _report(row: dict[str, str]) -> str:
    return (row.get("report_en") or row["report"] or "").strip()


def _statement_facts(
    rows: list[dict[str, str]], codes: list[dict[str, float]], super_of: dict[str, str]
) -> dict[str, np.ndarray]:
    """Groups that follow from the statement codes; certain ones where likelihoods are known."""
    complete = np.array([row["complete"] == "True" for row in rows])
    facts: dict[str, np.ndarray] = {}
    for group, names in (("diagnostic", DIAGNOSTIC), ("form", FORM), ("rhythm", RHYTHM)):
        present = np.array([[float(code in c) for code in names] for c in codes], np.float32)
        facts[group] = present
        if group == "diagnostic":
            likelihood = np.array([[c.get(code, 0.0) for code in names] for c in codes])
            certain = (likelihood >= 100).astype(np.float32)
            certain[~complete[:, None] & (present == 1)] = np.nan
            facts["diagnostic_certain"] = certain
    facts["normal"] = np.array([[float("NORM" in c)] for c in codes], np.float32)
    facts["superclass"] = np.array(
        [[float(any(super_of.get(c) == k for c in cs)) for k in SUPERCLASSES] for cs in codes],
        np.float32,
    )
    return facts


def _annotation_facts(
    rows: list[dict[str, str]], codes: list[dict[str, float]], super_of: dict[str, str]
) -> dict[str, np.ndarray]:
    """Groups from the free-text columns, NaN where the row is not complete."""
    n = len(rows)
    axis = np.full((n, len(AXES)), np.nan, np.float32)
    stage = np.full((n, len(STAGES) + 1), np.nan, np.float32)
    noise = np.full((n, len(NOISES)), np.nan, np.float32)
    lead_noise = np.full((n, len(LEADS), len(NOISES)), np.nan, np.float32)
    lead_form = np.full((n, len(LEADS), len(LEAD_FORMS)), np.nan, np.float32)
    extra = np.full((n, len(EXTRASYSTOLES)), np.nan, np.float32)
    for i, row in enumerate(rows):
        if row["complete"] != "True":
            continue
        if row["heart_axis"]:
            axis[i] = [row["heart_axis"] in names for names in AXES.values()]
        stages = {row["infarction_stadium1"], row["infarction_stadium2"]} - {""}
        infarct = any(super_of.get(code) == "MI" for code in codes[i])
        if stages or not infarct:
            stage[i] = [*(bool(stages & names) for names in STAGES.values()), not stages]
        for k, column in enumerate(NOISES.values()):
            text = row[column]
            noise[i, k] = bool(re.search(r"\w", text))
            leads = leads_in(text)
            if leads or not noise[i, k]:
                lead_noise[i, :, k] = [lead in leads for lead in LEADS]
        beats = row["extra_beats"].upper()
        ventricular = bool(re.search(r"(?<!S)VES", beats))
        supraventricular = "SVES" in beats
        # A bare "ES" or a bare count names no origin; ECG-QA calls those just extrasystoles.
        other = bool(re.search(r"(?<!V)ES|\d", beats)) and not (ventricular or supraventricular)
        extra[i] = [other, supraventricular, ventricular]
        lead_form[i] = _lead_form(row["report"].lower())
    return {
        "axis": axis,
        "stage": stage,
        "noise": noise,
        "lead_noise": lead_noise,
        "lead_form": lead_form,
        "extrasystole": extra,
    }


def _lead_form(report: str) -> np.ndarray:
    """[12, LEAD_FORMS] from an English report; NaN unless the report speaks of single leads."""
    out = np.full((len(LEADS), len(LEAD_FORMS)), np.nan, np.float32)
    if not re.search(r"\b(?:in|of) [^.]*\b(?:iii?|avl|avf|v[1-6])\b", report):
        return out
    out[:] = 0.0
    for sentence in re.split(r"\.\s", report):
        for clause in re.split(r",? and (?=[a-z]{4})|; ", sentence):
            leads = leads_in(clause.replace("limb leads", "i,ii,iii,avr,avl,avf"))
            for k, pattern in enumerate(LEAD_FORMS.values()):
                if leads and re.search(pattern, clause):
                    for lead in leads:
                        out[LEADS.index(lead), k] = 1.0
    return out
