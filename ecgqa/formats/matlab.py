"""MATLAB files up to version 7 (.mat): numbers, texts, cells and structures, by their names.

What the bytes mean: MathWorks, "MAT-File Format" (R2024a), levels 4 and 5. The reader is this
project's own because SciPy's trusts the file: it reserves what a header claims, unfolds compressed
parts of any size, and follows nesting until the process dies. Here every part is cut out of what is
there, so no claim is larger than the file.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from ecgqa.formats.recording import Recording
from ecgqa.formats.upload import MAX_BYTES, Upload, check_size, shown
from ecgqa.formats.variables import recording_of
from ecgqa.record import EcgFileError

MAX_DEPTH = 6
MAX_PARTS = 20_000
_HINT = (
    "Please save them with a cell array “leads” of the names beside the matrix, or as CSV with a "
    "line of names. If the file belongs to a WFDB record, please add its header file (.hea)."
)
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
          13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # fmt: skip
_LEVEL_4_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCTURE, _TEXT = 1, 2, 4
_NUMBERS = range(6, 16)
_TEXT_CODES = {1: "latin-1", 2: "latin-1", 16: "utf-8"}

Values = dict[str, np.ndarray | Sequence[str]]
Value = np.ndarray | list[str] | Values | None


class _Damaged(ValueError):
    """The bytes contradict the format."""


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the ECG among the variables of the file, also where they are inside a structure.

    Raises EcgFileError for version 7.3, a damaged file, and for what `recording_of` cannot make an
    ECG of.
    """
    check_size(uploads)
    (upload,) = uploads
    data = upload.path.read_bytes()
    if b"\x89HDF\r\n" in data[:4096] or data.startswith(b"MATLAB 7.3"):
        raise EcgFileError(
            f"{shown(upload.name)} was saved by MATLAB as version 7.3, which cannot be read here. "
            "Please save it again with the option '-v7'."
        )
    try:
        variables = _level_5(data) if data.startswith(b"MATLAB") else _level_4(data)
    except (_Damaged, struct.error, ValueError) as error:
        raise EcgFileError(
            f"{shown(upload.name)} is not a MATLAB file that can be read: it is damaged or cut "
            "off, or holds the samples of a WFDB record. Please add the header file (.hea) then."
        ) from error
    return recording_of(variables, upload, rate_hz, units, _HINT)


def _level_4(data: bytes) -> Values:
    """Matrices one after the other: five numbers, the name, the real part by columns."""
    order = "<" if 0 <= struct.unpack_from("<i", data)[0] < 5000 else ">"
    values: Values = {}
    place = 0
    while place < len(data):
        kind, rows, columns, imaginary, n_name = struct.unpack_from(order + "5i", data, place)
        place += 20
        dtype = np.dtype(order + _LEVEL_4_TYPES[kind // 10 % 10]) if kind // 10 % 10 < 6 else None
        if dtype is None or not 0 <= kind < 5000 or min(rows, columns) < 0 or n_name < 1:
            raise _Damaged
        n_bytes = rows * columns * dtype.itemsize
        if imaginary not in (0, 1) or place + n_name + n_bytes > len(data):
            raise _Damaged
        name = data[place : place + n_name].split(b"\0")[0].decode("latin-1")
        array = np.frombuffer(data, dtype, rows * columns, place + n_name)
        matrix = array.reshape((rows, columns), order="F")
        if kind % 10 == 0 and not imaginary:
            values[name] = matrix
        elif kind % 10 == 1:
            values[name] = _lines(matrix)
        place += n_name + n_bytes * (1 + imaginary)
    return values


def _level_5(data: bytes) -> Values:
    marks = {b"IM": "<", b"MI": ">"}
    if len(data) < 128 or data[126:128] not in marks:
        raise _Damaged
    order = marks[data[126:128]]
    values: Values = {}
    room = MAX_BYTES * 4
    for kind, content in _parts(data[128:], order):
        if kind == _COMPRESSED:
            unfolder = zlib.decompressobj()
            try:
                content = unfolder.decompress(content, room)
            except zlib.error as error:
                raise _Damaged from error
            room -= len(content)
            if room <= 0 or unfolder.unconsumed_tail:
                raise _Damaged
            inside = list(_parts(content, order))
        else:
            inside = [(kind, content)]
        for inner_kind, inner in inside:
            if inner_kind == _MATRIX and inner:
                name, value = _matrix(inner, order, MAX_DEPTH)
                _add(values, name, value)
    return values


def _parts(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The elements that lie one after the other: type and content."""
    place = 0
    n_parts = 0
    while place + 8 <= len(data):
        n_parts += 1
        kind, size = struct.unpack_from(order + "2I", data, place)
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise _Damaged
            content, step = data[place + 4 : place + 4 + size], 8
        else:
            content = data[place + 8 : place + 8 + size]
            step = 8 + size + (0 if kind == _COMPRESSED else -size % 8)
        if len(content) < size or n_parts > MAX_PARTS:
            raise _Damaged
        yield kind, content
        place += step


def _matrix(content: bytes, order: str, depth: int) -> tuple[str, Value]:
    """Name and value of an array: numbers, a list of texts, or a dict for a structure."""
    parts = list(_parts(content, order))
    if len(parts) < 3 or depth == 0:
        raise _Damaged
    (_, flag_bytes), (_, dimensions), (_, name_bytes), *rest = parts
    flags = struct.unpack_from(order + "I", flag_bytes)[0]
    kind, is_complex = flags & 0xFF, flags & 0x800
    shape = tuple(np.frombuffer(dimensions, order + "i4").tolist())
    name = name_bytes.decode("latin-1")
    if min(shape, default=0) < 0:
        raise _Damaged
    if kind in _NUMBERS and rest and not is_complex:
        array = _numbers(*rest[0], order)
        if array.size != math.prod(shape):
            raise _Damaged
        return name, array.reshape(shape, order="F")
    if kind == _TEXT and rest:
        code, text_bytes = rest[0]
        if code in _TEXT_CODES:
            text = text_bytes.decode(_TEXT_CODES[code], "replace")
        else:
            text = "".join(chr(v) for v in _numbers(code, text_bytes, order).tolist() if v < 55296)
        if len(text) != math.prod(shape):
            return name, [text]
        return name, _lines(np.array([ord(c) for c in text]).reshape(shape, order="F"))
    if kind == _CELL:
        return name, [
            text
            for inner_kind, inner in rest
            if inner_kind == _MATRIX and inner
            for text in _texts(_matrix(inner, order, depth - 1)[1])
        ]
    if kind == _STRUCTURE and len(rest) >= 2 and math.prod(shape) == 1:
        width = int(_numbers(*rest[0], order)[0])
        joined = rest[1][1]
        if not 1 <= width <= 64:
            raise _Damaged
        fields = [joined[k : k + width].split(b"\0")[0] for k in range(0, len(joined), width)]
        structure: Values = {}
        for field, (inner_kind, inner) in zip(fields, rest[2:], strict=False):
            if inner_kind == _MATRIX and inner:
                _add(structure, field.decode("latin-1"), _matrix(inner, order, depth - 1)[1])
        return name, structure
    return name, None


def _add(values: Values, name: str, value: Value) -> None:
    if isinstance(value, dict):
        for inner_name, inner in value.items():
            values[f"{name}.{inner_name}"] = inner
    elif value is not None:
        values[name] = value


def _numbers(kind: int, content: bytes, order: str) -> np.ndarray:
    if kind not in _TYPES:
        raise _Damaged
    dtype = np.dtype(order + _TYPES[kind])
    return np.frombuffer(content, dtype, len(content) // dtype.itemsize)


def _lines(codes: np.ndarray) -> list[str]:
    """A matrix of characters, its rows as texts."""
    if codes.ndim != 2 or codes.shape[0] > 1000:
        return []
    return ["".join(chr(int(c)) for c in row if 0 < c < 55296).strip() for row in codes]


def _texts(value: Value) -> list[str]:
    """A cell's content as texts; a cell that holds numbers has none."""
    return value if isinstance(value, list) and value else [""]
