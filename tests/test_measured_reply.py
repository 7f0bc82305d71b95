"""Answers out of the measurements: numbers are the measured ones, yes and no follow from them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.answer import measured_reply
from ecgqa.answer.case import Case
from ecgqa.gallery.simulate import simulate
from ecgqa.measure import measure
from ecgqa.measure.normal import NORMAL_RANGES
from ecgqa.question import kinds
from ecgqa.question.quantity import QUANTITIES, in_units_of, side_of, value_of
from ecgqa.question.reading import Limit, Reading

ECG = simulate("normal", seconds=10, rate_hz=500).ecg
FAST = simulate("sinus tachycardia", seconds=10, rate_hz=500).ecg
EARLY = simulate("ventricular premature complexes", seconds=10, rate_hz=500).ecg
WHOLE = [name for name, q in QUANTITIES.items() if q.value is not None]


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    """Numbers need no model: what it says beside them is tested with the checkpoint."""
    monkeypatch.setattr(measured_reply, "_model_disagrees", lambda *_: ())


def case(*ecgs) -> Case:
    model = SimpleNamespace(config=None)
    return Case(model, ecgs[-1], ecgs[0] if len(ecgs) == 2 else None)


def number(text: str) -> float:
    return float(re.findall(r"[-−]?\d+(?:\.\d+)?", text)[0].replace("−", "-"))


@pytest.mark.parametrize("name", WHOLE)
def test_a_number_is_copied_from_the_measurement(name):
    m = measure(ECG)
    reply = measured_reply.reply(case(ECG), Reading("?", kinds.NUMBER, quantities=(name,)))
    value = value_of(name, m)
    assert not reply.declined and value.sentence() in reply.text


@pytest.mark.parametrize("lead", ["II", "V2", "aVR"])
def test_a_number_of_a_lead_is_that_leads(lead):
    read = Reading("?", kinds.NUMBER, quantities=("r amplitude",), leads=(lead,))
    reply = measured_reply.reply(case(ECG), read)
    assert f"R in {lead} {measure(ECG).leads[lead].r_mv:.2f} mV" in reply.text


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["heart rate", "pr interval", "qrs duration", "qt corrected", "qrs axis"]),
       st.floats(0.5, 1.5), st.sampled_from(["above", "below"]))  # fmt: skip
def test_a_limit_is_compared_with_the_measured_number(name, factor, side):
    value = value_of(name, measure(ECG)).number
    limit = round(value * factor, 1)
    read = Reading("?", kinds.THRESHOLD, quantities=(name,), side=side,
                   limit=Limit(limit, QUANTITIES[name].unit))  # fmt: skip
    reply = measured_reply.reply(case(ECG), read)
    shown = round(value)
    true = shown > limit if side == "above" else shown < limit
    assert reply.answers == ("yes" if true else "no",)
    assert 0.3 <= reply.confidence <= 1


def test_limits_are_read_in_the_quantitys_own_unit():
    assert in_units_of(QUANTITIES["pr interval"], Limit(0.2)).value == pytest.approx(200)
    assert in_units_of(QUANTITIES["st level"], Limit(1)).value == pytest.approx(0.1)
    assert in_units_of(QUANTITIES["sokolow-lyon index"], Limit(35)).value == pytest.approx(3.5)
    assert in_units_of(QUANTITIES["heart rate"], Limit(3)).value == 3


@pytest.mark.parametrize("name", [name for name in NORMAL_RANGES if name != "qrs axis"])
@pytest.mark.parametrize("side", ["above", "below", "within"])
def test_a_range_question_is_answered_from_the_number(name, side):
    value = value_of(name, measure(FAST)).number
    read = Reading("?", "yes or no", quantities=(name,), side=side)
    reply = measured_reply.reply(case(FAST), read)
    assert reply.answers == (("yes" if side_of(value, *NORMAL_RANGES[name]) == side else "no"),)
    assert QUANTITIES[name].text(value) in reply.text


def test_a_change_is_told_from_the_first_to_the_second_and_only_of_two():
    rise = Reading("?", kinds.CHANGE, quantities=("heart rate",), side="above")
    assert measured_reply.reply(case(ECG, FAST), rise).answers == ("yes",)
    assert measured_reply.reply(case(FAST, ECG), rise).answers == ("no",)
    assert measured_reply.reply(case(FAST), rise).declined


def test_premature_beats_are_named_with_their_seconds():
    m = measure(EARLY)
    times = [t for beat, t in zip(m.beats, m.r_peaks_s, strict=True) if "premature" in beat.kind]
    assert times
    reply = measured_reply.when(case(EARLY), Reading("which beats are premature?", kinds.WHEN))
    assert all(f"{t:.2f} s" in reply.text for t in times)
    pause = measured_reply.when(case(EARLY), Reading("longest pause?", kinds.WHEN))
    assert number(pause.text) == pytest.approx(max(
        zip([b - a for a, b in zip(m.r_peaks_s, m.r_peaks_s[1:], strict=False)], m.r_peaks_s,
            strict=False))[1], abs=0.01)  # fmt: skip


def test_what_cannot_be_measured_is_declined_with_the_reason():
    flat = simulate("atrial fibrillation", seconds=10, rate_hz=500).ecg
    read = Reading("?", kinds.NUMBER, quantities=("pr interval",))
    reply = measured_reply.reply(case(flat), read)
    assert reply.declined and "not measurable" in reply.text
