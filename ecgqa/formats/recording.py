"""`Recording`: what a reader found in a file, and the checks that turn it into an `ECG`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecgqa.formats.leads import UNNAMED, order_of, with_derived
from ecgqa.formats.limb_algebra import CONTRADICTORY, FITS, misfit, order_that_fits
from ecgqa.formats.upload import MAX_NAME
from ecgqa.record import ECG, LEADS, NO_HEADER, EcgFileError, Header

MIN_SECONDS = 2.5
"""One column of the 3×4 page. A shorter strip may hold no complete beat."""
MAX_SECONDS = 600
MIN_RATE_HZ, MAX_RATE_HZ = 40, 10_000
MAX_SAMPLES = 32_000_000
"""Most samples of all channels together that are read: 12 leads of 10 min at 4 kHz."""
MAX_MV, MIN_MV = 50, 0.02
"""An ECG's deflections stay well inside these; microvolts taken for millivolts do not."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Leads as they stand in a file.

    leads_mv: lead (as in `LEADS`) → float [n] mV, all of one length; NaN where nothing is known.
        `UNNAMED` stand for those of channels, up to eleven, whose names do not tell which they are.
    rate_hz: samples per second.
    name: stem of the main file.
    notes: plain-word remarks.
    tracing_png: the picture it was read from with the digitised traces drawn over it, PNG; empty
        for files that hold samples.
    assumed_order: twelve leads without names, put into the standard order.
    hint: how names can be given in this kind of file, for the message that asks for them.
    header: what the file says of the recording and the patient.
    """

    leads_mv: Mapping[str, np.ndarray]
    rate_hz: float
    name: str
    notes: tuple[str, ...] = ()
    tracing_png: bytes = b""
    assumed_order: bool = False
    header: Header = NO_HEADER
    hint: str = ""

    def to_ecg(self, sha256: str, order: str | None = None) -> ECG:
        """Twelve leads, limb leads derived where two are there, missing ones NaN.

        order: the user's names of leads that the file does not name, in their order.
        Raises EcgFileError when the recording is too short, has no values, or values that no ECG
        has, and one that asks for `leads` when it is not clear which lead is which.
        """
        leads_mv, named = self._named(order)
        n_samples = len(next(iter(leads_mv.values())))
        check_length(n_samples, self.rate_hz)
        n_kept = min(n_samples, samples_kept(self.rate_hz))
        notes = self.notes + named
        if n_kept < n_samples:
            notes += (kept_note(n_kept / self.rate_hz, n_samples / self.rate_hz),)
        held = {lead: np.asarray(signal[:n_kept]) for lead, signal in leads_mv.items()}
        held = {lead: signal for lead, signal in held.items() if np.isfinite(signal).any()}
        if not held:
            raise EcgFileError("The recording holds no values: every sample is marked as missing.")
        leads, derived = with_derived(held)
        moving_mv = [swing for lead in held.values() if (swing := _swing_mv(lead)) > 0] or [0.0]
        # Wrong units show in every lead, a loose electrode at the rail only in some.
        if min(moving_mv) > MAX_MV:
            raise EcgFileError(
                f"Every lead reaches more than {min(moving_mv):.3g} mV; an ECG stays far below "
                f"{MAX_MV} mV. The units look wrong: please check whether the numbers are mV, uV "
                "or another unit."
            )
        if 0 < max(moving_mv) < MIN_MV:
            notes += (f"The deflections stay below {MIN_MV} mV: flat, or the units are wrong.",)
        signal_mv = np.full((len(LEADS), n_kept), np.nan, dtype=np.float32)
        with np.errstate(over="ignore"):  # what float32 cannot hold is no voltage, and missing
            for lead, signal in leads.items():
                signal_mv[LEADS.index(lead)] = signal
        name = self.name[:MAX_NAME].strip() or "ECG"
        return ECG(
            signal_mv, self.rate_hz, name, sha256, notes + derived,
            tracing_png=self.tracing_png, header=self.header,
        )  # fmt: skip

    def _named(self, order: str | None) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
        """The leads under their names, and what to remark on these."""
        if UNNAMED[0] in self.leads_mv:
            return self._given(order)
        if not self.assumed_order:
            return self.leads_mv, _contradiction(self.leads_mv)
        left_over = misfit(self.leads_mv) or 0.0
        rows = [self.leads_mv[lead] for lead in LEADS]
        if order:
            names = order_of(order)
            if len(names) != len(LEADS):
                raise EcgFileError("The file holds 12 leads, so all 12 are to be named in order.")
            note = f"No lead names in the file: read in the order given, {', '.join(names)}."
            return dict(zip(names, rows, strict=True)), (note,)
        fits = order_that_fits(rows) if left_over > FITS else None
        # Less than a contradiction, but another order fits well: a small lead was exchanged.
        if left_over > CONTRADICTORY or (fits and fits != LEADS):
            advice = f"This order fits: {', '.join(fits)}. " if fits else ""
            raise EcgFileError(
                "The file does not name its leads, and they are not in the standard order: there I "
                f"+ III does not equal II, or aVR, aVL, aVF do not fit. {advice}Please give the "
                "order (leads).",
                wants=("leads",),
            )
        note = "No lead names in the file: leads were read in the standard order I, II, III, aVR, "
        return self.leads_mv, (note + "...",)

    def _given(self, order: str | None) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
        """Channels whose names tell nothing, under the names that the user gives them."""
        rows = [self.leads_mv[lead] for lead in UNNAMED if lead in self.leads_mv]
        if not order:
            which = (
                "one channel and does not say which lead it is. Please say it (leads), for example "
                "II."
                if len(rows) == 1
                else f"{len(rows)} leads without names, so it is not clear which. Please name them "
                "in their order (leads), for example I, II, V1."
            )
            raise EcgFileError(f"The file holds {which} {self.hint}".strip(), wants=("leads",))
        names = order_of(order)
        if len(names) != len(rows):
            raise EcgFileError(
                f"The file holds {len(rows)} channels, so {len(rows)} leads are to be named in "
                "their order."
                if len(rows) > 1
                else "The file holds one channel, so one lead is to be named."
            )
        note = f"Read as lead{'s' * (len(names) > 1)} {', '.join(names)}, as was given."
        leads_mv = dict(zip(names, rows, strict=True))
        return leads_mv, (note, *_contradiction(leads_mv))


def _contradiction(leads_mv: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The remark on limb leads that do not belong together; none where they do."""
    if (misfit(leads_mv) or 0.0) <= CONTRADICTORY:
        return ()
    return (
        "The limb leads contradict each other (I + III does not equal II, or aVR, aVL, aVF do not "
        "fit): a lead is inverted or wrongly named, or an electrode was off.",
    )


def _swing_mv(signal: np.ndarray) -> float:
    """How far a lead moves from its own level: constant offsets and lone spikes do not count."""
    known = signal[np.isfinite(signal)]
    return float(np.percentile(np.abs(known - np.median(known)), 99))


def check_rate(rate_hz: float) -> float:
    """The rate as it is. Raises EcgFileError when no ECG is recorded at it."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise EcgFileError(
            f"The sampling rate is {rate_hz:g} Hz. ECGs from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz can "
            "be read."
        )
    return float(rate_hz)


def check_length(n_samples: int, rate_hz: float) -> None:
    """Raises EcgFileError when there is too little to read."""
    if n_samples < MIN_SECONDS * rate_hz - 0.5:
        raise EcgFileError(
            f"The recording is only {n_samples / rate_hz:.2g} s long. At least {MIN_SECONDS} s are "
            "needed: a shorter strip may not hold one complete beat."
        )


def samples_kept(rate_hz: float, n_channels: int = 1) -> int:
    """How many samples per channel are read at most, of `n_channels` that lie together."""
    return min(int(MAX_SECONDS * rate_hz), MAX_SAMPLES // n_channels)


def kept_note(kept_s: float, whole_s: float) -> str:
    """The remark that a long recording was cut."""
    whole = f"{whole_s / 3600:.1f} h" if whole_s >= 7200 else f"{whole_s / 60:.1f} min"
    return f"Only the first {kept_s:.0f} s of {whole} were read."


def stated_or_given(
    stated_hz: float | None, given_hz: float | None
) -> tuple[float, tuple[str, ...]]:
    """The sampling rate: as the file states it, else as the user does, and what to remark on it.

    Raises EcgFileError when neither is there, or the rate is none of an ECG's.
    """
    if stated_hz is None and given_hz is None:
        raise EcgFileError(
            "The file does not say how many samples were taken per second. Please give the "
            "sampling rate (rate_hz), for example 500.",
            wants=("rate_hz",),
        )
    if stated_hz is None:
        return check_rate(float(given_hz or 0)), ()
    check_rate(stated_hz)
    if given_hz is not None and abs(given_hz - stated_hz) > 0.01 * stated_hz:
        return stated_hz, (
            f"The file states {stated_hz:g} Hz; the given {given_hz:g} Hz was not used.",
        )
    return stated_hz, ()
