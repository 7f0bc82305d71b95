"""`Upload`: one file as the user handed it over, with a name that is safe to show and to compare.

Uploaded files each arrive in a folder of their own, under names that may hold anything: path
separators, emoji, HTML, control characters. Nothing here trusts them: a name is only ever compared
or shown, never opened as a path.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgqa.record import EcgFileError

MAX_BYTES = 64 * 2**20
"""Largest file, or set of files, that is read as a whole."""

MAX_NAME = 60


@dataclass(frozen=True)
class Upload:
    """A file of the set.

    name: its base name, without control characters ("demo.hea").
    path: where its bytes are.
    size: bytes.
    """

    name: str
    path: Path
    size: int

    @property
    def suffix(self) -> str:
        """Lower-case suffix with its dot (".hea"), "" where there is none."""
        return Path(self.name).suffix.lower()

    @property
    def stem(self) -> str:
        """Name without the suffix."""
        return Path(self.name).stem

    def head(self, n_bytes: int = 4096) -> bytes:
        """The first bytes, to recognise the format by."""
        with self.path.open("rb") as file:
            return file.read(n_bytes)


def printable(text: str) -> str:
    """Text without Unicode's "other" categories (control, bidirectional override, surrogate).

    The joiner that holds composed emoji together stays.
    """
    return "".join(c for c in text if unicodedata.category(c)[0] != "C" or c == "\u200d")


def clean_name(name: str) -> str:
    """Base name of a file name, also of a Windows path, without what cannot be printed."""
    return printable(re.split(r"[/\\]", name)[-1]).strip()


def shown(name: str) -> str:
    """A name, or any text out of a file, as it may stand in a message: short and free of markup."""
    text = clean_name(name).translate({ord("<"): "‹", ord(">"): "›", ord("&"): "+"})
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def gather(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Upload, ...]:
    """The files of one recording, sorted by name; a file handed over twice counts once.

    Raises EcgFileError when there is none, when one is missing, no ordinary file or empty, or when
    two different files have the same name.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[str, Upload] = {}
    for given in paths:
        path = Path(given)
        name = clean_name(path.name) or "ECG"
        if not path.exists():
            raise EcgFileError(f"The file {shown(name)} was not found. Please upload it again.")
        if path.is_dir():
            raise EcgFileError(f"{shown(name)} is a folder. Please choose the ECG files in it.")
        if not path.is_file():
            raise EcgFileError(f"{shown(name)} is no file but a pipe, a socket or a device.")
        upload = Upload(name, path.resolve(), path.stat().st_size)
        if upload.size == 0:
            raise EcgFileError(f"{shown(name)} is empty (0 bytes). Please export it again.")
        twin = found.get(name)
        if twin and (twin.size != upload.size or sha256_of([twin]) != sha256_of([upload])):
            raise EcgFileError(
                f"Two different files are both called {shown(name)}. Please upload one ECG at a "
                "time."
            )
        found.setdefault(name, upload)
    if not found:
        raise EcgFileError("No file was chosen. Please choose the file or files of one ECG.")
    return tuple(found[name] for name in sorted(found))


def check_size(uploads: Sequence[Upload], max_bytes: int = MAX_BYTES) -> None:
    """Raises EcgFileError when the files together are larger than `max_bytes`."""
    total = sum(upload.size for upload in uploads)
    if total > max_bytes:
        raise EcgFileError(
            f"The upload is {total / 2**20:.0f} MB; up to {max_bytes // 2**20} MB can be read. "
            "Please export a shorter piece of the recording."
        )


def sha256_of(uploads: Sequence[Upload]) -> str:
    """SHA-256 (hex) over the bytes of the files one after the other, in the order given.

    `gather` sorts by name, so one set of files has one digest however it was handed over. What a
    file grew by since then is left out: it may grow faster than it is read.
    """
    digest = hashlib.sha256()
    for upload in uploads:
        left = upload.size
        with upload.path.open("rb") as file:
            while block := file.read(min(2**20, left)):
                digest.update(block)
                left -= len(block)
    return digest.hexdigest()


def stamps_of(uploads: Sequence[Upload]) -> list[tuple[int, int] | None]:
    """Size in bytes and time of change in ns of each file; None where it is gone."""
    return [stamp_of(upload.path) for upload in uploads]


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in ns; None where the file cannot be looked at."""
    try:
        known = path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return None
    return known.st_size, known.st_mtime_ns


def check_unchanged(uploads: Sequence[Upload], before: Sequence[tuple[int, int] | None]) -> None:
    """Raises EcgFileError where a file is not what it was before: half of it is no recording.

    before: what `stamps_of` gave then.
    """
    for upload, stamp in zip(uploads, before, strict=True):
        if stamp_of(upload.path) != stamp:
            raise EcgFileError(
                f"{shown(upload.name)} was changed while it was read. Please try again when it is "
                "written to its end."
            )
