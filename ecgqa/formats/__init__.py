"""Readers: files as they come from a cart, an archive or a spreadsheet → `ECG` in millivolts.

To add a format: write one module with `read(uploads, rate_hz, units) -> Recording` and add one row
to `FAMILIES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ecgqa.formats import dicom, picture, text, wfdb_record
from ecgqa.formats.recording import Recording, check_rate
from ecgqa.formats.units import millivolts_per
from ecgqa.formats.upload import Upload, gather, sha256_of, shown
from ecgqa.record import ECG, EcgFileError

__all__ = ["read_ecg", "supported_suffixes"]


@dataclass(frozen=True)
class Family:
    """A family of file formats.

    suffixes: lower-case, the main file's first.
    read: the family's reader.
    looks_right: recognises the first bytes of a file of this family, whatever its name.
    several: whether one recording may be several files.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Sequence[Upload], float | None, str | None], Recording]
    looks_right: Callable[[bytes], bool] = lambda head: False
    several: bool = False


FAMILIES = (
    Family((".hea", ".dat", ".mat"), wfdb_record.read, several=True),
    Family((".dcm", ".dicom"), dicom.read, looks_right=dicom.looks_right),
    Family((".csv", ".tsv", ".txt"), text.read),
    Family((".png", ".jpg", ".jpeg", ".pdf"), picture.read, looks_right=picture.looks_right),
)

_STRANGERS = (
    (b"PK\x03\x04", "an archive or an Excel file. Please unpack it, or save it as CSV."),
    (b"\x1f\x8b", "a compressed file. Please unpack it first."),
    *(
        (mark, "XML or HTML, which cannot be read here.")
        for mark in (b"<", b"\xff\xfe<", b"\xfe\xff\0<")
    ),
)


def read_ecg(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    rate_hz: float | None = None,
    units: str | None = None,
) -> ECG:
    """Reads one recording.

    paths: its file, or its set of files (a WFDB header with its data) in any order, from any
        folders. Only what is handed over is opened, also when a header names other files.
    rate_hz, units: for files that do not say: samples per second, and "mV", "uV", "V", "nV" or a
        step size such as "5 uV". What a file states itself goes before, with a note.
    Returns the ECG in millivolts, its limb leads completed where two of I, II, III are there, at
    most the first 10 minutes. `name` is the main file's stem; `sha256` runs over the bytes of all
    files, one after the other in the order of their names; `notes` tell what was left out or
    calculated.
    Raises EcgFileError, with a sentence for the screen, for whatever cannot be read.
    """
    if rate_hz is not None:
        check_rate(rate_hz)
    units = (units or "").strip() or None
    if units and millivolts_per(units) is None:
        raise EcgFileError(
            f"“{shown(units)}” is not a unit of voltage. Known are mV, uV, V and nV."
        )
    try:
        uploads = gather(paths)
        recording = _family(uploads).read(uploads, rate_hz, units)
        return recording.to_ecg(sha256_of(uploads))
    except EcgFileError:
        raise
    except Exception as error:  # what the libraries throw at damaged content has no common type
        raise EcgFileError(
            "The file is damaged or not what its name says, and cannot be read. Please export the "
            "ECG again."
        ) from error


def supported_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that can be read, for the upload field."""
    return tuple(suffix for family in FAMILIES for suffix in family.suffixes)


def _family(uploads: Sequence[Upload]) -> Family:
    """The family that a set of files belongs to. Raises EcgFileError when there is not just one."""
    by_upload = [_family_of(upload) for upload in uploads]
    sets = [family for family in by_upload if family and family.several]
    others = [family for family in by_upload if family and not family.several]
    if sets and not others:
        return sets[0]
    if sets or len(uploads) > 1:
        names = ", ".join(shown(upload.name) for upload in uploads[:4])
        raise EcgFileError(
            f"These {len(uploads)} files are not one recording ({names}). Please upload one ECG at "
            "a time."
        )
    (upload,) = uploads
    for start, what in _STRANGERS:
        if upload.head(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(start):
            raise EcgFileError(f"{shown(upload.name)} is {what}")
    if by_upload[0]:
        return by_upload[0]
    raise EcgFileError(
        f"{shown(upload.name)} is no kind of file that can be read here. Readable are: "
        f"{', '.join(supported_suffixes())}."
    )


def _family_of(upload: Upload) -> Family | None:
    head = upload.head(256)
    for family in FAMILIES:
        if family.looks_right(head):
            return family
    return next((family for family in FAMILIES if upload.suffix in family.suffixes), None)
