"""A report says nothing against its numbers or against itself, whatever the model believes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgqa.answer import narrative
from ecgqa.answer.findings import Finding
from ecgqa.answer.narrative import Report, contradictions, exclude, spoken_against, stated
from ecgqa.gallery.simulate import simulate
from ecgqa.measure import measure

NAMES = (*narrative.RHYTHMS, *narrative.CONDUCTION, *narrative.HYPERTROPHY, "normal ecg",
         "abnormal ecg", "myocardial infarction in inferior leads")  # fmt: skip
MEASURED = {
    finding: measure(simulate(finding, seconds=10, rate_hz=250).ecg)
    for finding in ("normal", "sinus tachycardia", "complete left bundle branch block")
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=len(NAMES), max_size=len(NAMES)),
       st.sampled_from(sorted(MEASURED)))  # fmt: skip
def test_nothing_is_told_against_the_numbers_or_beside_its_opposite(chances, which):
    m = MEASURED[which]
    found = {n: Finding(n, p, 0.4) for n, p in zip(NAMES, chances, strict=True)}
    told = stated(found, m)
    assert not any(spoken_against(name, m) for name in told)
    assert not any(exclude(a, b) for i, a in enumerate(told) for b in told[i + 1 :])


def test_the_counter_of_contradictions_finds_each_kind():
    m = MEASURED["normal"]
    assert contradictions(Report((), ("sinus bradycardia",)), MEASURED["sinus tachycardia"])
    assert contradictions(Report((), ("atrial fibrillation", "sinus rhythm")), m)
    assert contradictions(Report((), ("normal ecg", "left ventricular hypertrophy")), m)
    assert not contradictions(Report((), ("normal ecg", "sinus rhythm")), m)


@pytest.mark.parametrize("finding", sorted(MEASURED))
def test_a_report_holds_every_section_and_the_measured_rate(finding, monkeypatch):
    ecg = simulate(finding, seconds=10, rate_hz=250).ecg
    chances = {"sinus rhythm": Finding("sinus rhythm", 0.9, 0.5),
               "normal ecg": Finding("normal ecg", 0.1, 0.5)}  # fmt: skip
    monkeypatch.setattr(narrative, "findings", lambda *_: chances)
    m = MEASURED[finding]
    case = SimpleNamespace(measured=(m,), quality=(SimpleNamespace(leads={}),), ecgs=(ecg,))
    told = narrative.report(case)
    assert [title for title, _ in told.sections] == list(narrative.SECTIONS)
    assert f"{m.rate_bpm:.0f} per min" in told.text and not contradictions(told, m)
