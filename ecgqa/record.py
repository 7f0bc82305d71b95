"""`ECG`: twelve leads in millivolts, the one object that every other module takes or returns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime

import numpy as np

STRETCH_S = 10.0
"""What is measured and asked about at a time: a page of ECG paper."""

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB_OF_I_AND_II = {
    "I": (1.0, 0.0), "II": (0.0, 1.0), "III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}  # fmt: skip
"""Each limb lead as weights of I and II: Einthoven's and Goldberger's definitions."""


class EcgFileError(ValueError):
    """A file or recording that cannot be used. The message is plain words, fit for the screen.

    wants: the arguments of `read_ecg` that would make it readable ("rate_hz", "units", "leads"),
        if any.
    """

    def __init__(self, message: str, wants: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.wants = wants


FEMALE, MALE = "female", "male"
OVER_89 = 90.0
"""The age in years of those whose files only say that they are older than 89."""


@dataclass(frozen=True)
class Header:
    """What a file says of its recording and its patient; empty where it says nothing.

    age_years: at the recording, 0 to 125. sex: `FEMALE`, `MALE` or "". recorded: the day, or the
    day and time. device: maker and model. filter_text: what the device had filtered already.
    identity: what names the patient, as (label, text): names, numbers, date of birth. It is kept
    apart, and out of `repr`, so that nothing shows it by accident.
    """

    age_years: float | None = None
    sex: str = ""
    recorded: date | None = None
    device: str = ""
    filter_text: str = ""
    identity: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def age_text(self) -> str:
        """The age in words: days or months of a small child, years from 2 on."""
        if self.age_years is None:
            return ""
        if self.age_years == OVER_89:
            return "over 89 years"
        if self.age_years < 1 / 12:
            return _counted(int(self.age_years * 365.25 + 1e-6), "day")
        if self.age_years < 2:
            return _counted(int(self.age_years * 12 + 1e-6), "month")
        return _counted(int(self.age_years + 1e-6), "year")

    @property
    def recorded_text(self) -> str:
        """The day, and the time where it is known, as 2013-01-25 10:59."""
        if isinstance(self.recorded, datetime):
            return f"{self.recorded:%Y-%m-%d %H:%M}"
        return "" if self.recorded is None else self.recorded.isoformat()

    def facts(self) -> tuple[str, ...]:
        """All but the identity, each in words that stand alone."""
        found = (
            self.age_text,
            self.sex,
            self.recorded_text and f"recorded {self.recorded_text}",
            self.device,
            self.filter_text and f"device filter {self.filter_text}",
        )
        return tuple(filter(None, found))

    def anonymous(self) -> Header:
        """The same without the identity."""
        return replace(self, identity=()) if self.identity else self


NO_HEADER = Header()


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


@dataclass(frozen=True, eq=False)
class ECG:
    """A 12-lead recording.

    signal_mv: float32 [12, n], millivolts, rows in the order of `LEADS`; NaN where a lead or a
        stretch of it is missing. Read-only.
    rate_hz: samples per second.
    name: what to call the recording on the screen (a file's stem, never a patient's name).
    sha256: hex digest of the file or files it was read from ("" where it came from no file).
    notes: plain-word remarks of the reader ("Only the first 120 s were kept.").
    start_s: where in its recording the first sample lies, of a stretch that was cut out.
    tracing_png: the picture it was read from with the digitised traces drawn over it, PNG; empty
        for files that hold samples.
    header: what the file says of the recording and the patient.

    Raises ValueError when the shape, the rate or the type breaks these promises.
    """

    signal_mv: np.ndarray
    rate_hz: float
    name: str
    sha256: str = ""
    notes: tuple[str, ...] = ()
    start_s: float = 0.0
    tracing_png: bytes = b""
    header: Header = NO_HEADER

    def __post_init__(self) -> None:
        signal = np.array(self.signal_mv, dtype=np.float32, order="C")
        if signal.ndim != 2 or signal.shape[0] != len(LEADS) or signal.shape[1] == 0:
            raise ValueError(f"signal_mv must be [12, n > 0], not {signal.shape}")
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ValueError(f"rate_hz must be a positive number, not {self.rate_hz}")
        signal[~np.isfinite(signal)] = np.nan
        signal.setflags(write=False)
        object.__setattr__(self, "signal_mv", signal)
        object.__setattr__(self, "rate_hz", float(self.rate_hz))

    @property
    def leads(self) -> tuple[str, ...]:
        """The names of the rows, always all twelve in the standard order."""
        return LEADS

    @property
    def missing_leads(self) -> tuple[str, ...]:
        """Leads without a single sample."""
        return tuple(lead for lead in LEADS if np.isnan(self.lead(lead)).all())

    @property
    def seconds(self) -> float:
        """Length of the recording in seconds."""
        return int(self.signal_mv.shape[1]) / self.rate_hz

    @property
    def title(self) -> str:
        """The name, and of a stretch out of the middle also which seconds it holds."""
        if not self.start_s:
            return self.name
        return f"{self.name}, {self.start_s:g} to {self.start_s + self.seconds:.0f} s"

    def stretch(self, start_s: float, seconds: float = STRETCH_S) -> ECG:
        """The `seconds` from `start_s`, or as many as there are; itself where that is all of it."""
        latest = max(0.0, self.seconds - seconds)
        first = round(min(max(0.0, start_s), latest) * self.rate_hz)
        signal = self.signal_mv[:, first : first + max(1, round(seconds * self.rate_hz))]
        if signal.shape == self.signal_mv.shape:
            return self
        return replace(self, signal_mv=signal, start_s=self.start_s + first / self.rate_hz)

    def anonymous(self) -> ECG:
        """The same without what names the patient."""
        known = self.header
        return replace(self, header=known.anonymous()) if known.identity else self

    def of_patient(self, age_years: float | None = None, sex: str = "") -> ECG:
        """The same with an age or a sex that was given; it goes before what the file says."""
        if age_years is None and not sex:
            return self
        known = self.header
        age = known.age_years if age_years is None else age_years
        return replace(self, header=replace(known, age_years=age, sex=sex or known.sex))

    def lead(self, name: str) -> np.ndarray:
        """One lead, float32 [n] mV."""
        lead_mv: np.ndarray = self.signal_mv[LEADS.index(name)]
        return lead_mv
