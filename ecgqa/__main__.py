"""Questions and measurements on the terminal.

python -m ecgqa ask FILE... --question "..." [--question "..."] [--compare FILE...] [--json]
python -m ecgqa measure FILE... [--json [--beats]] [--age 42] [--sex female]
python -m ecgqa batch FOLDER --out table.parquet [--measure] [--findings] [--questions FILE]
python -m ecgqa password NAME
"""

from __future__ import annotations

import argparse
import json
import sys
from getpass import getpass
from pathlib import Path

import ecgqa
from ecgqa import ECG, EcgFileError, measure, read_ecg
from ecgqa.formats.header import age_of, sex_of
from ecgqa.measure.normal import limits_of
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
        command.add_argument("--age", help="years, or 8 months; goes before what the file says")
        command.add_argument("--sex", help="female or male; goes before what the file says")
        command.add_argument("--start", type=float, default=0.0, help="s, of a long recording")
        command.add_argument("--json", action="store_true", help="print one JSON object a line")
        command.add_argument("--beats", action="store_true", help="with --json: each beat, too")
    ask.add_argument(
        "--question", required=True, action="append", help="several times: a conversation"
    )
    ask.add_argument("--compare", nargs="+", help="the files of an earlier ECG to compare with")
    numbers.set_defaults(compare=None)
    ask.add_argument("--checkpoint")
    ask.add_argument("--llm")
    _add_batch(commands.add_parser("batch", help="a whole archive, one row a recording"))
    password = commands.add_parser("password", help="print a line for `python app.py --auth-file`")
    password.add_argument("name")
    args = parser.parse_args(arguments)
    if args.command == "batch":
        from ecgqa.archive.command import run  # Dask and pyarrow are needed for nothing else

        return run(args)
    if args.command == "password":
        return _print_password(args.name)
    try:
        ecg = _read(args.files, args).stretch(args.start)
        earlier = _read(args.compare, args).stretch(0) if args.compare else None
    except EcgFileError as error:
        print(error, file=sys.stderr)
        return 2
    if args.command == "measure":
        print(_measured(ecg, args))
        return 0
    return _ask(ecg, earlier, args)


def _ask(ecg: ECG, earlier: ECG | None, args: argparse.Namespace) -> int:
    """Ask and print each answer. Returns as `main` does."""
    try:
        assistant = ecgqa.EcgAssistant.load(args.checkpoint, args.llm, progress=_say)
        answers = assistant.talk(args.question, ecg, earlier)
    except (EcgFileError, ecgqa.ModelError, ecgqa.QuestionError) as error:
        print(error, file=sys.stderr)
        return 2
    for answer in answers:
        if args.json:
            found = as_json(measure(ecg), args.beats)
            print(json.dumps({**answer.as_json(), "sha256": ecg.sha256, "measurements": found}))
            continue
        if answer.understood:
            print(f"Understood: {answer.understood}")
        print(answer.text, *answer.remarks, sep="\n")
        print(f"confidence {answer.confidence:.0%}, {answer.model}")
    return 0


def _read(files: list[str], args: argparse.Namespace) -> ECG:
    """An ECG, with the age and sex that were given. Raises EcgFileError, for these too."""
    age_years = None if args.age is None else age_of(args.age)
    sex = sex_of(args.sex)
    if args.age is not None and age_years is None:
        raise EcgFileError(f"--age {args.age}: please give years, as in 42, or as in 8 months.")
    if args.sex and not sex:
        raise EcgFileError(f"--sex {args.sex}: please give female or male.")
    ecg = read_ecg(files, args.rate_hz, args.units, args.leads)
    return ecg.of_patient(age_years, sex)


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


def _print_password(name: str) -> int:
    """Ask for a password, twice at a terminal and else on a line, and print it hashed."""
    from ecgqa.page.passwords import line_for

    try:
        if sys.stdin.isatty():
            password = getpass("Password: ")
            if getpass("The same again: ") != password:
                raise ValueError("These were two different passwords.")
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        print(line_for(name, password))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _measured(ecg: ECG, args: argparse.Namespace) -> str:
    """The table of measurements, one line each; a dash and the reason where there is none."""
    m = measure(ecg)
    warnings = assess(ecg).reasons
    if args.json:
        said = {"header": ecg.header.facts(), "notes": ecg.notes, "warnings": warnings}
        found = {"name": ecg.title, "sha256": ecg.sha256, "measurements": as_json(m, args.beats)}
        return json.dumps({**found, **said})
    lines = [f"{row.label:18s} {row.text(row.value(m)):>6s} {row.unit}" for row in MEASURED]
    lines += filter(None, [", ".join(ecg.header.facts()), limits_of(m).words])
    lines += [f"Not measurable: {why}." for why in reasons(m)]
    lines += [f"Note: {note}" for note in ecg.notes]
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in warnings)])


def _say(text: str, fraction: float | None) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
