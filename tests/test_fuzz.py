"""A short run of `fuzz_formats.py`, and proof that it would notice what it looks for."""

from __future__ import annotations

import os
from pathlib import Path

import fuzz_formats
import numpy as np
import pytest

from ecgqa.formats import FAMILIES
from ecgqa.record import EcgFileError


def test_damaged_files_of_every_family_end_as_an_ecg_or_a_sentence():
    table = fuzz_formats.fuzz(inputs=40 * len(FAMILIES), seed=1)
    assert set(table) == {fuzz_formats.name_of(family) for family in FAMILIES}
    for name, counts in table.items():
        assert not {fault: counts[fault] for fault in fuzz_formats.FAULTS if counts[fault]}, name
        assert counts["sentence"] + counts["general"] > 0, name
        # Damage to what cannot be read in the first place would prove little.
        assert counts["seeds read"] > 0, f"{name} needs a valid file in fuzz_formats.SEEDS"


def _dies(paths, **given):
    os._exit(1)


def _hangs(paths, **given):
    while True:
        pass


def _takes_memory(paths, **given):
    try:
        np.ones(2 * fuzz_formats.MEMORY_BYTES, np.uint8)
    except MemoryError as error:
        raise EcgFileError("The file is damaged. Please export it.") from error


def _writes(paths, **given):
    Path("evil.txt").write_text("x")
    raise EcgFileError("The file is damaged. Please export it.")


def _deletes(paths, **given):
    paths[0].unlink()
    raise EcgFileError("The file is damaged. Please export it.")


def _reads_what_it_must_not(paths, **given):
    (paths[0].parent.parent / "canary.dat").read_bytes()
    raise EcgFileError("The file is damaged. Please export it.")


def _breaks(paths, **given):
    raise KeyError("lead")


def _prints_a_traceback(paths, **given):
    raise EcgFileError("Traceback (most recent call last)")


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (_dies, "crash"), (_hangs, "hang"), (_takes_memory, "memory"), (_writes, "stray"),
        (_deletes, "stray"), (_reads_what_it_must_not, "stray"), (_breaks, "crash"),
        (_prints_a_traceback, "crash"),
    ],
)  # fmt: skip
def test_a_bad_reader_would_be_noticed(tmp_path, reader, expected):
    (tmp_path / "canary.dat").write_bytes(b"x")
    process = fuzz_formats.Reader(tmp_path, reader, seconds=0.5)
    assert process.read([("a.csv", b"1,2")], number=0)[0] == expected
    process.stop()
