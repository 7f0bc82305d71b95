"""`recordings`: a folder, or a list of files → the files of each recording, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ecgqa import EcgFileError
from ecgqa.formats import supported_suffixes
from ecgqa.gallery.gallery import data_files, is_table_of_numbers


def recordings(source: str | os.PathLike) -> list[tuple[str, ...]]:
    """Absolute paths of the files of each recording, the main file first.

    source: a folder, which is searched with its subfolders (links and hidden names are passed
        over), or a text file with one main file a line, relative to its own folder.
    A WFDB header goes with the data files it names; text files without a table of numbers are no
    recordings. Raises EcgFileError when the source is not there, is no text or holds nothing.
    """
    place = Path(source).expanduser().resolve()
    if place.is_dir():
        mains = list(_files(place))
    elif place.is_file():
        try:
            lines = place.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise EcgFileError(f"{place.name} is no list of files: it is not text.") from error
        mains = [place.parent / line.strip() for line in lines if line.strip()]
    else:
        raise EcgFileError(f"The archive “{source}” was not found.")
    sets = [_set_of(main) for main in dict.fromkeys(mains)]
    of_a_header = {file for files in sets for file in files[1:]}
    found = [files for files in sets if files[0] not in of_a_header]
    if not found:
        raise EcgFileError(f"There is no file in “{source}” that could be an ECG.")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder that may be ECGs by their names, in order of their names."""
    suffixes = supported_suffixes()
    for here, subfolders, names in os.walk(folder, followlinks=False):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            file = Path(here, name)
            suffix = file.suffix.lower()
            if suffix not in suffixes or name.startswith(".") or file.is_symlink():
                continue
            if suffix in (".csv", ".tsv", ".txt") and not is_table_of_numbers(file):
                continue
            yield file


def _set_of(main: Path) -> tuple[str, ...]:
    """A main file with the data files that it names, as far as they are there."""
    if main.suffix.lower() != ".hea":
        return (str(main),)
    beside = (main.parent / name for name in data_files(main))
    return (str(main), *(str(file) for file in beside if file.is_file() and not file.is_symlink()))
