"""What files say of a recording and its patient, in all their spellings → `Header`.

No file is refused for it: what makes no sense (an age of 999, the 31st of February, a date to
come) is taken for not stated. Nor is anything guessed: 03/04/2020 may be two days, and is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

from ecgqa.formats.upload import printable
from ecgqa.record import FEMALE, MALE, OVER_89, Header

MOST_YEARS = 125  # nobody is known to have been older than 122
FIRST_ECG, FIRST_BIRTH = date(1910, 1, 1), date(1850, 1, 1)
MOST_TEXT = 80
DAYS_A_YEAR = 365.25

_UNITS_IN_YEARS = {
    "": 1.0, "y": 1.0, "j": 1.0, "a": 1.0,
    "m": 1 / 12, "w": 7 / DAYS_A_YEAR, "d": 1 / DAYS_A_YEAR, "t": 1 / DAYS_A_YEAR,
    "h": 1 / 24 / DAYS_A_YEAR,
}  # fmt: skip
_UNIT_WORD = (
    r"y|yr|yrs|years?(?: old)?|y/?o|jahre?|j|ans?|anni|a[ñn]os|m|mo|mos|mon|months?|monate?|"
    r"w|wk|wks|weeks?|wochen?|d|days?|tage?|h|hr|hrs|hours?"
)
_AGE = re.compile(rf"(\d{{1,4}}(?:[.,]\d{{1,4}})?)\s*({_UNIT_WORD})?\.?")
_OVER_89 = re.compile(r"(?:>=?|≥|over|older than)\s*(?:89|90)\b.*|(?:89|90)\s*(?:\+|or older).*")
_WORDS_OF_SEX = {
    FEMALE: (
        "f", "female", "fem", "woman", "girl", "w", "weiblich", "frau", "femenino", "mujer",
        "féminin", "femme", "femminile", "donna", "feminino", "mulher", "vrouw", "kvinna",
        "kvinde", "kobieta",
    ),
    MALE: (
        "m", "male", "man", "boy", "männlich", "maennlich", "mann", "masculino", "hombre",
        "masculin", "homme", "maschile", "uomo", "homem", "mand", "mężczyzna",
    ),
}  # fmt: skip
# By their first letters, in the ten languages of the watches' exports; the longer ones go first.
_MONTHS = {
    "juin": 6, "juil": 7,
    "jan": 1, "ene": 1, "gen": 1, "sty": 1, "feb": 2, "fev": 2, "fév": 2, "lut": 2,
    "mar": 3, "mär": 3, "mrz": 3, "mrt": 3, "maa": 3, "apr": 4, "abr": 4, "avr": 4, "kwi": 4,
    "may": 5, "mai": 5, "maj": 5, "mag": 5, "mei": 5, "jun": 6, "giu": 6, "cze": 6,
    "jul": 7, "lug": 7, "lip": 7, "aug": 8, "ago": 8, "aoû": 8, "aou": 8, "sie": 8,
    "sep": 9, "set": 9, "wrz": 9, "oct": 10, "okt": 10, "ott": 10, "out": 10, "paź": 10,
    "nov": 11, "lis": 11, "dec": 12, "dez": 12, "déc": 12, "dic": 12, "gru": 12,
}  # fmt: skip
_NOBODY = re.compile(r"[\W_x]*|none|unknown|n/a|not specified")  # written where there is no name
_CLOCK = r"(?:[T ,]+(?P<clock>\d{1,2}:\d{2}(?::\d{2})?).*)?"
_DATES = (
    re.compile(rf"(?P<y>\d{{4}})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}}){_CLOCK}"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?:(?P<clock>\d{4}(?:\d{2})?).*)?"),
    re.compile(rf"(?P<d>\d{{1,2}})[-. ]+(?:de )?(?P<word>[^\W\d_]{{3,12}})[-., ]+(?:de )?"
               rf"(?P<y>\d{{4}}){_CLOCK}"),
    re.compile(rf"(?P<word>[^\W\d_]{{3,12}})[-. ]+(?P<d>\d{{1,2}})[-., ]+(?P<y>\d{{4}}){_CLOCK}"),
)  # fmt: skip
_THREE_NUMBERS = re.compile(
    rf"(?P<a>\d{{1,2}})(?P<mark>[-/.])(?P<b>\d{{1,2}})[-/.](?P<y>\d{{4}}){_CLOCK}"
)


def age_of(text: object, unit: str = "") -> float | None:
    """An age in years as it is written: 42, 042Y, 7 months, 12D, 90+; None for none or nonsense.

    unit: of a number alone. 300 stands for older than 89, as in PTB-XL; 0 without a unit smaller
    than a year is what software writes for unknown.
    """
    plain = " ".join(str(text if text is not None else "").replace("\0", " ").casefold().split())
    if _OVER_89.fullmatch(plain):
        return OVER_89
    match = _AGE.fullmatch(plain)
    if not match:
        return None
    stated = (match[2] or unit.strip().casefold())[:1]
    years = float(match[1].replace(",", ".")) * _UNITS_IN_YEARS.get(stated, float("nan"))
    if stated in ("", "y", "j", "a"):
        if years == 300:
            return OVER_89
        if years == 0:
            return None
    return years if 0 <= years <= MOST_YEARS else None


def sex_of(text: object) -> str:
    """`FEMALE` or `MALE` as it is written in several languages, "" for anything else."""
    plain = str(text if text is not None else "").replace("\0", " ").strip(" .\t").casefold()
    return next((sex for sex, words in _WORDS_OF_SEX.items() if plain in words), "")


def date_of(text: object, order: str = "", earliest: date = FIRST_ECG) -> date | None:
    """A day, or day and time, as it is written; None for none, an unclear or an impossible one.

    order: "dmy" or "mdy" where the format says in which order 03/04/2020 is to be read; with dots
    it is the day first. A time zone is left out: the clock is the one on the wall.
    """
    plain = " ".join(str(text if text is not None else "").replace("\0", " ").split())[:60]
    for pattern in _DATES:
        if match := pattern.fullmatch(plain):
            found = match.groupdict()
            month = found.get("m") or _month(found.get("word") or "")
            return _made(found["y"], month, found["d"], found["clock"], earliest)
    match = _THREE_NUMBERS.fullmatch(plain)
    if not match:
        return None
    first, second = int(match["a"]), int(match["b"])
    order = order or ("dmy" if match["mark"] == "." or first > 12 else "mdy" if second > 12 else "")
    if not order:
        return None
    day, month = (first, second) if order == "dmy" else (second, first)
    return _made(match["y"], month, day, match["clock"], earliest)


def _month(word: str) -> int:
    plain = word.casefold()
    return next((number for start, number in _MONTHS.items() if plain.startswith(start)), 0)


def _made(
    year: object, month: object, day: object, clock: str | None, earliest: date
) -> date | None:
    """The day (and time) of these numbers, None where there was or will be no such day."""
    try:
        found = date(int(str(year)), int(str(month)), int(str(day)))
    except ValueError:
        return None
    if not earliest <= found <= date.today() + timedelta(days=1):  # a time zone may be ahead
        return None
    digits = [int(part) for part in re.findall(r"\d\d?", clock or "")]
    if len(digits) < 2 or digits[0] > 23 or max(digits[1:]) > 59:
        return found
    hour, minute, second = (*digits[:3], 0)[:3]
    return datetime.combine(found, time(hour, minute, second))


def clean_text(value: object) -> str:
    """Text out of a file as it may be shown: one short line without control characters."""
    plain = re.sub(r"[\s\0]+", " ", str(value if value is not None else ""))
    plain = printable(plain).strip()
    return plain if len(plain) <= MOST_TEXT else plain[: MOST_TEXT - 1] + "…"


def device_of(maker: object, model: object = "") -> str:
    """Maker and model in a few words."""
    made_by = re.sub(r"\(c\)|©|all rights reserved\.?", " ", str(maker or ""), flags=re.IGNORECASE)
    names = [clean_text(made_by), clean_text(model)]
    if names[1].casefold().startswith(names[0].casefold()):
        names = names[1:]
    return clean_text(" ".join(filter(None, names)))


def filter_of(low_hz: float | None, high_hz: float | None, notch_hz: float | None = None) -> str:
    """The band that the device let through, and its notch filter, in words."""
    low, high, notch = (
        hz if hz is not None and 0 < hz < 100_000 else None for hz in (low_hz, high_hz, notch_hz)
    )
    words = []
    if low is not None and high is not None:
        words.append(f"{low:g} to {high:g} Hz")
    elif low is not None:
        words.append(f"from {low:g} Hz")
    elif high is not None:
        words.append(f"up to {high:g} Hz")
    if notch is not None:
        words.append(f"notch {notch:g} Hz")
    return ", ".join(words)


def header_of(
    *,
    age: float | None = None,
    born: date | None = None,
    sex: str = "",
    recorded: date | None = None,
    device: str = "",
    filter_text: str = "",
    identity: Iterable[tuple[str, object]] = (),
) -> Header:
    """A header of these; the age follows from the date of birth where only that is stated.

    identity: labels and what stands there; what is empty or only says that it is unknown is left
    out. The date of birth is added.
    """
    if age is None and born is not None and recorded is not None:
        age = _years_between(born, recorded)
    named = [(label, clean_text(value)) for label, value in identity]
    if born is not None:
        named.append(("born", date(born.year, born.month, born.day).isoformat()))
    kept = tuple((label, text) for label, text in named if not _NOBODY.fullmatch(text.casefold()))
    return Header(age, sex, recorded, device, filter_text, kept)


def _years_between(born: date, day: date) -> float | None:
    """Whole years and the part of one since the last birthday; None where that cannot be."""
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    if not 0 <= years <= MOST_YEARS:
        return None
    leap_day = (born.month, born.day) == (2, 29)
    birthday = date(born.year + years, 3 if leap_day else born.month, 1 if leap_day else born.day)
    # Born on a leap day, on 29 February itself it is the birthday already.
    since = max(0, (date(day.year, day.month, day.day) - birthday).days)
    return years + min(since / DAYS_A_YEAR, 0.9999)
