"""Section 1 of an SCP-ECG file → what it says of the recording and the patient.

EN 1064, 5.4: fields one after the other, each a tag (one byte), its length (two) and its value; tag
255 ends them. Nothing here refuses a file: a damaged section says as much as could be read.
"""

from __future__ import annotations

import struct

from ecgqa.formats.header import (
    FIRST_BIRTH,
    age_of,
    clean_text,
    date_of,
    device_of,
    filter_of,
    header_of,
)
from ecgqa.record import FEMALE, MALE, Header

_LAST_NAME, _FIRST_NAME, _ID, _AGE, _BORN, _SEX = 0, 1, 2, 4, 5, 8
_DEVICE, _DAY, _TIME, _HIGH_PASS, _LOW_PASS, _FILTERS = 14, 25, 26, 27, 28, 29
_END = 255
_MOST_FIELDS = 500
_AGE_UNITS = {1: "y", 2: "m", 3: "w", 4: "d", 5: "h"}
_SEXES = {1: MALE, 2: FEMALE}
# Codes of manufacturers from 0 on; 255 says that the name stands in the text.
_MAKERS = (
    "", "Burdick", "Cambridge", "Compumed", "Datamed", "Fukuda", "Hewlett-Packard", "Marquette",
    "Mortara", "Nihon Kohden", "Okin", "Quinton", "Siemens", "Spacelabs", "Telemed", "Hellige",
    "Esaote", "Schiller", "Picker-Schwarzer", "et medical devices", "Zwönitz",
)  # fmt: skip


def header_in(body: bytes) -> Header:
    """What the section says; body: its bytes behind the section's header."""
    fields = _fields(body)
    age = _numbers(fields.get(_AGE, b""), "<HB")
    names = (_text(fields.get(_FIRST_NAME, b"")), _text(fields.get(_LAST_NAME, b"")))
    (bits,) = _numbers(fields.get(_FILTERS, b""), "<B") or (0,)
    (low,) = _numbers(fields.get(_HIGH_PASS, b""), "<H") or (0,)
    (high,) = _numbers(fields.get(_LOW_PASS, b""), "<H") or (0,)
    return header_of(
        age=age_of(age[0], _AGE_UNITS.get(age[1], "?")) if age else None,
        born=date_of(_day(fields.get(_BORN, b"")), earliest=FIRST_BIRTH),
        sex=_SEXES.get(fields.get(_SEX, b"\0")[:1].ljust(1, b"\0")[0], ""),
        recorded=date_of(_day(fields.get(_DAY, b"")) + _clock(fields.get(_TIME, b""))),
        device=_device(fields.get(_DEVICE, b"")),
        # The high pass is stored in hundredths of a hertz.
        filter_text=filter_of(low / 100, high, 60 if bits & 1 else 50 if bits & 2 else None),
        identity=(("name", " ".join(filter(None, names))), ("id", _text(fields.get(_ID, b"")))),
    )


def _fields(body: bytes) -> dict[int, bytes]:
    """Tag → value; the first one where a tag comes twice."""
    fields: dict[int, bytes] = {}
    at = 0
    for _ in range(_MOST_FIELDS):
        if at + 3 > len(body) or body[at] == _END:
            break
        tag, length = struct.unpack_from("<BH", body, at)
        fields.setdefault(tag, body[at + 3 : at + 3 + length])
        at += 3 + length
    return fields


def _numbers(value: bytes, layout: str) -> tuple[int, ...]:
    return struct.unpack_from(layout, value) if len(value) >= struct.calcsize(layout) else ()


def _text(value: bytes) -> str:
    return clean_text(value.split(b"\0")[0].decode("latin-1"))


def _day(value: bytes) -> str:
    parts = _numbers(value, "<HBB")
    return "{:04d}-{}-{}".format(*parts) if parts else ""


def _clock(value: bytes) -> str:
    parts = _numbers(value, "<3B")
    return " {:02d}:{:02d}:{:02d}".format(*parts) if parts else ""


def _device(value: bytes) -> str:
    """Maker and model of the cart: byte 8 is the maker's code, 9 to 14 are the model's name."""
    if len(value) < 14:
        return ""
    maker = _MAKERS[value[7]] if value[7] < len(_MAKERS) else ""
    if not maker and len(value) > 36:
        # Behind the analysing program's version: serial number, software, software, maker.
        strings = value[36:].split(b"\0")
        maker = _text(strings[4]) if len(strings) > 4 else ""
    return device_of(maker, _text(value[8:14]))
