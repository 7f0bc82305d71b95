"""The shipped checkpoint, as the app asks it: order of two ECGs, the same ECG twice, lists.

Simulated ECGs, whose truth is known. The language model comes from the cache or the package index.
"""

from __future__ import annotations

import numpy as np
import pytest

from ecgqa import EcgAssistant
from ecgqa.simulate import simulate

FINDINGS = (
    "atrial fibrillation",
    "complete left bundle branch block",
    "complete right bundle branch block",
    "first degree av block",
    "sinus tachycardia",
    "sinus bradycardia",
)
NEW = "Is {} new in the second ECG, and was it absent in the first?"
GONE = "Was {} present in the first ECG, and has it resolved in the second?"


@pytest.fixture(scope="module")
def assistant() -> EcgAssistant:
    return EcgAssistant.load()


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
    quiet = []
    for ecg in ecgs.values():
        for finding in FINDINGS:
            for question in (NEW, GONE):
                answer = assistant.ask(question.format(finding), ecg, comparison=ecg)
                quiet.append(answer.text == "no")
    assert np.mean(quiet) >= 0.9


def test_a_list_names_the_rhythm(assistant, ecgs):
    rhythm = assistant.ask("Which rhythm does this ECG show?", ecgs["atrial fibrillation"])
    assert rhythm.answers == ("atrial fibrillation",) and rhythm.decoding == "option by option"
