"""SCP-ECG files: sections 0 to 6 of EN 1064, in every way of coding that carts use.

Written from the standard's description, without the reader's tables: a number is coded by rule
(so many ones, a zero, a sign), as the standard's own example does it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS
from writers.ishne import crc_ccitt

NUMBERS = dict(zip(LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
STEP_NV = 2500


@dataclass
class Coding:
    """How the samples are stored.

    huffman: "" for none, "none" for a section that says so, "default", "custom" (one table),
        "two" (two tables, with codes that switch between them).
    differences: 0, 1 or 2.
    fiducials: sample numbers (from 1) of the beats a reference beat of `beat` samples, whose
        fiducial is sample number `beat_fiducial`, was subtracted from; none without them.
    subtracted: False for a median beat that is only there to be looked at, at a rate of its own.
    zones: first and last sample numbers (from 1) kept whole; with `decimation` above 1.
    """

    huffman: str = ""
    differences: int = 0
    fiducials: Sequence[int] = ()
    beat: np.ndarray | None = None
    beat_fiducial: int = 0
    subtracted: bool = True
    zones: Sequence[tuple[int, int]] = ()
    decimation: int = 1
    version: int = 20
    named: bool = True


def write_scp(
    path: Path,
    signal_mv: np.ndarray,
    names=LEADS,
    rate_hz: float = 500,
    how: Coding | None = None,
    *,
    step_nv: int = STEP_NV,
    numbers: Sequence[int] | None = None,
    starts: Sequence[int] | None = None,
    announced: int | None = None,
    crc: int | None = None,
    rhythm: bool = True,
    without: Sequence[int] = (),
) -> Path:
    """starts: first sample number of each lead, 1 without; announced: samples that are claimed.

    without: sections that are left out.
    """
    how = how or Coding()
    n_leads, n = signal_mv.shape
    raw = np.round(signal_mv * 1e6 / step_nv).astype(np.int64)
    interval_us = round(1e6 / rate_hz)
    bodies: dict[int, bytes] = {1: _patient()}
    if how.huffman:
        bodies[2] = _tables(how.huffman)
    starts = starts or [1] * n_leads
    subtracted = how.beat is not None and how.subtracted
    flags = subtracted | 4 * (len(set(starts)) == 1) | n_leads % 32 << 3
    bodies[3] = struct.pack("<BB", n_leads, flags & 255)
    numbers = numbers or [NUMBERS[name] for name in names]
    for start, number in zip(starts, numbers, strict=True):
        bodies[3] += struct.pack("<IIB", start, start + (announced or n) - 1, number)
    if how.beat is not None or how.zones:
        bodies[4] = _beats(how, interval_us)
    if how.beat is not None or how.decimation > 1:
        beat = np.zeros((n_leads, 10)) if how.beat is None else how.beat
        beat_raw = np.round(beat * 1e6 / step_nv).astype(np.int64)
        beat_us = interval_us if how.subtracted else 1000
        bodies[5] = _signals(beat_raw, how, step_nv, beat_us, 0)
        if subtracted:
            raw = raw - _beats_drawn(beat_raw, how, n)
    if rhythm:
        stored = np.array([_thinned(row, how) for row in raw])
        bimodal = int(how.decimation > 1)
        bodies[6] = _signals(stored, how, step_nv, interval_us * how.decimation, bimodal)
    kept = {number: body for number, body in bodies.items() if number not in without}
    path.write_bytes(_file(kept, how, crc))
    return path


def _file(bodies: dict[int, bytes], how: Coding, crc: int | None) -> bytes:
    sections: dict[int, bytes] = {}
    for number, body in bodies.items():
        body += b"\0" * (len(body) % 2)
        head = struct.pack("<HIBB6s", number, 16 + len(body), how.version, how.version, b"")
        sections[number] = struct.pack("<H", crc_ccitt(head + body)) + head + body
    pointed, at = {0: (16 + 120, 7)}, 6 + 16 + 120 + 1
    for number, section in sections.items():
        pointed[number] = (len(section), at)
        at += len(section)
    table = b"".join(struct.pack("<HII", k, *pointed.get(k, (0, 0))) for k in range(12))
    name = b"SCPECG" if how.named else b""
    head = struct.pack("<HIBB6s", 0, 16 + len(table), how.version, how.version, name)
    rest = struct.pack("<H", crc_ccitt(head + table)) + head + table + b"".join(sections.values())
    rest = struct.pack("<I", 6 + len(rest)) + rest
    return struct.pack("<H", crc_ccitt(rest) if crc is None else crc) + rest


def _patient() -> bytes:
    name = b"Doe\0"
    return struct.pack("<BH", 0, len(name)) + name + struct.pack("<BH", 255, 0)


def _beats(how: Coding, interval_us: int) -> bytes:
    length = 0 if how.beat is None else how.beat.shape[1]
    body = struct.pack("<3H", length * interval_us // 1000, how.beat_fiducial, _n_beats(how))
    for k in range(_n_beats(how)):
        if k < len(how.fiducials):
            first = how.fiducials[k] - how.beat_fiducial + 1
            body += struct.pack("<H3I", 0, first, how.fiducials[k], first + length - 1)
        else:
            body += struct.pack("<H3I", 1, 0, 0, 0)
    if how.version > 13:
        zones = [*how.zones, *[(0, 0)] * (_n_beats(how) - len(how.zones))]
        body += b"".join(struct.pack("<2I", *zone) for zone in zones)
    return body


def _n_beats(how: Coding) -> int:
    return max(len(how.fiducials), len(how.zones))


def _beats_drawn(beat_raw: np.ndarray, how: Coding, n: int) -> np.ndarray:
    drawn = np.zeros((len(beat_raw), n), np.int64)
    for fiducial in how.fiducials:
        for k in range(beat_raw.shape[1]):
            at = fiducial - how.beat_fiducial + k  # from 0
            if 0 <= at < n:
                drawn[:, at] += beat_raw[:, k]
    return drawn


def _thinned(row: np.ndarray, how: Coding) -> np.ndarray:
    """Mean of every `decimation` samples outside the zones; a rest before a zone stays whole."""
    if how.decimation == 1:
        return row
    stored: list[int] = []
    kept = np.zeros(row.size, bool)
    for first, last in how.zones:
        kept[max(first - 1, 0) : last] = True
    at = 0
    while at < row.size:
        ahead = kept[at : at + how.decimation]
        if ahead.any() or ahead.size < how.decimation:
            stored.append(int(row[at]))
            at += 1
        else:
            stored.append(round(row[at : at + how.decimation].mean()))
            at += how.decimation
    return np.array(stored)


def _signals(raw: np.ndarray, how: Coding, step_nv: int, interval_us: int, bimodal: int) -> bytes:
    encoded = []
    for row in raw:
        numbers = row.copy()  # the first one or two stay as they are
        if how.differences == 1:
            numbers[1:] = row[1:] - row[:-1]
        elif how.differences == 2:
            numbers[2:] = row[2:] - 2 * row[1:-1] + row[:-2]
        plain = how.huffman in ("", "none")
        data = numbers.astype("<i2").tobytes() if plain else _coded(numbers, how.huffman)
        encoded.append(data + b"\0" * (len(data) % 2))
    body = struct.pack("<HHBB", step_nv, interval_us, how.differences, bimodal)
    body += struct.pack(f"<{len(encoded)}H", *map(len, encoded))
    return body + b"".join(encoded)


def default_code(number: int) -> str:
    """A number in the standard's own code (EN 1064, Annex C)."""
    if number == 0:
        return "0"
    if abs(number) <= 8:
        return "1" * abs(number) + "0" + ("1" if number < 0 else "0")
    wide = 8 if -128 <= number <= 127 else 16
    return "1" * 9 + ("0" if wide == 8 else "1") + format(number & (1 << wide) - 1, f"0{wide}b")


def _custom_code(number: int) -> str:
    """Another code: 00 zero, 01 one, 10 minus one, 110 eight bits, 1110 sixteen bits."""
    if number in (0, 1, -1):
        return {0: "00", 1: "01", -1: "10"}[number]
    wide = 8 if -128 <= number <= 127 else 16
    return ("110" if wide == 8 else "1110") + format(number & (1 << wide) - 1, f"0{wide}b")


# prefix bits, all bits, mode (0: switch), value, code
_CUSTOM = [(2, 2, 1, 0, "00"), (2, 2, 1, 1, "01"), (2, 2, 1, -1, "10"), (3, 11, 1, 0, "110"),
           (4, 20, 1, 0, "1110")]  # fmt: skip


def _tables(kind: str) -> bytes:
    if kind in ("default", "none"):
        return struct.pack("<H", 19999 if kind == "default" else 0)
    second = [(1, 17, 1, 0, "0"), (2, 2, 0, 1, "10")]
    tables = [_CUSTOM] if kind == "custom" else [[*_CUSTOM, (4, 4, 0, 2, "1111")], second]
    body = struct.pack("<H", len(tables))
    for rows in tables:
        body += struct.pack("<H", len(rows))
        for prefix, whole, mode, value, code in rows:
            body += struct.pack("<3BhI", prefix, whole, mode, value, int(code[::-1], 2))
    return body


def _coded(numbers: Sequence[int], kind: str) -> bytes:
    if kind == "default":
        bits = "".join(default_code(int(number)) for number in numbers)
    elif kind == "custom":
        bits = "".join(_custom_code(int(number)) for number in numbers)
    else:
        # Every fifth number in the second table: there and back again.
        codes = []
        for k, number in enumerate(map(int, numbers)):
            second = "1111" + "0" + format(number & 0xFFFF, "016b") + "10"
            codes.append(second if k % 5 == 4 else _custom_code(number))
        bits = "".join(codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
