"""Which leads and seconds an answer rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_model

import ecgqa.answer.evidence as evidence_module
from ecgqa.answer.evidence import CELL_S, CELLS, Evidence, cell_weights, evidence, strongest
from ecgqa.answer.options import Asked
from ecgqa.gallery.simulate import simulate
from ecgqa.model.ecg_model import ABSTENTION, YES_OR_NO
from ecgqa.model.tensor import model_input
from ecgqa.record import ECG, LEADS

QUESTION = "Is atrial fibrillation present in this ECG?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("llm"))


def leaning(model, signals) -> float:
    with torch.no_grad():
        features = [model.encode(torch.from_numpy(s).unsqueeze(0)) for s in signals]
        second = features[1] if len(features) == 2 else None
        return float(model.lean(model.testimony([QUESTION], features[0], second)))


@pytest.mark.parametrize("count", [1, 2])
def test_weights_add_up_to_what_the_recording_changes(model, count):
    """The completeness of integrated gradients: they sum to f(recording) - f(nothing)."""
    signals = [model_input(simulate("normal", seed=i).ecg) for i in range(count)]
    weights = cell_weights(model, QUESTION, signals, yes=True)
    assert weights.shape == (count, 12, CELLS)
    change = leaning(model, signals) - leaning(model, [np.zeros_like(s) for s in signals])
    assert weights.sum() == pytest.approx(change, abs=0.1 * abs(change) + 1e-3)
    assert cell_weights(model, QUESTION, signals, yes=False) == pytest.approx(-weights)


def test_a_lead_that_is_not_there_carries_no_evidence(model):
    signal = simulate("normal").ecg.signal_mv.copy()
    signal[7] = np.nan
    ecg = ECG(signal, 500.0, "without V2")
    found = evidence(model, QUESTION, ("yes",), ecg)
    assert found.leads and {lead: share for _, lead, share in found.leads}["V2"] == 0
    assert all(mark.lead != "V2" for mark in found.marks)


def test_marks_are_the_strongest_cells_joined():
    weights = np.full((2, 12, CELLS), -1.0)
    weights[1, 6, 3:5] = [2.0, 4.0]  # V1 of the second ECG, 1.5 to 2.5 s
    weights[0, 0, 19] = 1.0  # the last half second of I
    weights[0, 5, 0] = 0.5  # too little beside 4.0
    found = strongest(weights)
    assert [(m.ecg, m.lead, m.start_s, m.seconds) for m in found.marks] == [
        (0, "I", 19 * CELL_S, CELL_S),
        (1, "V1", 3 * CELL_S, 2 * CELL_S),
    ]
    assert [m.strength for m in found.marks] == [0.25, 1.0]
    assert found.leads[0] == (1, "V1", pytest.approx(6 / 7.5))
    assert len(found.leads) == 24 and {lead for _, lead, _ in found.leads} == set(LEADS)
    assert strongest(-np.ones((1, 12, CELLS))) == Evidence()


def test_an_answer_that_names_nothing_has_no_evidence(model, monkeypatch):
    ecg = simulate("normal").ecg
    for asked in (Asked("rhythm"), Asked(YES_OR_NO, names=("atrial fibrillation",), weight=1.0)):
        monkeypatch.setattr(evidence_module, "understand", lambda *_, asked=asked: [asked])
        assert evidence(model, QUESTION, (ABSTENTION,), ecg) == Evidence()


@pytest.mark.parametrize(
    ("question", "weight", "findings"),
    [
        (QUESTION, 0.9, (("atrial fibrillation", True),)),
        (QUESTION, 0.3, ()),
        ("Is atrial fibrillation ruled out?", 0.9, ()),
        ("Isn’t this free of atrial fibrillation?", 0.9, ()),
    ],
)
def test_a_yes_affirms_a_name_that_was_clearly_asked_about(
    model, monkeypatch, question, weight, findings
):
    asked = Asked(YES_OR_NO, names=("atrial fibrillation", "sinus rhythm"), weight=weight)
    monkeypatch.setattr(evidence_module, "understand", lambda *_: [asked])
    found = evidence(model, question, ("yes",), simulate("normal").ecg)
    assert found.findings == findings and found.leads
