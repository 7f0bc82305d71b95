"""Numbers of SCP-ECG that were compressed with Huffman's code (EN 1064, 5.5 and Annex C).

A table lists codes: how many bits the code has, how many with the bits behind it, whether it is a
value or calls for another table, and the value. A code with bits behind it stands for any number,
which these bits spell as two's complement, highest bit first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgqa.record import EcgFileError

_DEFAULT = 19999
_MAX_TABLES, _MAX_CODES = 100, 5000


@dataclass(frozen=True)
class Code:
    """What a code stands for: `value`, or the number in the `extra` bits behind it, or a table.

    next_table: index of the table that the following numbers are written in, None for a value.
    """

    value: int
    extra: int = 0
    next_table: int | None = None


Table = dict[str, Code]
"""Code as a text of "0" and "1" → what it stands for. No code is the beginning of another."""


def default_table() -> Table:
    """The table of the standard: 0, then ±1 ... ±8, then numbers of 8 and of 16 bits."""
    table = {"0": Code(0), "1111111110": Code(0, extra=8), "1111111111": Code(0, extra=16)}
    for size in range(1, 9):
        table["1" * size + "00"] = Code(size)
        table["1" * size + "01"] = Code(-size)
    return table


def parse_tables(section: bytes) -> tuple[Table, ...]:
    """The tables of section 2, none where it says that nothing was compressed.

    Raises EcgFileError when they are damaged.
    """
    broken = EcgFileError("The compression tables of the SCP-ECG file are damaged.")
    try:
        (n_tables,) = struct.unpack_from("<H", section)
        if n_tables == _DEFAULT:
            return (default_table(),)
        if n_tables > _MAX_TABLES:
            raise broken
        tables: list[Table] = []
        at = 2
        for _ in range(n_tables):
            (n_codes,) = struct.unpack_from("<H", section, at)
            at += 2
            if not 1 <= n_codes <= _MAX_CODES:
                raise broken
            table: Table = {}
            for _ in range(n_codes):
                n_bits, n_all, is_value, value, code = struct.unpack_from("<3BhI", section, at)
                at += 9
                if (n_tables, n_codes, n_bits, n_all) == (1, 1, 0, 0):
                    return ()  # carts that do not compress write one table with one empty code
                if not 1 <= n_bits <= 32 or not 0 <= n_all - n_bits <= 32:
                    raise broken
                # The first bit of a code stands lowest in the number.
                bits = f"{code:032b}"[::-1][:n_bits]
                if is_value:
                    table[bits] = Code(value, extra=n_all - n_bits)
                elif 1 <= value <= n_tables:
                    table[bits] = Code(0, next_table=value - 1)
                else:
                    raise broken
            tables.append(table)
        return tuple(tables)
    except struct.error as error:
        raise broken from error


def decode(data: bytes, tables: Sequence[Table], most: int) -> np.ndarray:
    """The first `most` numbers at most, int64 [n], that `data` spells in `tables`.

    Stops where the data end or leave the tables.
    """
    bits = f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}" if data else ""
    numbers: list[int] = []
    lengths_of = [sorted({len(code) for code in table}) for table in tables]
    table, lengths = tables[0], lengths_of[0]
    at = 0
    while at < len(bits) and len(numbers) < most:
        for length in lengths:
            if code := table.get(bits[at : at + length]):
                break
        else:
            break
        at += length
        if code.next_table is not None:
            table, lengths = tables[code.next_table], lengths_of[code.next_table]
        elif not code.extra:
            numbers.append(code.value)
        elif at + code.extra <= len(bits):
            number = int(bits[at : at + code.extra], 2)
            numbers.append(number - (1 << code.extra) * (bits[at] == "1"))
            at += code.extra
        else:
            break
    return np.array(numbers, dtype=np.int64)
