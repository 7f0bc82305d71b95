"""The shipped checkpoint, as the app asks it: order of two ECGs, the same ECG twice, lists.

Simulated ECGs, whose truth is known. The language model comes from the cache or the package index.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from ecgqa import EcgAssistant, read_ecg
from ecgqa.answer.options import understand
from ecgqa.gallery.simulate import simulate
from ecgqa.model.features import EcgFeatures
from ecgqa.model.tensor import model_input

FINDINGS = (
    "atrial fibrillation",
    "complete left bundle branch block",
    "complete right bundle branch block",
    "first degree av block",
    "sinus tachycardia",
    "sinus bradycardia",
)
RECORDINGS = int(os.environ.get("ECGQA_RECORDINGS", 10))  # of PTB-XL at both rates
NEW = "Is {} new in the second ECG, and was it absent in the first?"
GONE = "Was {} present in the first ECG, and has it resolved in the second?"


@pytest.fixture(scope="module")
def assistant(shipped_assistant) -> EcgAssistant:
    return shipped_assistant


@pytest.fixture(scope="module")
def ecgs():
    return {name: simulate(name).ecg for name in ("normal", *FINDINGS)}


def test_new_becomes_resolved_when_the_ecgs_are_exchanged(assistant, ecgs):
    right = []
    for finding in FINDINGS:
        sick, normal = ecgs[finding], ecgs["normal"]
        for question, first, second, truth in (
            (NEW, normal, sick, "yes"),
            (GONE, sick, normal, "yes"),
            (NEW, sick, normal, "no"),
            (GONE, normal, sick, "no"),
        ):
            answer = assistant.ask(question.format(finding), second, comparison=first)
            right.append(answer.text == truth)
    assert np.mean(right) >= 0.9, right


def test_the_same_ecg_twice_has_nothing_new_and_nothing_resolved(assistant, ecgs):
    """Asked of the normal ECG and of two with findings: the one that has it, and another."""
    quiet = []
    for finding, another in zip(FINDINGS, FINDINGS[1:] + FINDINGS[:1], strict=True):
        for ecg in (ecgs["normal"], ecgs[finding], ecgs[another]):
            for question in (NEW, GONE):
                answer = assistant.ask(question.format(finding), ecg, comparison=ecg)
                quiet.append(answer.text == "no")
    assert np.mean(quiet) >= 0.9


def test_a_list_names_the_rhythm(assistant, ecgs):
    rhythm = assistant.ask("Which rhythm does this ECG show?", ecgs["atrial fibrillation"])
    assert rhythm.answers == ("atrial fibrillation",) and rhythm.decoding == "option by option"


def test_a_list_names_what_is_new(assistant, ecgs):
    """Of normal → sick, the finding; of the same ECG twice, nothing."""
    question = "Which findings are new in the second ECG?"
    found = [
        finding in assistant.ask(question, ecgs[finding], comparison=ecgs["normal"]).answers
        for finding in FINDINGS
    ]
    assert sum(found) >= len(FINDINGS) - 1, found
    same = assistant.ask(question, ecgs["normal"], comparison=ecgs["normal"])
    assert same.answers == ("none",)


@pytest.mark.parametrize(
    ("question", "two", "kind"),
    [
        ("Does this ECG show atrial fibrillation?", False, "yes or no"),
        ("Which rhythm is it?", False, "rhythm"),
        ("List all diagnoses, the doubtful ones too.", False, "diagnostic"),
        ("What does the waveform look like, any changes in form?", False, "form"),
        ("Which changes in form does lead V2 show?", False, "forms_of_lead"),
        ("In which leads are there inverted T waves?", False, "leads_of_form"),
        ("Which artefacts disturb the recording?", False, "noise"),
        ("In which leads is there baseline drift?", False, "leads_of_noise"),
        ("Where does the heart axis point?", False, "axis"),
        ("Which intervals are above the normal range?", False, "features_in_range"),
        ("Which findings are new in the second ECG?", True, "statements"),
        ("Which diagnoses have resolved since the previous tracing?", True, "statements"),
        ("Which intervals became abnormal since the last ECG?", True, "features"),
        ("Is a left bundle branch block new in the second ECG?", True, "yes or no"),
    ],
)
def test_the_kind_of_answer_is_read_from_the_question(assistant, question, two, kind):
    assert understand(assistant.model, [question], two)[0].kind == kind


def test_a_narrow_question_rests_on_the_lead_it_names(assistant, ecgs):
    """Evidence of a question about one lead lies more in that lead than in the average one."""
    question = "Are there inverted T-waves in lead V6?"
    ecg = ecgs["complete left bundle branch block"]
    found = assistant.evidence(question, assistant.ask(question, ecg), ecg)
    share = {lead: part for _, lead, part in found.leads}
    assert share["V6"] > 1 / 12


ANY_ECG = (
    "Does this ECG show atrial fibrillation?",
    "Is there a complete left bundle branch block?",
    "Is there a complete right bundle branch block?",
    "Does this ECG show an old inferior infarct?",
    "Any sign of an anterior infarct?",
    "Are there signs of left ventricular hypertrophy?",
    "Is there a first degree AV block?",
    "Are there inverted T waves in lead V6?",
    "Is this a sinus rhythm?",
    "Is the QT interval prolonged?",
)


def test_a_recording_at_500_hz_is_answered_as_the_one_at_100_hz(assistant, ecg_data):
    """PTB-XL holds each recording at both rates."""
    model = assistant.model
    alike, agree = [], []
    slow = {head.name[:5]: head for head in (ecg_data / "ptbxl").glob("records100/*/*_lr.hea")}
    pairs = [
        (head, slow[head.name[:5]])
        for head in sorted((ecg_data / "ptbxl500").glob("*_hr.hea"))
        if head.name[:5] in slow
    ]
    for pair in pairs[:RECORDINGS]:
        one, other = (model_input(read_ecg([head, head.with_suffix(".dat")])) for head in pair)
        # In the last tenth of a second the 500 Hz files hold one value, the others ring.
        alike.append(np.corrcoef(one[:, :900].ravel(), other[:, :900].ravel())[0, 1])
        with torch.no_grad():
            features = model.encode(torch.from_numpy(np.stack([one, other])))
        twice = EcgFeatures(*(torch.cat([v] * len(ANY_ECG)) for v in features))
        yes = model.yes_probability([text for text in ANY_ECG for _ in range(2)], twice) >= 0.5
        agree += (yes[::2] == yes[1::2]).tolist()
    print(f"least correlation {np.min(alike):.4f}, agree {np.mean(agree):.3f}, n {len(agree)}")
    assert np.min(alike) >= 0.99
    assert np.mean(agree) >= 0.95
