"""`recordings`: a folder, or a list of files → the files of each recording, in a fixed order."""

from __future__ import annotations

import os
from pathlib import Path

from ecgqa import EcgFileError
from ecgqa.formats import supported_suffixes
from ecgqa.gallery.gallery import files_below, grouped


def recordings(source: str | os.PathLike[str]) -> list[tuple[str, ...]]:
    """Absolute paths of the files of each recording, the main file first.

    source: a folder, which is searched with its subfolders (links and hidden names are passed
        over), or a text file with one main file a line, relative to its own folder.
    A WFDB header goes with the data files it names; text files without a table of numbers are no
    recordings. Raises EcgFileError when the source is not there, is no text or holds nothing.
    """
    place = Path(source).expanduser().resolve()
    if place.is_dir():
        mains = list(files_below(place, supported_suffixes()))
    elif place.is_file():
        try:
            lines = place.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise EcgFileError(f"{place.name} is no list of files: it is not text.") from error
        mains = [place.parent / line.strip() for line in lines if line.strip()]
    else:
        raise EcgFileError(f"The archive “{source}” was not found.")
    found = [tuple(map(str, files)) for files in grouped(mains)]
    if not found:
        raise EcgFileError(f"There is no file in “{source}” that could be an ECG.")
    return found
