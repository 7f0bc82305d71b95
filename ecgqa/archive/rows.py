"""`rows`: the files of a few recordings → a row each. This is what a worker runs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ecgqa import ECG, EcgAssistant, EcgFileError, QuestionError, measure, read_ecg
from ecgqa.answer.findings import UNNAMED, named_findings
from ecgqa.archive.codes import SCP_CODES
from ecgqa.archive.columns import MEASURED, QTC, Plan, score_column
from ecgqa.archive.recordings import written
from ecgqa.measure.numbers import reasons
from ecgqa.measure.quality import assess, without_lost
from ecgqa.model.tensor import model_input

Row = dict[str, Any]

DECIMALS = 4  # of probabilities and numbers: far below what repeats


def rows(recordings: Sequence[tuple[str, ...]], plan: Plan) -> list[Row]:
    """One row for each recording, in the order given; what cannot be read has its error.

    The encoder sees those that can be read together, so the numbers depend on nothing but the
    recordings and the plan.
    """
    torch.set_num_threads(1)
    found, ecgs = [], []
    for files in recordings:
        row, ecg = _read(files, plan)
        found.append(row)
        ecgs.append(ecg)
    if plan.needs_model:
        assistant = _assistant(plan.checkpoint, plan.llm)
        usable = [(r, e) for r, e in zip(found, ecgs, strict=True) if e is not None]
        if plan.findings:
            _score(assistant, usable)
        for row, ecg in usable:
            _ask(assistant, plan.questions, row, ecg)
    return found


@functools.lru_cache(maxsize=1)
def _assistant(checkpoint: str | None, llm: str | None) -> EcgAssistant:
    """The model of this process: it holds nothing of any patient."""
    return EcgAssistant.load(checkpoint, llm)


def _read(files: tuple[str, ...], plan: Plan) -> tuple[Row, ECG | None]:
    """What the file, its quality and its measurements say, and the ten seconds they are about."""
    row: Row = {"recording": written(files[0])}
    try:
        whole = read_ecg(files)
        ecg = whole.stretch(0)
        quality = assess(ecg)
        row |= {
            "name": whole.name,
            "sha256": whole.sha256,
            "rate_hz": whole.rate_hz,
            "seconds": whole.seconds,
            "missing_leads": ", ".join(whole.missing_leads),
            "notes": " ".join(whole.notes),
            "readable": quality.readable,
            "quality_reasons": " ".join(quality.reasons),
            "quality_leads": "; ".join(f"{k}: {', '.join(v)}" for k, v in quality.leads.items()),
        }
        if plan.measure:
            row |= _measured(ecg)
    except EcgFileError as error:
        return refused(files, str(error)), None
    except Exception as error:  # one bad file must not stop an archive
        fault = f"This recording could not be processed ({type(error).__name__})."
        return refused(files, fault), None
    return row, ecg


def refused(files: tuple[str, ...], fault: str) -> Row:
    """The row of a recording of which nothing is known but why."""
    return {"recording": written(files[0]), "error": fault}


def _measured(ecg: ECG) -> Row:
    m = measure(ecg)
    numbers = {name: _rounded(getattr(m, name)) for name in MEASURED}
    numbers |= {f"qtc_{name.lower()}_ms": _rounded(m.qtc_ms.get(name)) for name in QTC}
    return {**numbers, "not_measurable": "; ".join(reasons(m))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS)


@torch.no_grad()
def _score(assistant: EcgAssistant, usable: list[tuple[Row, ECG]]) -> None:
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
        row |= {score_column(n): _rounded(c) for n, c in zip(names, chances, strict=True)}
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
            confidence = _rounded(answer.confidence)
            declined, remarks = answer.declined, answer.remarks
        except Exception as error:  # nor must one bad answer
            fault = f"This question could not be processed ({type(error).__name__})."
            said = str(error) if isinstance(error, QuestionError) else fault
            text, confidence, declined, remarks = None, None, True, (said,)
        row |= {
            f"answer_{place}": text,
            f"confidence_{place}": confidence,
            f"declined_{place}": declined,
            f"remarks_{place}": " ".join(remarks),
        }
