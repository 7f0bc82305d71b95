"""`Reading`: what a question asks, as it was understood, before any ECG is looked at.

The kind of question, the findings and quantities it names and what it wants of them are learned
(`ecgqa.model.reader`). What is written in signs and digits (a lead, a limit with its unit, a
formula) is taken from the text here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ecgqa.question import kinds
from ecgqa.record import LEADS

ABOVE, BELOW, WITHIN = "above", "below", "within"
SIDES = ("", ABOVE, BELOW, WITHIN)
FORMULAS = ("Bazett", "Fridericia", "Framingham", "Hodges")

# Findings that people name as one and PTB-XL's statements tell apart: any of these.
TOGETHER: dict[str, tuple[str, ...]] = {
    "bundle branch block (any)": (
        "complete left bundle branch block", "complete right bundle branch block",
        "incomplete left bundle branch block", "incomplete right bundle branch block",
    ),
    "left bundle branch block (complete or incomplete)": (
        "complete left bundle branch block", "incomplete left bundle branch block",
    ),
    "right bundle branch block (complete or incomplete)": (
        "complete right bundle branch block", "incomplete right bundle branch block",
    ),
    "fascicular block (any hemiblock)": (
        "left anterior fascicular block", "left posterior fascicular block",
    ),
    "av block (any degree)": (
        "first degree av block", "second degree av block", "third degree av block",
    ),
    "ischemia (any place)": (
        "non-specific ischemic", "ischemic in anterolateral leads", "ischemic in inferior leads",
        "ischemic in inferolateral leads", "ischemic in anteroseptal leads",
        "ischemic in lateral leads", "ischemic in anterior leads",
    ),
    "subendocardial injury (any place)": (
        "subendocardial injury in anteroseptal leads",
        "subendocardial injury in anterolateral leads", "subendocardial injury in inferior leads",
        "subendocardial injury in lateral leads", "subendocardial injury in inferolateral leads",
    ),
    "atrial enlargement (left or right)": (
        "left atrial overload/enlargement", "right atrial overload/enlargement",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """A limit that a question names. unit: "ms", "per min", "mV", "°" or "" where none is said.

    high: the upper one of two, of which `value` is the lower.
    """

    value: float
    unit: str = ""
    high: float | None = None

    def words(self) -> str:
        """As it is written back: "500 ms", "40 to 60 per min"."""
        to = "" if self.high is None else f" to {self.high:g}"
        return f"{self.value:g}{to} {self.unit}".rstrip()


@dataclass(frozen=True)
class Reading:
    """What a question was understood to ask.

    kind: one of `Reader.kinds`. findings, quantities: what it names, the likeliest first. side:
    of a range, threshold or change ("" where none is asked for). absent: "yes" means that the
    finding is not there. fate: what must have become of it between two ECGs, "" for one ECG.
    leads, limit, formula: as they are written. sure: 0..1, of the least sure part of it. parts: the
    questions of which several were asked at once.
    """

    text: str
    kind: str
    findings: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    side: str = ""
    absent: bool = False
    fate: str = ""
    leads: tuple[str, ...] = ()
    limit: Limit | None = None
    formula: str = ""
    sure: float = 1.0
    parts: tuple[Reading, ...] = field(default=())


# Signs and digits -------------------------------------------------------------------------------

_LEAD = re.compile(
    r"(?<![\w.])(?:(?P<one>a\s?v\s?[rlf]|v\s?[1-6])|leads?\s+(?P<limb>i{1,3}|[123])|"
    r"(?P<upper>I{1,3}))(?![\w.%°])",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\bV\s?([1-6])\s?(?:-|–|to|through)\s?V?\s?([1-6])\b", re.IGNORECASE)
_NUMBER = r"[-−+]?\d+(?:[.,]\d+)?"
_UNIT = (
    r"milliseconds?|msecs?|ms|seconds?|secs?|s|beats per minute|beats a minute|beats/min|"
    r"per min(?:ute)?|/\s?min|bpm|millivolts?|mv|microvolts?|µv|uv|millimet(?:er|re)s?|mm|"
    r"degrees?|deg|°|%|percent"
)
_LIMIT = re.compile(
    rf"(?<![\w.])(?P<low>{_NUMBER})(?:\s?(?:{_UNIT})?\s?(?:-|–|to|and|bis)\s?(?P<high>{_NUMBER}))?"
    rf"\s?(?P<unit>{_UNIT})?(?!\w)",
    re.IGNORECASE,
)
_SMALL = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SPELLED = {word: float(i) for i, word in enumerate(_SMALL, 1)} | {
    word: 10.0 * i for i, word in enumerate(_TENS, 2)
} | {"half": 0.5, "hundred": 100.0}  # fmt: skip
_WORD = rf"(?:{'|'.join(_SPELLED)})"
_IN_WORDS = re.compile(
    rf"\b(?P<minus>minus\s+)?(?P<words>(?:a\s+(?=hundred))?{_WORD}(?:(?:\s+and)?(?:\s+a)?[\s-]+{_WORD})*)"
    rf"(?:\s+a)?(?=\s+(?:{_UNIT})(?!\w))",
    re.IGNORECASE,
)
_AGE = re.compile(
    r"\b\d{1,3}[\s-]*(?:years?[\s-]*old|year|yr|yo|y/o|y\.o\.|yrs|m\b|f\b|male|female|kg|pm|am|h\b|"
    r"days?|weeks?|months?|hours?|hrs?|min(?:utes)? (?:ago|before))|\b\d+/\d+\b|"
    r"\b(?:bp|k|age|aged|room|bed|trop\w*)\s*[:=]?\s*\d+(?:[.,]\d+)?",
    re.IGNORECASE,
)
_NO_LIMIT = re.compile(
    r"\b(?:ecgs?|ekg|tracing|recording|trace|number|no\.?)\s?#?\s?[12]\b|\bV\s?[1-6]\b|"
    r"\b(?:lead|leads)\s+[123]\b|\b12[- ]lead\b",
    re.IGNORECASE,
)


def leads_in(text: str) -> tuple[str, ...]:
    """The leads that a text names, in the order of `LEADS`."""
    found: set[str] = set()
    for first, last in _RANGE.findall(text):
        found |= {f"V{i}" for i in range(int(first), int(last) + 1)}
    for match in _LEAD.finditer(text):
        if match["upper"] and match["upper"] != match["upper"].upper():
            continue  # "i" and "ii" in small letters only behind "lead"
        if match["upper"] == "I" and not _lists_lead_one(text, match):
            continue  # a person
        name = re.sub(r"\s", "", match["one"] or match["limb"] or match["upper"])
        name = {"1": "I", "2": "II", "3": "III"}.get(name, name)
        found.add(next(lead for lead in LEADS if lead.lower() == name.lower()))
    return tuple(lead for lead in LEADS if lead in found)


def _lists_lead_one(text: str, match: re.Match[str]) -> bool:
    """Whether an "I" stands among leads, as in "I, aVL" or "in I?"."""
    before, after = text[: match.start()], text[match.end() :]
    return bool(
        re.search(r"\b(?:in|of|leads?|and|or)\s*$|[,/]\s*$", before)
        and re.match(r"\s*(?:[?.!,/;]|$|and\b|or\b|\+)", after)
    )


def limit_in(text: str) -> Limit | None:
    """The limit that a text names, in ms, per min, mV, ° or as it is written; None without one.

    Ages, hours, blood pressures and the like are none.
    """
    plain = _AGE.sub(" ", _NO_LIMIT.sub(" ", _IN_WORDS.sub(_digits, text)))
    best = None
    for match in _LIMIT.finditer(plain):
        if best is None or (match["unit"] and not best["unit"]):
            best = match
    if best is None:
        return None

    def number(said: str) -> float:
        return float(said.replace(",", ".").replace("−", "-"))

    low = number(best["low"])
    high = number(best["high"]) if best["high"] else None
    factor, unit = _unit(best["unit"] or "")
    return Limit(round(low * factor, 6), unit, None if high is None else round(high * factor, 6))


def _digits(said: re.Match[str]) -> str:
    """A number in words ("one hundred and twenty", "two and a half") in digits."""
    total, below = 0.0, 0.0
    for word in re.split(r"[\s-]+", said["words"].lower()):
        if word == "hundred":
            total, below = total + 100 * (below or 1), 0.0
        else:
            below += _SPELLED.get(word, 0.0)  # "a", "and"
    return f"{'-' if said['minus'] else ''}{total + below:g}"


def _unit(said: str) -> tuple[float, str]:
    """What a number in this unit is multiplied by, and the unit that it then has."""
    said = said.lower().replace(" ", "")
    if said.startswith(("milliv", "mv")):
        return 1.0, "mV"
    if said.startswith(("microv", "µv", "uv")):
        return 0.001, "mV"
    if said.startswith(("millim", "mm")):
        return 0.1, "mV"  # at 10 mm/mV
    if said.startswith(("millis", "ms")):
        return 1.0, "ms"
    if said.startswith(("sec", "s")):
        return 1000.0, "ms"
    if said.startswith(("beats", "bpm", "per", "/")) and not said.startswith("percent"):
        return 1.0, "per min"
    if said.startswith(("deg", "°")):
        return 1.0, "°"
    return 1.0, ""


def formula_in(text: str) -> str:
    """The formula of QTc that a text names, in full or by its letter (QTcF); "" for none."""
    short = re.search(r"\bqtc[-_ ]?([bfh])\b", text, re.IGNORECASE)
    if short:
        return {"b": "Bazett", "f": "Fridericia", "h": "Hodges"}[short[1].lower()]
    return next((name for name in FORMULAS if name.lower()[:7] in text.lower()), "")


# In words ---------------------------------------------------------------------------------------

_PHRASES = {
    "normal ecg": "a normal ECG", "abnormal ecg": "anything abnormal",
    "none of myocardial infarction": "no infarct",
    "voltage criteria (qrs) for left ventricular hypertrophy": (
        "voltage criteria for left ventricular hypertrophy"
    ),
    "bigeminal pattern (unknown origin, supraventricular, or ventricular)": "a bigeminal pattern",
    "trigeminal pattern (unknown origin, supraventricular, or ventricular)": "a trigeminal pattern",
    "non-specific intraventricular conduction disturbance (block)": (
        "non-specific intraventricular conduction disturbance"
    ),
    "low qrs voltages in the frontal and horizontal leads": (
        "low QRS voltages in limb and chest leads"
    ),
    "non-specific ischemic": "non-specific ischemic changes", "abnormal qrs": "an abnormal QRS",
    "normal functioning artificial pacemaker": "a pacemaker rhythm",
}  # fmt: skip
_CAPITALS = re.compile(r"\b(ecg|qrs|qt|pr|av|st|p|q|r|t|rr)\b")


def phrase(finding: str) -> str:
    """A finding as it reads in a sentence."""
    said = _PHRASES.get(finding) or finding.split(" (")[0]
    said = re.sub(r"^ischemic in", "ischemic changes in", said)
    said = re.sub(r"\bst/t\b|\bst-t\b", "ST-T", said)
    return _CAPITALS.sub(lambda word: word[0].upper(), said).replace("QT corrected", "QTc")


def understood(reading: Reading) -> str:
    """What a question was understood to ask, in one line; "" where there is nothing to repeat."""
    if reading.parts:
        return " ".join(filter(None, map(understood, reading.parts)))
    what = [phrase(name) for name in reading.findings]
    what += [(reading.formula and f"{name} ({reading.formula})") or name for name in
             map(phrase, reading.quantities)]  # fmt: skip
    where = f" in {', '.join(reading.leads)}" if reading.leads else ""
    fate = {
        "resolved": " in the first ECG, no longer in the second", "new": " new in the second ECG",
        "kept": " in both ECGs", "absent": " in neither ECG",
    }.get(reading.fate, "")  # fmt: skip
    listed = " and ".join(what) + where + fate
    kind = reading.kind
    if kind == "one of two":
        return f"{' or '.join(what)}?" if what else ""
    if kind == kinds.THRESHOLD and reading.limit:
        side = {ABOVE: "above", BELOW: "below", WITHIN: "within"}[reading.side or ABOVE]
        return f"{listed} {side} {reading.limit.words()}?"
    if kind == kinds.THRESHOLD:
        return f"value of {listed}?" if what else ""
    if kind == kinds.CHANGE:
        went = {ABOVE: "increased", BELOW: "decreased", WITHIN: "unchanged", "": "change"}
        return f"{listed}: {went[reading.side]}?"
    if kind == "yes or no" and reading.side and what:
        what = what[:1]
        listed = what[0] + where + fate
        side = {ABOVE: "above", BELOW: "below", WITHIN: "within"}[reading.side]
        return f"{listed} {side} the normal range?"
    if kind == "yes or no":
        return f"{'absence of ' if reading.absent else ''}{listed}?" if what else ""
    plain = {
        kinds.NUMBER: f"value of {listed}", kinds.REPORT: "a report",
        kinds.DIFFERENCE: "what changed from the first ECG to the second",
        kinds.WHERE: f"where: {listed or 'it'}", kinds.WHEN: "when",
        kinds.WHY: "why the last answer", kinds.HOW_SURE: "how sure the last answer is",
        kinds.SINCE_WHEN: "since when", kinds.ADVICE: "advice on what to do", kinds.OUTSIDE: "",
        kinds.UNTRAINED: "", kinds.FOLLOW_UP: "", kinds.SEVERAL: "",
    }  # fmt: skip
    if kind in plain:
        return plain[kind] and f"{plain[kind]}?"
    return "" if kind == kinds.LANGUAGE else f"a list ({kind.replace('_', ' ')}{where}{fate})?"
