"""`recordings`: a folder, or a list of files → the files of each recording, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ecgqa import EcgFileError
from ecgqa.formats import supported_suffixes
from ecgqa.gallery.gallery import files_below, grouped


def recordings(
    source: str | os.PathLike[str], tell: Callable[[Path, str], object] = lambda path, what: None
) -> list[tuple[str, ...]]:
    """Absolute paths of the files of each recording, the main file first.

    source: a folder, which is searched with its subfolders (hidden names are passed over), or a
        text file with one main file a line, relative to its own folder.
    tell: is given what else was passed over in a folder, and what it is, see `files_below`.
    A WFDB header goes with the data files it names; text files without a table of numbers are no
    recordings. Raises EcgFileError when the source is not there, is no text or holds nothing.
    """
    try:
        place = Path(source).expanduser().resolve()
    except RuntimeError:  # links that lead in a circle
        place = Path(source)
    if place.is_dir():
        mains = list(files_below(place, supported_suffixes(), tell))
    elif place.is_file():
        content = place.read_bytes().removeprefix(b"\xef\xbb\xbf")
        if b"\0" in content:
            raise EcgFileError(f"{place.name} is no list of files: it is not text.")
        # As the system does: a name may be in another encoding than the rest.
        lines = os.fsdecode(content).splitlines()
        mains = [place.parent / line.strip() for line in lines if line.strip()]
    else:
        raise EcgFileError(f"The archive “{source}” was not found.")
    found = [tuple(map(str, files)) for files in grouped(mains)]
    if not found:
        raise EcgFileError(f"There is no file in “{source}” that could be an ECG.")
    return found


def written(path: str | os.PathLike[str]) -> str:
    """A path as text for a table or a terminal; bytes in it that are no UTF-8 as in M\\xfcller."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
