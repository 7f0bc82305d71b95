"""XML files → their tree of elements, safely.

Carts write XML in many encodings, and archives change the encoding without changing the line that
states it. So the text is decoded here, by what the bytes are. What an attacker could put into XML
(entities that unfold to gigabytes, references to other files, endless nesting) is refused:
entities by defusedxml, nesting and numbers of elements by counting while parsing.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from ecgqa.formats.upload import Upload, shown
from ecgqa.record import EcgFileError

MAX_DEPTH = 60
MAX_ELEMENTS = 200_000
"""An aECG with every beat of ten minutes annotated stays below; each one costs memory."""

_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_ZEROS = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]{0,500}?\?>")
# XML allows no control characters, but some carts write them into names and comments.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_HEAD_BYTES = 2**16
_NUMBER = re.compile(r"[+-]?\d{0,30}(?:[.,]\d{0,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_FOREIGN = re.compile(r"[^\d+\-.e \nainf]", re.ASCII | re.IGNORECASE)


def looks_like_xml(head: bytes) -> bool:
    """True for the first bytes of XML or HTML, in any encoding."""
    return _decoded(head[:256]).lstrip().startswith("<")


def root_name(upload: Upload) -> str:
    """Name of the outermost element, lower case, without namespace ("restingecgdata").

    Raises EcgFileError when the file is no well-formed XML up to there.
    """
    for _, element in _events(upload, _decoded(upload.head(_HEAD_BYTES))):
        return local_name(element).casefold()
    raise EcgFileError(f"{shown(upload.name)} is XML without content, or HTML.")


def xml_tree(upload: Upload) -> Element:
    """The outermost element of the file, with everything in it.

    Names keep their namespaces in ElementTree's spelling; see `local_name` and `children`.
    Raises EcgFileError when the file is damaged, or built to exhaust memory.
    """
    root: Element | None = None
    depth = n_elements = 0
    for event, element in _events(upload, _decoded(upload.path.read_bytes())):
        if event == "end":
            depth -= 1
            continue
        root = element if root is None else root
        depth += 1
        n_elements += 1
        if depth > MAX_DEPTH or n_elements > MAX_ELEMENTS:
            raise EcgFileError(
                f"{shown(upload.name)} is XML nested too deeply or split too finely to be an ECG."
            )
    if root is None:
        raise EcgFileError(f"{shown(upload.name)} is XML without content.")
    return root


def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, *names: str) -> list[Element]:
    """The elements at the end of a path of local names, in any namespace and any case."""
    found = [element]
    for name in names:
        wanted = name.casefold()
        found = [c for e in found for c in e if local_name(c).casefold() == wanted]
    return found


def text_of(element: Element, *names: str) -> str:
    """Text of the first element at the end of a path of local names; "" where there is none."""
    found = children(element, *names)
    return (found[0].text or "").strip() if found else ""


def number_in(text: str | None) -> float | None:
    """A number as it stands in XML, also with a decimal comma; None for anything else."""
    match = _NUMBER.fullmatch((text or "").strip())
    try:
        number = float(match[0].replace(",", ".")) if match else math.inf
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def numbers_in(words: Sequence[str]) -> np.ndarray:
    """Samples written out, float64 [n]; NaN where "nan" or "inf" stands for no value.

    Raises ValueError for anything else that is no decimal number, and for one beyond all range.
    """
    if _FOREIGN.search(" ".join(words)):
        raise ValueError("a character that no decimal number has")
    numbers = np.array(words, dtype=np.float64)
    endless = np.flatnonzero(np.isinf(numbers)).tolist()
    if any(words[k].strip("+-").casefold() != "inf" for k in endless):
        raise ValueError("a number beyond all range")
    numbers[endless] = np.nan
    return numbers


def _decoded(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if zeros := _ZEROS.get(data[:2]):
        return data.decode(zeros, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # Right for what matters here, tags and numbers, in every 8-bit encoding that is in use.
        return data.decode("latin-1")


def _events(upload: Upload, text: str) -> Iterator[tuple[str, Element]]:
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    stream = io.BytesIO(_CONTROL.sub(" ", text).lstrip().encode("utf-8", "replace"))
    try:
        # A DOCTYPE ("restecg.dtd") is harmless: it is neither fetched nor used.
        yield from iterparse(stream, events=("start", "end"), forbid_dtd=False)
    except DefusedXmlException as error:
        raise EcgFileError(
            f"{shown(upload.name)} is XML with definitions of its own (entities), which no ECG "
            "needs. It was not read."
        ) from error
    except ParseError as error:
        raise EcgFileError(
            f"{shown(upload.name)} is damaged XML, cut off, or HTML, and cannot be read. Please "
            "export the ECG again."
        ) from error
