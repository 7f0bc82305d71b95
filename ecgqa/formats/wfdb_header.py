"""A WFDB header file as text: untrusted, it names files and sizes. Nothing here opens a data file.

What the fields mean: https://physionet.org/physiotools/wag/header-5.htm.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ecgqa.formats.header import age_of, clean_text, date_of, header_of, sex_of
from ecgqa.formats.leads import MAX_CHANNELS
from ecgqa.formats.upload import Upload, clean_name, shown
from ecgqa.record import EcgFileError
from ecgqa.record import Header as PatientHeader

MAX_HEADER_BYTES = 2**20
MAX_LINE = 500
MAX_SEGMENTS = 5000
NO_FILE = "~"
MAX_COMMENTS = 200

# As PTB, INCART, LUDB, the Challenges of 2020 on and others write it: "age: 81", "<age>: 51".
_AGE = re.compile(
    r"\bage\b>?\s*[:=]\s*((?:>|over )?\s*\d[\d.]*\+?(?:\s*(?:years?|y|months?|weeks?|days?)\b)?)",
    re.IGNORECASE,
)
_SEX = re.compile(r"\b(?:sex|gender)\b>?\s*[:=]\s*([^\W\d_]+)", re.IGNORECASE)
_DAY = re.compile(
    r"\b(?:ecg|recording|acquisition|test)[ _-]?date\b>?\s*[:=]\s*(.+)", re.IGNORECASE
)
_DEVICE = re.compile(r"\s*<?(?:device|recorder|ecg machine)>?\s*[:=]\s*(.+)", re.IGNORECASE)
_WHO = re.compile(
    r"\s*<?((?:patient|subject)(?:'s)?(?:[ _-]?(?:name|id|number))?|name|mrn)>?\s*[:=]\s*(.+)",
    re.IGNORECASE,
)
_AGE_AND_SEX = re.compile(r"\s*(\d{1,3})\s+([MF])\s+\d+\s+\d+\s+\S+\s*")  # the MIT-BIH database


@dataclass(frozen=True)
class Header:
    """A header file, as far as it was understood.

    n_signals, rate_hz, n_frames: of the record line; None where it leaves them out.
    lines: the lines under it, plain ASCII: one per signal, or per segment where `is_list`.
    base: time and date of the record line, "" where there is none. comments: the "#" lines.
    """

    upload: Upload
    n_signals: int
    rate_hz: float | None
    n_frames: int | None
    is_list: bool
    lines: tuple[str, ...]
    base: str = ""
    comments: tuple[str, ...] = ()


def parse_header(upload: Upload) -> Header:
    """Reads a header file as text. Raises EcgFileError when it is none."""
    broken = EcgFileError(f"{shown(upload.name)} is not a readable WFDB header file.")
    if upload.size > MAX_HEADER_BYTES:
        raise broken
    # wfdb drops what is not ASCII, and "µV" would become "V": spell it out before that.
    text = unicodedata.normalize("NFKC", upload.path.read_bytes().decode("utf-8", "replace"))
    text = text.replace("μ", "u")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    comments = [line[1:].strip() for line in lines if line.startswith("#")][:MAX_COMMENTS]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or any(len(line) > MAX_LINE for line in lines):
        raise broken
    record = re.fullmatch(
        r"(?P<name>\S+?)(?P<segments>/\d{1,9})?\s+(?P<signals>\d{1,9})"
        r"(?:\s+(?P<rate>\d+\.?\d*|\.\d+)(?:[/(]\S*)?(?:\s+(?P<frames>\d{1,18})(?:\s.*)?)?)?",
        lines[0],
    )
    if not record:
        raise broken
    n_signals, is_list = int(record["signals"]), record["segments"] is not None
    expected = int(record["segments"][1:]) if is_list else n_signals
    if n_signals > MAX_CHANNELS or (is_list and expected > MAX_SEGMENTS):
        raise EcgFileError(
            f"{shown(upload.name)} announces {n_signals} signals; up to {MAX_CHANNELS} can be read."
            if n_signals > MAX_CHANNELS
            else f"{shown(upload.name)} announces {expected} segments, too many to read."
        )
    if n_signals == 0 or expected != len(lines) - 1:
        raise EcgFileError(
            f"{shown(upload.name)} announces {expected} {'segments' if is_list else 'signals'} but "
            f"describes {len(lines) - 1}. The header file seems damaged."
        )
    return Header(
        upload=upload,
        n_signals=n_signals,
        # 0 and nothing at all both mean "not stated".
        rate_hz=float(record["rate"] or 0) or None,
        n_frames=int(record["frames"] or 0) or None,
        is_list=is_list,
        lines=tuple(lines[1:]),
        base=" ".join(lines[0].split()[4:6]),
        comments=tuple(comment[:MAX_LINE] for comment in comments),
    )


def patient_of(header: Header) -> PatientHeader:
    """What the record line and the comments say of the recording and the patient."""

    def first(pattern: re.Pattern[str]) -> str:
        return next((m[1] for line in header.comments if (m := pattern.search(line))), "")

    in_line = next((m for line in header.comments if (m := _AGE_AND_SEX.fullmatch(line))), None)
    clock, _, day = header.base.rpartition(" ")
    return header_of(
        age=age_of(in_line[1] if in_line else first(_AGE)),
        sex=sex_of(in_line[2] if in_line else first(_SEX)),
        recorded=date_of(f"{day} {clock}", "dmy") or date_of(first(_DAY), "dmy"),
        device=clean_text(first(_DEVICE)),
        identity=[(m[1].lower(), m[2]) for line in header.comments if (m := _WHO.match(line))],
    )


def main_header(headers: Sequence[Header]) -> Header:
    """The only header, or the list of segments whose headers the others are, else EcgFileError."""
    if len(headers) == 1:
        return headers[0]
    lists = [header for header in headers if header.is_list]
    if len(lists) == 1:
        segments = {loose(line.split()[0]) for line in lists[0].lines}
        strangers = [h for h in headers if not h.is_list and loose(h.upload.stem) not in segments]
        if not strangers:
            return lists[0]
    names = " and ".join(shown(header.upload.name) for header in headers[:2])
    raise EcgFileError(
        f"There are {len(headers)} header files ({names}). Please upload one ECG at a time."
    )


def loose(name: str) -> str:
    """A name as it compares after a browser or a file system had its way with it.

    Case, characters that no file system likes, and the " (1)" of a second download do not count.
    """
    text = unicodedata.normalize("NFKC", clean_name(name)).casefold()
    text = re.sub(r"\s*\(\d+\)(?=\.|$)", "", text)
    return re.sub(r'[<>:"|?*`$!{}]', "", text)


def data_files(header: Header, uploads: Sequence[Upload]) -> dict[str, Upload]:
    """File name in the header → the upload that is meant, without those not uploaded."""
    if header.is_list:
        return {}
    others = [upload for upload in uploads if upload.suffix != ".hea"]
    found: dict[str, Upload] = {}
    for name in dict.fromkeys(file_name(line) for line in header.lines):
        exact = [u for u in others if u.name == name]
        alike = [u for u in others if loose(u.name) == loose(name)]
        if not alike:  # a header may name its file without the ending
            alike = [u for u in others if u.suffix and loose(u.stem) == loose(name)]
        if exact or len(alike) == 1:
            found[name] = (exact or alike)[0]
    return found


def file_name(line: str) -> str:
    """The file that a signal line names: what stands before the format, spaces allowed."""
    match = re.match(r"([^/]+?)\s+\d+(?:x\d+)?(?::\d+)?(?:\+\d+)?(?=\s|$)", line)
    return match[1] if match else line.split()[0]


def signal_line(new_name: str, line: str) -> str:
    """A signal line with another file name, and nothing in it but printable ASCII."""
    rest = line[len(file_name(line)) :]
    return new_name + "".join(c if c in string.printable else "?" for c in rest)


def refuse_outside(names: Sequence[str], header: Header) -> None:
    """Raises EcgFileError when a header names a file in another folder."""
    for name in names:
        if re.search(r"[/\\:]|\.\.", name):
            raise EcgFileError(
                f"{shown(header.upload.name)} points to a file outside the upload "
                f"(“{shown(name)}”). It was not opened. Header and data must be uploaded together."
            )


def has_gain(line: str) -> bool:
    """Whether a signal line says how many steps a unit has.

    Raises EcgFileError where they are beyond all range: every voltage would be zero.
    """
    fields = line[len(file_name(line)) :].split()
    gain = re.match(r"-?\d*\.?\d+(?:e[+-]?\d+)?", fields[1]) if len(fields) > 1 else None
    if gain and math.isinf(float(gain[0])):
        raise EcgFileError(f"The header file states a gain of {gain[0]}. It seems damaged.")
    return gain is not None and float(gain[0]) != 0
