"""EDF, EDF+ and BDF: a text header, then records that hold a piece of every channel.

European Data Format: Kemp et al., Electroencephalogr Clin Neurophysiol 1992;82:391; EDF+: Kemp and
Olivan, Clin Neurophysiol 2003;114:1755 (https://www.edfplus.info/specs). BDF is EDF with samples of
24 bits (https://www.biosemi.com/faq/file_format.htm). The reader is our own because the libraries
take a discontinuous recording (EDF+D) for a continuous one, or load a Holter as a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgqa.formats.header import (
    FIRST_BIRTH,
    clean_text,
    date_of,
    header_of,
    sex_of,
)
from ecgqa.formats.leads import choose_leads
from ecgqa.formats.recording import (
    Recording,
    kept_note,
    samples_kept,
    stated_or_given,
)
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import EcgFileError
from ecgqa.record import Header as PatientHeader

MAX_HOLTER_BYTES = 512 * 2**20
"""Only the first minutes of a long recording are read, so its file may be larger than others."""
MAX_RECORDS = 100_000
"""Most records of a discontinuous recording that are looked through: 10 min in pieces of 6 ms."""

_MAIN_BYTES = 256
# Widths of the fields that every channel has, in the order in which they stand.
_FIELDS = {
    "label": 16, "transducer": 80, "units": 8, "physical_min": 8, "physical_max": 8,
    "digital_min": 8, "digital_max": 8, "filters": 80, "per_record": 8, "reserved": 32,
}  # fmt: skip
_CHANNEL_BYTES = sum(_FIELDS.values())
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
# What a record of EDF+ begins its annotations with: when it was recorded, in seconds.
_ONSET = re.compile(rb"([+-]\d{1,12}(?:\.\d{1,12})?)(?:\x15[\d.]+)?\x14")


@dataclass(frozen=True)
class Channel:
    """One channel as the header describes it.

    per_record: samples in a record, of which the first is number `first` of the record.
    physical, digital: the two ends of its range, in `units` and in steps. filters: as it is
    written, "HP:0.05Hz LP:150Hz N:50Hz".
    """

    label: str
    units: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    per_record: int
    first: int
    filters: str = ""


@dataclass(frozen=True)
class Header:
    """n_records and record_s are None where the file leaves them open."""

    n_bytes: int
    sample_bytes: int
    n_records: int | None
    record_s: float | None
    discontinuous: bool
    channels: tuple[Channel, ...]

    @property
    def samples_per_record(self) -> int:
        """Of all channels together."""
        return sum(channel.per_record for channel in self.channels)


def looks_right(head: bytes) -> bool:
    """True for the first bytes of an EDF or BDF file: its version and plain numbers behind it."""
    version = head[:8] == b"0".ljust(8) or head[:8] == b"\xffBIOSEMI"
    return version and bool(re.fullmatch(rb"\d+ *", head[184:192]))


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the channels that are ECG leads, the first minutes of a long recording.

    A sample is worth its place in the digital range, put into the physical range. Pauses of a
    discontinuous recording (EDF+D) become NaN.
    Raises EcgFileError for a damaged or truncated file, and one without an ECG lead.
    """
    check_size(uploads, MAX_HOLTER_BYTES)
    (upload,) = uploads
    header = parse_header(upload)
    no_lead = [i for i, c in enumerate(header.channels) if c.label in _ANNOTATIONS]
    choice = choose_leads([channel.label for channel in header.channels], expected=no_lead)
    leads = {lead: header.channels[index] for lead, index in choice.channels.items()}
    finest = max(channel.per_record for channel in leads.values())
    if min(channel.per_record for channel in leads.values()) < 1:
        raise EcgFileError(f"{shown(upload.name)} holds no samples of its ECG leads.")
    stated_hz = finest / header.record_s if header.record_s else None
    signal_hz, notes = stated_or_given(stated_hz, rate_hz)
    notes += choice.notes

    raw = _records(upload, header, signal_hz, finest)
    together = math.ceil(header.samples_per_record / finest)
    most = samples_kept(signal_hz, n_channels=max(together, 1))
    n_read = min(len(raw), math.ceil(most / finest))
    runs = [(0, n_read, 0)]
    if header.discontinuous:
        runs = _runs(header, raw[:n_read], signal_hz, finest, most, upload)
    n_samples = min(runs[-1][2] + (runs[-1][1] - runs[-1][0]) * finest, most)
    if runs[-1][1] < len(raw):
        notes += (kept_note(n_samples / signal_hz, len(raw) * finest / signal_hz),)
    leads_mv: dict[str, np.ndarray] = {}
    for lead, channel in leads.items():
        per_unit = to_millivolts(channel.units or None, units, f"lead {lead}")
        signal = np.full(n_samples, np.nan, np.float32)
        for start, stop, place in runs:
            piece = _signal(raw[start:stop], channel, header.sample_bytes, finest, n_samples)
            signal[place : place + piece.size] = piece[: n_samples - place]
        leads_mv[lead] = signal * per_unit
    if any(channel.per_record != finest for channel in leads.values()):
        notes += ("Leads with a lower sampling rate were interpolated to the highest.",)
    if len(runs) > 1:
        notes += (f"The recording has {len(runs) - 1} pauses, shown as gaps.",)
    about = _patient(upload.head(_MAIN_BYTES), next(iter(leads.values())).filters)
    return Recording(leads_mv, signal_hz, upload.stem, notes, header=about)


def _patient(head: bytes, filters: str) -> PatientHeader:
    """Who and when, from the first 256 bytes.

    EDF+ divides the two free fields into parts by spaces, "X" for unknown: number, sex, birthday,
    name; "Startdate", day, number of the investigation, technician, equipment. Plain EDF may hold
    anything there: all of it is kept as the identity. The day without a century lies in 1985-2084;
    1 January 1985 stands for unknown.
    """
    who, which, day, clock = (
        head[first:end].decode("latin-1").replace("\0", " ").strip()
        for first, end in ((8, 88), (88, 168), (168, 176), (176, 184))
    )
    parts, started = who.split(), which.split()
    is_plus = len(parts) >= 4 and parts[1] in ("M", "F", "X")
    begun = None
    if numbers := re.fullmatch(r"(\d\d)\.(\d\d)\.(\d\d)", day):
        century = 1900 if int(numbers[3]) >= 85 else 2000
        time = clock.replace(".", ":")
        begun = date_of(f"{century + int(numbers[3])}-{numbers[2]}-{numbers[1]} {time}")
        if day == "01.01.85" or "Startdate X" in which:
            begun = None
    identity = [("patient", who)]
    if is_plus:
        identity = [("id", parts[0]), ("name", " ".join(parts[3:]).replace("_", " "))]
    plus_recorded = len(started) >= 5 and started[0] == "Startdate"
    if plus_recorded and started[2] != "X":
        identity.append(("investigation", started[2]))
    device = " ".join(started[4:]).replace("_", " ") if plus_recorded else ""
    return header_of(
        born=date_of(parts[2], earliest=FIRST_BIRTH) if is_plus else None,
        sex=sex_of(parts[1]) if is_plus else "",
        recorded=begun,
        device="" if device == "X" else clean_text(device),
        filter_text=clean_text(filters),
        identity=identity,
    )


def parse_header(upload: Upload) -> Header:
    """Reads the header. Raises EcgFileError when it is none, or contradicts itself."""
    head = upload.head(_MAIN_BYTES)
    if not looks_right(head):
        raise EcgFileError(f"{shown(upload.name)} is not a readable EDF or BDF file.")
    n_bytes, n_records = _number(head[184:192], upload), _number(head[236:244], upload)
    record_s, n_channels = _number(head[244:252], upload), int(_number(head[252:256], upload))
    reserved = head[192:236].decode("latin-1")
    described = _MAIN_BYTES + n_channels * _CHANNEL_BYTES
    if n_channels < 1 or record_s < 0 or not described <= n_bytes <= upload.size:
        raise _damaged(upload)
    text = upload.head(described)[_MAIN_BYTES:]
    fields: list[dict[str, bytes]] = [{} for _ in range(n_channels)]
    for name, width in _FIELDS.items():
        for field in fields:
            field[name], text = text[:width], text[width:]
    channels: list[Channel] = []
    first = 0
    for field in fields:
        per_record = int(_number(field["per_record"], upload))
        if per_record < 0:
            raise _damaged(upload)
        label = field["label"].decode("latin-1").strip()
        ends = [(0.0, 0.0), (0.0, 0.0)]
        if label not in _ANNOTATIONS:
            ends = [
                (_number(field[f"{of}_min"], upload), _number(field[f"{of}_max"], upload))
                for of in ("physical", "digital")
            ]
        units = field["units"].decode("latin-1").strip()
        filters = field["filters"].decode("latin-1").strip()
        channels.append(Channel(label, units, ends[0], ends[1], per_record, first, filters))
        first += per_record
    return Header(
        n_bytes=int(n_bytes),
        sample_bytes=3 if head[:1] == b"\xff" else 2,
        n_records=int(n_records) if n_records >= 0 else None,
        record_s=record_s or None,
        discontinuous=reserved.startswith(("EDF+D", "BDF+D")),
        channels=tuple(channels),
    )


def _damaged(upload: Upload) -> EcgFileError:
    return EcgFileError(f"The header of {shown(upload.name)} is damaged. Please export it again.")


def _number(field: bytes, upload: Upload) -> float:
    """A number of the header; some programs write a decimal comma."""
    text = field.decode("latin-1").replace("\0", " ").strip().replace(",", ".")
    if not re.fullmatch(r"[+-]?\d*\.?\d*(?:[eE][+-]?\d{1,2})?", text) or not re.search(r"\d", text):
        raise _damaged(upload)
    return float(text)


def _records(upload: Upload, header: Header, signal_hz: float, finest: int) -> np.ndarray:
    """The records, uint8 [records, bytes], not in memory yet. Raises EcgFileError if cut off."""
    record_bytes = header.samples_per_record * header.sample_bytes
    held = (upload.size - header.n_bytes) // record_bytes
    n_records = held if header.n_records is None else header.n_records
    if n_records > held or n_records == 0:
        raise EcgFileError(
            f"{shown(upload.name)} announces {n_records * finest / signal_hz:.1f} s but holds only "
            f"{held * finest / signal_hz:.1f} s. It seems cut off: please export it again."
        )
    return np.memmap(
        upload.path, np.uint8, "r", offset=header.n_bytes, shape=(n_records, record_bytes)
    )


def _signal(
    records: np.ndarray, channel: Channel, sample_bytes: int, finest: int, most: int
) -> np.ndarray:
    """Float [n] of one channel in its physical unit, at `finest` samples per record, `most` long.

    Raises EcgFileError for a channel without a range.
    """
    (low, high), (low_step, high_step) = channel.physical, channel.digital
    if high_step == low_step or high == low:
        raise EcgFileError(
            f"The file does not say what a step of {shown(channel.label)} is worth: its range is "
            "empty. It seems damaged."
        )
    at = slice(channel.first * sample_bytes, (channel.first + channel.per_record) * sample_bytes)
    needed = math.ceil(most * channel.per_record / finest) + 1
    packed = np.ascontiguousarray(records[:, at]).reshape(-1)[: needed * sample_bytes]
    if sample_bytes == 2:
        steps = packed.view("<i2").astype(np.float64)
    else:
        # A fourth byte in front of the three lowest makes 24 bits a number 256 times as large.
        wide = np.zeros((packed.size // 3, 4), np.uint8)
        wide[:, 1:] = packed.reshape(-1, 3)
        steps = wide.reshape(-1).view("<i4") / 256.0
    signal = (steps - low_step) * ((high - low) / (high_step - low_step)) + low
    if channel.per_record != finest:
        times = np.arange(min(most, len(records) * finest)) / finest
        signal = np.interp(times, np.arange(signal.size) / channel.per_record, signal)
    return signal[:most]


def _runs(
    header: Header, raw: np.ndarray, signal_hz: float, finest: int, most: int, upload: Upload
) -> list[tuple[int, int, int]]:
    """Stretches without a pause: first record, record behind the last, sample they begin at.

    Only those within the first `most` samples. Raises EcgFileError when the times of the records
    are missing or do not go forward.
    """
    broken = EcgFileError(
        f"{shown(upload.name)} is a recording with pauses, but does not say properly when its "
        "pieces were recorded."
    )
    notes = next((c for c in header.channels if c.label in _ANNOTATIONS), None)
    if notes is None or header.record_s is None or len(raw) > MAX_RECORDS:
        raise broken
    at = slice(notes.first * header.sample_bytes, None)
    runs: list[tuple[int, int, int]] = []
    begin_s = 0.0
    for index, record in enumerate(raw):
        onset = _ONSET.match(record[at][:64].tobytes())
        if not onset:
            raise broken
        if index == 0:
            begin_s = float(onset[1])
        place = round((float(onset[1]) - begin_s) * signal_hz)
        expected = runs[-1][2] + (index - runs[-1][0]) * finest if runs else 0
        if place < expected - 1:
            raise broken
        if place > most - finest and runs:
            break
        if runs and place <= expected + 1:
            runs[-1] = (runs[-1][0], index + 1, runs[-1][2])
        else:
            runs.append((index, index + 1, place))
    return runs
