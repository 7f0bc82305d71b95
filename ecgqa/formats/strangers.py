"""Files that are often handed over and cannot be read: what they are, and what to do with them.

They are known by their content, whatever their names say.
"""

from __future__ import annotations

import re

from ecgqa.formats.upload import Upload
from ecgqa.formats.xml_tree import looks_like_xml

_HEAD_BYTES = 65_536
_READABLE = "DICOM, SCP-ECG or HL7 aECG, or as PDF"
_SAVE_PICTURE = "Please save it as JPEG or PNG."
# ISO/IEC 23008-12 and AV1: a box "ftyp" with the brands of the file.
_APPLE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BEGINNINGS = (
    (b"\x1f\x8b", "a compressed file. Please unpack it first."),
    (b"II*\0", f"a TIFF picture. {_SAVE_PICTURE}"),
    (b"MM\0*", f"a TIFF picture. {_SAVE_PICTURE}"),
    (b"GIF8", f"a GIF picture. {_SAVE_PICTURE}"),
    (b"BM", f"a BMP picture. {_SAVE_PICTURE}"),
)
_FHIR = re.compile(rb"\"resourceType\"\s*:\s*\"(\w{1,40})\"|http://hl7\.org/fhir")
_FHIR_ELEMENT = re.compile(rb"<(\w{1,40})[^<>]*xmlns=[\"']http://hl7\.org/fhir[\"']")


def stranger(upload: Upload) -> str:
    """What a file is that cannot be read here, and what helps: the end of a sentence; else ""."""
    head = upload.head(_HEAD_BYTES)
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning) and (beginning != b"BM" or head[6:10] == bytes(4)):
            return what
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    if looks_like_xml(head[:256]):
        return _of_xml(head)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{") or re.match(rb"\[\s*[\[{\"\d-]", text):
        return _of_json(head)
    return ""


def _of_brand(brand: bytes) -> str:
    if brand in _APPLE_BRANDS:
        return f"an iPhone photo (HEIC). {_SAVE_PICTURE}"
    if brand in (b"avif", b"avis"):
        return f"an AVIF picture. {_SAVE_PICTURE}"
    return "a film, not an ECG."


def _of_xml(head: bytes) -> str:
    lower = head.lower().replace(b"\0", b"")  # some are UTF-16
    if b"schiller" in lower or (b"<eventdata" in lower and b"<wavedata" in lower):
        return f"XML of Schiller, which cannot be read here. Please export the ECG as {_READABLE}."
    if element := _FHIR_ELEMENT.search(head):
        return _fhir(element[1].decode("ascii", "replace"))
    return ""


def _of_json(head: bytes) -> str:
    if found := _FHIR.search(head):
        return _fhir((found[1] or b"resource").decode("ascii", "replace"))
    return f"JSON, which cannot be read here. Please save the ECG as CSV, or as {_READABLE}."


def _fhir(kind: str) -> str:
    return f"a FHIR {kind}, which cannot be read here. Please export the ECG as {_READABLE}."
