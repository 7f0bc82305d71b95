"""The dependence test in words."""

from __future__ import annotations

import pytest

from ecgqa.answer.grounding import GroundingResult, GroundingRow
from ecgqa.page.proof import dependence_html, meaning


def result(answers, depends, measured=False):
    rows = tuple(GroundingRow(f"ECG {i}", said, 0.0, 0.1) for i, said in enumerate(answers))
    return GroundingResult(rows, "", depends, 1.0, measured)


ALIKE, MIXED = ["no"] * 7, ["no"] * 6 + ["yes"]


@pytest.mark.parametrize(
    ("answers", "depends", "measured", "kind", "words"),
    [
        (ALIKE, True, False, "told", "alone would not give this answer"),
        (MIXED, True, False, "told", "alone would not give this answer"),
        (ALIKE, False, False, "bad", "alone would give this answer"),
        (MIXED, False, False, "unsure", "may give this answer"),
        (MIXED, True, True, "told", "alone would not give this answer"),
        (ALIKE, False, True, "unsure", "cannot tell"),
    ],
)
def test_red_only_where_all_rows_agree_and_never_a_verdict_of_correctness(
    answers, depends, measured, kind, words
):
    tested = result(answers, depends, measured)
    assert meaning(tested).kind == kind and words in meaning(tested).words
    shown = dependence_html("Is <it> so?", tested)
    assert f"verdict {kind}" in shown and "Is &lt;it&gt; so?" in shown
    for praise in ("good", "correct", "proven", "reliable"):
        assert praise not in shown
