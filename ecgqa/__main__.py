"""`python -m ecgqa ask FILE... --question "..." [--compare FILE...] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from ecgqa import EcgAssistant, EcgFileError, ModelError, QuestionError, measure, read_ecg


def main(arguments: list[str] | None = None) -> int:
    """Answer one question on the terminal. Returns 0, or 2 after a plain-word message."""
    parser = argparse.ArgumentParser(prog="python -m ecgqa")
    ask = parser.add_subparsers(dest="command", required=True).add_parser(
        "ask", help="ask a question about an ECG"
    )
    ask.add_argument("files", nargs="+", help="the files of one ECG, e.g. a.hea a.dat")
    ask.add_argument("--question", required=True)
    ask.add_argument("--compare", nargs="+", help="the files of an earlier ECG to compare with")
    ask.add_argument("--rate-hz", type=float, help="for files that don't say")
    ask.add_argument("--units", help="mV or uV, for files that don't say")
    ask.add_argument("--checkpoint")
    ask.add_argument("--llm")
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(arguments)
    try:
        ecg = read_ecg(args.files, args.rate_hz, args.units)
        earlier = read_ecg(args.compare, args.rate_hz, args.units) if args.compare else None
        assistant = EcgAssistant.load(args.checkpoint, args.llm, progress=_say)
        answer = assistant.ask(args.question, ecg, earlier)
    except (EcgFileError, ModelError, QuestionError) as error:
        print(error, file=sys.stderr)
        return 2
    if args.json:
        m = measure(ecg)
        numbers = {k: getattr(m, k) for k in ("rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms")}
        print(json.dumps({**asdict(answer), "sha256": ecg.sha256, "measurements": numbers}))
    else:
        print(answer.text, *answer.remarks, sep="\n")
        print(f"confidence {answer.confidence:.0%}, {answer.model}")
    return 0


def _say(text: str, fraction: float | None) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
