"""`Variables`: what a NumPy or MATLAB file holds, by name, and how it becomes a recording.

Such files come from scripts, so every name is somebody's choice. What a name says plainly is used
(fs, leads, units, a vector of times); what none says is asked for; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ecgqa.formats.leads import (
    MAX_CHANNELS,
    called,
    choose_leads,
    choose_without_names,
    lead_of,
)
from ecgqa.formats.recording import (
    MIN_RATE_HZ,
    MIN_SECONDS,
    Recording,
    kept_note,
    samples_kept,
    stated_or_given,
)
from ecgqa.formats.time_axis import rate_shown_by
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import Upload, shown
from ecgqa.record import LEADS, EcgFileError

T = TypeVar("T")

_RATE = re.compile(
    r"(?:(?:ecg|sig|signal|record)_)?(?:fs|sf|sr|hz|rate|srate|sfreq|freq|frequency"
    r"|samp(?:l(?:e|es|ing))?_?(?:rate|freq|frequency))(?:_?hz)?"
)
_NAMES = re.compile(
    r"(?:leads?|channels?|ch|sig|signal|electrodes?|col|columns?)?_?(?:names?|labels?|order)"
    r"|leads?|channels?|labels"
)
_UNITS = re.compile(r"(?:sig_?|signal_?|physical_?)?units?")
_GAIN = re.compile(r"adc_?gains?")
_ZERO = re.compile(r"adc_?(?:zero|baseline|offset)s?|baselines?")
_TIMES = re.compile(r"(?:t|time|times|timestamps?|tm)(?:_?(?P<unit>s|sec|ms|us))?")
_SIGNAL = re.compile(
    r"val|data|ecgs?|ekg|(?:ecg_?|ekg_?|p_?|d_?)?(?:signals?|sig|data|waveforms?|rhythm|x|mv)|arr_0"
)
_SHORTEST = int(MIN_SECONDS * MIN_RATE_HZ)


@dataclass(frozen=True, eq=False)
class Signal:
    """The part of the variables that is the ECG: numbers [channels, n], and a name per channel."""

    channels: np.ndarray
    names: tuple[str, ...] | None


Variables = Mapping[str, np.ndarray | Sequence[str]]
"""Variable name → real numbers of any shape, or texts (a single text is a list of one)."""


def recording_of(
    variables: Variables, upload: Upload, rate_hz: float | None, units: str | None, hint: str
) -> Recording:
    """The ECG among the variables of a file.

    The signal is a matrix with the leads along its shorter side, or one vector per lead, named
    after it. Twelve channels without names are read in the standard order, fewer are for the user
    to name in their order, when rate and units are known. A time may stand before them.
    hint: how names can be given in this kind of file, for the message.
    Raises EcgFileError that asks for what is missing, or says why there is no one signal.
    """
    signal = _signal(variables, upload)
    n_channels, n_whole = signal.channels.shape
    if n_channels > MAX_CHANNELS:
        raise EcgFileError(
            f"{shown(upload.name)} holds {n_channels} rows of {n_whole} values. Expected is one "
            f"row or column per lead, at most {MAX_CHANNELS}."
        )
    stated_hz, notes = _rate_hz(variables, n_whole, rate_hz, upload)
    if signal.names is None and 1 < n_channels <= len(LEADS) + 1 and _is_time(signal.channels[0]):
        where = f"The first row or column in {shown(upload.name)}"
        shown_hz, notes = rate_shown_by(
            signal.channels[0].astype(np.float64), None, stated_hz or rate_hz, where
        )
        stated_hz = stated_hz or shown_hz
        signal = Signal(signal.channels[1:], None)
        n_channels -= 1
    names = signal.names or _names(variables, n_channels)
    stated_units = _texts(variables, _UNITS)
    gains, zeros = (_numbers(variables, pattern) for pattern in (_GAIN, _ZERO))
    says_units = bool(stated_units) or gains is not None
    if names:
        choice = choose_leads(names)
    else:
        choice = choose_without_names(
            n_channels, bool(stated_hz or rate_hz), bool(says_units or units), "row", hint
        )
    final_hz, rate_notes = stated_or_given(stated_hz, rate_hz)
    n_kept = min(n_whole, samples_kept(final_hz))
    if n_kept < n_whole:
        notes += (kept_note(n_kept / final_hz, n_whole / final_hz),)
    leads_mv: dict[str, np.ndarray] = {}
    for lead, channel in choice.channels.items():
        samples = signal.channels[channel, :n_kept].astype(np.float64)
        stated = _one_of(stated_units, channel)
        gain = _one_of(gains, channel)
        if gain:  # as in WFDB: steps per unit, the unit being mV where none is stated
            samples = (samples - (_one_of(zeros, channel) or 0.0)) / gain
            stated = stated or "mV"
        leads_mv[lead] = samples * to_millivolts(stated, units, called(lead))
    notes += rate_notes + choice.notes
    return Recording(
        leads_mv, final_hz, upload.stem, notes, assumed_order=not names, hint="" if names else hint
    )


def _plain(name: str) -> str:
    """A variable's own name, without that of the structure it is in, lower case."""
    return re.sub(r"[\s\-]", "_", name.rpartition(".")[2].casefold())


def _signal(variables: Variables, upload: Upload) -> Signal:
    numbers = {
        name: matrix
        for name, value in variables.items()
        if isinstance(value, np.ndarray) and (matrix := _matrix(value)) is not None
    }
    by_lead = {n: m[0] for n, m in numbers.items() if m.shape[0] == 1 and lead_of(_lead_name(n))}
    sizes = {row.size for row in by_lead.values()}
    if len(by_lead) > 1 or (len(by_lead) == 1 and len(numbers) == 1):
        if len(sizes) > 1:
            raise EcgFileError(f"The leads in {shown(upload.name)} are not all of one length.")
        return Signal(np.stack(list(by_lead.values())), tuple(_lead_name(n) for n in by_lead))
    candidates = {
        n: m for n, m in numbers.items() if not (_TIMES.fullmatch(_plain(n)) and m.shape[0] == 1)
    }
    if len(candidates) > 1:
        named = {n: m for n, m in candidates.items() if _SIGNAL.fullmatch(_plain(n))}
        candidates = named or candidates
    if not candidates:
        several = [v for v in variables.values() if isinstance(v, np.ndarray) and v.ndim > 2]
        raise EcgFileError(
            f"{shown(upload.name)} holds {several[0].shape[0]} recordings in one array. Please "
            "save one ECG per file."
            if several
            else f"{shown(upload.name)} holds no array that could be an ECG: expected are at least "
            f"{_SHORTEST} samples, with the leads in rows or columns."
        )
    if len(candidates) > 1:
        raise EcgFileError(
            f"{shown(upload.name)} holds several arrays that could be the ECG "
            f"({', '.join(shown(n) for n in list(candidates)[:5])}). Please save only one, or call "
            "it “ecg”."
        )
    return Signal(next(iter(candidates.values())), None)


def _lead_name(name: str) -> str:
    return name.rpartition(".")[2]


def _matrix(value: np.ndarray) -> np.ndarray | None:
    """Numbers as [channels, n], None where they are too few or lie in more than two directions."""
    if value.dtype.kind not in "iuf":
        return None
    shape = [size for size in value.shape if size != 1]
    if len(shape) not in (1, 2) or max(shape) < _SHORTEST:
        return None
    if len(shape) == 1:
        return value.reshape(1, -1)
    rows, columns = shape
    # Twelve of anything are the leads; else there are fewer leads than samples.
    turned = rows != len(LEADS) and (columns == len(LEADS) or rows > columns)
    matrix = value.reshape(shape)
    return matrix.T if turned else matrix


def _numbers(variables: Variables, pattern: re.Pattern[str]) -> list[float] | None:
    for name, value in variables.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
            continue
        if pattern.fullmatch(_plain(name)) and 0 < value.size <= MAX_CHANNELS:
            return [float(v) for v in value.ravel()]
    return None


def _texts(variables: Variables, pattern: re.Pattern[str]) -> list[str]:
    for name, value in variables.items():
        if not isinstance(value, np.ndarray) and pattern.fullmatch(_plain(name)):
            return [text.strip() for text in value]
    return []


def _one_of(values: Sequence[T] | None, channel: int) -> T | None:
    """The value of a channel: its own, or the only one for all; None where there is neither."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return values[channel] if channel < len(values) else None


def _names(variables: Variables, n_channels: int) -> tuple[str, ...] | None:
    names = _texts(variables, _NAMES)
    if len(names) == 1 and n_channels > 1:  # "I, II, V1"
        names = [part for part in re.split(r"[\s,;|]+", names[0]) if part]
    return tuple(names) if len(names) == n_channels else None


def _rate_hz(
    variables: Variables, n_samples: int, given_hz: float | None, upload: Upload
) -> tuple[float | None, tuple[str, ...]]:
    rate = _numbers(variables, _RATE)
    if rate and len(rate) == 1 and np.isfinite(rate[0]) and rate[0] > 0:
        return rate[0], ()
    for name, value in variables.items():
        match = _TIMES.fullmatch(_plain(name))
        if match and isinstance(value, np.ndarray) and value.size == n_samples > 1:
            times = value.ravel().astype(np.float64)
            where = f"The vector “{shown(name)}” in {shown(upload.name)}"
            return rate_shown_by(times, match["unit"], given_hz, where)
    return None, ()


def _is_time(row: np.ndarray) -> bool:
    """Whether a row of numbers rises in even steps, as no lead does."""
    steps = np.diff(row.astype(np.float64))
    return bool(np.isfinite(steps).all() and steps.min() > 0 and np.ptp(steps) <= np.median(steps))
