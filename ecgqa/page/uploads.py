"""Uploaded files: taken, deleted at once, read, and kept nowhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from gradio.utils import get_upload_folder

from ecgqa.formats import read_ecg
from ecgqa.record import ECG, EcgFileError

Taken = list[tuple[str, bytes]]  # name and content of each file


def take(uploads: Iterable[str | Path]) -> Taken:
    """The bytes of uploaded files, which are deleted here and now: others could read them by URL.

    Raises EcgFileError for a path that is not an upload of this app.
    """
    folder = Path(get_upload_folder()).resolve()
    taken = []
    for upload in uploads:
        path = Path(upload).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise EcgFileError("This file is not here any more: please upload it again.")
        taken.append((path.name, path.read_bytes()))
        path.unlink(missing_ok=True)
    return taken


def read_taken(
    taken: Taken, rate_hz: float | None, units: str | None, leads: str | None = None
) -> ECG:
    """Read files that were taken, through a folder that is gone afterwards.

    rate_hz, units, leads: what a file may leave unsaid, see `read_ecg`.
    """
    with tempfile.TemporaryDirectory(prefix="ecgqa-") as folder:
        paths = []
        for index, (name, content) in enumerate(taken):
            path = Path(folder, str(index), name)
            path.parent.mkdir()
            path.write_bytes(content)
            paths.append(path)
        return read_ecg(paths, rate_hz=rate_hz or None, units=units or None, leads=leads or None)


def uploaded(files: object) -> Iterable[str]:
    """Paths of files as `gradio_client.handle_file` sends them: a list of {"path": ...}."""
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and isinstance(file.get("path"), str) for file in files
    ):
        raise EcgFileError("Please give `files` as a list of handle_file(...).")
    return [file["path"] for file in files]


def read_request(
    files: object,
    comparison_files: object,
    rate_hz: float | None,
    units: str | None,
    start_s: float = 0.0,
    leads: str | None = None,
) -> tuple[ECG, ECG | None]:
    """The ten seconds of a request's ECG, and of the one to compare it with if it sent one."""
    # All are taken, and so deleted, before the first is read: it may be at fault.
    taken = take(uploaded(files))
    other = take(uploaded(comparison_files)) if comparison_files else None
    unsaid = rate_hz, units, leads
    ecg = read_taken(taken, *unsaid).stretch(start_s)
    return ecg, None if other is None else read_taken(other, *unsaid).stretch(0)
