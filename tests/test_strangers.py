"""Files that cannot be read are named by their content, with what to do about them."""

from __future__ import annotations

import json
import struct

import pytest
from PIL import Image
from test_formats import refused

OBSERVATION = {
    "resourceType": "Observation",
    "code": {"coding": [{"code": "131328", "display": "MDC_ECG_ELEC_POTL"}]},
    "component": [{"valueSampledData": {"period": 10, "data": "2041 2043 2037 2047"}}],
}
FHIR_XML = b'<?xml version="1.0"?>\n<Observation xmlns="http://hl7.org/fhir"><id value="1"/>'
SCHILLER = (
    "<examdescript><eventdata><event><wavedata><type>ECG_RHYTHMS</type><channel><name>I</name>"
    "</channel></wavedata></event></eventdata></examdescript>"
)


def film(brand: bytes) -> bytes:
    """The first box of a file of the family of MP4."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + bytes(4000)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (film(b"heic"), "an iPhone photo (HEIC). Please save it as JPEG"),
        (film(b"mif1"), "an iPhone photo (HEIC). Please save it as JPEG"),
        (film(b"avif"), "an AVIF picture. Please save it as JPEG"),
        (film(b"isom"), "a film"),
        (json.dumps(OBSERVATION).encode(), "a FHIR Observation, which cannot be read here"),
        (b"\xef\xbb\xbf" + json.dumps(OBSERVATION, indent=1).encode(), "a FHIR Observation"),
        (json.dumps({"resourceType": "Bundle", "entry": []}).encode(), "a FHIR Bundle"),
        (FHIR_XML + b"</Observation>", "a FHIR Observation, which cannot be read here"),
        (json.dumps({"ecg": [1, 2, 3]}).encode(), "JSON, which cannot be read here"),
        (b" [[0.1, 0.2], [0.1, 0.3]]", "JSON, which cannot be read here"),
        (SCHILLER.encode(), "XML of Schiller, which cannot be read here"),
        (b"<?xml version='1.0' encoding='UTF-16'?>".decode().encode("utf-16")
         + SCHILLER.encode("utf-16-le"), "XML of Schiller"),
        (b"<ecg><device>SCHILLER AT-102</device></ecg>", "XML of Schiller"),
        (b"\x1f\x8b\x08" + bytes(500), "a compressed file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["", ".xml", ".jpg", ".csv", ".heic", ".json"])
def test_what_cannot_be_read_is_named_whatever_it_is_called(tmp_path, content, what, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refused(path, f"a{suffix} is {what}", rate_hz=500, units="mV", leads="II")


@pytest.mark.parametrize("kind", ["tiff", "bmp", "gif"])
def test_other_pictures_are_to_be_saved_anew(tmp_path, kind):
    Image.new("RGB", (50, 50)).save(tmp_path / "scan", kind)
    refused(tmp_path / "scan", f"a {kind.upper()} picture. Please save it as JPEG or PNG")
