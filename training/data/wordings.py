"""How the questions of each template are put into words: ECG-QA's wordings, and ours."""

from __future__ import annotations

import csv
import json
import random
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from ecgqa.answer.options import Asked, option_question
from training.data import fates
from training.data.questions import FATES, TEMPLATES, Key, Template

WORDINGS = Path(__file__).with_name("wordings.json")
TEST_WORDINGS = Path(__file__).with_name("wordings_test.json")
OFFICIAL_SHARE = 0.2  # of the train wordings, however many of ours there are
FATE_WORDINGS = 1200  # of each template that asks what became of a finding or interval


def load_wordings(which: str, ecgqa: Path | str | None = None) -> dict[int, list[str]]:
    """Wordings per template.

    which: "train" (ECG-QA's seven, so often that they are a fifth of all, and ours), "own" (ours),
    "heldout" (to watch the training with) or "test" (written without a look at the others; only for
    the final evaluation).
    """
    if which == "test":
        return {int(k): list(v) for k, v in _read(TEST_WORDINGS).items()}
    ours = _read(WORDINGS)
    out = {int(k): list(v) for k, v in ours["heldout" if which == "heldout" else "train"].items()}
    if which == "train":
        for template in TEMPLATES.values():
            if template.ecgs == 2 and template.kind == "verify":
                out[template.id] += _fate_wordings(template)
            if template.kind == "verify":
                out[template.id] += _plain_wording(template)
    if which == "train" and ecgqa:
        official: dict[int, list[str]] = defaultdict(list)
        with (Path(ecgqa) / "train_paraphrases.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                official[int(row["template_id"])].append(row["pattern"])
        for number, patterns in official.items():
            others = len(out[number]) / (1 / OFFICIAL_SHARE - 1)
            out[number] += patterns * max(1, round(others / len(patterns)))
    return out


def _plain_wording(template: Template) -> list[str]:
    """How the model itself puts an option of a list, where a template has such a question."""
    slots = {
        "statement": "scp_code", "form_in_lead": "scp_code", "axis": "axis", "stage": "stage",
        "noise": "noise", "noise_in_lead": "noise", "extrasystole": "extra_systole",
        "feature_in_range": "numeric_feature", "feature": "numeric_feature",
    }  # fmt: skip
    slot = slots.get(template.group)
    if slot is None:
        return []
    fate = FATES[template.state] if template.ecgs == 2 else ""
    lead = "{lead}" if template.group.endswith("_in_lead") else ""
    asked = Asked(fate=fate, lead=lead, range="{range}")
    return [option_question(asked, "{" + slot + "}", slot == "numeric_feature")]


@cache
def _read(file: Path) -> dict[str, Any]:
    """A file of wordings, read once; not to be changed."""
    return json.loads(file.read_text())


@cache
def _fate_wordings(template: Template) -> list[str]:
    """Wordings of a verify question about two ECGs, put together from parts."""
    ours, kind, fate = _read(WORDINGS), template.group, FATES[template.state]
    feature = kind == "feature"
    slot = "{numeric_feature}" if feature else "{scp_code}"
    alike = [t.id for t in TEMPLATES.values() if (t.group, t.state) == (kind, template.state)]
    unseen = [ours["heldout"], _read(TEST_WORDINGS)]
    apart = [text.replace(slot, "{x}") for part in unseen for i in alike for text in part[str(i)]]
    for texts in _read(fates.DEV_WORDINGS)["feature" if feature else "finding"][fate].values():
        apart += texts
    texts = fates.wordings(fate, feature, ours["fates"], FATE_WORDINGS, template.id, apart)
    return [text.replace("{x}", slot) for text in texts]


def load_synonyms() -> dict[str, list[str]]:
    """Other words for the names of statements, axes, stages, noises, features and ranges."""
    return json.loads(WORDINGS.read_text())["synonyms"]


def word(
    key: Key,
    wordings: dict[int, list[str]],
    rng: random.Random,
    synonyms: dict[str, list[str]] | None = None,
    chance: float = 0.3,
) -> str:
    """One wording of a key; with `synonyms`, names are exchanged with probability `chance`."""
    text = rng.choice(wordings[key.template.id])
    for slot, value in key.slots:
        if synonyms and value in synonyms and rng.random() < chance:
            value = rng.choice(synonyms[value])
        text = text.replace("{" + slot + "}", value)
    return text


def slots_of(pattern: str) -> set[str]:
    """Names of the slots in a wording."""
    return set(re.findall(r"{(\w+)}", pattern))
