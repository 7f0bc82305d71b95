"""Open questions, option by option, on a tiny, untrained model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny import tiny_model

from ecgqa import EcgAssistant
from ecgqa.answer.options import (
    FATES,
    LEAST,
    MOST,
    NEAR,
    NONE,
    Asked,
    choices,
    decide,
    is_list,
    likeliest,
    option_question,
    understand,
    weigh,
)
from ecgqa.gallery.simulate import simulate
from ecgqa.model.ecg_model import ONE_OF_TWO, YES_OR_NO


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("llm"))


def wants(model, kind: str) -> None:
    """Make the model believe that every question wants this kind of answer."""
    with torch.no_grad():
        model.projector.kind_asked.weight.zero_()
        model.projector.kind_asked.bias.zero_()
        model.projector.kind_asked.bias[model.config.kinds.index(kind)] = 1.0


@pytest.mark.parametrize(
    ("asked", "option", "feature", "text"),
    [
        (Asked(), "sinus rhythm", False, "Is sinus rhythm present in this ECG?"),
        (Asked(lead="V2"), "static noise", False,
         "Is static noise present in lead V2 of this ECG?"),
        (Asked(finding="static noise"), "lead aVR", False,
         "Is static noise present in lead aVR of this ECG?"),
        (Asked(feature="pr interval"), "above the normal range", False,
         "Is the pr interval above the normal range in this ECG?"),
        (Asked(range="above the normal range"), "pr interval", True,
         "Is the pr interval above the normal range in this ECG?"),
    ],
)  # fmt: skip
def test_an_option_becomes_a_plain_question(asked, option, feature, text):
    assert option_question(asked, option, feature) == text


def test_each_fate_has_its_own_question():
    texts = {option_question(Asked(fate=f), "x", feature) for f in FATES for feature in (0, 1)}
    assert len(texts) == 2 * len(FATES)


def test_lead_is_read_from_the_question(model):
    for question, lead in (
        ("Any noise in lead V4?", "V4"),
        ("what about avr", "aVR"),
        ("Is lead II fine?", "II"),
    ):
        assert understand(model, [question], False)[0].lead == lead
    assert understand(model, ["What is new?"], True)[0].fate in FATES


def test_of_one_or_both_of_two_each_counts_for_itself(model):
    chosen = decide(model, ONE_OF_TWO, {"a": 2.0, "b": 1.0})
    assert chosen.options == ("a", "b")
    assert chosen.confidence == pytest.approx(torch.tensor(1.0).sigmoid().item())
    assert decide(model, ONE_OF_TWO, {"a": -1.0, "b": -2.0}).options == (NONE,)


def test_a_list_is_the_likeliest_of_the_answers_known_from_training(model, monkeypatch):
    answers = {"a": 4, "a; b": 2, "b; c": 2, "none": 1}
    known = replace(model.config, known_answers={"rhythm": answers})
    monkeypatch.setattr(model, "config", known)
    found = decide(model, "rhythm", {"a": 1.0, "b": 0.5, "c": -3.0})
    # Softmax over exp(log odds) times how often: a 4e^1, a and b 2e^1.5, b and c 2e^-2.5, none 1.
    a, both, bc = 4 * math.exp(1.0), 2 * math.exp(1.5), 2 * math.exp(-2.5)
    assert found.options == ("a",)
    assert found.confidence == pytest.approx((a + both) / (a + both + bc + 1))
    sure = decide(model, "rhythm", {"a": 3.0, "b": 3.0, "c": -3.0})
    assert sure.options == ("a", "b")
    assert decide(model, "rhythm", {"a": -3.0, "b": -3.0, "c": -3.0}).options == (NONE,)
    assert decide(model, "rhythm", {"b": 9.0}).options == (NONE,), "no known answer is b alone"


def test_proposals_are_the_options_that_the_evidence_affirms_most(model):
    with torch.no_grad():
        first = model.encode(torch.randn(1, 12, 1000, generator=torch.Generator().manual_seed(1)))
    texts = [f"Is thing {i} present in this ECG?" for i in range(30)]
    margins = model.testimony_margin(texts, first)
    chosen = likeliest(model, texts, first)
    others = [i for i in range(30) if i not in chosen]
    assert LEAST <= len(chosen) <= MOST and chosen == sorted(chosen)
    assert margins[chosen].min() >= margins[others].max()
    assert margins[chosen].sort(descending=True).values[LEAST:].min() >= margins.max() - NEAR
    with torch.no_grad():  # the kept states of the texts give what a fresh reading gives
        near = model.testimony([texts[3]], first, None) @ model.directions(["yes", "no"]).T
    near = near.logsumexp(1)[0]
    assert margins[3].item() == pytest.approx((near[0] - near[1]).item(), abs=1e-4)
    assert likeliest(model, texts[:LEAST], first) == list(range(LEAST)), "a few are all asked"


def test_a_list_question_is_answered_from_its_vocabulary(model):
    ecg = simulate("normal", seconds=5, rate_hz=250).ecg
    wants(model, "rhythm")
    (asked,) = understand(model, ["Which rhythm is it?"], False)
    assert asked.kind == "rhythm" and is_list(model, asked)
    assert choices(model, asked) == model.config.vocabulary["rhythm"]
    answer = EcgAssistant(model).ask("Which rhythm is it?", ecg)
    assert not answer.declined
    assert set(answer.answers) <= {*model.config.vocabulary["rhythm"], NONE}
    assert answer.decoding == "option by option" and 0 < answer.confidence <= 1
    result = EcgAssistant(model).random_ecg_test("Which rhythm is it?", ecg)
    assert len(result.rows) == 7 and result.rows[0].log_odds_change == 0
    wants(model, ONE_OF_TWO)
    (asked,) = understand(model, ["Is it this or that?"], False)
    with torch.no_grad():
        first = model.encode(torch.zeros(1, 12, 1000))
    assert len(choices(model, asked)) == 2 and len(weigh(model, asked, first)) == 2
    wants(model, YES_OR_NO)
    assert not is_list(model, understand(model, ["Is it there?"], False)[0])
