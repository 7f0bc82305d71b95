"""ISHNE Holter files (Badilini, Ann Noninvasive Electrocardiol 1998;3:263)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS

CODES = {"unknown": 0, "bipolar": 1, **{lead: 5 + k for k, lead in enumerate(LEADS)}}
STEP_NV = 2500


def crc_ccitt(data: bytes) -> int:
    """x^16 + x^12 + x^5 + 1, starting from ones, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            top = crc >> 15 ^ byte >> bit & 1
            crc = (crc << 1 ^ (0x1021 if top else 0)) & 0xFFFF
    return crc


def write_ishne(
    path: Path,
    signal_mv: np.ndarray,
    names=LEADS,
    rate_hz: int = 250,
    step_nv: int = STEP_NV,
    n_samples: int | None = None,
    comment: bytes = b"made for a test",
    crc: int | None = None,
) -> Path:
    """NaN is written as the lead fault, -32768."""
    raw = np.round(signal_mv * 1e6 / step_nv)
    raw = np.where(np.isnan(raw), -32768, raw).astype("<i2")
    n_leads, n = raw.shape

    def twelve(values, rest):
        return [*values, *[rest] * (12 - n_leads)]

    fixed = struct.pack(
        "<4ih40s40s20s2h3h3h3h3hh",
        len(comment), n if n_samples is None else n_samples, 522, 522 + len(comment), 1,
        b"Jane", b"Doe", b"12345", 2, 0, 2, 8, 1951, 1, 2, 2020, 1, 2, 2020, 12, 0, 0, n_leads,
    )  # fmt: skip
    fixed += struct.pack("<12h", *twelve([CODES[name] for name in names], -9))
    fixed += struct.pack("<12h", *twelve([1] * n_leads, -9))
    fixed += struct.pack("<12h", *twelve([step_nv] * n_leads, -9))
    fixed += struct.pack("<h40sh80s80s88s", 0, b"digital", rate_hz, b"", b"", b"")
    assert len(fixed) == 512
    head = fixed + comment
    checksum = crc_ccitt(head) if crc is None else crc
    path.write_bytes(b"ISHNE1.0" + struct.pack("<H", checksum) + head + raw.T.tobytes())
    return path
