"""`command_line`: the arguments that most scripts take, each described once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ecgqa.answer.assistant import CHECKPOINT

COMMON: dict[str, dict[str, Any]] = {
    "ptbxl": {"required": True, "help": "PTB-XL folder as PhysioNet ships it"},
    "ecgqa": {
        "required": True, "type": Path,
        "help": "ECG-QA folder: *_ecgs.tsv and, for questions, train_paraphrases.csv",
    },
    "checkpoint": {
        "default": CHECKPOINT, "type": Path, "help": "folder of a model; by default the shipped one"
    },
    "llm": {"help": "folder or hub id of the language model; by default found or fetched"},
    "cache": {"default": ".work/cache", "help": "folder for signals and features, made once"},
}  # fmt: skip


def command_line(doc: str | None, *common: str) -> argparse.ArgumentParser:
    """A parser that explains itself with a script's docstring.

    common: names of `COMMON` that the script takes; its own arguments are added to them.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in common:
        parser.add_argument(f"--{name}", **COMMON[name])
    return parser
