"""Philips Sierra XML files, uncompressed or XLI-compressed (the decoder's steps backwards)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgqa.record import LEADS

STEP_MV = 0.005
_DOCUMENT = """<?xml version="1.0" encoding="{encoding}"?>
<restingecgdata xmlns="http://www3.medical.philips.com" status="New" lang="en">
<documentinfo><documenttype>{kind}</documenttype><documentversion>{version}</documentversion>
</documentinfo>
<dataacquisition><signalcharacteristics><samplingrate>{rate:g}</samplingrate>
<{resolution}>5</{resolution}><acquisitiontype>{acquired}</acquisitiontype>
<bitspersample>16</bitspersample><signalsigned>True</signalsigned>
<numberchannelsallocated>{n}</numberchannelsallocated></signalcharacteristics></dataacquisition>
<waveforms><parsedwaveforms {attributes}>
{data}
</parsedwaveforms></waveforms></restingecgdata>
"""


def write_sierra(
    path: Path,
    signal_mv: np.ndarray,
    version: str = "1.04",
    xli: bool = True,
    names: Sequence[str] = LEADS,
    rate_hz: float = 500,
    encoding: str = "utf-16",
    kind: str = "PhilipsECG",
    acquired: str = "STD-12",
    duration_ms: float | None = None,
    pulse: bool = False,
) -> Path:
    """pulse: with the calibration pulse of a second that Philips carts put behind the ECG."""
    rows = list(np.round(signal_mv / STEP_MV).astype(int))
    if pulse:
        n = round(rate_hz)
        mark = np.zeros(n, int)
        mark[n // 3 : n // 3 + n // 5] = 200
        rows = [np.concatenate([row, mark]) for row in rows]
    data = xli_of(rows) if xli else np.stack(rows).astype("<i2").tobytes()
    duration = duration_ms or rows[0].size / rate_hz * 1000
    attributes = f'dataencoding="Base64" durationperchannel="{duration:g}" '
    if version == "1.03":
        attributes += f'compressflag="{xli}" nbitspersample="16" '
        attributes += 'compressmethod="XLI"' if xli else ""
    else:
        attributes += (
            f'compression="{"XLI" if xli else "Uncompressed"}" numberofleads="{len(rows)}" '
            f'leadlabels="{" ".join(names)}" samplespersecond="{rate_hz:g}" resolution="5" '
            'bitspersample="16"'
        )
    text = _DOCUMENT.format(
        encoding=encoding,
        kind=kind,
        version=version,
        rate=rate_hz,
        resolution="signalresolution" if version == "1.03" else "resolution",
        acquired=acquired,
        n=len(rows),
        attributes=attributes,
        data=base64.encodebytes(data).decode(),
    )
    path.write_bytes(text.encode(encoding))
    return path


def xli_of(rows: Sequence[np.ndarray]) -> bytes:
    """Steps of twelve leads → XLI."""
    one, two, three, avr, avl, avf, *chest = rows
    stored = [
        one,
        two,
        two - one - three,
        -avr - (one + two) // 2,
        (one - three) // 2 - avl,
        (two + three) // 2 - avf,
        *chest,
    ]
    return b"".join(_chunk(row) for row in stored)


def _chunk(row: np.ndarray) -> bytes:
    errors = 2 * row[1:-1] - row[:-2] - row[2:]
    values = np.concatenate([row[:2], errors[1:] + 64, [64]])[: row.size].astype(">i2")
    by_byte = values.view(np.uint8).reshape(-1, 2)
    packed = _lzw(by_byte[:, 0].tobytes() + by_byte[:, 1].tobytes())
    first = int(errors[0]).to_bytes(2, "little", signed=True)
    return len(packed).to_bytes(4, "little") + b"\0\0" + first + packed


def _lzw(data: bytes) -> bytes:
    table = {bytes([value]): value for value in range(256)}
    codes = []
    string = b""
    for byte in data:
        longer = string + bytes([byte])
        if longer in table:
            string = longer
            continue
        codes.append(table[string])
        if len(table) <= 1022:
            table[longer] = len(table)
        string = bytes([byte])
    codes += [table[string], 1023]
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
