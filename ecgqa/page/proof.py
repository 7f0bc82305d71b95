"""The dependence test in words: would the words of a question alone give the answer?

It says nothing about whether an answer is right, so none of its outcomes looks like praise.
"""

from __future__ import annotations

import html
from typing import NamedTuple

from ecgqa.answer.answer import Answer
from ecgqa.answer.grounding import GroundingResult, moves
from ecgqa.page.html import table_html
from ecgqa.question.kinds import SEVERAL, kind_of

WOULD_NOT = (
    "The words of this question alone would not give this answer: it changes with the ECG. "
    "Whether it is right is another matter."
)
WOULD = (
    "The words of this question alone would give this answer: every ECG gets it, and so does none "
    "at all. Do not use it."
)
HARDLY = (
    "The words of this question alone may give this answer: its odds hardly move with the ECG. "
    "Do not rely on it."
)
OTHERS_DIFFER = (
    "The words of this question alone would not give this answer: other ECGs get another one. "
    "Whether it is right is another matter."
)
OTHERS_ALIKE = (
    "The other ECGs tried here happen to get the same answer, so this test cannot tell whether the "
    "words of the question alone would give it."
)


class Meaning(NamedTuple):
    """kind: "told", "unsure" or, where nothing speaks for an answer, "bad"; words: what it says."""

    kind: str
    words: str


def can_be_tested(answer: Answer) -> bool:
    """Whether an answer claims to come from an ECG, so that another ECG could give another one."""
    kind = kind_of(answer.kind)
    claims = kind.of_an_ecg and not kind.of_the_talk and answer.kind != SEVERAL
    return claims and not answer.declined


def meaning(result: GroundingResult) -> Meaning:
    """What the rows of a test say; "bad" only where all of them agree."""
    if result.measured:
        return Meaning("told", OTHERS_DIFFER) if result.depends else Meaning("unsure", OTHERS_ALIKE)
    if result.depends:
        return Meaning("told", WOULD_NOT)
    alike = len({row.answer for row in result.rows}) == 1
    return Meaning("bad", WOULD) if alike else Meaning("unsure", HARDLY)


def dependence_html(question: str, result: GroundingResult) -> str:
    """The test of an answer: what it means, the rows it rests on, the numbers that decide."""
    kind, words = meaning(result)
    told = (
        f'<p class="asked">{html.escape(question)}</p>'
        f'<p class="verdict {kind}" role="status">{html.escape(words)}</p>'
    )
    if result.measured:
        rows = [(row.ecg, row.answer) for row in result.rows]
        head = ("ECG given", "Answer")
        return told + table_html(head, rows, "Same question, other ECGs", "dependence")
    signed = lambda change: f"{change:+.2f}".replace("-", "−")  # noqa: E731
    first, *others = result.rows
    rows = [(first.ecg, first.answer, "0 (ref.)", "0 (ref.)")]
    rows += [
        (row.ecg, row.answer, signed(row.log_prob_change), signed(row.log_odds_change))
        for row in others
    ]
    moved = " and ".join(f"{far:.2f} for {name}" for name, far in moves(result.rows).items())
    decide = (
        f"The log odds decide: they move by {moved}, on average; the words alone do not give an "
        f"answer where each is at least {result.least_move:.2f}."
    )
    table = table_html(
        ("ECG given to the model", "Answer", "Log prob.", "Log odds"),
        rows,
        "Same question, other ECGs: change of the first answer's log probability per token, "
        "and of its log odds",
        "dependence",
    )
    return f'{told}{table}<p class="hint">{html.escape(decide)}</p>'
