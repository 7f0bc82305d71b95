"""DICOM waveforms: 12-lead, general and ambulatory ECG objects (DICOM PS3.3 A.34, C.10.9)."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from pydicom.waveforms.numpy_handler import multiplex_array

from ecgqa.formats.header import (
    FIRST_BIRTH,
    age_of,
    date_of,
    device_of,
    filter_of,
    header_of,
    sex_of,
)
from ecgqa.formats.leads import LeadChoice, choose_leads, lead_of
from ecgqa.formats.recording import Recording, kept_note, samples_kept, stated_or_given
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import MAX_BYTES, Upload, check_size, shown
from ecgqa.record import LEADS, NO_HEADER, EcgFileError, Header

# Lead numbers of SCP-ECG (EN 1064): MDC codes ("2:61") and SCPECG codes ("5.6.3-9-61") end in them.
_LEAD_NUMBERS: dict[int, str] = dict(
    zip((1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), LEADS, strict=True)
)
_INVERTED_AVR = 65
# File meta information group length, and specific character set, as they begin a file.
_FIRST_ELEMENTS = (b"\x02\0\0\0UL\x04\0", b"\x08\0\x05\0CS\x0a\0", b"\x08\0\x05\0\x0a\0\0\0")


@dataclass(frozen=True, eq=False)
class Group:
    """One multiplex group: channels that were sampled together."""

    index: int
    item: Dataset
    choice: LeadChoice
    rate_hz: float | None
    n_samples: int

    @property
    def is_derived(self) -> bool:
        """True for what the device calculated."""
        return str(self.item.get("WaveformOriginality", "ORIGINAL")).upper() == "DERIVED"

    @property
    def is_beat(self) -> bool:
        """True for a median beat, by its label."""
        label = str(self.item.get("MultiplexGroupLabel", "")).casefold()
        return bool(re.search(r"median|average|representative|beat", label))

    @property
    def is_original(self) -> bool:
        """True for the recorded rhythm."""
        return not self.is_derived and not self.is_beat

    @property
    def offset_ms(self) -> float | None:
        """When the group began, None where the file does not say."""
        offset = self.item.get("MultiplexGroupTimeOffset")
        return None if offset is None else float(offset)

    @property
    def lead_seconds(self) -> float:
        """How much ECG there is: leads × seconds."""
        return len(self.choice.channels) * self.n_samples / (self.rate_hz or 1)


def looks_right(head: bytes) -> bool:
    """True for the first bytes of a DICOM file: "DICM" behind the preamble of 128.

    Or the first element of the file's head or data, where a cart left out the preamble.
    """
    return head[128:132] == b"DICM" or head[:8] in _FIRST_ELEMENTS


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the rhythm: the multiplex group with the most ECG that the device did not calculate.

    A sample is worth sensitivity × correction factor, plus the baseline (PS3.3 C.10.9.1.4.2).
    Raises EcgFileError for a file without an ECG waveform, a truncated one, or unknown units.
    """
    check_size(uploads)
    (upload,) = uploads
    # Damaged values are dealt with here; pydicom's warnings would print them, names included.
    with disable_value_validation():
        return _rhythm(upload, rate_hz, units)


def _rhythm(upload: Upload, rate_hz: float | None, units: str | None) -> Recording:
    dataset = _dataset(upload)
    if "WaveformSequence" not in dataset or not dataset.WaveformSequence:
        kind = UID(str(dataset.get("SOPClassUID", ""))).name
        raise EcgFileError(
            f"{shown(upload.name)} is a DICOM file without an ECG waveform"
            + (f" (it holds: {shown(kind)})." if kind else ".")
            + " Please export the ECG as a DICOM waveform, not as an image or a PDF."
        )
    groups: list[Group] = []
    refused: EcgFileError | None = None
    for index, item in enumerate(dataset.WaveformSequence):
        try:
            groups.append(_group(index, item))
        except EcgFileError as error:
            refused = refused or error
    best = max(groups, key=lambda g: (g.is_original, not g.is_beat, g.lead_seconds), default=None)
    if best is None or (refused and not best.is_original):
        raise refused or EcgFileError(f"{shown(upload.name)} holds no ECG lead.")
    stated_hz, rate_notes = stated_or_given(best.rate_hz, rate_hz)
    notes = rate_notes + best.choice.notes
    if best.is_beat:
        notes += ("The file holds only a calculated beat, not the recorded rhythm.",)
    elif best.is_derived:
        notes += ("The file says that the device calculated this rhythm from the recorded one.",)
    n_kept = samples_kept(stated_hz, len(best.item.ChannelDefinitionSequence))
    if n_kept < best.n_samples:
        notes += (kept_note(n_kept / stated_hz, best.n_samples / stated_hz),)
    leads_mv, joined = _with_other_leads(dataset, best, groups, stated_hz, units)
    unread = {lead for g in groups if g.is_original for lead in g.choice.channels} - set(leads_mv)
    if unread:
        names = ", ".join(lead for lead in LEADS if lead in unread)
        joined += (
            f"Not read: {names}. They were recorded in groups of their own, and the file does not "
            "say when, or at another rate.",
        )
    header = _header(dataset, best)
    return Recording(leads_mv, stated_hz, upload.stem, notes + joined, header=header)


def _header(dataset: Dataset, group: Group) -> Header:
    """Patient and equipment modules, and the filters of the first lead of the group."""

    def text(keyword: str) -> str:
        value = dataset.get(keyword)
        return "" if value is None else str(value)

    def hertz(keyword: str) -> float | None:
        value = channel.get(keyword)
        return None if value is None else float(value)

    channel = group.item.ChannelDefinitionSequence[min(group.choice.channels.values())]
    try:
        days = [(text("AcquisitionDateTime"), "")]
        for when in ("Acquisition", "Content", "Study"):
            days.append((text(f"{when}Date"), text(f"{when}Time")))
        return header_of(
            age=age_of(text("PatientAge")),
            born=date_of(text("PatientBirthDate"), earliest=FIRST_BIRTH),
            sex=sex_of(text("PatientSex")),
            recorded=next(filter(None, (date_of(day + time) for day, time in days)), None),
            device=device_of(text("Manufacturer"), text("ManufacturerModelName")),
            filter_text=filter_of(
                hertz("FilterLowFrequency"),
                hertz("FilterHighFrequency"),
                hertz("NotchFilterFrequency"),
            ),
            identity=(
                ("name", text("PatientName").replace("^", " ")), ("id", text("PatientID")),
                ("other ids", text("OtherPatientIDs")), ("accession", text("AccessionNumber")),
            ),
        )  # fmt: skip
    except Exception:  # pydicom decodes a value when it is asked for, and damage has no common type
        return NO_HEADER


def _with_other_leads(
    dataset: Dataset, best: Group, groups: Sequence[Group], rate_hz: float, units: str | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The leads of the best group, and those that were recorded before or after it.

    Carts that record three leads at a time store one group per column of the page. They are put
    where their time offsets say, with NaN around them.
    """
    leads_mv = _leads_mv(dataset, best, rate_hz, units)
    start_ms = best.offset_ms
    most = samples_kept(rate_hz, n_channels=len(LEADS))
    pieces: dict[str, tuple[int, np.ndarray]] = {}
    for group in groups:
        if group is best or not group.is_original or group.rate_hz != best.rate_hz:
            continue
        if group.offset_ms is None or start_ms is None:
            continue
        first = round((group.offset_ms - start_ms) * rate_hz / 1000)
        if abs(first) > most:
            continue
        for lead, signal in _leads_mv(dataset, group, rate_hz, units).items():
            if lead not in leads_mv:
                pieces.setdefault(lead, (first, signal))
    if not pieces:
        return leads_mv, ()
    pieces |= {lead: (0, signal) for lead, signal in leads_mv.items()}
    begin = min(first for first, _ in pieces.values())
    end = max(first + signal.size for first, signal in pieces.values())
    n_samples = min(end - begin, most)
    joined = {lead: np.full(n_samples, np.nan, np.float32) for lead in pieces}
    for lead, (first, signal) in pieces.items():
        at = min(first - begin, n_samples)
        joined[lead][at : at + signal.size] = signal[: n_samples - at]
    return joined, ("The leads were not all recorded at the same time.",)


def _dataset(upload: Upload) -> Dataset:
    not_dicom = f"{shown(upload.name)} is not a readable DICOM file. Please export it again."
    # From memory: reading a file, pydicom would allocate whatever length an element claims.
    content = upload.path.read_bytes()
    try:
        if DeflatedExplicitVRLittleEndian.encode() in content:
            return pydicom.dcmread(io.BytesIO(_inflated(content, upload)), force=True)
        # Some carts leave out the preamble; without a waveform inside it is no such file.
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        if content[128:132] != b"DICM" and "WaveformSequence" not in dataset:
            raise InvalidDicomError("no preamble, no waveform")
        return dataset
    except EcgFileError:
        raise
    except Exception as error:
        raise EcgFileError(not_dicom) from error


def _inflated(content: bytes, upload: Upload) -> bytes:
    """The data of a deflated file. Raises EcgFileError for more than is read of any other."""
    # Group length, the first element of the file's head, counts from its own end at byte 144.
    begin = 144 + int.from_bytes(content[140:144], "little")
    # Some kilobytes can unfold to gigabytes.
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[begin:], MAX_BYTES + 1)
    if len(inflated) > MAX_BYTES:
        raise EcgFileError(
            f"{shown(upload.name)} unfolds to more than {MAX_BYTES // 2**20} MB. Please export a "
            "shorter piece of the recording."
        )
    return inflated


def _group(index: int, item: Dataset) -> Group:
    channels = item.get("ChannelDefinitionSequence") or []
    n_channels = int(item.get("NumberOfWaveformChannels") or 0)
    n_samples = int(item.get("NumberOfWaveformSamples") or 0)
    if n_channels == 0 or n_channels != len(channels):
        raise EcgFileError(
            "The DICOM file announces other leads than it describes. It seems damaged."
        )
    choice = choose_leads([_channel_name(channel) for channel in channels])
    if item.get("WaveformSampleInterpretation") in ("MB", "AB"):
        raise EcgFileError(
            "The samples of the DICOM file are companded (mu-law or A-law), as for sound. Please "
            "export them as plain numbers."
        )
    n_bytes = n_channels * n_samples * int(item.get("WaveformBitsAllocated") or 16) // 8
    if n_bytes > len(item.get("WaveformData") or b""):
        raise EcgFileError(
            "The DICOM file announces more samples than it holds. It seems cut off: please export "
            "it again."
        )
    frequency = item.get("SamplingFrequency")
    return Group(index, item, choice, float(frequency) if frequency else None, n_samples)


def _channel_name(channel: Dataset) -> str:
    """The channel's lead by its code, its meaning or its label, whichever names one."""
    texts = [str(channel.get("ChannelLabel", "") or "")]
    for source in channel.get("ChannelSourceSequence") or []:
        texts.insert(0, str(source.get("CodeMeaning", "") or ""))
        value = str(source.get("CodeValue", "") or "")
        scheme = str(source.get("CodingSchemeDesignator", "") or "").upper()
        number = re.fullmatch(r"(?:5\.6\.3-9-|2:)(\d{1,3})", value)
        if scheme in ("SCPECG", "MDC") and number and int(number[1]) in _LEAD_NUMBERS:
            return _LEAD_NUMBERS[int(number[1])]
        if scheme in ("SCPECG", "MDC") and number and int(number[1]) == _INVERTED_AVR:
            return "-aVR"
        texts.append(value)
    return next((text for text in texts if lead_of(text)), next(filter(None, texts), ""))


def _leads_mv(
    dataset: Dataset, group: Group, rate_hz: float, units: str | None
) -> dict[str, np.ndarray]:
    samples = multiplex_array(dataset, group.index, as_raw=True)
    samples = samples[: samples_kept(rate_hz, samples.shape[1])]
    padding = group.item.get("WaveformPaddingValue")
    if isinstance(padding, bytes):
        padding = np.frombuffer(padding[: samples.itemsize], samples.dtype)
    if not dataset.original_encoding[1]:
        # An old big-endian file: pydicom leaves the bytes of its waveform as they are.
        samples = samples.byteswap()
        padding = padding.byteswap() if isinstance(padding, np.ndarray) else padding
    leads_mv: dict[str, np.ndarray] = {}
    for lead, index in group.choice.channels.items():
        channel = group.item.ChannelDefinitionSequence[index]
        sensitivity = channel.get("ChannelSensitivity")
        stated = None
        if sensitivity is not None:
            codes = channel.get("ChannelSensitivityUnitsSequence") or [Dataset()]
            stated = str(codes[0].get("CodeValue", "") or "")
        factor = float(sensitivity) if sensitivity is not None else 1.0
        correction = channel.get("ChannelSensitivityCorrectionFactor")
        factor *= float(correction) if correction is not None else 1.0
        baseline = float(channel.get("ChannelBaseline") or 0)
        per_unit = to_millivolts(stated, units, f"lead {lead}")
        signal = (samples[:, index].astype(np.float64) * factor + baseline) * per_unit
        if padding is not None:
            signal[samples[:, index] == padding] = np.nan
        leads_mv[lead] = signal
    return leads_mv
