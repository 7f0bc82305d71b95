"""Labels, questions, samplers and the training scripts, on a made-up PTB-XL and a tiny LLM."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.record import LEADS
from training.data import fates, ptbxl, questions
from training.data.debias import Sampler, arrows, known_answers, regenerate
from training.data.questions import NONE, TEMPLATES, Facts
from training.data.wordings import WORDINGS, load_wordings, slots_of, word
from training.judge import evaluate

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def data(made):
    return ptbxl.load(made / "ptbxl")


@pytest.fixture(scope="module")
def facts(made, data):
    return Facts(data, made / "intervals.csv")


def worder(which="own"):
    wordings = load_wordings(which)
    return lambda key, rng: word(key, wordings, rng)


# Labels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        (" , I-AVF,  ", LEADS[:6]), ("V4,5,6", ("V4", "V5", "V6")), ("alles", LEADS),
        ("mittel", ()), ("i, avl, v5,6", ("I", "aVL", "V5", "V6")), ("VES2,alles", LEADS),
        ("VES2", ()), ("V3,V4-V6", ("V3", "V4", "V5", "V6")), ("", ()),
        ("I,III-AVR", ("I", "III", "aVR")),
    ],
)  # fmt: skip
def test_leads_in_remarks(text, leads):
    assert ptbxl.leads_in(text) == set(leads)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_remark_gives_leads(text):
    assert ptbxl.leads_in(text) <= set(LEADS)


def test_unknown_is_not_no(data):
    incomplete = data.ecg_id % 5 == 0
    for group in ("axis", "noise", "extrasystole"):
        assert np.isnan(data.facts[group][incomplete]).all()
    assert not np.isnan(data.facts["noise"][~incomplete]).any()
    assert not np.isnan(data.facts["diagnostic"]).any()


def test_lead_findings_from_reports(data):
    form = data.facts["lead_form"]
    k = list(ptbxl.LEAD_FORMS).index("inverted t-waves")
    known = ~np.isnan(form[:, 0, 0])
    assert known.any()
    assert (form[known][:, [LEADS.index(x) for x in ("V4", "V5", "V6")], k] == 1).all()
    assert (form[known][:, LEADS.index("I"), k] == 0).all()


def test_splits_share_no_patient_with_training(made, data):
    _assert_disjoint(data, ptbxl.splits(data, made / "ecgqa"))


def test_real_splits_share_no_patient(ecg_data):
    data = ptbxl.load(ecg_data / "ptbxl")
    split = ptbxl.splits(data, ecg_data / "ecgqa/ptbxl")
    assert {k: len(v) for k, v in split.items()} == {
        "train": 11566, "valid": 1274, "test": 3214, "pretrain": 17279,
    }  # fmt: skip
    _assert_disjoint(data, split)


def _assert_disjoint(data, split):
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test"),
                 ("pretrain", "valid"), ("pretrain", "test")):  # fmt: skip
        assert len(split[a]) and not set(data.patient[split[a]]) & set(data.patient[split[b]])


# Questions ---------------------------------------------------------------------------------------


def test_seventy_templates_as_in_ecgqa(ecg_data):
    import csv

    with (ecg_data / "ecgqa/ptbxl/train_paraphrases.csv").open() as file:
        official = {int(r["template_id"]): r for r in csv.DictReader(file)}
    assert set(official) == set(TEMPLATES)
    for i, row in official.items():
        assert TEMPLATES[i].type == row["question_type"]
        assert TEMPLATES[i].attribute == row["attribute_type"]


def test_wordings_have_their_slots_and_held_out_ones_are_held_out(ecg_data):
    train = load_wordings("train", ecg_data / "ecgqa/ptbxl")
    held = load_wordings("heldout")
    everywhere = {w.lower() for words in train.values() for w in words}
    for i in TEMPLATES:
        slots = {frozenset(slots_of(w)) for w in train[i] + held[i]}
        assert len(slots) == 1 and len(train[i]) >= 9 and len(held[i]) >= 3
        assert not {w.lower() for w in held[i]} & everywhere


def test_every_question_is_worded_without_a_slot_left(facts):
    rng = random.Random(0)
    for which in ("own", "heldout"):
        for template in TEMPLATES.values():
            for key in questions.keys(template, facts, rng, pairs=4):
                assert not re.search(r"[{}]", worder(which)(key, rng))


def test_answers_follow_from_the_labels(data, facts):
    """Each drawn answer is worked out again from the raw codes, not by the code that drew it."""
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "balanced", seed=3)
    code = {v: k for k, v in {**ptbxl.RHYTHM, **ptbxl.FORM, **ptbxl.DIAGNOSTIC}.items()}
    code |= {"hypertrophy": "LVH", "myocardial infarction": "IMI", "st/t change": "NDT",
             "conduction disturbance": "CLBBB"}  # fmt: skip
    state = {57: [True, False], 58: [False, True], 59: [True, True], 60: [False, False]}
    row_of = {int(e): i for i, e in enumerate(data.ecg_id)}
    seen = Counter()
    for template_id in (1, 3, *state):
        for _ in range(40):
            q = sampler.draw(template_id).question
            had = [[data.codes[row_of[e]].get(code[a]) for a in q.attribute] for e in q.ecg_id]
            there = [[v is not None for v in values] for values in had]
            if template_id == 3:
                want = {a for a, t in zip(q.attribute, there[0], strict=True) if t} or {NONE}
                assert set(q.answer) == want
            elif template_id == 1:
                unsure = had[0][0] == 50 and q.attribute[0] in ptbxl.DIAGNOSTIC.values()
                assert q.answer == ("not sure" if unsure else "yes" if there[0][0] else "no",)
            else:
                yes = [there[0][0], there[1][0]] == state[template_id]
                assert q.answer == ("yes" if yes else "no",)
            seen[template_id, q.answer] += 1
    assert all(seen[t, (a,)] for t in (1, *state) for a in ("yes", "no")), seen


def test_official_json_reads_back_what_was_written(facts, data, tmp_path):
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", seed=1)
    made = regenerate(sampler, 4)
    assert len({q.template_id for q in made}) >= 60
    questions.write_questions(made, tmp_path / "q.json")
    assert questions.read_questions(tmp_path / "q.json") == made
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ValueError, match="not a list"):
        questions.read_questions(tmp_path / "no.json")


def test_key_of_a_question_leads_back_to_its_answer(facts, data):
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", seed=3)
    row_of = {int(e): i for i, e in enumerate(data.ecg_id)}
    made = regenerate(sampler, 6)
    assert len({q.template_id for q in made}) >= 60
    for q in made:
        rows = tuple(row_of[i] for i in q.ecg_id)
        assert questions.answer_of(questions.key_of(q), facts, rows) == q.answer, q


@pytest.mark.parametrize("control", ["shuffled", "severity"])
def test_no_question_is_handed_its_own_ecg(facts, data, control):
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", seed=3)
    asked = regenerate(sampler, 8)
    severity = dict(zip(data.ecg_id.tolist(), data.severity.tolist(), strict=True))
    alike = 0
    for q, other in zip(asked, evaluate.stand_ins(asked, control, data), strict=True):
        assert other and len(other) == len(q.ecg_id) and not set(other) & set(q.ecg_id)
        alike += [severity[i] for i in other] == [severity[i] for i in q.ecg_id]
        if TEMPLATES[q.template_id].consecutive:
            patients = data.patient[np.isin(data.ecg_id, other)]
            assert len(set(patients.tolist())) == 1, "two tracings of one patient"
    assert alike > 0.9 * len(asked) if control == "severity" else alike < 0.7 * len(asked)


def test_a_perfect_reader_is_right_on_true_ecgs_only(facts, data):
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", seed=3)
    asked = [q for q in regenerate(sampler, 8) if q.question_type == "single-verify"]
    asked = [q for q in asked if q.answer != ("not sure",)]

    def right(control):
        given = evaluate.stand_ins(asked, control, data)
        said = evaluate.read_perfectly(asked, given, facts)
        return np.mean([answer == q.answer for (answer, _), q in zip(said, asked, strict=True)])

    assert right("true") == 1.0 and right("shuffled") < 0.8


def test_official_shards_are_read(ecg_data):
    folder = ecg_data / "ecgqa/ptbxl"
    rows = questions.read_questions(folder / "paraphrased/valid/60000.json")
    assert len(rows) == 4663 and {q.template_id for q in rows} == {68, 69, 70}
    for q in rows:
        assert set(q.answer) <= set(q.valid_answers) and len(q.ecg_id) == 2
    assert len(questions.read_questions(folder / "template/train/120000.json")) == 10_000


def test_test_wordings_are_near_no_train_wording(ecg_data):
    """Of its own template, or of one that asks for the same fate; word for word, of none."""

    def bare(texts):
        return {re.sub(r"{[^}]*}", "{x}", text).lower() for text in texts}

    train = load_wordings("train", ecg_data / "ecgqa/ptbxl")
    every = set().union(*(bare(texts) for texts in train.values()))
    for i, texts in load_wordings("test").items():
        asks = TEMPLATES[i].kind, TEMPLATES[i].group, TEMPLATES[i].state
        alike = [t.id for t in TEMPLATES.values() if (t.kind, t.group, t.state) == asks]
        alike = alike if TEMPLATES[i].ecgs == 2 else [i]
        pool = set().union(*(bare(train[k]) for k in alike))
        assert not bare(texts) & every
        apart = fates.Apart(sorted(bare(texts)))
        assert not {other: near for other in pool if (near := apart.near(other))}


# Samplers ----------------------------------------------------------------------------------------


def test_balanced_arm_cuts_severity_to_answer(data, facts):
    out = {}
    for arm in ("erm", "balanced"):
        sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), arm, seed=2)
        ask = [t for t in (1, 2, 12, 13, 20, 36) if t in sampler.templates()]
        draws = [sampler.draw(sampler.rng.choice(ask)) for _ in range(3000)]
        draws = [d for d in draws if d.question.answer[0] != "not sure"]
        out[arm] = arrows(draws, data.severity)["I(S;A)"]
    value, _, high = out["balanced"]
    assert value < 2 * high, out
    assert out["erm"][0] > 5 * out["erm"][2], "the made-up data must have something to cut"


def test_what_is_left_out_is_never_asked_nor_answered(data, facts):
    without = ("atrial fibrillation", "2")
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", 1 / 3, 0.5, 3, without)
    assert 2 not in sampler.templates()
    drawn = [sampler.draw(t) for t in sampler.templates() for _ in range(10)]
    assert all("atrial fibrillation" not in (*d.names, *d.question.answer) for d in drawn)


def test_known_answers_are_those_of_the_labels(data, facts):
    rows = np.arange(len(data.ecg_id))
    known = known_answers(facts, rows)
    rhythms = questions.vocabulary()["rhythm"]
    values = np.stack([facts.columns["statement", name] for name in rhythms])
    answers = {
        "; ".join(name for name, there in zip(rhythms, column > 0, strict=True) if there) or "none"
        for column in values.T
    }
    assert set(known["rhythm"]) == answers
    assert set(known) == set(questions.vocabulary())
    assert all(count > 0 for counts in known.values() for count in counts.values())


def test_independent_arm_cuts_question_from_severity_and_leaves_the_answers(data, facts):
    rows = np.arange(len(data.ecg_id))
    sampler = Sampler(facts, rows, worder(), "independent", seed=2)
    ask = [t for t in (1, 2, 12, 13, 20, 36) if t in sampler.templates()]
    draws = [sampler.draw(sampler.rng.choice(ask)) for _ in range(3000)]
    value, _, high = arrows(draws, data.severity)["I(Q;S)"]
    assert value < 1.5 * high
    drawn = np.bincount([data.severity[d.rows[0]] for d in draws], minlength=3) / len(draws)
    assert drawn == pytest.approx(np.bincount(data.severity, minlength=3) / len(rows), abs=0.05)


def test_a_group_asks_one_question_of_ecgs_that_answer_otherwise(data, facts):
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "balanced", 0.5, 0.5, seed=3)
    for template in (1, 10, 57):
        for _ in range(10):
            group = sampler.group(template, 2)
            assert len({d.question.question for d in group}) == 1
            assert len({d.stratum for d in group}) == 1
            if group[0].kind == "yes or no" and not any(
                d.question.answer == ("not sure",) for d in group
            ):
                assert {d.question.answer for d in group} == {("yes",), ("no",)}


def test_lists_are_drawn_evenly_over_their_answers(data, facts):
    """ECG-QA's rule: so many ECGs of every distinct set of answers, not of every ECG."""
    sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", seed=3)
    drawn = Counter(sampler.draw(10).question.answer for _ in range(600))
    common, *_, rare = drawn.most_common()
    assert common[1] < 6 * rare[1], drawn


def test_draws_are_seeded_and_follow_the_odds(data, facts):
    def stream(seed):
        sampler = Sampler(facts, np.arange(len(data.ecg_id)), worder(), "erm", seed=seed)
        return [sampler.draw(1).question for _ in range(600)]

    assert stream(4) == stream(4) != stream(5)
    share = np.mean([q.answer == ("yes",) or q.answer == ("not sure",) for q in stream(4)])
    assert share == pytest.approx(1 / 3, abs=0.06)


def test_a_statement_of_unknown_likelihood_is_there(data, facts):
    """Two ECGs: what became of it does not depend on how certain it was."""
    name, code = "left ventricular hypertrophy", "LVH"
    there = facts.column(questions.Key(TEMPLATES[59], (name,)), name)
    assert np.array_equal(there, [code in codes for codes in data.codes])
    alone = facts.column(questions.Key(TEMPLATES[1], (name,)), name)
    assert np.isnan(alone).any() and there[np.isnan(alone)].all()


@pytest.mark.parametrize("fate", ["resolved", "new", "kept", "absent"])
@pytest.mark.parametrize("feature", [False, True])
def test_composed_wordings_are_whole_and_far_from_those_kept_for_tests(fate, feature):
    phrases = json.loads(WORDINGS.read_text())["fates"]
    apart = "Did {x} vanish between the first ECG and the second ECG?"
    texts = fates.wordings(fate, feature, phrases, 300, 5, [apart])
    assert len(set(texts)) == 300 and texts == fates.wordings(
        fate, feature, phrases, 300, 5, [apart]
    )
    for text in texts:
        assert text.count("{x}") >= 1 and not set("{}") & set(text.replace("{x}", ""))
        assert "  " not in text and not fates.Apart([apart]).near(text)


@pytest.mark.parametrize("change", ["{x} vanishd", "{X} VANISHED", "{x} wholly vanished"])
def test_a_wording_is_near_one_with_nearly_the_same_letters(change):
    kept = "Did {x} vanish between the first ECG and the second ECG?"
    apart = fates.Apart(["Which rhythm is it?", kept])
    assert apart.near(kept.replace("{x} vanish", change)) == [kept.lower()]
    assert apart.near("Between the second ECG and the first ECG, did {x} vanish?") == []
    assert apart.near("Is {x} gone?") == [] and fates.Apart([]).near(kept) == []
