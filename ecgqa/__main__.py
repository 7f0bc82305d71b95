"""Questions and measurements on the terminal.

python -m ecgqa ask FILE... --question "..." [--question "..."] [--compare FILE...] [--json]
python -m ecgqa measure FILE... [--json]
python -m ecgqa batch FOLDER --out table.parquet [--measure] [--findings] [--questions FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ecgqa import (
    ECG,
    EcgAssistant,
    EcgFileError,
    ModelError,
    QuestionError,
    measure,
    read_ecg,
)
from ecgqa.measure.numbers import MEASURED, as_json, reasons
from ecgqa.measure.quality import assess


def main(arguments: list[str] | None = None) -> int:
    """Answer a question or measure an ECG. Returns 0, or 2 after a plain-word message."""
    parser = argparse.ArgumentParser(prog="python -m ecgqa")
    commands = parser.add_subparsers(dest="command", required=True)
    ask = commands.add_parser("ask", help="ask a question about an ECG")
    numbers = commands.add_parser("measure", help="intervals, axes and rate; needs no model")
    for command in (ask, numbers):
        command.add_argument("files", nargs="+", help="the files of one ECG, e.g. a.hea a.dat")
        command.add_argument("--rate-hz", type=float, help="for files that don't say")
        command.add_argument("--units", help="mV or uV, for files that don't say")
        command.add_argument("--leads", help="for files that don't name them: II, or their order")
        command.add_argument("--start", type=float, default=0.0, help="s, of a long recording")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    ask.add_argument(
        "--question", required=True, action="append", help="several times: a conversation"
    )
    ask.add_argument("--compare", nargs="+", help="the files of an earlier ECG to compare with")
    ask.add_argument("--checkpoint")
    ask.add_argument("--llm")
    _add_batch(commands.add_parser("batch", help="a whole archive, one row a recording"))
    args = parser.parse_args(arguments)
    if args.command == "batch":
        from ecgqa.archive.command import run  # Dask and pyarrow are needed for nothing else

        return run(args)
    try:
        ecg = read_ecg(args.files, args.rate_hz, args.units, args.leads).stretch(args.start)
        if args.command == "measure":
            print(_measured(ecg, args.json))
            return 0
        earlier = (
            read_ecg(args.compare, args.rate_hz, args.units, args.leads).stretch(0)
            if args.compare
            else None
        )
        assistant = EcgAssistant.load(args.checkpoint, args.llm, progress=_say)
        answers = assistant.talk(args.question, ecg, earlier)
    except (EcgFileError, ModelError, QuestionError) as error:
        print(error, file=sys.stderr)
        return 2
    for answer in answers:
        if args.json:
            found = as_json(measure(ecg))
            print(json.dumps({**answer.as_json(), "sha256": ecg.sha256, "measurements": found}))
            continue
        if answer.understood:
            print(f"Understood: {answer.understood}")
        print(answer.text, *answer.remarks, sep="\n")
        print(f"confidence {answer.confidence:.0%}, {answer.model}")
    return 0


def _add_batch(command: argparse.ArgumentParser) -> None:
    """The arguments of `batch`."""
    command.add_argument("source", help="a folder, or a text file with one main file a line")
    command.add_argument("--out", type=Path, required=True, help="table: .parquet or .csv")
    command.add_argument("--measure", action="store_true", help="rate, intervals, axes")
    command.add_argument("--findings", action="store_true", help="probability of each statement")
    command.add_argument("--questions", type=Path, help="text file, one question a line")
    command.add_argument("--workers", type=int, default=1, help="processes on this machine")
    command.add_argument("--scheduler", help="address of a Dask cluster, instead of --workers")
    command.add_argument("--checkpoint")
    command.add_argument("--llm")


def _measured(ecg: ECG, in_json: bool) -> str:
    """The table of measurements, one line each; a dash and the reason where there is none."""
    m = measure(ecg)
    warnings = assess(ecg).reasons
    if in_json:
        said = {"notes": ecg.notes, "warnings": warnings}
        found = {"name": ecg.title, "sha256": ecg.sha256, "measurements": as_json(m)}
        return json.dumps({**found, **said})
    lines = [f"{row.label:18s} {row.text(row.value(m)):>6s} {row.unit}" for row in MEASURED]
    lines += [f"Not measurable: {why}." for why in reasons(m)]
    lines += [f"Note: {note}" for note in ecg.notes]
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in warnings)])


def _say(text: str, fraction: float | None) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
