"""GE MUSE XML: files whose root is RestingECG.

What the fields mean is known from GE's own extraction tool (xmlecgex, 2009) and from files:
a Waveform of type Rhythm holds LeadData elements, usually eight (I, II, V1-V6), for the others
follow from them. Samples are little-endian integers in base64, a step is worth
LeadAmplitudeUnitsPerBit, the rate is SampleBase × 10^SampleExponent. A Waveform of type Median is
the calculated beat and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from ecgqa.formats.base64_text import bytes_of
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
from ecgqa.formats.xml_tree import children, number_in, numbers_in, text_of, xml_tree
from ecgqa.record import EcgFileError, Header

_DTYPES = {1: "<i1", 2: "<i2", 4: "<i4"}


def read(uploads: Sequence[Upload], rate_hz: float | None, units: str | None) -> Recording:
    """Reads the rhythm, not the median beat.

    Raises EcgFileError for a file without a rhythm, cut-off or damaged samples, or unknown units.
    """
    check_size(uploads)
    (upload,) = uploads
    root = xml_tree(upload)
    waveforms = children(root, "Waveform")
    rhythms = [w for w in waveforms if text_of(w, "WaveformType").casefold() in ("rhythm", "")]
    if not rhythms:
        held = "only the calculated median beat" if waveforms else "no waveform"
        raise EcgFileError(
            f"{shown(upload.name)} is a GE MUSE file with {held}. Please export it with its rhythm."
        )
    # A file may hold a second, longer strip of one lead: the one with the most samples is read.
    waveform = max(rhythms, key=lambda w: sum(len(d) for d in _data(w)))
    leads = children(waveform, "LeadData")
    choice = choose_leads([text_of(lead, "LeadID") for lead in leads])
    stated_hz = _rate_hz(waveform)
    final_hz, notes = stated_or_given(stated_hz, rate_hz)
    leads_mv = {
        lead: _lead_mv(leads[index], lead, units) for lead, index in choice.channels.items()
    }
    longest = max(signal.size for signal in leads_mv.values())
    leads_mv = {
        lead: np.pad(signal, (0, longest - signal.size), constant_values=np.nan)
        for lead, signal in leads_mv.items()
    }
    header = _header(root, waveform)
    return Recording(leads_mv, final_hz, upload.stem, notes + choice.notes, header=header)


def _header(root: Element, waveform: Element) -> Header:
    """Dates are American; the high pass is stored in hundredths of a hertz (16: 0.16 Hz)."""
    patient = (children(root, "PatientDemographics") or [root])[0]
    test = (children(root, "TestDemographics") or [root])[0]
    low = number_in(text_of(waveform, "HighPassFilter"))
    when = f"{text_of(test, 'AcquisitionDate')} {text_of(test, 'AcquisitionTime')}"
    names = (text_of(patient, "PatientFirstName"), text_of(patient, "PatientLastName"))
    return header_of(
        age=age_of(text_of(patient, "PatientAge"), text_of(patient, "AgeUnits")),
        born=date_of(text_of(patient, "DateofBirth"), "mdy", FIRST_BIRTH),
        sex=sex_of(text_of(patient, "Gender")),
        recorded=date_of(when, "mdy"),
        device=clean_text(text_of(test, "AcquisitionDevice")),
        filter_text=filter_of(
            None if low is None else low / 100,
            number_in(text_of(waveform, "LowPassFilter")),
            number_in(text_of(waveform, "ACFilter")),
        ),
        identity=(
            ("name", " ".join(filter(None, names))),
            ("id", text_of(patient, "PatientID")),
        ),
    )


def _data(waveform: Element) -> list[str]:
    return [text_of(lead, "WaveFormData") for lead in children(waveform, "LeadData")]


def _rate_hz(waveform: Element) -> float | None:
    base = number_in(text_of(waveform, "SampleBase"))
    exponent = number_in(text_of(waveform, "SampleExponent")) or 0.0
    return base * 10.0**exponent if base and abs(exponent) <= 9 else None


def _lead_mv(data: Element, lead: str, units: str | None) -> np.ndarray:
    """One lead, float [n] mV."""
    stored = text_of(data, "WaveFormData")
    damaged = EcgFileError(
        f"The samples of lead {lead} in the GE MUSE file are damaged or stored in a way that is "
        "not known here."
    )
    size = number_in(text_of(data, "LeadSampleSize")) or 2
    # Some carts of the MAC family write the numbers out.
    written_out = "," in stored or re.fullmatch(r"[-\d\s]*", stored[:200])
    try:
        if written_out:
            samples = numbers_in(stored.replace(",", " ").split())
        else:
            samples = np.frombuffer(bytes_of(stored), _DTYPES[int(size)]).astype(np.float64)
    except (ValueError, KeyError) as error:
        raise damaged from error
    announced = number_in(text_of(data, "LeadSampleCountTotal"))
    if announced and samples.size < announced:
        raise EcgFileError(
            f"The GE MUSE file announces {announced:g} samples for lead {lead} but holds "
            f"{samples.size}. It seems cut off: please export it again."
        )
    per_bit = number_in(text_of(data, "LeadAmplitudeUnitsPerBit"))
    stated = text_of(data, "LeadAmplitudeUnits") or None
    if per_bit is None:  # then a unit alone does not say what a step is worth
        return samples * to_millivolts(None, units, f"lead {lead}")
    if per_bit <= 0:
        raise damaged
    return samples * per_bit * to_millivolts(stated, units, f"lead {lead}")
