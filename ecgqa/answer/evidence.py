"""Which leads and seconds an answer rests on: integrated gradients of the testimony.

The log odds of the answer, as the projector's testimony says them, are followed from an empty
recording to the true one (Sundararajan et al. 2017, arXiv 1703.01365); what each half second of
each lead adds to the answer is its weight. `training.judge.deletion` shows, through the language
model, that removing what weighs most moves the answer more than removing as much at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ecgqa.answer.case import in_order
from ecgqa.answer.options import NONE, is_list, option_questions, understand
from ecgqa.measure import measure
from ecgqa.measure.criteria import Check, checks
from ecgqa.measure.quality import assess, without_lost
from ecgqa.model.ecg_model import ABSTENTION, YES_NO, EcgModel
from ecgqa.model.tensor import MODEL_SAMPLES, MODEL_SECONDS, model_input
from ecgqa.question.wording import negates
from ecgqa.record import ECG, LEADS

CELLS = 20  # of each lead: half a second each
CELL_S = MODEL_SECONDS / CELLS
STEPS = 16  # on the way from the empty recording
SHOWN = 0.2  # share of the cells that is marked, at most
# Of a name, to be what a yes/no question is about: 95 % of 136 held-out wordings have more for the
# finding asked about; what the model has no name for ("pericarditis") mostly has less for any.
LEAST_WEIGHT = 0.5
MOST_LEADS, LEAST_LEAD = 3, 0.04  # that are named under an answer, and the smallest share
LEAST_SHARE = 0.25  # of the strongest cell's weight that a marked one has


@dataclass(frozen=True)
class Mark:
    """A stretch of one lead that speaks for the answer.

    ecg: 0 for the (first) ECG, 1 for the second. start_s: from the beginning of the recording, of
    which the ECG may be a stretch. strength: 0..1, of the strongest mark.
    """

    ecg: int
    lead: str
    start_s: float
    seconds: float
    strength: float


@dataclass(frozen=True)
class Evidence:
    """What an answer rests on: stretches to mark, and (ECG, lead, share of all) in order.

    findings: (name, whether the answer affirms it) of an answer about one ECG; none where the
    question may be about another finding than the likeliest name, or about its absence.
    """

    marks: tuple[Mark, ...] = ()
    leads: tuple[tuple[int, str, float], ...] = ()
    findings: tuple[tuple[str, bool], ...] = ()


def cell_weights(
    model: EcgModel, question: str, signals: Sequence[np.ndarray], yes: bool
) -> np.ndarray:
    """float [ecgs, 12, CELLS]: what each cell adds to "yes" (or, not `yes`, to "no").

    signals: one or two model inputs [12, 1000] mV, the earlier one first. The sum of all cells is
    how much more the testimony leans to the answer than that of an empty recording, up to the error
    of `STEPS` steps.
    """
    own = torch.from_numpy(np.stack(signals).astype(np.float32))
    share = (torch.arange(STEPS) + 0.5) / STEPS
    with torch.enable_grad():
        paths = [(share[:, None, None] * one).requires_grad_() for one in own]
        first, second, *_ = [*(model.encode(path) for path in paths), None]
        assert first is not None
        leaning = model.lean(model.testimony([question] * STEPS, first, second))
        slopes = torch.autograd.grad(leaning.sum(), paths)
    added = torch.stack([slope.mean(0) for slope in slopes]) * own
    cells = added.reshape(len(signals), len(LEADS), CELLS, MODEL_SAMPLES // CELLS).sum(-1)
    return cells.numpy() * (1.0 if yes else -1.0)


def evidence(
    model: EcgModel,
    question: str,
    answers: Sequence[str],
    ecg: ECG,
    comparison: ECG | None = None,
) -> Evidence:
    """What `answers` to `question` rest on. Of a list, its first option.

    "none" and an answer that was declined rest on nothing.
    """
    said = answers[0] if answers else NONE
    if said == ABSTENTION:
        return Evidence()
    (asked,) = understand(model, [question], comparison is not None)
    sure = asked.weight >= LEAST_WEIGHT and not negates(question)
    findings = [(name, said == "yes") for name in asked.names[:1] if sure]
    if is_list(model, asked) and said != NONE:
        (question,) = option_questions(model, asked, [said])
        findings = [(name, True) for name in answers]
        said = "yes"
    if said not in YES_NO:
        return Evidence()
    ecgs = in_order(ecg, comparison)
    signals = [model_input(without_lost(one, assess(one))) for one in ecgs]
    found = strongest(cell_weights(model, question, signals, said == "yes"))
    marks = (replace(mark, start_s=ecgs[mark.ecg].start_s + mark.start_s) for mark in found.marks)
    return replace(
        found, marks=tuple(marks), findings=tuple(findings) if comparison is None else ()
    )


def strongest(weights: np.ndarray) -> Evidence:
    """The marks and leads of cell weights [ecgs, 12, CELLS]; neighbouring cells are one mark."""
    weights = np.maximum(weights, 0.0)
    top = float(weights.max(initial=0.0))
    if top <= 0:
        return Evidence()
    least = max(LEAST_SHARE * top, float(np.quantile(weights, 1 - SHOWN)))
    marks = []
    for (e, row), line in zip(
        np.ndindex(weights.shape[:2]), weights.reshape(-1, CELLS), strict=True
    ):
        start = None
        for cell in range(CELLS + 1):
            there = cell < CELLS and line[cell] >= least
            if there and start is None:
                start = cell
            elif not there and start is not None:
                strength = float(line[start:cell].max()) / top
                seconds = (cell - start) * CELL_S
                marks.append(Mark(e, LEADS[row], start * CELL_S, seconds, strength))
                start = None
    shares = weights.sum(-1) / weights.sum()
    order = sorted(np.ndindex(shares.shape), key=lambda place: -shares[place])
    return Evidence(tuple(marks), tuple((e, LEADS[row], float(shares[e, row])) for e, row in order))


def evidence_words(evidence: Evidence, ecg_names: Sequence[str]) -> str:
    """Which leads an answer rests on, and where the strongest stretches lie; "" for none."""
    if not evidence.leads:
        return ""
    place = (" (first ECG)", " (second ECG)") if len(ecg_names) == 2 else ("", "")
    leads = [
        f"{lead}{place[which]} {share:.0%}"
        for which, lead, share in evidence.leads[:MOST_LEADS]
        if share >= LEAST_LEAD
    ]
    strongest = sorted(evidence.marks, key=lambda mark: -mark.strength)[:MOST_LEADS]
    when = [
        f"{mark.lead}{place[mark.ecg]} {mark.start_s:g} to {mark.start_s + mark.seconds:g} s"
        for mark in strongest
    ]
    return f"Rests most on {', '.join(leads)}. Marked on the paper; strongest: {', '.join(when)}."


def numbers_beside(evidence: Evidence, ecg: ECG) -> list[Check]:
    """Measured numbers that speak for or against the findings of an answer about this ECG."""
    return checks(evidence.findings, measure(ecg)) if evidence.findings else []
