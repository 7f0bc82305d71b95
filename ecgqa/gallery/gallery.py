"""`Gallery`: ECGs to pick by name, without uploading anything.

Simulated ECGs with known truth, one real ECG that comes inside the library pydicom, and the
recordings of a folder of the user's own. Nothing is downloaded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from ecgqa.formats import read_ecg
from ecgqa.gallery.simulate import FINDINGS, simulate
from ecgqa.record import ECG, EcgFileError

SIMULATED = "Simulated: "
REAL = "Real: 12-lead ECG of pydicom"
# More names than this help nobody to find one.
MOST_FROM_FOLDER = 5000
_SEED = 7
_SUFFIXES = (".hea", ".dcm", ".dicom", ".csv", ".tsv")
_TEXTS = (".csv", ".tsv", ".txt")


class Gallery:
    """ECGs by name.

    folder: a folder of the user's own; its WFDB, DICOM and CSV recordings are listed with those of
        its subfolders when the names are first asked for, at most `MOST_FROM_FOLDER`, and read
        only when opened. Links are not followed.

    Raises EcgFileError when the folder is not there.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        self._folder = None if folder is None else Path(folder).expanduser().resolve()
        if self._folder is not None and not self._folder.is_dir():
            raise EcgFileError(f"The gallery folder “{folder}” was not found.")

    def names(self) -> list[str]:
        """Names in the order to show them: simulated, real, then those of the folder."""
        return [*_bundled_names(), *self._from_folder]

    def open(self, name: str) -> ECG:
        """The ECG of that name. Raises EcgFileError where there is none or it cannot be read."""
        if name == REAL and (path := _pydicom_ecg()):
            return replace(read_ecg([path]), name=REAL)
        if name in self._from_folder:
            return read_ecg(self._files(self._from_folder[name]))
        return _simulated(name)

    def three_others(self, *ecgs: ECG | None) -> list[tuple[str, ECG]]:
        """Three other patients for the dependence test, the same ones for the same recordings."""
        return self.random_other([ecg.sha256 for ecg in ecgs if ecg is not None], 3, _SEED)

    def random_other(
        self, exclude_sha256: str | Collection[str], count: int, seed: int
    ) -> list[tuple[str, ECG]]:
        """Up to `count` ECGs of other patients, each with its name, drawn by chance from a seed.

        exclude_sha256: `ECG.sha256` of the recordings in question, which are not drawn.
        The folder's recordings come first where there is a folder, since real ones tell more; what
        cannot be read is passed over.
        """
        seen = {exclude_sha256} if isinstance(exclude_sha256, str) else set(exclude_sha256)
        rng = np.random.default_rng(seed)
        drawn: list[tuple[str, ECG]] = []
        for names in (list(self._from_folder), _bundled_names()):
            for i in rng.permutation(len(names)):
                if len(drawn) >= count:
                    return drawn
                try:
                    ecg = self.open(names[i])
                except EcgFileError:
                    continue
                if ecg.sha256 not in seen:
                    seen.add(ecg.sha256)
                    drawn.append((names[i], ecg))
        return drawn

    @cached_property
    def _from_folder(self) -> dict[str, Path]:
        """Name → main file of each recording in the folder."""
        if self._folder is None:
            return {}
        files = islice(files_below(self._folder, _SUFFIXES), MOST_FROM_FOLDER)
        return {_name(file, self._folder): file for file in files}

    def _files(self, main: Path) -> list[Path]:
        """The main file and, for a WFDB header, the data files it names in its own folder."""
        if not main.is_file() or main.is_symlink():
            raise EcgFileError(f"{main.name} is no longer in the gallery folder.")
        return files_of(main)


def _bundled_names() -> list[str]:
    """Simulated ones, and the real one where pydicom brings it."""
    simulated = [f"{SIMULATED}{finding}" for finding in FINDINGS]
    return [*simulated, REAL] if _pydicom_ecg() else simulated


def _simulated(name: str) -> ECG:
    """The simulated ECG of a gallery name, always the same."""
    finding = name.removeprefix(SIMULATED)
    if not name.startswith(SIMULATED) or finding not in FINDINGS:
        raise EcgFileError("There is no ECG of that name in the gallery.")
    return simulate(finding).ecg


def _pydicom_ecg() -> str | None:
    """Path of the 12-lead ECG inside the installed pydicom."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    return str(path) if path else None


def files_below(
    folder: Path,
    suffixes: Container[str],
    tell: Callable[[Path, str], object] = lambda path, what: None,
) -> Iterator[Path]:
    """Files below a folder that may be ECGs, in order of their names.

    suffixes: in small letters, as ".hea". Of text files those that hold a table of numbers.
    tell: is given what was passed over although it may hide an ECG, and what it is: links, which
        may lead in a circle, folders that cannot be opened, and what would never end to be read.
    """

    def cannot_be_opened(error: OSError) -> None:
        tell(Path(error.filename), f"a folder that cannot be opened: {error.strerror}")

    for here, subfolders, files in os.walk(folder, onerror=cannot_be_opened, followlinks=False):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in subfolders:
            if Path(here, name).is_symlink():
                tell(Path(here, name), "a link")
        for name in sorted(files):
            file = Path(here, name)
            suffix = file.suffix.lower()
            if name.startswith("."):
                continue
            if strange := _no_file(file):
                tell(file, strange)
            elif suffix in suffixes and (suffix not in _TEXTS or _is_table_of_numbers(file)):
                yield file


def _no_file(path: Path) -> str:
    """What stands at a path where it is no ordinary file, "" where it is one."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return "gone"
    kinds = {
        stat.S_IFREG: "", stat.S_IFLNK: "a link", stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a device")


def _name(file: Path, folder: Path) -> str:
    """Path below the folder; a WFDB record goes by its name without the suffix."""
    below = file.relative_to(folder)
    return (below.with_suffix("") if file.suffix.lower() == ".hea" else below).as_posix()


def _is_table_of_numbers(file: Path) -> bool:
    """Whether a text file's last whole line in its first 8 KiB is mostly numbers.

    Folders of recordings hold lists of patients and labels as CSV too; those are no ECGs. Of a file
    that cannot be opened nobody knows: it counts as one, and its reader says why.
    """
    try:
        with file.open("rb") as stream:
            lines = stream.read(8192).decode("utf-8", "replace").splitlines()
    except OSError:
        return True
    whole = [line for line in lines[:-1] if line.strip()]
    if not whole:
        return False
    fields = whole[-1].replace(";", ",").replace("\t", ",").split(",")
    numbers = sum(field.strip().lstrip("+-").replace(".", "", 1).isdigit() for field in fields)
    return len(fields) >= 2 and numbers >= 0.8 * len(fields)


def files_of(main: Path) -> list[Path]:
    """A main file and, for a WFDB header, the data files that it names in its own folder."""
    if main.suffix.lower() != ".hea":
        return [main]
    beside = (main.parent / name for name in _data_files(main))
    there = (file for file in beside if not _no_file(file))
    return list(dict.fromkeys([main, *there]))


def grouped(mains: Iterable[Path]) -> list[tuple[Path, ...]]:
    """The files of each recording, its main file first; what a header names is none of its own."""
    sets = [tuple(files_of(main)) for main in dict.fromkeys(mains)]
    of_a_header = {file for files in sets for file in files[1:]}
    return [files for files in sets if files[0] not in of_a_header]


def _data_files(header: Path) -> list[str]:
    """Names of the data files in a WFDB header; only plain names, no paths."""
    try:
        if not header.is_file():  # a pipe would be waited for
            return []
        with header.open("rb") as stream:
            lines = stream.read(65536).decode("latin-1").splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    named = dict.fromkeys(fields[0] for fields in rows[1:])
    return [name for name in named if Path(name).name == name and "\\" not in name]
