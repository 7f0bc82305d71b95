"""NumPy and MATLAB files, the latter by SciPy: not by what the reader is made of."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import scipy.io


def write_npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def write_npz(path: Path, packed: bool = True, **arrays) -> Path:
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


def write_mat(path: Path, level: str = "5", packed: bool = True, **variables) -> Path:
    scipy.io.savemat(path, variables, format=level, do_compression=packed and level == "5")
    return path


def npy_header(shape: tuple[int, ...], dtype: str = "<f8", turned: bool = False) -> bytes:
    """The start of a .npy file that claims this shape."""
    text = f"{{'descr': '{dtype}', 'fortran_order': {turned}, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
