"""Philips Sierra XML 1.03 and 1.04: files whose root is restingecgdata.

Philips never published the compression ("XLI"). How it works is known from Sierra ECG Tools
(C. Watford, MIT licence, github.com/sixlettervariables/sierra-ecg-tools), whose Python library the
tests compare with. The reader here is its own, because an upload is not to be trusted: that library
loops without end on a damaged length, and unfolds whatever a file claims.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from ecgqa.formats.base64_text import bytes_of
from ecgqa.formats.header import (
    FIRST_BIRTH,
    age_of,
    date_of,
    device_of,
    filter_of,
    header_of,
    sex_of,
)
from ecgqa.formats.leads import choose_leads
from ecgqa.formats.recording import MAX_SECONDS, Recording, check_rate, stated_or_given
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.formats.xml_tree import children, number_in, text_of, xml_tree
from ecgqa.record import LEADS, EcgFileError, Header

_CODE_BITS = 10
_LAST_CODE = 2**_CODE_BITS - 2
_MAX_CHANNELS = 16
_DAMAGED = "The compressed samples in the Philips file are damaged. Please export the ECG again."


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the rhythm of all leads; the representative beats are not read.

    Raises EcgFileError for another kind of document, an unknown version, or damaged samples.
    """
    check_size(uploads)
    (upload,) = uploads
    root = xml_tree(upload)
    _check_document(root, upload)
    waveforms = children(root, "waveforms", "parsedwaveforms")
    if not waveforms or not (waveforms[0].text or "").strip():
        raise EcgFileError(
            f"{shown(upload.name)} is a Philips file without waveforms. Please export it with them."
        )
    parsed = waveforms[0]
    signal = (children(root, "dataacquisition", "signalcharacteristics") or [root])[0]
    stated_hz = number_in(parsed.get("samplespersecond") or text_of(signal, "samplingrate"))
    final_hz, notes = stated_or_given(stated_hz or None, rate_hz)
    step_uv = number_in(
        parsed.get("resolution")
        or text_of(signal, "resolution")
        or text_of(signal, "signalresolution")
    )
    per_step_mv = to_millivolts(f"{step_uv:g} uV" if step_uv else None, units, "its samples")
    names = _names(parsed, signal, upload)
    rows = _rows(parsed, len(names), check_rate(final_hz), upload)
    n_ecg = _end_of_ecg(rows, final_hz, per_step_mv)
    if n_ecg < rows[0].size:
        notes += ("The calibration pulse at the end was left out.",)
    choice = choose_leads(names)
    leads_mv = {lead: rows[index][:n_ecg] * per_step_mv for lead, index in choice.channels.items()}
    header = _header(root, signal)
    return Recording(leads_mv, final_hz, upload.stem, notes + choice.notes, header=header)


def _header(root: Element, signal: Element) -> Header:
    """The band is the one of the stored samples, not the one of the printed report."""
    person = (children(root, "patient", "generalpatientdata") or [Element("none")])[0]
    acquired = (children(root, "dataacquisition") or [Element("none")])[0]
    ages = [
        age_of(text_of(person, "age", unit), unit) for unit in ("years", "months", "weeks", "days")
    ]
    low, _, high = text_of(signal, "signalbandwidth").partition("-")
    is_notched = text_of(signal, "notchfiltered").casefold() == "true"
    names = (text_of(person, "name", "firstname"), text_of(person, "name", "lastname"))
    return header_of(
        age=next((age for age in ages if age is not None), None),
        born=date_of(text_of(person, "age", "dateofbirth"), earliest=FIRST_BIRTH),
        sex=sex_of(text_of(person, "sex")),
        recorded=date_of(f"{acquired.get('date', '')} {acquired.get('time', '')}"),
        device=device_of("Philips", text_of(acquired, "machine")),
        filter_text=filter_of(
            number_in(text_of(signal, "hipass") or low),
            number_in(text_of(signal, "lowpass") or high),
            number_in(text_of(signal, "acsetting")) if is_notched else None,
        ),
        identity=(
            ("name", " ".join(filter(None, names))), ("id", text_of(person, "patientid")),
            ("MRN", text_of(person, "MRN")),
        ),
    )  # fmt: skip


def _check_document(root: Element, upload: Upload) -> None:
    kind = text_of(root, "documentinfo", "documenttype")
    version = text_of(root, "documentinfo", "documentversion")
    if kind.casefold() not in ("sierraecg", "philipsecg"):
        raise EcgFileError(
            f"{shown(upload.name)} calls itself “{shown(kind)}”. Of this kind of XML only Philips "
            "files (SierraECG, PhilipsECG) can be read."
        )
    if not re.fullmatch(r"1\.0[34](?:\.\d{1,2})?", version):
        raise EcgFileError(
            f"{shown(upload.name)} is a Philips file of version {shown(version)}; versions 1.03 "
            "and 1.04 can be read."
        )


def _names(parsed: Element, signal: Element, upload: Upload) -> list[str]:
    """Names of the stored channels, in their order."""
    if labels := parsed.get("leadlabels", "").split():
        n_leads = number_in(parsed.get("numberofleads"))
        return labels[: int(n_leads) if n_leads and n_leads >= 1 else len(labels)][:_MAX_CHANNELS]
    # Version 1.03 names no leads; these two sets of electrodes have the standard order.
    acquired = text_of(signal, "acquisitiontype") or text_of(signal, "leadset")
    if acquired.upper() not in ("STD-12", "10-WIRE"):
        raise EcgFileError(
            f"{shown(upload.name)} does not name its leads and was recorded with the lead set "
            f"“{shown(acquired)}”, whose order is not known here."
        )
    return list(LEADS)


def _rows(parsed: Element, n_leads: int, rate_hz: float, upload: Upload) -> list[np.ndarray]:
    """The channels in steps, int64 [n] each, the limb leads restored."""
    encoding = parsed.get("dataencoding", "")
    method = parsed.get("compressmethod") or parsed.get("compression") or ""
    if parsed.get("compressflag", "").casefold() == "false":
        method = ""
    if encoding.casefold() != "base64" or method.casefold() not in ("", "uncompressed", "xli"):
        raise EcgFileError(
            f"{shown(upload.name)} stores its samples in a way that is not known here "
            f"({shown(encoding)}, {shown(method) or 'uncompressed'})."
        )
    bits = number_in(parsed.get("nbitspersample") or parsed.get("bitspersample"))
    if bits not in (None, 16.0):
        raise EcgFileError(f"{shown(upload.name)} stores {bits:g} bits per sample; known are 16.")
    duration_ms = number_in(parsed.get("durationperchannel")) or 0.0
    n_announced = round(max(duration_ms, 0) * rate_hz / 1000)
    try:
        data = bytes_of(parsed.text or "")
    except ValueError as error:
        raise EcgFileError(_DAMAGED) from error
    compressed = method.casefold() == "xli"
    if compressed:
        rows = _unfolded(data, n_leads, n_most=int(MAX_SECONDS * rate_hz))
    else:
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int64)
        # More channels may be stored than are named: then the length tells where they end.
        length = n_announced or samples.size // n_leads
        rows = [samples[k * length : (k + 1) * length] for k in range(n_leads)]
    shortest = min((row.size for row in rows), default=0)
    if len(rows) < n_leads or shortest < n_announced:
        raise EcgFileError(
            f"{shown(upload.name)} announces {n_leads} leads of {n_announced / rate_hz:.1f} s but "
            f"holds {len(rows)} of {shortest / rate_hz:.1f} s. It seems cut off: please export it "
            "again."
        )
    rows = [row[: n_announced or shortest] for row in rows]
    if n_leads < 6:
        return rows
    one, two, three = rows[:3]
    # Public readers disagree whether an uncompressed file holds the whole lead III: it tells.
    follows = np.abs(two - one - three).sum() <= np.abs(three).sum()
    return rows if follows and not compressed else _restored(rows)


def _end_of_ecg(rows: Sequence[np.ndarray], rate_hz: float, per_step_mv: float) -> int:
    """Number of samples before the calibration pulse that Philips carts put behind the ECG.

    There every channel shows the same: nothing, and a pulse of 1 mV. No heart could: I = II means
    III = 0.
    """
    differ = np.flatnonzero(np.ptp(np.stack(rows), axis=0))
    end = int(differ[-1]) + 1 if differ.size else rows[0].size
    levels_mv = np.unique(rows[0][end:]) * per_step_mv
    pulse = levels_mv.size == 2 and levels_mv[0] == 0 and 0.9 < levels_mv[1] < 1.1
    return end if pulse and rows[0].size - end >= 0.2 * rate_hz else rows[0].size


def _restored(rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The channels with III, aVR, aVL, aVF in place of how far they were from what follows.

    XLI keeps of these leads only how far Einthoven's and Goldberger's laws, in whole steps, missed.
    """
    one, two, off_three, off_avr, off_avl, off_avf, *rest = rows
    three = two - one - off_three
    avr = -off_avr - (one + two) // 2
    avl = (one - three) // 2 - off_avl
    avf = (two + three) // 2 - off_avf
    return [one, two, three, avr, avl, avf, *rest]


def _unfolded(data: bytes, n_leads: int, n_most: int) -> list[np.ndarray]:
    """XLI → the stored channels, int64 [n] each: a chunk per channel behind a header of 8 bytes.

    The header holds the chunk's size (4 bytes), 2 bytes without use and the first "last" of the
    differences (2 bytes). n_most: samples per channel beyond which a file is refused.
    """
    rows: list[np.ndarray] = []
    place = 0
    while place < len(data) and len(rows) < n_leads:
        size = int.from_bytes(data[place : place + 4], "little", signed=True)
        first = int.from_bytes(data[place + 6 : place + 8], "little", signed=True)
        place += 8
        if size <= 0 or place + size > len(data):
            raise EcgFileError(_DAMAGED)
        unpacked = _unpacked(data[place : place + size], 2 * n_most)
        rows.append(_from_differences(unpacked, first))
        place += size
    return rows


def _unpacked(chunk: bytes, n_most: int) -> bytes:
    """LZW (Welch, Computer 1984;17(6):8) with codes of ten bits, highest bit first.

    The table is never cleared; code 1023 ends the data.
    """
    strings = [bytes([value]) for value in range(256)]
    out = bytearray()
    previous = b""
    bits = n_bits = 0
    for byte in chunk:
        bits = (bits << 8 | byte) & 0xFFFFF
        n_bits += 8
        if n_bits < _CODE_BITS:
            continue
        n_bits -= _CODE_BITS
        code = bits >> n_bits & (2**_CODE_BITS - 1)
        if code > _LAST_CODE:
            break
        if code < len(strings):
            string = strings[code]
        elif code == len(strings) and previous:
            string = previous + previous[:1]
        else:
            raise EcgFileError(_DAMAGED)
        if previous and len(strings) <= _LAST_CODE:
            strings.append(previous + string[:1])
        out += string
        previous = string
        if len(out) > n_most:
            raise EcgFileError(_DAMAGED)
    return bytes(out)


def _from_differences(unpacked: bytes, first: int) -> np.ndarray:
    """Samples, int64 [n], from their second differences.

    The high bytes of all values come before the low bytes of all. The first two values are samples;
    each later sample k is 2 x[k-1] - x[k-2] - e[k], where e[2] stands in the header and e[k] is
    value k-1 less 64.
    """
    unpacked += b"\0" * (len(unpacked) % 2)
    n = len(unpacked) // 2
    high, low = np.frombuffer(unpacked, np.uint8).astype(np.int64).reshape(2, n)
    values = (high << 8 | low).astype(np.int16).astype(np.int64)
    if n < 3:
        return values
    errors = np.concatenate([[first], values[2:-1] - 64])
    steps = np.concatenate([[values[1] - values[0]], -errors]).cumsum()
    samples = np.concatenate([[values[0]], steps]).cumsum()
    return samples.astype(np.int16).astype(np.int64)  # sums are meant modulo 2**16
