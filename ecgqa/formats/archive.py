"""Zip archives with one recording in them → its files, unpacked into a folder of one's own."""

from __future__ import annotations

from pathlib import Path

from ecgqa.formats.upload import Upload, clean_name, shown
from ecgqa.formats.wfdb_record import MAX_SET_BYTES
from ecgqa.formats.zip_members import open_zip, unfolded
from ecgqa.record import EcgFileError

_MARKS = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an empty one
_NESTED = (".zip", ".7z", ".rar", ".gz", ".tgz", ".tar", ".bz2", ".xz")
_BESIDE = (
    "readme",
    "license",
    "licence",
    "copying",
    "changelog",
    "records",
    "sha256sums",
    "dicomdir",
)


def is_archive(upload: Upload) -> bool:
    """True for a zip of files, also one with another suffix; not for the zip that .npz is."""
    return upload.head(4) in _MARKS and upload.suffix != ".npz"


def unpacked(upload: Upload, folder: Path) -> tuple[Upload, ...]:
    """The files of the archive, sorted by name, without what operating systems put beside them.

    folder: an empty folder of the caller's. The files get names made here; those of the archive are
        only compared and shown, so a path in them leads nowhere.
    Raises EcgFileError when the archive is damaged, would grow too large, holds nothing, another
    archive, or two files of one name.
    """
    uploads: dict[str, Upload] = {}
    with open_zip(upload, MAX_SET_BYTES) as archive:
        members = [m for m in archive.infolist() if not m.is_dir() and m.file_size]
        if any(m.filename == "[Content_Types].xml" for m in members):
            raise EcgFileError(
                f"{shown(upload.name)} is an Excel or Word file. Please save the table as CSV."
            )
        for number, member in enumerate(members):
            name = clean_name(member.filename)
            if not name or _is_beside(member.filename, name):
                continue
            if name.casefold().endswith(_NESTED):
                raise EcgFileError(
                    f"{shown(upload.name)} holds another archive ({shown(name)}). Please unpack it "
                    "and upload the ECG."
                )
            if name in uploads:
                raise EcgFileError(
                    f"{shown(upload.name)} holds two files called {shown(name)}. Please upload one "
                    "ECG at a time."
                )
            path = folder / str(number)
            with path.open("wb") as file:
                file.writelines(unfolded(archive, member))
            uploads[name] = Upload(name, path, path.stat().st_size)
    if not uploads:
        raise EcgFileError(f"{shown(upload.name)} is an archive with nothing in it.")
    return tuple(uploads[name] for name in sorted(uploads))


def _is_beside(path: str, name: str) -> bool:
    """True for what is no ECG whatever it holds: hidden files, a licence, a list of records."""
    stem = name.partition(".")[0].casefold()
    return name.startswith(("._", ".")) or path.startswith("__MACOSX/") or stem in _BESIDE
