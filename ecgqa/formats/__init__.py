"""Readers: files as they come from a cart, an archive or a spreadsheet → `ECG` in millivolts.

To add a format: write one module with `read(uploads, rate_hz, units) -> Recording` and add one row
to `FAMILIES`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecgqa.formats import (
    aecg,
    cardiosoft,
    dicom,
    edf,
    ishne,
    matlab,
    muse,
    numpy_array,
    picture,
    scp,
    sierra,
    text,
    wfdb_record,
)
from ecgqa.formats.archive import is_archive, unpacked
from ecgqa.formats.recording import Recording, check_rate
from ecgqa.formats.strangers import stranger
from ecgqa.formats.units import millivolts_per
from ecgqa.formats.upload import (
    Upload,
    check_unchanged,
    gather,
    sha256_of,
    shown,
    stamps_of,
)
from ecgqa.formats.xml_tree import looks_like_xml, root_name
from ecgqa.record import ECG, EcgFileError

__all__ = ["read_ecg", "supported_suffixes"]


@dataclass(frozen=True)
class Family:
    """A family of file formats.

    suffixes: lower-case, the main file's first.
    read: the family's reader.
    looks_right: recognises the first bytes of a file of this family, whatever its name.
    several: whether one recording may be several files.
    xml_root: name of the outermost element, lower case, where the files are XML.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Sequence[Upload], float | None, str | None], Recording]
    looks_right: Callable[[bytes], bool] = lambda head: False
    several: bool = False
    xml_root: str | None = None


FAMILIES = (
    Family((".hea", ".dat", ".mat"), wfdb_record.read, several=True),
    Family((".dcm", ".dicom"), dicom.read, looks_right=dicom.looks_right),
    Family((".edf", ".bdf"), edf.read, looks_right=edf.looks_right),
    Family((".scp",), scp.read, looks_right=scp.looks_right),
    Family((".ecg", ".ishne"), ishne.read, looks_right=ishne.looks_right),
    Family((".xml",), aecg.read, xml_root="annotatedecg"),
    Family((".xml",), muse.read, xml_root="restingecg"),
    Family((".xml",), cardiosoft.read, xml_root="cardiologyxml"),
    Family((".xml",), sierra.read, xml_root="restingecgdata"),
    Family((".npy", ".npz"), numpy_array.read, looks_right=numpy_array.looks_right),
    # Behind WFDB: a .mat beside a header is WFDB's, one that comes alone is MATLAB's own.
    Family((".mat",), matlab.read),
    Family((".csv", ".tsv", ".txt"), text.read),
    Family(
        (".png", ".jpg", ".jpeg", ".webp", ".pdf"), picture.read, looks_right=picture.looks_right
    ),
)

_BESIDE_A_RECORDING = (".txt", ".pdf", ".png", ".jpg", ".jpeg", ".webp")
"""What may lie in an archive beside the recording: its report or its printout."""


def read_ecg(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    rate_hz: float | None = None,
    units: str | None = None,
    leads: str | None = None,
) -> ECG:
    """Reads one recording.

    paths: its file, or its set of files (a WFDB header with its data) in any order, from any
        folders, or a zip of them. Only what is handed over is opened, also when a header names
        other files.
    rate_hz, units: for files that do not say: samples per second, and "mV", "uV", "V", "nV" or a
        step size such as "5 uV". What a file states itself goes before, with a note.
    leads: for files that do not name them: which lead the only channel is ("II"), or those of
        all channels in their order ("I, II, V1").
    Returns the ECG in millivolts, its limb leads completed where two of I, II, III are there, at
    most the first 10 minutes. `name` is the main file's stem; `sha256` runs over the bytes of all
    files, unpacked, one after the other in the order of their names; `notes` tell what was left out
    or calculated.
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
        before = stamps_of(uploads)
        try:
            return _unpacked_and_read(uploads, rate_hz, units, leads)
        finally:
            check_unchanged(uploads, before)
    except EcgFileError:
        raise
    except Exception as error:  # what the libraries throw at damaged content has no common type
        if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
            name = shown(os.fsdecode(error.filename))
            raise EcgFileError(f"{name} could not be opened: {error.strerror}.") from error
        raise EcgFileError(
            "The file is damaged or not what its name says, and cannot be read. Please export the "
            "ECG again."
        ) from error


def supported_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that can be read, for the upload field."""
    found = [suffix for family in FAMILIES for suffix in family.suffixes]
    return (*dict.fromkeys(found), ".zip")


def _unpacked_and_read(
    uploads: Sequence[Upload], rate_hz: float | None, units: str | None, leads: str | None
) -> ECG:
    archive, *others = uploads
    if others or not is_archive(archive):
        return _read(uploads, rate_hz, units, leads)
    with tempfile.TemporaryDirectory(prefix="ecgqa-") as folder:
        chosen, left_out = _one_recording(unpacked(archive, Path(folder)), archive)
        ecg = _read(chosen, rate_hz, units, leads)
    if left_out:
        note = f"Left out of the archive: {', '.join(shown(u.name) for u in left_out[:5])}."
        ecg = replace(ecg, notes=(*ecg.notes, note))
    return ecg


def _read(
    uploads: Sequence[Upload], rate_hz: float | None, units: str | None, leads: str | None
) -> ECG:
    recording = _family(uploads).read(uploads, rate_hz, units)
    return recording.to_ecg(sha256_of(uploads), (leads or "").strip() or None)


def _one_recording(
    uploads: Sequence[Upload], archive: Upload
) -> tuple[Sequence[Upload], Sequence[Upload]]:
    """The files of the one recording among those of an archive, and the others.

    Raises EcgFileError that names the files when there is not just one recording.
    """
    if len(uploads) == 1:
        return uploads, ()
    refused: EcgFileError | None = None
    found: list[Upload] = []
    for upload in uploads:
        try:
            if _family_of(upload, alone=False):
                found.append(upload)
        except EcgFileError as error:
            refused = refused or error
    found = [u for u in found if u.suffix not in _BESIDE_A_RECORDING] or found
    if any(upload.suffix == ".hea" for upload in found):
        # Its signal files may have any suffix: the reader picks those that the header names.
        others = {u for u in found if not _is_of_a_set(u)}
        rest = [u for u in uploads if u not in others and u.suffix not in _BESIDE_A_RECORDING]
        if not others:
            return rest, [u for u in uploads if u not in rest]
    elif len(found) == 1:
        return found, [u for u in uploads if u not in found]
    names = ", ".join(shown(upload.name) for upload in (found or uploads)[:6])
    more = " and others" if len(found or uploads) > 6 else ""
    if not found:
        raise refused or EcgFileError(
            f"{shown(archive.name)} holds no ECG that can be read ({names}{more})."
        )
    raise EcgFileError(
        f"{shown(archive.name)} holds {len(found)} recordings ({names}{more}). Please upload one "
        "ECG at a time."
    )


def _is_of_a_set(upload: Upload) -> bool:
    return any(family.several and upload.suffix in family.suffixes for family in FAMILIES)


def _family(uploads: Sequence[Upload]) -> Family:
    """The family that a set of files belongs to. Raises EcgFileError when there is not just one."""
    by_upload = [_family_of(upload, alone=len(uploads) == 1) for upload in uploads]
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
    if known := _recognised(upload):  # SCP-ECG begins with its checksum, which may be a "<"
        return known
    if what := stranger(upload):
        raise EcgFileError(f"{shown(upload.name)} is {what}")
    if by_upload[0]:
        return by_upload[0]
    raise EcgFileError(
        f"{shown(upload.name)} is no kind of file that can be read here. Readable are: "
        f"{', '.join(supported_suffixes())}."
    )


def _recognised(upload: Upload) -> Family | None:
    head = upload.head(256)
    return next((family for family in FAMILIES if family.looks_right(head)), None)


def _family_of(upload: Upload, alone: bool) -> Family | None:
    """The family of a file, None where it is of none.

    alone: whether it is the whole upload.
    Raises EcgFileError for XML that is no ECG known here.
    """
    if known := _recognised(upload):
        return known
    if alone and upload.suffix == ".mat":
        return next(family for family in FAMILIES if family.read is matlab.read)
    if not _is_of_a_set(upload) and looks_like_xml(upload.head(256)):
        root = root_name(upload)
        for family in FAMILIES:
            if family.xml_root == root:
                return family
        if what := stranger(upload):
            raise EcgFileError(f"{shown(upload.name)} is {what}")
        raise EcgFileError(
            f"{shown(upload.name)} is XML or HTML of a kind that is not known here (“{shown(root)}”"
            "). Known are HL7 aECG, GE MUSE, GE CardioSoft and Philips Sierra."
        )
    return next((f for f in FAMILIES if upload.suffix in f.suffixes and not f.xml_root), None)
