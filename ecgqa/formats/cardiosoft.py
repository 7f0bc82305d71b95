"""GE CardioSoft and CASE XML: files whose root is CardiologyXML.

GE documents it for its customers only. The layout is known from files, as two independent public
readers describe it: StripData is the rhythm, with SampleRate in Hz, Resolution in uV per step, and
one WaveformData of whole numbers, divided by commas, per lead. MedianSamples is the calculated beat
and is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from ecgqa.formats.header import (
    FIRST_BIRTH,
    age_of,
    clean_text,
    date_of,
    filter_of,
    header_of,
    sex_of,
)
from ecgqa.formats.leads import choose_leads
from ecgqa.formats.recording import Recording, stated_or_given
from ecgqa.formats.units import to_millivolts
from ecgqa.formats.upload import Upload, check_size, shown
from ecgqa.formats.xml_tree import children, local_name, number_in, numbers_in, text_of, xml_tree
from ecgqa.record import EcgFileError, Header


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the rhythm strip.

    Raises EcgFileError for a file without one, for unknown units, or numbers that are none.
    """
    check_size(uploads)
    (upload,) = uploads
    root = xml_tree(upload)
    strips = [e for e in root.iter() if local_name(e) == "StripData"]
    strips = [strip for strip in strips if children(strip, "WaveformData")]
    if not strips:
        raise EcgFileError(
            f"{shown(upload.name)} is a GE CardioSoft file without a rhythm strip. Please export "
            "it with its waveforms."
        )
    strip = strips[0]
    waves = children(strip, "WaveformData")
    choice = choose_leads([wave.get("lead", "") for wave in waves])
    final_hz, notes = stated_or_given(number_in(text_of(strip, "SampleRate")) or None, rate_hz)
    step = number_in(text_of(strip, "Resolution"))
    resolution = next(iter(children(strip, "Resolution")), None)
    step_units = (resolution.get("units") if resolution is not None else None) or "uV"
    step_units = step_units.casefold().replace("perlsb", "")
    per_step_mv = to_millivolts(f"{step:g} {step_units}" if step else None, units, "its samples")
    steps = {lead: _steps(waves[index], lead) for lead, index in choice.channels.items()}
    announced = number_in(text_of(strip, "ChannelSampleCountTotal")) or 0
    sizes = [row.size for row in steps.values()]
    if min(sizes) < max(*sizes, announced):
        raise EcgFileError(
            f"{shown(upload.name)} announces {max(*sizes, announced):g} samples per lead but holds "
            f"{min(sizes)} of one. It seems cut off: please export it again."
        )
    leads_mv = {lead: row * per_step_mv for lead, row in steps.items()}
    header = _header(root)
    return Recording(leads_mv, final_hz, upload.stem, notes + choice.notes, header=header)


def _header(root: Element) -> Header:
    """A date stands as elements of its own (Year, Month, Day, Hour, Minute)."""
    patient, observed, device, filters = (
        next((e for e in root.iter() if local_name(e) == name), Element("none"))
        for name in ("PatientInfo", "ObservationDateTime", "DeviceInfo", "FilterSetting")
    )
    born = (children(patient, "BirthDateTime") or [Element("none")])[0]
    age = (children(patient, "Age") or [Element("none")])[0]
    notches = [hz for hz in (50.0, 60.0) if text_of(filters, f"Filter{hz:g}Hz").casefold() == "yes"]
    names = (text_of(patient, "Name", "GivenName"), text_of(patient, "Name", "FamilyName"))
    return header_of(
        age=age_of(age.text, age.get("units", "")),
        born=date_of(_day(born), earliest=FIRST_BIRTH),
        sex=sex_of(text_of(patient, "Gender")),
        recorded=date_of(f"{_day(observed)} {_clock(observed)}"),
        # GE's own files misspell it.
        device=clean_text(text_of(device, "Desciption") or text_of(device, "Description")),
        filter_text=filter_of(
            number_in(text_of(filters, "HighPass")),
            number_in(text_of(filters, "LowPass")),
            notches[0] if notches else None,
        ),
        identity=(("name", " ".join(filter(None, names))), ("id", text_of(patient, "PID"))),
    )


def _day(element: Element) -> str:
    return "-".join(text_of(element, part) for part in ("Year", "Month", "Day"))


def _clock(element: Element) -> str:
    parts = [text_of(element, part).zfill(2) for part in ("Hour", "Minute")]
    return ":".join(parts) if all(map(str.isdigit, parts)) else ""


def _steps(wave: Element, lead: str) -> np.ndarray:
    try:
        return numbers_in((wave.text or "").replace(",", " ").split())
    except ValueError as error:
        raise EcgFileError(
            f"Lead {lead} of the GE CardioSoft file holds something that is not a number. It seems "
            "damaged."
        ) from error
