"""ISHNE Holter recordings: a binary header, then samples of 16 bits, lead by lead in turn.

The format: Badilini, The ISHNE Holter standard output file format, Ann Noninvasive Electrocardiol
1998;3:263; numbers are little-endian.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Sequence

import numpy as np

from ecgqa.formats.header import FIRST_BIRTH, clean_text, date_of, header_of
from ecgqa.formats.leads import choose_leads
from ecgqa.formats.recording import Recording, kept_note, samples_kept, stated_or_given
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import FEMALE, LEADS, MALE, EcgFileError, Header

MAX_HOLTER_BYTES = 512 * 2**20
"""Only the first minutes of a long recording are read, so its file may be larger than others."""

_MAGIC = b"ISHNE1.0"
_HEADER_BYTES = 522
_MOST_LEADS = 12
# Codes of the lead specification from 0 on. Bipolar chest leads are none of the twelve.
_LEAD_CODES = ("unknown", "bipolar", "X", "Y", "Z", *LEADS, "ES", "AS", "AI")
_LEAD_FAULT = -32768


def looks_right(head: bytes) -> bool:
    """True for the first bytes of an ISHNE file."""
    return head.startswith(_MAGIC)


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the first minutes. The file states rate and resolution, so `units` is not needed.

    Raises EcgFileError for a damaged or truncated file, and one without an ECG lead.
    """
    check_size(uploads, MAX_HOLTER_BYTES)
    (upload,) = uploads
    head = upload.head(_HEADER_BYTES)
    if not looks_right(head):
        raise EcgFileError(f"{shown(upload.name)} is not a readable ISHNE Holter file.")
    if len(head) < _HEADER_BYTES:
        raise EcgFileError(f"{shown(upload.name)} ends within its header. It seems cut off.")
    (crc,) = struct.unpack_from("<H", head, 8)
    n_stated, _, data_at = struct.unpack_from("<3i", head, 14)
    (n_leads,) = struct.unpack_from("<h", head, 156)
    codes = struct.unpack_from(f"<{_MOST_LEADS}h", head, 158)
    resolutions_nv = struct.unpack_from(f"<{_MOST_LEADS}h", head, 206)
    (stated_hz,) = struct.unpack_from("<h", head, 272)
    if not 1 <= n_leads <= _MOST_LEADS or not _HEADER_BYTES <= data_at <= upload.size:
        raise EcgFileError(f"The header of {shown(upload.name)} is damaged.")
    signal_hz, notes = stated_or_given(float(stated_hz) if stated_hz > 0 else None, rate_hz)
    choice = choose_leads([_lead_name(code) for code in codes[:n_leads]])
    notes += choice.notes

    n_held = (upload.size - data_at) // (2 * n_leads)
    # Some programs count the samples of all leads together.
    n_samples = n_held if n_stated // n_leads == n_held else n_stated
    if not 0 < n_samples <= n_held:
        raise EcgFileError(
            f"{shown(upload.name)} announces {n_stated / signal_hz:.1f} s but holds only "
            f"{n_held / signal_hz:.1f} s. It seems cut off: please export it again."
        )
    n_kept = min(n_samples, samples_kept(signal_hz, n_leads))
    if n_kept < n_samples:
        notes += (kept_note(n_kept / signal_hz, n_samples / signal_hz),)
    raw = np.fromfile(upload.path, "<i2", n_kept * n_leads, offset=data_at).reshape(-1, n_leads)
    leads_mv: dict[str, np.ndarray] = {}
    for lead, index in choice.channels.items():
        if resolutions_nv[index] < 1:
            raise EcgFileError(
                f"{shown(upload.name)} does not say what a step of lead {lead} is worth. Its "
                "header seems damaged."
            )
        signal = raw[:, index] * np.float32(resolutions_nv[index] * 1e-6)
        signal[raw[:, index] == _LEAD_FAULT] = np.nan
        leads_mv[lead] = signal
    with upload.path.open("rb") as file:
        header = file.read(min(data_at, 2**20))
    if binascii.crc_hqx(header[10:], 0xFFFF) != crc:
        notes += ("The checksum of the file's header is wrong: it was changed or damaged.",)
    return Recording(leads_mv, signal_hz, upload.stem, notes, header=_header(head))


def _header(head: bytes) -> Header:
    """Names, sex and days from their places in the header; a day is day, month, year."""

    def text(first: int, width: int) -> str:
        return head[first : first + width].split(b"\0")[0].decode("latin-1")

    def day(first: int) -> str:
        return "{2:04d}-{1}-{0}".format(*struct.unpack_from("<3h", head, first))

    (sex,) = struct.unpack_from("<h", head, 128)
    hour, minute, _ = struct.unpack_from("<3h", head, 150)
    return header_of(
        born=date_of(day(132), earliest=FIRST_BIRTH),
        sex={1: MALE, 2: FEMALE}.get(sex, ""),
        recorded=date_of(f"{day(138)} {hour:02d}:{minute:02d}"),
        device=clean_text(text(232, 40)),
        identity=(("name", f"{text(28, 40)} {text(68, 40)}"), ("id", text(108, 20))),
    )


def _lead_name(code: int) -> str:
    return _LEAD_CODES[code] if 0 <= code < len(_LEAD_CODES) else f"lead code {code}"
