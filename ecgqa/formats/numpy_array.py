"""NumPy files: one array (.npy) or several by name (.npz).

Only plain numbers and texts are read. The header is read with NumPy's own functions, but the data
only after its size was compared with what the file really holds: NumPy itself would reserve
whatever memory a header asks for. Python objects (pickles) could run code and are never loaded.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from ecgqa.formats.recording import Recording
from ecgqa.formats.upload import MAX_BYTES, Upload, check_size, shown
from ecgqa.formats.variables import recording_of
from ecgqa.formats.zip_members import open_zip, unfolded
from ecgqa.record import EcgFileError

_HINT = (
    "Please save it as .npz with the arrays “ecg” and “leads” (the names) and “fs”, or as CSV with "
    "a line of names."
)


def looks_right(head: bytes) -> bool:
    """True for the first bytes of a .npy file."""
    return head.startswith(b"\x93NUMPY")


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the array of a .npy file, or the arrays of a .npz file by their names.

    Raises EcgFileError for anything but plain numbers and texts, and for what `recording_of` cannot
    make an ECG of.
    """
    check_size(uploads)
    (upload,) = uploads
    variables: dict[str, np.ndarray | list[str]] = {}
    if looks_right(upload.head()):
        array = _array(upload.path.read_bytes(), upload)
        if array is not None:
            variables["data"] = array
    else:
        with open_zip(upload, MAX_BYTES) as archive:
            for member in archive.infolist():
                array = _array(b"".join(unfolded(archive, member)), upload)
                if array is not None:
                    name = member.filename.removesuffix(".npy")
                    variables[name] = _texts(array) if array.dtype.kind in "US" else array
    return recording_of(variables, upload, rate_hz, units, _HINT)


def _texts(array: np.ndarray) -> list[str]:
    return [
        text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        for text in array.ravel()[:1000].tolist()
    ]


def _array(content: bytes, upload: Upload) -> np.ndarray | None:
    """The array in the content of a .npy file, None where it is of another kind than numbers."""
    damaged = EcgFileError(
        f"{shown(upload.name)} is not a NumPy file that can be read. It seems damaged or cut off."
    )
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, turned, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, turned, dtype = np.lib.format.read_array_header_2_0(stream)
    except ValueError as error:
        raise damaged from error
    if dtype.hasobject:
        raise EcgFileError(
            f"{shown(upload.name)} holds Python objects, which are not loaded because they could "
            "run code. Please save the samples as a plain array of numbers."
        )
    if dtype.kind not in "iufUS" or dtype.itemsize == 0:
        return None
    n_bytes = math.prod(shape) * dtype.itemsize
    start = stream.tell()
    if min(shape, default=1) < 0 or n_bytes > len(content) - start:
        raise damaged
    array = np.frombuffer(content, dtype, count=math.prod(shape), offset=start)
    return array.reshape(shape, order="F" if turned else "C")
