"""The command `python -m ecgqa batch`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import ecgqa
from ecgqa import EcgFileError
from ecgqa.archive.batch import batch
from ecgqa.archive.columns import Plan
from ecgqa.archive.recordings import recordings, written

MOST_TOLD = 50


def run(args: argparse.Namespace) -> int:
    """Process an archive. Returns 0, or 2 after a plain-word message."""
    passed_over: list[Path] = []

    def tell(path: Path, what: str) -> None:
        passed_over.append(path)
        if len(passed_over) <= MOST_TOLD:
            print(f"Passed over: {written(path)} ({what})", file=sys.stderr)

    try:
        found = recordings(args.source, tell)
        if len(passed_over) > MOST_TOLD:
            print(f"Passed over: {len(passed_over) - MOST_TOLD} more", file=sys.stderr)
        plan = _plan(args)
        count = batch(found, plan, args.out, args.workers, args.scheduler)
    except (EcgFileError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{count} recordings: {written(args.out)}")
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    """The plan; where a model is needed it is loaded here first, to fail before anything starts.

    Raises ValueError, in plain words, where it cannot be loaded.
    """
    questions = ()
    if args.questions:
        lines = args.questions.read_text("utf-8").splitlines()
        questions = tuple(line.strip() for line in lines if line.strip())
    plan = Plan(args.measure, args.findings, questions, args.checkpoint, args.llm)
    if not plan.needs_model:
        return plan
    try:
        model = ecgqa.EcgAssistant.load(args.checkpoint, args.llm).model
    except ecgqa.ModelError as error:
        raise ValueError(str(error)) from error
    return replace(plan, statements=model.encoder.config.statements, version=model.version)
