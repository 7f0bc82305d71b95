"""Units of voltage: what one of them is in millivolts, and where a column's name holds one."""

from __future__ import annotations

import re
import unicodedata

from ecgqa.formats.upload import shown
from ecgqa.record import EcgFileError

_MILLIVOLTS = {
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6),
    **dict.fromkeys(("uv", "μv", "mcv", "microvolt", "microvolts"), 1e-3),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
}
_WORD = "|".join(sorted(_MILLIVOLTS, key=len, reverse=True))
_STEP = re.compile(
    rf"(?P<size>\d*\.?\d+)?\s*(?P<unit>{_WORD})\s*(?:/\s*(?:bit|lsb|adu|step|count)s?)?"
)
_GAIN = re.compile(rf"(?P<steps>\d*\.?\d+)\s*(?:/|per)\s*(?P<unit>{_WORD})")
# A lone "V" after a space is a chest electrode more often than a volt: it counts in brackets only.
_AFTER_NAME = re.compile(
    rf"(?:[\[(]\s*(?P<in_brackets>[\d.]*\s*(?:{_WORD}))\s*[\])]"
    rf"|[\s_/,\-](?P<bare>(?!v$)(?:{_WORD})))\s*$"
)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:100]).strip().casefold()


def millivolts_per(units: str) -> float | None:
    """Millivolts in one of `units`, None where the text is no unit of voltage.

    Knows "mV", "uV", "µV", "V", "nV" and their long names, a step size ("5 uV", "4.88 uV/bit") and
    a gain ("1000/mV").
    """
    text = _plain(units)
    if step := _STEP.fullmatch(text):
        factor = float(step["size"] or 1) * _MILLIVOLTS[step["unit"]]
    elif (gain := _GAIN.fullmatch(text)) and float(gain["steps"]) > 0:
        factor = _MILLIVOLTS[gain["unit"]] / float(gain["steps"])
    else:
        return None
    return factor if factor > 0 else None


def units_in(name: str) -> str | None:
    """The unit that stands behind a column's name ("I (mV)", "V1_uV"), None where none does."""
    match = _AFTER_NAME.search(_plain(name))
    return (match["in_brackets"] or match["bare"]) if match else None


def to_millivolts(stated: str | None, given: str | None, where: str) -> float:
    """Millivolts per unit: as the file states it, else as the user does.

    where: what the number belongs to, for the message ("lead II of demo.hea").
    Raises EcgFileError that asks for `units` when neither is a unit of voltage.
    """
    for units in (stated, given):
        if units and (factor := millivolts_per(units)) is not None:
            return factor
    says = (
        f"gives the unit “{shown(stated)}”, not a voltage," if stated else "does not say the unit"
    )
    raise EcgFileError(
        f"The file {says} for {where}. Please say which unit the numbers are in (units: mV, uV, V, "
        "or a step size such as “5 uV”).",
        wants=("units",),
    )
