"""`rows`: the files of a few recordings → a row each. This is what a worker runs."""

from __future__ import annotations

from collections.abc import Sequence

from ecgqa import ECG, EcgFileError, measure, read_ecg
from ecgqa.archive.columns import MEASURED, QTC, Plan, Row, rounded
from ecgqa.archive.recordings import written
from ecgqa.measure.numbers import reasons
from ecgqa.measure.quality import assess


def rows(recordings: Sequence[tuple[str, ...]], plan: Plan) -> list[Row]:
    """One row for each recording, in the order given; what cannot be read has its error.

    The encoder sees those that can be read together, so the numbers depend on nothing but the
    recordings and the plan.
    """
    found, ecgs = [], []
    for files in recordings:
        row, ecg = _read(files, plan)
        found.append(row)
        ecgs.append(ecg)
    if plan.needs_model:
        from ecgqa.archive.answers import answer_all  # PyTorch is needed for nothing else

        answer_all([(r, e) for r, e in zip(found, ecgs, strict=True) if e is not None], plan)
    return found


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
    numbers = {name: rounded(getattr(m, name)) for name in MEASURED}
    numbers |= {f"qtc_{name.lower()}_ms": rounded(m.qtc_ms.get(name)) for name in QTC}
    return {**numbers, "not_measurable": "; ".join(reasons(m))}
