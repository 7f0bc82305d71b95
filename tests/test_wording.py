"""Questions about two ECGs are told from questions about one by their words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ecgqa.answer.assistant import CHECKPOINT
from ecgqa.page.examples import EXAMPLES
from ecgqa.question.wording import compares, comparing_words, negates

OF_ONE = (
    "Is first degree AV block present?",
    "Does this ECG show an old inferior infarct?",
    "Which rhythm does this ECG show?",
    "Does this ECG show non-specific ST changes?",
    "Are there ischaemic ST-T changes?",
    "Is there a previous inferior infarct?",
    "Is there a recent myocardial infarction?",
    "Is there an old or recent infarct?",
    "Any evidence of prior MI?",
    "ST elevation in both V1 and V2?",
    "Is there T wave inversion in both the inferior and the lateral leads?",
    "Are both PR and QRS prolonged?",
    "persistent ST elevation",
    "Is there persistent ST elevation as in an aneurysm?",
    "Are there T wave changes in the lateral leads?",
    "Are there any ST segment changes?",
    "Do you see any ischaemic change?",
    "Which morphology changes are in aVL?",
    "What repolarisation changes are there in V5 and V6?",
    "Does the tracing suggest a change in form?",
    "Is it first or second degree AV block?",
    "Second degree AV block?",
    "Third, second or first degree block?",
    "Is the first beat a ventricular extrasystole?",
    "Are the first and the last beat alike?",
    "Does the QRS change from beat to beat?",
    "Do the P waves differ in shape?",
    "Is R in V5 taller compared with V6?",
    "How does the PR interval compare with normal values?",
    "Is the difference between V1 and V2 large?",
    "Are there different P wave morphologies?",
    "Which of the two diagnoses fits, LBBB or RBBB?",
    "LBBB or RBBB, which of the two?",
    "Has the patient had a myocardial infarction?",
    "Has the patient previously had an infarct?",
    "Are there early signs of an infarct?",
    "Is the infarct older than a few weeks?",
    "Does this ECG show a new infarct?",
    "Is there a new bundle branch block in this recording?",
    "Was this ECG recorded with noise?",
    "Was atrial fibrillation present?",
    "Is the present rhythm sinus rhythm?",
    "Does the recording show a pacemaker?",
    "Is the QRS widened?",
    "Is the heart rate increased?",
    "Report all findings, also those that remain doubtful.",
    "Is the PR interval constant in all leads?",
    "Chest pain since this morning: is there ST elevation?",
    "She is still short of breath and has developed oedema. Any sign of LVH?",
    "81-year-old with a new stroke: fibrillating baseline?",
    "MI on this tracing, old or new?",
)
OF_TWO = (
    "Is atrial fibrillation still present in the second ECG?",
    "Which findings are new?",
    "Is LBBB new in this ECG?",
    "Does this ECG show a new infarct that the previous one did not?",
    "Has LBBB been resolved since the previous tracing?",
    "What is the difference between the two ECGs?",
    "What are the differences between the ECGs?",
    "Is atrial fibrillation in the first but not in the second?",
    "Has the QRS widened?",
    "Has the PR interval lengthened?",
    "Is it unchanged?",
    "Is the axis unchanged?",
    "What changed?",
    "What has changed?",
    "Has the axis changed?",
    "Did the ST depression change?",
    "Did the QRS axis change since the last ECG?",
    "Is there a change in the QRS axis?",
    "Any change?",
    "Are there any changes?",
    "Have the ischaemic changes gone?",
    "Has this ECG changed?",
    "Are the non-specific ST changes new?",
    "Does atrial fibrillation persist?",
    "Has the ST elevation persisted?",
    "Has the infarct pattern disappeared?",
    "Is LBBB no longer there?",
    "Is he not in AF any more?",
    "Has it resolved?",
    "Is the T inversion gone?",
    "Is AF present in both?",
    "Do both ECGs show sinus rhythm?",
    "Are both of them normal?",
    "Is LVH in neither ECG?",
    "Compare the two tracings.",
    "Is the rate faster compared with the previous tracing?",
    "Does the rhythm differ?",
    "Do the two recordings differ in rhythm?",
    "Is the rhythm different now?",
    "Is the axis different from before?",
    "Was there LBBB before and is there none now?",
    "Was the rhythm regular last time?",
    "Is there anything in ECG 1 that is not in ECG 2?",
    "Did the earlier tracing show LVH?",
    "Does the latest ECG show what the old one showed?",
    "Is it the same as at baseline?",
    "Has the PR interval become abnormal?",
    "Has the patient developed left ventricular hypertrophy?",
    "Is QTc longer than before?",
    "Second ECG versus first: which intervals recovered?",
    "Palpitations. Is it still atrial fibrillation? Please be brief.",
    "has the axis changed",
    "Does the QT remain normal?",
)


@pytest.mark.parametrize("question", OF_ONE)
def test_questions_about_one(question):
    assert comparing_words(question) == ""


@pytest.mark.parametrize("question", OF_TWO)
def test_questions_about_two(question):
    words = comparing_words(question)
    assert words and words in re.sub(r"\s+", " ", question)


def test_the_pages_own_examples_are_told_apart():
    for theme, questions in EXAMPLES.items():
        for question in questions:
            assert compares(question) == (theme == "Two ECGs"), question


@pytest.mark.parametrize(
    "asking", ["Is {} present?", "Does this ECG show {}?", "Are there {}?", "{}", "any {} in V4?"]
)
def test_no_name_that_the_model_knows_is_a_comparison(asking):
    known = json.loads((CHECKPOINT / "config.json").read_text())["encoder"]["statements"]
    ours = json.loads(
        (Path(__file__).parent.parent / "training" / "data" / "wordings.json").read_text()
    )
    others = {word for words in ours["synonyms"].values() for word in words}
    assert [name for name in (*known, *others) if compares(asking.format(name))] == []


@pytest.mark.parametrize(("which", "share"), [("train", 0.93), ("heldout", 0.99)])
def test_every_official_comparison_is_told_from_every_single_question(ecg_data, which, share):
    from training.data.questions import TEMPLATES
    from training.data.wordings import load_wordings

    known = load_wordings(which, ecg_data / "ecgqa/ptbxl")
    if which == "train":
        official = [
            compares(w) == (TEMPLATES[t].ecgs == 2) for t in TEMPLATES for w in known[t][-7:]
        ]
        assert sum(official) / len(official) >= 0.98
    for ecgs, least in ((1, 0.99), (2, share)):
        words = [w for t, said in known.items() if TEMPLATES[t].ecgs == ecgs for w in said]
        assert sum(compares(w) == (ecgs == 2) for w in words) / len(words) >= least


@pytest.mark.parametrize(
    ("question", "absent"),
    [
        ("Is atrial fibrillation ruled out?", True),
        ("Can one exclude an infarct?", True),
        ("Is LBBB absent?", True),
        ("Is the ECG free of extrasystoles?", True),
        ("Is there no sign of LVH?", True),
        ("Is it without a pacemaker?", True),
        ("Isn't it sinus rhythm?", True),
        ("Is atrial fibrillation present?", False),
        ("Are there non-specific ST changes?", False),
        ("Is the rhythm normal?", False),
        ("Any noise?", False),
    ],
)
def test_wordings_that_ask_for_an_absence(question, absent):
    assert negates(question) is absent
