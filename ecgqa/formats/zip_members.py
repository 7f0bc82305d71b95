"""Zip files, opened only after their size was looked at.

A zip of some kilobytes can unfold to gigabytes, and a list of a million members fills memory before
anything is unpacked. Both are read off the end of the file first.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator

from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import EcgFileError

MAX_MEMBERS = 2000
MAX_RATIO = 200
"""ECGs shrink to a third or a tenth, tables of flat lines to a hundredth."""
_SMALL = 2**20
_MAX_LIST_BYTES = 2**20
_BLOCK = 2**18


def open_zip(upload: Upload, max_bytes: int) -> zipfile.ZipFile:
    """The opened archive, to be closed by the caller; nothing of it is unpacked yet.

    max_bytes: of the archive, and of all its members together once unpacked.
    Raises EcgFileError when it is damaged, protected by a password, or would grow too large.
    """
    check_size([upload], max_bytes)
    damaged = EcgFileError(
        f"{shown(upload.name)} is a damaged or cut-off archive. Please pack or export it again."
    )
    too_large = EcgFileError(
        f"{shown(upload.name)} would unfold to far more than an ECG. It was not unpacked: please "
        "upload the ECG's own files."
    )
    with upload.path.open("rb") as file:
        file.seek(max(upload.size - 2**16 - 22, 0))
        end = file.read()
    place = end.rfind(b"PK\x05\x06")
    if place < 0 or len(end) < place + 22:
        raise damaged
    n_members, list_bytes = struct.unpack("<HI", end[place + 10 : place + 16])
    if n_members > MAX_MEMBERS or list_bytes > _MAX_LIST_BYTES:
        raise too_large
    try:
        archive = zipfile.ZipFile(upload.path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise damaged from error
    members = archive.infolist()
    unfolded = sum(member.file_size for member in members)
    swollen = [m for m in members if m.file_size > max(_SMALL, MAX_RATIO * m.compress_size)]
    problem = None
    if len(members) > MAX_MEMBERS or unfolded > max_bytes or swollen:
        problem = too_large
    elif any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
        # The library cannot bound what a block of the other methods unfolds to.
        problem = EcgFileError(
            f"{shown(upload.name)} is packed with an unusual method. Please pack it as a plain zip."
        )
    elif any(member.flag_bits & 1 for member in members):
        problem = EcgFileError(
            f"{shown(upload.name)} is protected by a password. Please unpack it and upload the ECG."
        )
    if problem:
        archive.close()
        raise problem
    return archive


def unfolded(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a member, block by block, never more than its listed size.

    Raises EcgFileError when it is damaged.
    """
    try:
        with archive.open(member) as stream:
            while block := stream.read(_BLOCK):
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise EcgFileError(
            f"{shown(member.filename)} in the archive is damaged. Please pack or export it again."
        ) from error
