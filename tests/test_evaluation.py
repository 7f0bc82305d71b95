"""Calibration, intervals, tables and the text-only answerer: numbers with known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.data import ptbxl, questions
from training.data.debias import Sampler, regenerate
from training.data.questions import Facts, Question
from training.data.wordings import load_wordings, word
from training.judge import blind, evaluate, tables
from training.stages.calibrate import platt


def test_platt_finds_one_scale_and_a_shift_for_each_kind():
    rng = np.random.default_rng(0)
    shifts = {"a": -1.0, "b": 1.0}
    margins = {kind: list(rng.normal(0, 2, 4000)) for kind in shifts}
    truth = {
        kind: [bool(rng.random() < 1 / (1 + np.exp(-(0.5 * m + shifts[kind])))) for m in values]
        for kind, values in margins.items()
    }
    for kind, (scale, shift) in platt(margins, truth).items():
        assert scale == pytest.approx(0.5, abs=0.06)
        assert shift == pytest.approx(shifts[kind], abs=0.15)
    assert platt({}, {}) == {}


def test_area_is_that_under_the_roc_curve_also_with_ties():
    rng = np.random.default_rng(2)
    for levels in (3, 1000):
        pairs = np.stack([rng.random(500) < 0.3, rng.integers(0, levels, 500)], axis=1).astype(
            float
        )
        pairs[:, 1] += pairs[:, 0] * levels / 5
        assert evaluate.area(pairs) == pytest.approx(roc_auc_score(pairs[:, 0], pairs[:, 1]))
    assert np.isnan(evaluate.area(np.array([[1.0, 0.5], [1.0, 0.7]])))


def test_calibration_error_of_known_probabilities():
    rng = np.random.default_rng(1)
    chance = rng.random(20_000)
    truth = rng.random(20_000) < chance
    good = evaluate.calibration(np.stack([truth, chance], axis=1))
    bad = evaluate.calibration(np.stack([truth, chance**3], axis=1))
    assert good["ece"] < 0.02 < 0.1 < bad["ece"]
    assert good["right_at_50"] > good["right_at_80"] > 0.75


def test_generated_part_of_a_readme_is_replaced_and_nothing_else(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("before\n<!-- x -->\n\nold\n\n<!-- end of x -->\nafter\n")
    tables.put_between(file, "x", "new")
    assert tables.between(file, "x") == "new"
    assert file.read_text() == "before\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nafter\n"
    with pytest.raises(ValueError, match="no marks"):
        tables.put_between(file, "y", "new")


def test_words_alone_answer_every_question_and_never_see_an_ecg(made):
    data = ptbxl.load(made / "ptbxl")
    facts = Facts(data, made / "intervals.csv")
    words = load_wordings("own")
    rows = np.arange(len(data.ecg_id))

    def worder(key, rng):
        return word(key, words, rng)

    train = regenerate(Sampler(facts, rows, worder, "erm", seed=3), 20)
    asked = regenerate(Sampler(facts, rows, worder, "erm", seed=4), 5)
    said = blind.answers(train, asked)
    assert all(answer for answer, _ in said)
    usual = blind.commonest(train, asked)
    assert all(answer and 0 <= chance <= 1 for answer, chance in usual)
    for question, (answer, _) in zip(asked, usual, strict=True):
        assert set(answer) <= {*question.valid_answers, questions.NONE}
    other = [replace(q, ecg_id=q.ecg_id[::-1]) for q in asked]
    assert [a for a, _ in blind.answers(train, other)] == [a for a, _ in said]


def test_an_interval_over_wordings_is_as_wide_as_the_wordings_differ():
    same = np.tile([0.0, 1.0], 50)
    by_wording = np.repeat([0.0, 1.0], 50)
    groups = [k // 10 for k in range(100)]
    low, high = tables.interval_over(groups, same)
    assert (low, high) == (0.5, 0.5), "every wording is as good as the others"
    low, high = tables.interval_over(groups, by_wording)
    assert low < 0.25 and high > 0.75, "ten wordings, half of them never understood"


def test_questions_in_the_same_words_have_the_same_wording():
    def ask(text, *names):
        return Question(9, "single-verify", "scp_code", text, ("yes",), (1,), names)

    one = ask("Is there Q waves present in lead V2?", "Q waves present")
    two = ask("Is there st-t change in lead aVR?", "st-t change")
    assert evaluate.wording(one) == evaluate.wording(two) == (9, "is there * in lead *?")
    assert evaluate.wording(ask("Any st-t change in lead aVR?", "st-t change")) != evaluate.wording(
        two
    )
