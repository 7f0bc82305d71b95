"""`ScpFile`: the sections of an SCP-ECG file, as far as the signals need them.

EN 1064: the file begins with its checksum and length, then come section 0 (where the others are)
and the others, each with a header of 16 bytes: checksum, number, length, two versions, 6 reserved
bytes. Numbers are little-endian. What section 1 says of the patient: `ecgqa.formats.scp.patient`.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

from ecgqa.formats.leads import MAX_CHANNELS
from ecgqa.formats.upload import Upload, shown
from ecgqa.record import EcgFileError

_RECORD_BYTES, _HEADER_BYTES, _POINTER_BYTES, _LEAD_BYTES = 6, 16, 10, 9
_BEAT_BYTES, _ZONE_BYTES = 14, 8
_NEEDED = {2, 3, 4, 5, 6}
_PATIENT = 1  # that it is cut off or damaged keeps nothing from being read

# Lead numbers of the standard's table of leads. 24 to 30 and 65 up are other systems, or reversed.
_LEAD_NAMES = {
    **dict(zip(range(1, 9), ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), strict=True)),
    9: "V7", **{k: f"V{k - 8}R" for k in range(10, 16)}, 16: "X", 17: "Y", 18: "Z",
    61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
}  # fmt: skip


@dataclass(frozen=True)
class Lead:
    """A lead of section 3: its samples are numbers `first` to `last` of the recording, from 1."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Beat:
    """A beat of section 4, in sample numbers from 1: where the reference beat was subtracted.

    reference: type of the beat; the reference beat is subtracted from type 0 only.
    """

    reference: int
    first: int
    fiducial: int
    last: int


@dataclass(frozen=True)
class Signals:
    """Section 5 (reference beat) or 6 (rhythm): encoded leads.

    step_nv, interval_us: what a step is worth, and the time from sample to sample.
    differences: how often differences were taken.
    """

    step_nv: int
    interval_us: int
    differences: int
    encoded: tuple[bytes, ...]


@dataclass(frozen=True)
class ScpFile:
    """What the sections say.

    huffman: the bytes of section 2, None where nothing was compressed.
    subtracted: whether the reference beat was subtracted from the rhythm.
    beat_ms, fiducial: length of the reference beat, and its sample that lies on a beat's fiducial.
    zones: sample numbers of the stretches that bimodal compression kept whole, first and last.
    sound: whether the checksum of the file is right.
    patient: the bytes of section 1.
    """

    leads: tuple[Lead, ...]
    huffman: bytes | None
    subtracted: bool
    beat_ms: int
    fiducial: int
    beats: tuple[Beat, ...]
    zones: tuple[tuple[int, int], ...]
    reference: Signals | None
    rhythm: Signals | None
    bimodal: bool
    sound: bool
    patient: bytes = b""


def looks_right(head: bytes) -> bool:
    """True for the first bytes of an SCP-ECG file: its name in section 0, or pointers that fit.

    Old versions do not write the name; there section 0 lists itself, at byte 7.
    """
    if len(head) < _RECORD_BYTES + _HEADER_BYTES + _POINTER_BYTES:
        return False
    if head[16:22] == b"SCPECG":
        return True
    number, length = struct.unpack_from("<HI", head, 8)
    return number == 0 and struct.unpack_from("<HII", head, 22) == (0, length, 7)


def parse(upload: Upload) -> ScpFile:
    """Reads the sections. Raises EcgFileError when the file is none, damaged or cut off."""
    content = upload.path.read_bytes()
    if not looks_right(content):
        raise EcgFileError(f"{shown(upload.name)} is not a readable SCP-ECG file.")
    crc, length = struct.unpack_from("<HI", content)
    bodies = _bodies(content, upload)
    if 3 not in bodies:
        raise EcgFileError(f"{shown(upload.name)} does not say which leads it holds.")
    try:
        leads, flags = _leads(bodies[3])
        beat_ms, fiducial, beats, zones = _beats(bodies.get(4, b""))
        # Some carts set the flag and then give the beat a length of 0: nothing was subtracted.
        subtracted = bool(flags & 1) and (beat_ms > 0 or 4 not in bodies)
        if subtracted and not {4, 5} <= bodies.keys():
            raise EcgFileError(
                f"{shown(upload.name)} stores its rhythm as the difference from a median beat, but "
                "the beat is not in the file."
            )
        return ScpFile(
            leads=leads,
            huffman=bodies.get(2),
            subtracted=subtracted,
            beat_ms=beat_ms,
            fiducial=fiducial,
            beats=beats,
            zones=zones,
            reference=_signals(bodies.get(5), len(leads)),
            rhythm=_signals(bodies.get(6), len(leads)),
            bimodal=len(bodies.get(6, b"")) > 5 and bodies[6][5] == 1,
            sound=crc == binascii.crc_hqx(content[2:length], 0xFFFF),
            patient=bodies.get(_PATIENT, b""),
        )
    except struct.error as error:
        raise EcgFileError(f"A section of {shown(upload.name)} ends too early.") from error


def _bodies(content: bytes, upload: Upload) -> dict[int, bytes]:
    """Section number → its bytes behind the section's header, of the sections that are needed."""
    (section_0_bytes,) = struct.unpack_from("<I", content, _RECORD_BYTES + 4)
    pointers = range(
        _RECORD_BYTES + _HEADER_BYTES,
        min(_RECORD_BYTES + section_0_bytes, len(content)) - _POINTER_BYTES + 1,
        _POINTER_BYTES,
    )
    bodies: dict[int, bytes] = {}
    for at in pointers[:1000]:
        number, length, place = struct.unpack_from("<HII", content, at)
        if number not in {*_NEEDED, _PATIENT} or number in bodies or length <= _HEADER_BYTES:
            continue
        if number == _PATIENT:
            bodies[number] = content[max(place, 1) - 1 :][_HEADER_BYTES:length]
            continue
        if place < 1 or place - 1 + length > len(content):
            raise EcgFileError(
                f"{shown(upload.name)} ends before its section {number} does. It seems cut off: "
                "please export it again."
            )
        bodies[number] = content[place - 1 + _HEADER_BYTES : place - 1 + length]
    return bodies


def _leads(body: bytes) -> tuple[tuple[Lead, ...], int]:
    """The leads of section 3, and its flags."""
    n_leads, flags = struct.unpack_from("<BB", body)
    if not 1 <= n_leads <= MAX_CHANNELS:
        raise EcgFileError(f"The file has {n_leads} leads; 1 to {MAX_CHANNELS} can be read.")
    leads: list[Lead] = []
    for index in range(n_leads):
        first, last, number = struct.unpack_from("<IIB", body, 2 + index * _LEAD_BYTES)
        leads.append(Lead(_LEAD_NAMES.get(number, f"SCP lead {number}"), first, last))
    return tuple(leads), flags


def _beats(
    body: bytes,
) -> tuple[int, int, tuple[Beat, ...], tuple[tuple[int, int], ...]]:
    """Section 4: length of the reference beat, its fiducial, the beats, and the protected zones."""
    if not body:
        return 0, 0, (), ()
    beat_ms, fiducial, n_beats = struct.unpack_from("<3H", body)
    beats = tuple(
        Beat(*struct.unpack_from("<H3I", body, 6 + k * _BEAT_BYTES)) for k in range(n_beats)
    )
    at = 6 + n_beats * _BEAT_BYTES
    if len(body) < at + n_beats * _ZONE_BYTES:
        # Version 1 has no protected zones of its own: they are where the beat was subtracted.
        return beat_ms, fiducial, beats, tuple((beat.first, beat.last) for beat in beats)
    zones = tuple(struct.unpack_from("<2I", body, at + k * _ZONE_BYTES) for k in range(n_beats))
    return beat_ms, fiducial, beats, zones


def _signals(body: bytes | None, n_leads: int) -> Signals | None:
    if body is None:
        return None
    step_nv, interval_us, differences = struct.unpack_from("<HHB", body)
    lengths = struct.unpack_from(f"<{n_leads}H", body, 6)
    at = 6 + 2 * n_leads
    encoded: list[bytes] = []
    for length in lengths:
        encoded.append(body[at : at + length])
        at += length
    if at > len(body):
        raise EcgFileError("A lead of the SCP-ECG file ends too early. It seems cut off.")
    return Signals(step_nv, interval_us, differences, tuple(encoded))
