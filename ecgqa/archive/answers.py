"""`answer_all`: what the model says of recordings that were read: findings, answers."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from ecgqa import ECG, EcgAssistant, QuestionError
from ecgqa.answer.findings import UNNAMED, named_findings
from ecgqa.archive.codes import SCP_CODES
from ecgqa.archive.columns import Plan, Row, rounded, score_column
from ecgqa.measure.quality import assess, without_lost
from ecgqa.model.tensor import model_input


def answer_all(usable: Sequence[tuple[Row, ECG]], plan: Plan) -> None:
    """Fill in each row what the plan wants from the model. Raises ModelError."""
    torch.set_num_threads(1)
    assistant = _assistant(plan.checkpoint, plan.llm)
    if plan.findings:
        _score(assistant, usable)
    for row, ecg in usable:
        _ask(assistant, plan.questions, row, ecg)


@functools.lru_cache(maxsize=1)
def _assistant(checkpoint: str | None, llm: str | None) -> EcgAssistant:
    """The model of this process: it holds nothing of any patient."""
    return EcgAssistant.load(checkpoint, llm)


@torch.no_grad()
def _score(assistant: EcgAssistant, usable: Sequence[tuple[Row, ECG]]) -> None:
    """Probabilities of all statements; none for what is not readable."""
    readable = [(row, ecg) for row, ecg in usable if row["readable"]]
    if not readable:
        return
    signals = torch.from_numpy(
        np.stack([model_input(without_lost(ecg, assess(ecg))) for _, ecg in readable])
    )
    each = assistant.model.encode(signals).statement_logits.float().sigmoid().tolist()
    names = assistant.model.encoder.config.statements
    for (row, _), chances in zip(readable, each, strict=True):
        row |= {score_column(n): rounded(c) for n, c in zip(names, chances, strict=True)}
        named = named_findings(assistant.model, chances).values()
        there = [f.name for f in named if f.there and f.name not in UNNAMED]
        row["findings"] = "; ".join(there)
        row["scp_codes"] = "; ".join(SCP_CODES[name] for name in there if name in SCP_CODES)


def _ask(assistant: EcgAssistant, questions: Sequence[str], row: Row, ecg: ECG) -> None:
    """Each question by itself; one that cannot be asked is declined with the reason."""
    for place, question in enumerate(questions, 1):
        try:
            answer = assistant.ask(question, ecg)
            text: str | None = answer.text
            confidence = rounded(answer.confidence)
            declined, remarks = answer.declined, answer.remarks
        except Exception as error:  # one bad answer must not stop an archive
            fault = f"This question could not be processed ({type(error).__name__})."
            said = str(error) if isinstance(error, QuestionError) else fault
            text, confidence, declined, remarks = None, None, True, (said,)
        row |= {
            f"answer_{place}": text,
            f"confidence_{place}": confidence,
            f"declined_{place}": declined,
            f"remarks_{place}": " ".join(remarks),
        }
