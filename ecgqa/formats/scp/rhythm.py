"""SCP-ECG sections → `Recording`: the rhythm of section 6, never the median beat of section 5.

What carts do to save space is undone in the opposite order (EN 1064, 5.7 to 5.9 and Annex C):
Huffman's code, differences, fewer samples between the beats (bimodal compression), and the
reference beat, which was subtracted from every beat like it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgqa.formats.leads import choose_leads
from ecgqa.formats.recording import Recording, kept_note, samples_kept, stated_or_given
from ecgqa.formats.scp.huffman import Table, decode, parse_tables
from ecgqa.formats.scp.patient import header_in
from ecgqa.formats.scp.sections import Lead, ScpFile, Signals, parse
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.record import EcgFileError

_MOST_DECIMATION = 20
# Some carts announce a round number of samples and store a few less.
_LEAST_HELD = 0.9


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the rhythm. The file states rate and step size, so `units` is not needed.

    Raises EcgFileError for a damaged or truncated file, and one without an ECG lead or rhythm.
    """
    check_size(uploads)
    (upload,) = uploads
    scp = parse(upload)
    rhythm = scp.rhythm
    if rhythm is None or not any(rhythm.encoded):
        only = " It holds only a median beat." if scp.reference else ""
        raise EcgFileError(
            f"{shown(upload.name)} holds no rhythm (section 6).{only} Please export the whole ECG."
        )
    if rhythm.differences > 2 or rhythm.step_nv == 0:
        raise EcgFileError(f"The rhythm in {shown(upload.name)} is coded in an unknown way.")
    tables = parse_tables(scp.huffman) if scp.huffman is not None else ()
    beat = scp.reference if scp.subtracted else None
    decimation = _decimation(scp)
    interval_us = rhythm.interval_us / decimation
    signal_hz, notes = stated_or_given(1e6 / interval_us if interval_us else None, rate_hz)
    choice = choose_leads([lead.name for lead in scp.leads])
    notes += choice.notes

    chosen = {lead: scp.leads[index] for lead, index in choice.channels.items()}
    begin = min(lead.first for lead in chosen.values())
    whole = max(lead.last for lead in chosen.values()) - begin + 1
    n_samples = min(whole, samples_kept(signal_hz, n_channels=len(scp.leads)))
    if n_samples < whole:
        notes += (kept_note(n_samples / signal_hz, whole / signal_hz),)
    leads_mv: dict[str, np.ndarray] = {}
    for name, index in choice.channels.items():
        lead = scp.leads[index]
        wanted = min(lead.last - lead.first + 1, n_samples)
        signal_nv = _lead_nv(scp, rhythm, beat, index, wanted, decimation, tables)
        if signal_nv.size < _LEAST_HELD * wanted:
            raise EcgFileError(
                f"{shown(upload.name)} announces {max(wanted, 0) / signal_hz:.1f} s of lead {name} "
                f"but holds only {signal_nv.size / signal_hz:.1f} s. It seems cut off or damaged."
            )
        place = min(lead.first - begin, n_samples)
        joined = np.full(n_samples, np.nan, np.float32)
        joined[place : place + signal_nv.size] = signal_nv[: n_samples - place] * 1e-6
        leads_mv[name] = joined
    if len({(lead.first, lead.last) for lead in chosen.values()}) > 1:
        notes += ("The leads were not all recorded at the same time.",)
    if decimation > 1:
        notes += ("The cart stored fewer samples between the beats; they were interpolated.",)
    if not scp.sound:
        notes += ("The checksum of the file is wrong: it was changed or damaged.",)
    return Recording(leads_mv, signal_hz, upload.stem, notes, header=header_in(scp.patient))


def _decimation(scp: ScpFile) -> int:
    """How many samples became one between the beats: 1 where nothing was left out.

    The intervals of both sections tell. They mean nothing where neither way of saving was used:
    a median beat may have any rate of its own.
    """
    if scp.rhythm is None or scp.reference is None or not (scp.bimodal or scp.subtracted):
        return 1
    rhythm_us, beat_us = scp.rhythm.interval_us, scp.reference.interval_us
    if beat_us == 0 or rhythm_us == beat_us:
        return 1
    factor, rest = divmod(rhythm_us, beat_us)
    if rest or not 1 < factor <= _MOST_DECIMATION:
        raise EcgFileError(
            "The rhythm and the median beat of the SCP-ECG file have sampling rates that do not "
            "fit together."
        )
    return factor


def _lead_nv(
    scp: ScpFile,
    rhythm: Signals,
    beat: Signals | None,
    index: int,
    wanted: int,
    decimation: int,
    tables: Sequence[Table],
) -> np.ndarray:
    """One lead, float [n] nV with n at most `wanted`."""
    lead = scp.leads[index]
    signal = _samples(rhythm, index, wanted, tables).astype(np.float64)
    if decimation > 1:
        signal = _undecimated(signal, lead, scp.zones, wanted, decimation)
    signal *= rhythm.step_nv
    if beat is None:
        return signal
    length = scp.beat_ms * 1000 // max(beat.interval_us, 1)
    beat_nv = _samples(beat, index, length, tables) * float(beat.step_nv)
    for one in scp.beats:
        if one.reference != 0:
            continue
        # Sample numbers of the recording count from 1, as those of the reference beat do.
        shift = scp.fiducial - one.fiducial - 1 + lead.first
        first = max(one.first - lead.first, 0, -shift)
        last = min(one.last - lead.first + 1, signal.size, beat_nv.size - shift)
        if first < last:
            signal[first:last] += beat_nv[first + shift : last + shift]
    return signal


def _samples(signals: Signals, index: int, most: int, tables: Sequence[Table]) -> np.ndarray:
    """Samples as they were stored, int16 [n] with n at most `most`, differences summed up."""
    data = signals.encoded[index]
    most = max(most, 0)
    if tables:
        numbers = decode(data, tables, most)
    else:
        numbers = np.frombuffer(data[: len(data) // 2 * 2], "<i2")[:most].astype(np.int64)
    # The first one or two numbers are samples themselves; steps beyond 16 bits wrap around.
    if signals.differences == 2 and numbers.size > 1:
        slopes = np.concatenate([numbers[1:2] - numbers[:1], numbers[2:]])
        numbers = np.concatenate([numbers[:1], np.cumsum(slopes)])
    if signals.differences:
        numbers = np.cumsum(numbers)
    return numbers.astype(np.int16)


def _undecimated(
    stored: np.ndarray,
    lead: Lead,
    zones: Sequence[tuple[int, int]],
    wanted: int,
    decimation: int,
) -> np.ndarray:
    """The signal at its full rate, float [n] with n at most `wanted`.

    Within the zones (QRS complexes) every sample was stored. Between them one stands for the
    middle of `decimation` samples, and what is left over before a zone was stored as it is.
    """
    pieces: list[np.ndarray] = []
    taken = made = 0
    ends = [(first - lead.first, last - lead.first + 1) for first, last in sorted(zones)]
    for first, last in [*ends, (wanted, wanted)]:
        first, last = (min(max(place, made), wanted) for place in (first, last))
        groups, rest = divmod(first - made, decimation)
        middles = stored[taken : taken + groups]
        if middles.size:
            places = np.arange(middles.size) * decimation + decimation // 2
            pieces.append(np.interp(np.arange(middles.size * decimation), places, middles))
        taken += groups
        whole = stored[taken : taken + rest + last - first]
        pieces.append(whole)
        taken += whole.size
        made = last
        if taken >= stored.size:
            break
    return np.concatenate(pieces)[:wanted]
