"""WFDB records: a text header (.hea) with one or more signal files (.dat, .mat, FLAC), any format.

The header is untrusted text that names files and sizes. So nothing of it reaches the wfdb library
before it was checked: the record is laid out afresh in a temporary folder, under names made here,
with a header that states only what the reading needs (no comments, which often name the patient).
What the fields mean: https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm.
"""

from __future__ import annotations

import os
import re
import shutil
import string
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import wfdb

from ecgqa.formats.leads import LeadChoice, choose_leads
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
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.formats.wfdb_header import (
    NO_FILE,
    Header,
    data_files,
    file_name,
    has_gain,
    loose,
    main_header,
    parse_header,
    patient_of,
    refuse_outside,
    signal_line,
)
from ecgqa.record import NO_HEADER, EcgFileError

MAX_SET_BYTES = 512 * 2**20
"""Only the first minutes of a long recording are read, so its files may be larger than others."""

_BITS_PER_SAMPLE = {
    "8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12,
    "310": 32 / 3, "311": 32 / 3,
}  # fmt: skip
_FLAC_FORMATS = ("508", "516", "524")


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
    main = main_header(headers)
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
    used = {u.name for h in headers for u in (h.upload, *data_files(h, uploads).values())}
    if unused := [shown(u.name) for u in uploads if u.name not in used]:
        notes += (f"Not part of the recording, left out: {', '.join(unused[:5])}.",)
    signal_hz, rate_notes = stated_or_given(signal_hz, rate_hz)
    # A list of segments may leave it to them.
    told = [header for header in map(patient_of, (main, *headers)) if header != NO_HEADER]
    header = told[0] if told else NO_HEADER
    return Recording(leads_mv, signal_hz, main.upload.stem, rate_notes + notes, header=header)


@dataclass(frozen=True)
class _Signals:
    """The signal lines of a single-segment record, file by file, and what wfdb reads from them.

    lines: as they are in the header; rewritten: with the names of the files in the folder, `safe`.
    names, per_frame, formats, skews, offsets: one for each line.
    """

    lines: tuple[str, ...]
    rewritten: tuple[str, ...]
    safe: dict[str, str]
    names: tuple[str, ...]
    per_frame: tuple[int, ...]
    formats: tuple[str, ...]
    skews: tuple[int, ...]
    offsets: tuple[int, ...]


def _signals(header: Header, rate_hz: float, folder: Path, stem: str) -> _Signals:
    """The signals of a header, which is written into the folder under other names."""
    order = list(dict.fromkeys(file_name(line) for line in header.lines))
    refuse_outside(order, header)
    # The library addresses a file's signals by their distance from the first: keep them together.
    lines = sorted(header.lines, key=lambda line: order.index(file_name(line)))
    safe = {
        name: name if name == NO_FILE else f"{stem}x{index}.dat" for index, name in enumerate(order)
    }
    rewritten = tuple(signal_line(safe[file_name(line)], line) for line in lines)
    _write_record(folder, stem, rate_hz, header.n_frames or "", rewritten)
    record = wfdb.rdheader(str(folder / stem))
    return _Signals(
        lines=tuple(lines),
        rewritten=rewritten,
        safe=safe,
        names=tuple(name or "" for name in _per_signal(record, "sig_name")),
        per_frame=tuple(n or 1 for n in _per_signal(record, "samps_per_frame")),
        formats=tuple(map(str, _per_signal(record, "fmt"))),
        skews=tuple(n or 0 for n in _per_signal(record, "skew")),
        offsets=tuple(n or 0 for n in _per_signal(record, "byte_offset")),
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
    signals = _signals(header, rate_hz, folder, stem)
    choice = choose_leads(signals.names) if wanted is None else LeadChoice({}, ())
    if wanted is None:
        needed = sorted(choice.channels.values())
    else:
        needed = [index for index, name in enumerate(signals.names) if name in wanted]
    uploaded = data_files(header, uploads)
    n_frames = header.n_frames
    total_per_frame = 0
    for name in dict.fromkeys(file_name(signals.lines[index]) for index in needed):
        if name == NO_FILE:
            raise EcgFileError(f"{shown_name} describes leads but names no file with samples.")
        if name not in uploaded:
            raise EcgFileError(
                f"This header names {shown(name)}, but that file was not uploaded. "
                "Please upload both together."
            )
        per_frame, held = _check_file(header, name, uploaded[name], signals, rate_hz)
        total_per_frame += per_frame
        if held is not None:
            n_frames = held if n_frames is None else min(n_frames, held)
        _place(uploaded[name].path, folder / signals.safe[name])
    if n_frames is None:
        raise EcgFileError(f"{shown_name} does not say how long the recording is.")
    _write_record(folder, stem, rate_hz, n_frames, signals.rewritten)
    return Layout(
        names=signals.names,
        n_frames=n_frames,
        samples_per_frame=max(total_per_frame, 1),
        choice=choice,
        calibrated=all(has_gain(signals.lines[index]) for index in needed),
    )


def _check_file(
    header: Header, name: str, upload: Upload, signals: _Signals, rate_hz: float
) -> tuple[int, int | None]:
    """Samples of a signal file in each frame, and how many frames it holds (None: not known).

    Raises EcgFileError where the header contradicts itself or the file.
    """
    shown_name = shown(header.upload.name)
    _refuse_text(upload)
    inside = [index for index, line in enumerate(signals.lines) if file_name(line) == name]
    per_frame = [signals.per_frame[index] for index in inside]
    if min(per_frame) < 1 or len({signals.formats[index] for index in inside}) > 1:
        raise EcgFileError(f"{shown_name} is contradictory about {shown(name)}.")
    if any(signals.skews[index] > rate_hz for index in inside):
        raise EcgFileError(f"{shown_name} shifts a lead by more than a second. It seems damaged.")
    first = inside[0]
    held = _frames_held(upload, signals.formats[first], sum(per_frame), signals.offsets[first])
    if held is not None and header.n_frames is not None and held < header.n_frames:
        raise EcgFileError(
            f"{shown_name} announces {header.n_frames / rate_hz:.1f} s, but {shown(name)} "
            f"holds only {held / rate_hz:.1f} s. The file seems cut off: please upload it again."
        )
    return sum(per_frame), held


def _listed(main: Header) -> list[tuple[str, int]]:
    """Names and lengths in frames of the segments that a header lists."""
    segments = [re.fullmatch(r"(\S+)\s+(\d{1,18})(?:\s.*)?", line) for line in main.lines]
    if not all(segments):
        raise EcgFileError(f"The list of segments in {shown(main.upload.name)} is damaged.")
    listed = [(segment[1], int(segment[2])) for segment in segments if segment]
    refuse_outside([name for name, _ in listed], main)
    return listed


def _lay_out_segments(
    main: Header,
    headers: Sequence[Header],
    uploads: Sequence[Upload],
    rate_hz: float,
    folder: Path,
) -> Layout:
    """Puts as many segments as the first minutes need into the folder, under one header."""
    by_stem = {loose(h.upload.stem): h for h in headers if not h.is_list}
    listed = _listed(main)
    variable = listed[0][1] == 0  # else every segment has the same channels
    budget = samples_kept(rate_hz, n_channels=main.n_signals)
    lines: list[str] = []
    n_frames = 0
    whole: Layout | None = None
    for index, (name, length) in enumerate(listed):
        if n_frames >= budget:
            break
        n_frames += length
        if name == NO_FILE:
            lines.append(f"{NO_FILE} {length}")
            continue
        header = by_stem.get(loose(name))
        if header is None:
            raise EcgFileError(
                f"{shown(main.upload.name)} names the segment {shown(name)}, but {shown(name)}.hea "
                "was not uploaded. Please upload all files of the recording together."
            )
        stem = f"segment{index}"
        lines.append(f"{stem} {length}")
        if whole is None and variable:
            whole = _layout_segment(header, rate_hz, folder, stem)
            continue
        wanted = None
        if whole is not None and variable:
            wanted = [whole.names[channel] for channel in whole.choice.channels.values()]
        layout = _lay_out(header, uploads, rate_hz, folder, stem, wanted)
        if layout.n_frames < length:
            raise EcgFileError(
                f"{shown(main.upload.name)} announces {length / rate_hz:.1f} s for the segment "
                f"{shown(name)}, which holds only {layout.n_frames / rate_hz:.1f} s."
            )
        whole = _joined(whole, layout, variable, main)
    if whole is None:
        raise EcgFileError(f"{shown(main.upload.name)} lists no segment with samples.")
    start = f"record/{len(lines)} {main.n_signals} {rate_hz!r} {n_frames}"
    _write_header(folder, "record", [start, *lines])
    widest = max(whole.samples_per_frame, main.n_signals)
    return replace(whole, n_frames=n_frames, samples_per_frame=widest)


def _layout_segment(header: Header, rate_hz: float, folder: Path, stem: str) -> Layout:
    """The first segment of a variable record: names and units of all signals, no samples."""
    unfiled = tuple(signal_line(NO_FILE, line) for line in header.lines)
    _write_record(folder, stem, rate_hz, 0, unfiled)
    record = wfdb.rdheader(str(folder / stem))
    names = tuple(name or "" for name in _per_signal(record, "sig_name"))
    return Layout(names, 0, 1, choose_leads(names), calibrated=True)


def _joined(whole: Layout | None, segment: Layout, variable: bool, main: Header) -> Layout:
    """A record so far and one segment more. Raises EcgFileError where their leads must be alike."""
    if whole is None:
        return segment
    if not variable and segment.names != whole.names:
        raise EcgFileError(
            f"The segments of {shown(main.upload.name)} hold different leads, although "
            "its header says they are alike. It seems damaged."
        )
    return replace(
        whole,
        samples_per_frame=max(whole.samples_per_frame, segment.samples_per_frame),
        calibrated=whole.calibrated and segment.calibrated,
    )


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


def _per_signal(record: wfdb.Record | wfdb.MultiRecord, field: str) -> list[Any]:
    """A field with one value per signal. Raises EcgFileError where the library found none."""
    values: list[Any] | None = getattr(record, field, None)
    if values is None:
        raise EcgFileError("The header file does not describe its signals. It seems damaged.")
    return values


def _write_record(
    folder: Path, stem: str, rate_hz: float, n_frames: int | str, lines: Sequence[str]
) -> None:
    """The header of a single-segment record; no number of frames (""): unknown."""
    _write_header(folder, stem, [f"{stem} {len(lines)} {rate_hz!r} {n_frames}", *lines])


def _write_header(folder: Path, stem: str, lines: Sequence[str]) -> None:
    (folder / f"{stem}.hea").write_text("\n".join(lines) + "\n", encoding="ascii")


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
