"""Facts about ECGs → ECG-QA style questions, and ECG-QA's own JSON → the same rows.

How they are put into words: `training.data.wordings`.

The 70 templates are those of ECG-QA (Oh et al. 2023, arXiv 2306.15681): 1-42 ask about one ECG,
43-56 about two tracings of one patient, 57-70 about two unrelated ECGs. Every template is one line
of `TEMPLATES`: which options it has, and in which state an option must be to belong to the answer.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ecgqa.answer.options import NONE, RANGE_NAMES, Asked
from ecgqa.measure.normal import NORMAL_RANGES
from ecgqa.model.ecg_model import ONE_OF_TWO, YES_OR_NO
from ecgqa.question import quantity
from ecgqa.record import LEADS
from training.data import fates, ptbxl
from training.data.ptbxl import GROUPS, LEAD_FORMS, NO_STAGE, NOISES, PtbXl

FATES: dict[tuple[int, ...], str] = {state: fate for fate, state in fates.STATES.items()}
RANGES_MS = {name: NORMAL_RANGES[name] for name in quantity.INTERVALS}
# What questions ask about without naming a finding: group of the template → name to look up.
UNNAMED = {
    "abnormal": "abnormal ecg",
    "any_diagnostic": "any diagnostic symptom",
    "any_diagnostic_certain": "any certain diagnostic symptom",
    "any_form": "any form-related symptom",
    "any_rhythm": "any rhythm-related symptom",
    "any_noise": "any noise",
    "any_extrasystole": "any extra systole",
}
# Statements of PTB-XL that are too rare to be answers in ECG-QA. They are asked about in training.
OUTSIDE_VOCABULARY = {
    "right ventricular hypertrophy", "st-t changes compatible with ventricular aneurysm",
    "electrolytic disturbance or drug effect", "wolff-parkinson-white syndrome",
    "septal hypertrophy", "third degree av block", "second degree av block",
    "premature complex(es)", "supraventricular arrhythmia",
    "paroxysmal supraventricular tachycardia",
    "trigeminal pattern (unknown origin, supraventricular, or ventricular)",
}  # fmt: skip


@dataclass(frozen=True)
class Template:
    """One line of ECG-QA's table.

    kind: verify, choose or query. ecgs: 1 or 2. group: whose names are the options (see `Facts`).
    state: what an option must be to be (part of) the answer: (1,) present; for two ECGs
    (first, second), e.g. (1, 0) resolved. consecutive: two tracings of one patient.
    """

    id: int
    kind: str
    attribute: str
    group: str
    state: tuple[int, ...] = (1,)
    consecutive: bool = False

    @property
    def ecgs(self) -> int:
        """How many ECGs the question is about."""
        return len(self.state)

    @property
    def type(self) -> str:
        """ECG-QA's question_type."""
        scope = "comparison_consecutive" if self.consecutive else "comparison_irrelevant"
        return f"{'single' if self.ecgs == 1 else scope}-{self.kind}"


def _templates() -> dict[int, Template]:
    one = {
        1: ("verify", "scp_code", "statement"), 2: ("verify", "scp_code", "normal"),
        3: ("choose", "scp_code", "superclass"), 4: ("choose", "scp_code", "diagnostic"),
        5: ("choose", "scp_code", "diagnostic_certain"), 6: ("choose", "scp_code", "form"),
        7: ("choose", "scp_code", "rhythm"), 8: ("query", "scp_code", "diagnostic"),
        9: ("query", "scp_code", "diagnostic_certain"), 10: ("query", "scp_code", "rhythm"),
        11: ("query", "scp_code", "form"), 12: ("verify", "scp_code", "abnormal"),
        13: ("verify", "scp_code", "any_diagnostic"),
        14: ("verify", "scp_code", "any_diagnostic_certain"),
        15: ("verify", "scp_code", "any_form"), 16: ("verify", "scp_code", "any_rhythm"),
        17: ("verify", "scp_code", "form_in_lead"), 18: ("query", "scp_code", "forms_of_lead"),
        19: ("query", "scp_code", "leads_of_form"), 20: ("verify", "heart_axis", "axis"),
        21: ("choose", "heart_axis", "axis"), 22: ("query", "heart_axis", "axis"),
        23: ("verify", "stage_of_infarction", "stage"),
        24: ("choose", "stage_of_infarction", "stage"),
        25: ("query", "stage_of_infarction", "stage"), 26: ("verify", "noise", "noise_in_lead"),
        27: ("verify", "noise", "noise"), 28: ("verify", "noise", "any_noise_in_lead"),
        29: ("verify", "noise", "any_noise"), 30: ("choose", "noise", "noise"),
        31: ("choose", "noise", "noises_of_lead"), 32: ("query", "noise", "noise"),
        33: ("query", "noise", "noises_of_lead"), 34: ("query", "noise", "leads_of_noise"),
        35: ("verify", "extra_systole", "any_extrasystole"),
        36: ("verify", "extra_systole", "extrasystole"),
        37: ("choose", "extra_systole", "extrasystole"),
        38: ("query", "extra_systole", "extrasystole"),
        39: ("verify", "numeric_feature", "feature_in_range"),
        40: ("choose", "numeric_feature", "ranges_of_feature"),
        41: ("query", "numeric_feature", "ranges_of_feature"),
        42: ("query", "numeric_feature", "features_in_range"),
    }  # fmt: skip
    out = {i: Template(i, *fields) for i, fields in one.items()}
    states = {"resolved": (1, 0), "new": (0, 1), "kept": (1, 1), "absent": (0, 0)}
    for start, consecutive in ((43, True), (57, False)):
        i = start
        for state in states.values():
            out[i] = Template(i, "verify", "scp_code", "statement", state, consecutive)
            i += 1
        for name in ("resolved", "new", "kept"):
            out[i] = Template(i, "query", "scp_code", "statements", states[name], consecutive)
            i += 1
        # A feature's option says "is normal": now normal, now abnormal, still abnormal or normal.
        for state in ((0, 1), (1, 0), (0, 0), (1, 1)):
            out[i] = Template(i, "verify", "numeric_feature", "feature", state, consecutive)
            i += 1
        for state in ((0, 1), (1, 0), (0, 0)):
            out[i] = Template(i, "query", "numeric_feature", "features", state, consecutive)
            i += 1
    return out


TEMPLATES = _templates()


@dataclass(frozen=True)
class Key:
    """A template with its slots filled, before it is worded.

    options: the names that may belong to the answer; one for verify questions. slots: (slot, value)
    as the wording wants them. context: lead, finding, feature or range that all options refer to.
    """

    template: Template
    options: tuple[str, ...]
    slots: tuple[tuple[str, str], ...] = ()
    context: str = ""


@dataclass(frozen=True)
class Question:
    """One row, as in ECG-QA's JSON. ecg_id: one or two PTB-XL ids, the earlier one first."""

    template_id: int
    question_type: str
    attribute_type: str
    question: str
    answer: tuple[str, ...]
    ecg_id: tuple[int, ...]
    attribute: tuple[str, ...] = ()

    @property
    def valid_answers(self) -> tuple[str, ...]:
        """The options that count by ECG-QA's rule: the two named ones for choose questions."""
        template = TEMPLATES[self.template_id]
        if template.kind == "verify":
            return ("yes", "no", "not sure") if self.template_id == 1 else ("yes", "no")
        if template.kind == "choose":
            return self.attribute[-2:]
        return tuple(all_options(template))


class Facts:
    """Columns of truth over all rows of a `PtbXl`: 1, 0, NaN not known, 0.5 not certain."""

    def __init__(self, data: PtbXl, intervals: Path | str | None = None) -> None:
        self.data = data
        self.columns: dict[tuple[str, str], np.ndarray] = {}
        for group, names in GROUPS.items():
            for i, name in enumerate(names):
                self.columns[group, name] = data.facts[group][:, i]
        for i, name in enumerate(GROUPS["diagnostic"]):
            self.columns["diagnostic_certain", name] = data.facts["diagnostic_certain"][:, i]
        for group in (
            "diagnostic",
            "diagnostic_certain",
            "form",
            "rhythm",
            "noise",
            "extrasystole",
        ):
            self.columns[f"any_{group}", ""] = _any(data.facts[group])
        abnormal_rhythm = data.facts["rhythm"][:, 1:]
        parts = [data.facts["superclass"], data.facts["form"], abnormal_rhythm]
        self.columns["abnormal", ""] = _any(np.concatenate(parts, axis=1))
        for i, lead in enumerate(LEADS):
            self.columns["any_noise_in_lead", lead] = _any(data.facts["lead_noise"][:, i])
            for k, noise in enumerate(NOISES):
                self.columns[f"noise@{lead}", noise] = data.facts["lead_noise"][:, i, k]
            for k, form in enumerate(LEAD_FORMS):
                self.columns[f"form@{lead}", form] = data.facts["lead_form"][:, i, k]
        for name in statement_names():
            self.columns["statement", name] = self._statement(name)
        self.features = _range_columns(data, intervals) if intervals else {}
        for feature, ranges in self.features.items():
            for k, name in enumerate(RANGE_NAMES):
                self.columns[f"range@{feature}", name] = ranges[:, k]

    def _statement(self, name: str) -> np.ndarray:
        """Present in any group, 0.5 where a diagnostic statement is there but not certain."""
        for group in ("superclass", "form", "rhythm"):
            if (group, name) in self.columns and ("diagnostic", name) not in self.columns:
                return self.columns[group, name]
        present, certain = (
            self.columns["diagnostic", name],
            self.columns["diagnostic_certain", name],
        )
        # Where the likelihood is not known, whether "yes" or "not sure" is right isn't either.
        return np.where(
            (present == 1) & (certain == 0), 0.5, np.where(np.isnan(certain), np.nan, present)
        )

    def column(self, key: Key, option: str) -> np.ndarray:
        """Truth [n] of one option of a key, over all rows."""
        group, context = key.template.group, key.context
        if key.template.ecgs == 2 and group in ("statement", "statements"):
            # Certain or not: it is there also where its likelihood is not known (NaN).
            return (self.columns["statement", option] != 0).astype(np.float32)
        if group in ("statements",):
            group = "statement"
        if group in ("feature", "features"):
            return self.columns[f"range@{option}", RANGE_NAMES[1]]
        if group in ("form_in_lead", "forms_of_lead"):
            return self.columns[f"form@{context}", option]
        if group == "leads_of_form":
            return self.columns[f"form@{option.removeprefix('lead ')}", context]
        if group in ("noise_in_lead", "noises_of_lead"):
            return self.columns[f"noise@{context}", option]
        if group == "leads_of_noise":
            return self.columns[f"noise@{option.removeprefix('lead ')}", context]
        if group in ("feature_in_range", "ranges_of_feature"):
            return self.columns[f"range@{context}", option]
        if group == "features_in_range":
            return self.columns[f"range@{option}", context]
        if group == "any_noise_in_lead":
            return self.columns[group, context]
        return self.columns[group, option]


def statement_names() -> tuple[str, ...]:
    """Every statement that a question may name, super-classes included."""
    groups = ("superclass", "diagnostic", "form", "rhythm")
    return tuple(dict.fromkeys(name for group in groups for name in GROUPS[group]))


def keys(template: Template, facts: Facts, rng: random.Random, pairs: int = 60) -> list[Key]:
    """Every way to fill the template's slots; of the many pairs of a choose question, `pairs`."""
    group = template.group
    if not facts.features and template.attribute == "numeric_feature":
        return []
    leads = list(LEADS)
    options = list(all_options(template, every=True))
    if NONE in options:
        options.remove(NONE)
    if group in ("normal", "abnormal") or (
        group.startswith("any_") and group != "any_noise_in_lead"
    ):
        return [Key(template, (GROUPS["normal"][0] if group == "normal" else "",))]
    if group == "any_noise_in_lead":
        return [Key(template, ("",), (("lead", lead),), lead) for lead in leads]
    contexts: list[tuple[str, tuple[tuple[str, str], ...]]] = [("", ())]
    if group in ("form_in_lead", "forms_of_lead", "noise_in_lead", "noises_of_lead"):
        contexts = [(lead, (("lead", lead),)) for lead in leads]
    elif group == "leads_of_form":
        contexts = [(form, (("scp_code", form),)) for form in LEAD_FORMS]
    elif group == "leads_of_noise":
        contexts = [(noise, (("noise", noise),)) for noise in NOISES]
    elif group in ("feature_in_range", "ranges_of_feature"):
        contexts = [(f, (("numeric_feature", f),)) for f in RANGES_MS]
    elif group == "features_in_range":
        contexts = [(name, (("range", name),)) for name in RANGE_NAMES]
    slot = {
        "axis": "axis", "stage": "stage", "noise": "noise", "noise_in_lead": "noise",
        "noises_of_lead": "noise", "extrasystole": "extra_systole", "feature_in_range": "range",
        "ranges_of_feature": "range", "feature": "numeric_feature",
    }.get(group, "scp_code")  # fmt: skip
    out: list[Key] = []
    for context, fixed in contexts:
        if template.kind == "verify":
            out += [Key(template, (o,), (*fixed, (slot, o)), context) for o in options]
        elif template.kind == "query":
            out.append(Key(template, tuple(options), fixed, context))
        else:
            every = list(combinations(options, 2))
            rng.shuffle(every)
            for a, b in every[: max(3, pairs // len(contexts))]:
                out.append(
                    Key(template, (a, b), (*fixed, (f"{slot}1", a), (f"{slot}2", b)), context)
                )
    return out


def key_of(question: Question) -> Key:
    """The key that a question is one wording of. Raises ValueError where it names no lead."""
    template, attribute = TEMPLATES[question.template_id], question.attribute
    group, context = template.group, ""
    if group in ("form_in_lead", "forms_of_lead", "noise_in_lead", "noises_of_lead",
                 "any_noise_in_lead"):  # fmt: skip
        named = re.findall(rf"\b(?:{'|'.join(sorted(LEADS, key=len, reverse=True))})\b",
                           question.question)  # fmt: skip
        if not named:
            raise ValueError(f"no lead in the question {question.question!r}")
        context = max(named, key=len)  # "I" may be a word
    elif group in ("leads_of_form", "leads_of_noise", "feature_in_range", "ranges_of_feature",
                   "features_in_range"):  # fmt: skip
        context, attribute = attribute[0], attribute[1:]
    if template.kind == "choose":
        return Key(template, attribute[-2:], context=context)
    if template.kind == "query":
        options = tuple(o for o in all_options(template, every=True) if o != NONE)
        return Key(template, options, context=context)
    if group == "normal":
        return Key(template, (GROUPS["normal"][0],))
    if group in UNNAMED or group == "any_noise_in_lead":
        return Key(template, ("",), context=context)
    return Key(template, attribute[-1:], context=context)


def asked_of(key: Key) -> Asked:
    """What a question about this key asks, as a perfect reader understands it."""
    template, group, context = key.template, key.template.group, key.context
    return Asked(
        kind=kind_of(template),
        fate=FATES[template.state] if template.ecgs == 2 else "",
        lead=context if context in LEADS else "",
        finding=context if group in ("leads_of_form", "leads_of_noise") else "",
        feature=context if group in ("feature_in_range", "ranges_of_feature") else "",
        range=context if group == "features_in_range" else "",
    )


def kind_of(template: Template) -> str:
    """The kind of answer that a template wants, one of `ModelConfig.kinds`."""
    return {"verify": YES_OR_NO, "choose": ONE_OF_TWO}.get(template.kind, template.group)


def vocabulary() -> dict[str, tuple[str, ...]]:
    """Options of every kind of open question, for `ModelConfig.vocabulary`."""
    open_ones = [t for t in TEMPLATES.values() if t.kind == "query"]
    return {t.group: tuple(o for o in all_options(t) if o != NONE) for t in open_ones}


def answer_of(key: Key, facts: Facts, rows: tuple[int, ...]) -> tuple[str, ...] | None:
    """The true answer of a key for one or two ECGs (row numbers); None where it is not known."""
    found, unsure = [], False
    for option in key.options:
        values = facts.column(key, option)[list(rows)]
        if np.isnan(values).any():
            return None
        unsure = unsure or bool((values == 0.5).any())
        if tuple(int(v > 0) for v in values) == key.template.state:
            found.append(option)
    if key.template.kind == "verify":
        if unsure:
            return ("not sure",)
        return ("yes",) if found else ("no",)
    return tuple(found) or (NONE,)


def make_question(
    key: Key, text: str, answer: tuple[str, ...], data: PtbXl, rows: tuple[int, ...]
) -> Question:
    """A `Question` from its parts."""
    template = key.template
    attribute = tuple(value for slot, value in key.slots if slot != "lead")
    ecg_id = tuple(int(data.ecg_id[i]) for i in rows)
    return Question(template.id, template.type, template.attribute, text, answer, ecg_id, attribute)


def read_questions(path: Path | str) -> list[Question]:
    """ECG-QA JSON: one file, or every *.json below a folder. Raises ValueError on other content."""
    path = Path(path)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    out: list[Question] = []
    for file in files:
        rows = json.loads(file.read_text())
        if not isinstance(rows, list):
            raise ValueError(f"{file} is not a list of ECG-QA questions")
        out.extend(_from_json(row) for row in rows)
    return out


def _from_json(row: dict[str, Any]) -> Question:
    attribute = row.get("attribute") or ()
    if row["question_type"].endswith("choose") and len(attribute) < 2:
        raise ValueError(f"a choose question needs its two options: {row}")
    return Question(
        int(row["template_id"]),
        row["question_type"],
        row["attribute_type"],
        row["question"],
        tuple(row["answer"]),
        tuple(int(i) for i in row["ecg_id"]),
        tuple(attribute),
    )


def write_questions(questions: list[Question], path: Path | str) -> None:
    """ECG-QA JSON, one question a line."""
    rows = [
        json.dumps({**asdict(q), "question_id": i, "sample_id": i}) for i, q in enumerate(questions)
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("[\n" + ",\n".join(rows) + "\n]\n")


def consecutive_pairs(data: PtbXl, rows: np.ndarray) -> np.ndarray:
    """[k, 2] row numbers of two tracings of one patient, the earlier first."""
    by_patient: dict[int, list[int]] = {}
    for i in sorted(rows, key=lambda i: data.ecg_id[i]):
        by_patient.setdefault(int(data.patient[i]), []).append(int(i))
    pairs = [p for group in by_patient.values() for p in combinations(group[:6], 2)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def all_options(template: Template, every: bool = False) -> Iterator[str]:
    """Options of a template, "none" last where it may be the answer."""
    group = template.group
    plain = {
        "diagnostic_certain": "diagnostic",
        "noises_of_lead": "noise",
        "noise_in_lead": "noise",
    }
    if group in ("statement", "statements"):
        names = (
            statement_names()
            if group == "statement"
            else statement_names()[len(ptbxl.SUPERCLASSES) :]
        )
    elif group in ("form_in_lead", "forms_of_lead"):
        names = tuple(LEAD_FORMS)
    elif group in ("leads_of_form", "leads_of_noise"):
        names = tuple(f"lead {lead}" for lead in LEADS)
    elif group in ("feature_in_range", "ranges_of_feature"):
        names = RANGE_NAMES
    elif group in ("feature", "features", "features_in_range"):
        names = tuple(RANGES_MS)
    elif group == "abnormal" or group.startswith("any_"):
        names = ()
    else:
        names = GROUPS[plain.get(group, group)]
    if template.id == 24:  # chooses between stages, not between having one and not
        names = names[:3]
    yield from (n for n in names if every or n not in OUTSIDE_VOCABULARY)
    if template.kind != "verify" and NO_STAGE not in names:
        yield NONE


def _any(values: np.ndarray) -> np.ndarray:
    """1 where any is 1, else NaN where any is not known, else 0; over the last axis."""
    unknown = np.isnan(values).any(-1)
    return np.where((values == 1).any(-1), 1.0, np.where(unknown, np.nan, 0.0)).astype(np.float32)


def _range_columns(data: PtbXl, path: Path | str) -> dict[str, np.ndarray]:
    """Per feature [n, 3]: below, within, above the normal range; NaN where not measured."""
    index = {int(e): i for i, e in enumerate(data.ecg_id)}
    out = {f: np.full((len(index), 3), np.nan, np.float32) for f in RANGES_MS}
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            i = index[int(row["ecg_id"])]
            for feature, (low, high) in RANGES_MS.items():
                if row[feature]:
                    value = float(row[feature])
                    out[feature][i] = [value < low, low <= value <= high, value > high]
    return out
