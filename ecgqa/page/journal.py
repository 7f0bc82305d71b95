"""Log lines as JSON: what happened, where, for how long, how it ended. Nothing of any patient.

No file name, no question, no answer and no message of an error is written, for these may name
somebody. A session appears under a name that means nothing outside this process.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import io
import json
import logging
import re
import secrets
import sys
import traceback
from pathlib import Path

LOG = logging.getLogger("ecgqa.page")
HERE = Path(__file__).resolve().parents[2]


# The last line of a traceback, as far as it tells nothing but the kind of error.
KIND = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Interrupt))(?=:|$)")


class Foreign(io.TextIOBase):
    """An error stream for libraries: they print whole requests, and with them names and questions.

    Of what they write, the log gets the kind of error alone.
    """

    def writable(self) -> bool:
        """True, as of any error stream."""
        return True

    def write(self, text: str) -> int:
        """Note the errors in what a library writes."""
        for line in text.splitlines():
            if found := KIND.match(line):
                note("library", logging.WARNING, error=found[1])
        return len(text)


def open_journal() -> None:
    """Write the log to the standard error stream, and nothing else but it."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("%(message)s"))
    LOG.handlers, LOG.propagate = [lines], False
    LOG.setLevel(logging.INFO)
    sys.stderr = Foreign()


def note(event: str, level: int = logging.INFO, **facts: str | float | int | None) -> None:
    """Write a line. facts: what may be known of it; those that are None are left out."""
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    known = {name: fact for name, fact in facts.items() if fact is not None}
    LOG.log(level, json.dumps({"at": at, "event": event, **known}))


def note_bug(error: BaseException, log_id: str) -> None:
    """Write what kind of error it was and through which lines it came, without what it says."""
    note(
        "bug", logging.ERROR, log=log_id, error=type(error).__name__,
        through=" < ".join(_lines(error)),
    )  # fmt: skip


def _lines(error: BaseException) -> list[str]:
    """The lines of code that an error came through, the innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[:12]]


def _short(file: str) -> str:
    path = Path(file)
    return path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else path.name


@functools.cache
def _salt() -> bytes:
    return secrets.token_bytes(16)


def session_name(session_hash: str | None) -> str | None:
    """A session's name in the log; the same within this process, and nowhere else."""
    if not session_hash:
        return None
    return hashlib.blake2b(session_hash.encode(), digest_size=6, key=_salt()).hexdigest()
