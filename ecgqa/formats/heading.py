"""The lines above a table of samples → what they say of the recording and the patient.

Watches write them in the language of the phone: "Aufzeichnungsdatum", "Fecha de registro".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ecgqa.formats.header import FIRST_BIRTH, age_of, clean_text, date_of, header_of, sex_of
from ecgqa.formats.units import millivolts_per
from ecgqa.record import Header

_LABELS = {
    "name": r"(?:patient(?:'s)?[ _]?)?name|patient|nombre|nom|nome|naam|namn|navn|imi[ęe]"
            r"(?: i nazwisko)?",
    "id": r"(?:patient|subject)(?:'s)?[ _-]?(?:id|no|nr|number|nummer)|patientennummer|mrn|id",
    "born": r"date of birth|birth[ _]?da(?:te|y)|dob|geburts(?:tag|datum)|fecha de nacimiento"
            r"|date de naissance|data di nascita|data de nascimento|geboortedatum"
            r"|f[öo]delsedatum|f[øo]dselsdato|data urodzenia",
    "recorded": r"(?:date )?recorded(?: date| on| at)?|(?:ecg|recording|acquisition)[ _]?date|date"
                r"|aufzeichnungsdatum|aufgezeichnet am|fecha de (?:registro|grabaci[óo]n)"
                r"|date d.enregistrement|data di registrazione"
                r"|data d[aeo] (?:grava[çc][ãa]o|registro)"
                r"|(?:opname|registratie)datum|(?:inspelnings|registrerings)datum"
                r"|(?:optagelses|registrerings|opptaks)dato|data (?:zapisu|nagrania|rejestracji)",
    "device": r"device|ger[äa]t|dispositivo|appareil|apparecchio|apparaat|enhet|enhed|recorder"
              r"|urz[ąa]dzenie|model",
    "age": r"(?:patient(?:'s)?[ _]?)?age|alter|edad|[âa]ge|et[àa]|idade|leeftijd|[åa]lder|wiek",
    "sex": r"sex|gender|geschlecht|sexo|sexe|sesso|geslacht|k[öø]n|kjønn|p[łl]e[ćc]",
    "filter": r"filters?|bandwidth|bandbreite|filtro|filtre",
}  # fmt: skip
_LINE = re.compile(r"[\s\"'#%/]*(?P<label>[^,;:=\t\"]{2,40}?)[\s\"']*[,;:=\t](?P<value>.*)")


def header_in(heading: Sequence[str]) -> Header:
    """What the lines say, one fact a line: its label, a separator, and the fact."""
    found: dict[str, str] = {}
    for line in heading:
        match = _LINE.fullmatch(line[:300])
        if match is None:
            continue
        label, value = match["label"].strip().casefold(), match["value"].strip(" \t\"',;")
        for meaning, words in _LABELS.items():
            # "Enhet" is a device in one language and a unit in the next.
            is_unit = meaning == "device" and millivolts_per(value) is not None
            if value and not is_unit and re.fullmatch(words, label):
                found.setdefault(meaning, value)
                break
    return header_of(
        age=age_of(found.get("age")),
        born=date_of(found.get("born"), earliest=FIRST_BIRTH),
        sex=sex_of(found.get("sex")),
        recorded=date_of(found.get("recorded")),
        device=clean_text(found.get("device")),
        filter_text=clean_text(found.get("filter")),
        identity=(("name", found.get("name")), ("id", found.get("id"))),
    )
