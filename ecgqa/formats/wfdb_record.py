"""WFDB records: a text header (.hea) with one or more signal files (.dat, .mat, FLAC), any format.

The header is untrusted text that names files and sizes. So nothing of it reaches the wfdb library
before it was checked: the record is laid out afresh in a temporary folder, under names made here,
with a header that states only what the reading needs (no comments, which often name the patient).
What the fields mean: https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import string
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from ecgqa.formats.leads import MAX_CHANNELS, LeadChoice, choose_leads
from ecgqa.formats.recording import (
    MAX_RATE_HZ,
    Recording,
    check_length,
    check_rate,
    kept_note,
    samples_kept,
    stated_or_given,
)
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import Upload, check_size, clean_name, shown
from ecgqa.record import EcgFileError

MAX_SET_BYTES = 512 * 2**20
"""Only the first minutes of a long recording are read, so its files may be larger than others."""
MAX_HEADER_BYTES = 2**20
MAX_LINE = 500
MAX_SEGMENTS = 5000

_BITS_PER_SAMPLE = {
    "8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12,
    "310": 32 / 3, "311": 32 / 3,
}  # fmt: skip
_FLAC_FORMATS = ("508", "516", "524")
_NO_FILE = "~"


@dataclass(frozen=True)
class Header:
    """A header file, as far as it was understood.

    n_signals, rate_hz, n_frames: of the record line; None where it leaves them out.
    lines: the lines under it, plain ASCII: one per signal, or per segment where `is_list`.
    """

    upload: Upload
    n_signals: int
    rate_hz: float | None
    n_frames: int | None
    is_list: bool
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """A record laid out in the temporary folder, not read yet.

    n_frames: frames that its signal files really hold, never more than the header states.
    calibrated: False for signals whose header gives no gain.
    """

    names: tuple[str, ...]
    n_frames: int
    samples_per_frame: int
    choice: LeadChoice
    calibrated: bool


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads a record with one header, or a multi-segment record with its segments' headers.

    Only the channels that are ECG leads, and only the first minutes, are decoded. Signals with
    several samples per frame keep their full rate.
    Raises EcgFileError for whatever does not fit together.
    """
    check_size(uploads, MAX_SET_BYTES)
    headers = [parse_header(u) for u in uploads if u.suffix == ".hea"]
    if not headers:
        raise EcgFileError(
            f"{shown(uploads[0].name)} holds only samples. Please add the header file (.hea) of "
            "the same recording: it says which leads they are, the rate and the units."
        )
    main = _main(headers)
    # Without a rate the standard assumes 250 Hz: that would be a guess, so it is asked for.
    frame_hz = main.rate_hz or stated_or_given(None, rate_hz)[0]
    if frame_hz > MAX_RATE_HZ:
        check_rate(frame_hz)
    with tempfile.TemporaryDirectory(prefix="ecgqa-") as folder:
        if main.is_list:
            layout = _lay_out_segments(main, headers, uploads, frame_hz, Path(folder))
        else:
            layout = _lay_out(main, uploads, frame_hz, Path(folder), "record", wanted=None)
        leads_mv, signal_hz, notes = _decode(layout, frame_hz, units, Path(folder), main)
    used = {u.name for h in headers for u in (h.upload, *_data_files(h, uploads).values())}
    if unused := [shown(u.name) for u in uploads if u.name not in used]:
        notes += (f"Not part of the recording, left out: {', '.join(unused[:5])}.",)
    signal_hz, rate_notes = stated_or_given(signal_hz, rate_hz)
    return Recording(leads_mv, signal_hz, main.upload.stem, rate_notes + notes)


def parse_header(upload: Upload) -> Header:
    """Reads a header file as text. Raises EcgFileError when it is none."""
    broken = EcgFileError(f"{shown(upload.name)} is not a readable WFDB header file.")
    if upload.size > MAX_HEADER_BYTES:
        raise broken
    # wfdb drops what is not ASCII, and "µV" would become "V": spell it out before that.
    text = unicodedata.normalize("NFKC", upload.path.read_bytes().decode("utf-8", "replace"))
    text = text.replace("μ", "u")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
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
    )


def _main(headers: Sequence[Header]) -> Header:
    if len(headers) == 1:
        return headers[0]
    lists = [header for header in headers if header.is_list]
    if len(lists) == 1:
        segments = {_loose(line.split()[0]) for line in lists[0].lines}
        strangers = [h for h in headers if not h.is_list and _loose(h.upload.stem) not in segments]
        if not strangers:
            return lists[0]
    names = " and ".join(shown(header.upload.name) for header in headers[:2])
    raise EcgFileError(
        f"There are {len(headers)} header files ({names}). Please upload one ECG at a time."
    )


def _loose(name: str) -> str:
    """A name as it compares after a browser or a file system had its way with it.

    Case, characters that no file system likes, and the " (1)" of a second download do not count.
    """
    text = unicodedata.normalize("NFKC", clean_name(name)).casefold()
    text = re.sub(r"\s*\(\d+\)(?=\.|$)", "", text)
    return re.sub(r'[<>:"|?*`$!{}]', "", text)


def _data_files(header: Header, uploads: Sequence[Upload]) -> dict[str, Upload]:
    """File name in the header → the upload that is meant, without those not uploaded."""
    if header.is_list:
        return {}
    others = [upload for upload in uploads if upload.suffix != ".hea"]
    found: dict[str, Upload] = {}
    for name in dict.fromkeys(_file_name(line) for line in header.lines):
        exact = [u for u in others if u.name == name]
        alike = [u for u in others if _loose(u.name) == _loose(name)]
        if not alike:  # a header may name its file without the ending
            alike = [u for u in others if u.suffix and _loose(u.stem) == _loose(name)]
        if exact or len(alike) == 1:
            found[name] = (exact or alike)[0]
    return found


def _file_name(line: str) -> str:
    """The file that a signal line names: what stands before the format, spaces allowed."""
    match = re.match(r"([^/]+?)\s+\d+(?:x\d+)?(?::\d+)?(?:\+\d+)?(?=\s|$)", line)
    return match[1] if match else line.split()[0]


def _signal_line(file_name: str, line: str) -> str:
    """A signal line with another file name, and nothing in it but printable ASCII."""
    rest = line[len(_file_name(line)) :]
    return file_name + "".join(c if c in string.printable else "?" for c in rest)


def _refuse_outside(names: Sequence[str], header: Header) -> None:
    for name in names:
        if re.search(r"[/\\:]|\.\.", name):
            raise EcgFileError(
                f"{shown(header.upload.name)} points to a file outside the upload "
                f"(“{shown(name)}”). It was not opened. Header and data must be uploaded together."
            )


def _lay_out(
    header: Header,
    uploads: Sequence[Upload],
    rate_hz: float,
    folder: Path,
    stem: str,
    wanted: Sequence[str] | None,
) -> Layout:
    """Puts one single-segment record into the folder after checking sizes.

    wanted: signal names to read where another header chose them, None to find the leads here.
    """
    shown_name = shown(header.upload.name)
    order = list(dict.fromkeys(_file_name(line) for line in header.lines))
    _refuse_outside(order, header)
    # The library addresses a file's signals by their distance from the first: keep them together.
    lines = sorted(header.lines, key=lambda line: order.index(_file_name(line)))
    safe = {
        name: name if name == _NO_FILE else f"{stem}x{index}.dat"
        for index, name in enumerate(order)
    }
    rewritten = [_signal_line(safe[_file_name(line)], line) for line in lines]
    start = f"{stem} {len(lines)} {rate_hz!r} "
    _write_header(folder, stem, [start + str(header.n_frames or ""), *rewritten])
    record = wfdb.rdheader(str(folder / stem))
    names = tuple(name or "" for name in _per_signal(record, "sig_name"))
    samples_each, formats = _per_signal(record, "samps_per_frame"), _per_signal(record, "fmt")
    skews, offsets = _per_signal(record, "skew"), _per_signal(record, "byte_offset")
    choice = choose_leads(names) if wanted is None else LeadChoice({}, ())
    if wanted is None:
        needed = sorted(choice.channels.values())
    else:
        needed = [index for index, name in enumerate(names) if name in wanted]
    uploaded = _data_files(header, uploads)
    n_frames = header.n_frames
    total_per_frame = 0
    for name in dict.fromkeys(_file_name(lines[index]) for index in needed):
        if name == _NO_FILE:
            raise EcgFileError(f"{shown_name} describes leads but names no file with samples.")
        if name not in uploaded:
            raise EcgFileError(
                f"This header names {shown(name)}, but that file was not uploaded. "
                "Please upload both together."
            )
        _refuse_text(uploaded[name])
        inside = [index for index, line in enumerate(lines) if _file_name(line) == name]
        per_frame = [samples_each[index] or 1 for index in inside]
        if min(per_frame) < 1 or len({formats[index] for index in inside}) > 1:
            raise EcgFileError(f"{shown_name} is contradictory about {shown(name)}.")
        if any((skews[index] or 0) > rate_hz for index in inside):
            raise EcgFileError(
                f"{shown_name} shifts a lead by more than a second. It seems damaged."
            )
        total_per_frame += sum(per_frame)
        held = _frames_held(
            uploaded[name],
            str(formats[inside[0]]),
            sum(per_frame),
            offsets[inside[0]] or 0,
        )
        if held is not None and header.n_frames is not None and held < header.n_frames:
            raise EcgFileError(
                f"{shown_name} announces {header.n_frames / rate_hz:.1f} s, but {shown(name)} "
                f"holds only {held / rate_hz:.1f} s. The file seems cut off: please upload it "
                "again."
            )
        if held is not None:
            n_frames = held if n_frames is None else min(n_frames, held)
        _place(uploaded[name].path, folder / safe[name])
    if n_frames is None:
        raise EcgFileError(f"{shown_name} does not say how long the recording is.")
    _write_header(folder, stem, [start + str(n_frames), *rewritten])
    return Layout(
        names=names,
        n_frames=n_frames,
        samples_per_frame=max(total_per_frame, 1),
        choice=choice,
        calibrated=all(_has_gain(lines[index]) for index in needed),
    )


def _lay_out_segments(
    main: Header,
    headers: Sequence[Header],
    uploads: Sequence[Upload],
    rate_hz: float,
    folder: Path,
) -> Layout:
    """Puts as many segments as the first minutes need into the folder, under one header."""
    by_stem = {_loose(h.upload.stem): h for h in headers if not h.is_list}
    segments = [re.fullmatch(r"(\S+)\s+(\d{1,18})(?:\s.*)?", line) for line in main.lines]
    if not all(segments):
        raise EcgFileError(f"The list of segments in {shown(main.upload.name)} is damaged.")
    listed = [(segment[1], int(segment[2])) for segment in segments if segment]
    _refuse_outside([name for name, _ in listed], main)
    variable = listed[0][1] == 0  # else every segment has the same channels
    budget = samples_kept(rate_hz, n_channels=main.n_signals)
    lines: list[str] = []
    n_frames = 0
    choice: LeadChoice | None = None
    names: tuple[str, ...] = ()
    widest, calibrated = main.n_signals, True
    for index, (name, length) in enumerate(listed):
        if n_frames >= budget:
            break
        if name == _NO_FILE:
            lines.append(f"{_NO_FILE} {length}")
            n_frames += length
            continue
        header = by_stem.get(_loose(name))
        if header is None:
            raise EcgFileError(
                f"{shown(main.upload.name)} names the segment {shown(name)}, but {shown(name)}.hea "
                "was not uploaded. Please upload all files of the recording together."
            )
        stem = f"segment{index}"
        if choice is None and variable:  # the layout segment: names and units, no samples
            unfiled = [_signal_line(_NO_FILE, line) for line in header.lines]
            start = f"{stem} {header.n_signals} {rate_hz!r} 0"
            _write_header(folder, stem, [start, *unfiled])
            record = wfdb.rdheader(str(folder / stem))
            names = tuple(n or "" for n in _per_signal(record, "sig_name"))
            choice = choose_leads(names)
        else:
            wanted = None
            if variable and choice is not None:
                wanted = [names[channel] for channel in choice.channels.values()]
            layout = _lay_out(header, uploads, rate_hz, folder, stem, wanted)
            if layout.n_frames < length:
                raise EcgFileError(
                    f"{shown(main.upload.name)} announces {length / rate_hz:.1f} s for the segment "
                    f"{shown(name)}, which holds only {layout.n_frames / rate_hz:.1f} s."
                )
            if choice is None:
                choice, names = layout.choice, layout.names
            elif not variable and layout.names != names:
                raise EcgFileError(
                    f"The segments of {shown(main.upload.name)} hold different leads, although "
                    "its header says they are alike. It seems damaged."
                )
            widest = max(widest, layout.samples_per_frame)
            calibrated = calibrated and layout.calibrated
        lines.append(f"{stem} {length}")
        n_frames += length
    if choice is None:
        raise EcgFileError(f"{shown(main.upload.name)} lists no segment with samples.")
    start = f"record/{len(lines)} {main.n_signals} {rate_hz!r} {n_frames}"
    _write_header(folder, "record", [start, *lines])
    return Layout(names, n_frames, widest, choice, calibrated)


def _decode(
    layout: Layout, frame_rate_hz: float, units: str | None, folder: Path, main: Header
) -> tuple[dict[str, np.ndarray], float, tuple[str, ...]]:
    """Reads the chosen channels: lead → mV, the rate they have, and remarks."""
    check_length(layout.n_frames, frame_rate_hz)
    n_frames = min(layout.n_frames, samples_kept(frame_rate_hz, layout.samples_per_frame))
    channels = sorted(layout.choice.channels.values())
    record = wfdb.rdrecord(
        str(folder / "record"), sampto=n_frames, channels=channels, smooth_frames=False
    )
    per_frame = [int(n or 1) for n in _per_signal(record, "samps_per_frame")]
    finest = max(per_frame)
    notes = layout.choice.notes
    if n_frames < layout.n_frames or (main.n_frames or 0) > n_frames:
        whole = max(layout.n_frames, main.n_frames or 0)
        notes += (kept_note(n_frames / frame_rate_hz, whole / frame_rate_hz),)
    if not layout.calibrated:
        notes += ("The header gives no gain: WFDB's default of 200 steps per mV was used.",)
    signals, unit_names = _per_signal(record, "e_p_signal"), _per_signal(record, "units")
    leads_mv: dict[str, np.ndarray] = {}
    for lead, channel in layout.choice.channels.items():
        position = channels.index(channel)
        signal = np.asarray(signals[position], dtype=np.float64)
        unit = unit_names[position]
        if unit is None and np.isnan(signal).all():
            continue  # a lead of the layout that no segment holds
        signal = signal * to_millivolts(unit, units, f"lead {lead}")
        if per_frame[position] != finest:
            have = np.arange(signal.size) / per_frame[position]
            signal = np.interp(np.arange(n_frames * finest) / finest, have, signal)
        leads_mv[lead] = signal
    if not leads_mv:
        raise EcgFileError("The recording holds no values in its first minutes.")
    if len(set(per_frame)) > 1:
        notes += ("Leads with a lower sampling rate were interpolated to the highest.",)
    return leads_mv, frame_rate_hz * finest, notes


def _per_signal(record: wfdb.Record | wfdb.MultiRecord, field: str) -> list:
    """A field with one value per signal. Raises EcgFileError where the library found none."""
    values = getattr(record, field, None)
    if values is None:
        raise EcgFileError("The header file does not describe its signals. It seems damaged.")
    return values


def _write_header(folder: Path, stem: str, lines: Sequence[str]) -> None:
    (folder / f"{stem}.hea").write_text("\n".join(lines) + "\n", encoding="ascii")


def _has_gain(line: str) -> bool:
    """Raises EcgFileError where the gain is beyond all range: every voltage would be zero."""
    fields = line[len(_file_name(line)) :].split()
    gain = re.match(r"-?\d*\.?\d+(?:e[+-]?\d+)?", fields[1]) if len(fields) > 1 else None
    if gain and math.isinf(float(gain[0])):
        raise EcgFileError(f"The header file states a gain of {gain[0]}. It seems damaged.")
    return bool(gain) and float(gain[0]) != 0


def _frames_held(upload: Upload, fmt: str, per_frame: int, byte_offset: int) -> int | None:
    """Whole frames in a signal file; None for compressed files, which say it only inside."""
    if fmt in _FLAC_FORMATS:
        return None
    if fmt not in _BITS_PER_SAMPLE:
        raise EcgFileError(
            f"{shown(upload.name)} has the WFDB signal format {fmt}, not known here."
        )
    bits = max(upload.size - byte_offset, 0) * 8
    return int(bits / (_BITS_PER_SAMPLE[fmt] * per_frame))


def _refuse_text(upload: Upload) -> None:
    head = upload.head()
    printable = set(string.printable.encode())
    if len(head) >= 64 and b"\n" in head and set(head) <= printable:
        raise EcgFileError(
            f"{shown(upload.name)} holds text, not WFDB samples. If it is a table, please rename "
            "it to .csv and upload it alone."
        )


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # no copy of up to 512 MB where the file system allows it
    except OSError:
        shutil.copyfile(source, target)
