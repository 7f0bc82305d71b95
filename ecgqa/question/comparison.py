"""A question that compares where two ECGs are there, and is about one where there is one.

`wording.compares` knows the words that make no sense of one recording. "Is the rate faster?" makes
sense of one, as a question for a fast rate; of two it asks for the change from the first to the
second. `asks_of_two` tells such a question by its words, `as_change` turns its reading into that
of a change: of the quantity that it names or means, or of everything that was measured.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ecgqa.model.ecg_model import YES_OR_NO
from ecgqa.question import kinds
from ecgqa.question.reading import ABOVE, BELOW, WITHIN, Reading, leads_in
from ecgqa.question.wording import compares

WRITTEN_SURE = 0.9  # how surely a question is read whose words say what it compares
READ_SURE = 0.4  # sureness from which the reader's quantity counts where no word names one

_MORE = (
    r"faster|quicker|(?<!no )(?<!any )longer|wider|broader|higher|bigger|larger|greater|"
    r"taller|deeper|steeper|"
    r"stronger|(?:more|less) (?:prolonged|marked|pronounced|irregular|regular|rapid|elevated|"
    r"depressed|deviated|vertical|horizontal|abnormal|severe|extensive|frequent|leftwards?|"
    r"rightwards?|left|right|to the (?:left|right))"
)
_LESS = r"slower|shorter|narrower|lower|smaller|shallower|flatter|weaker"
_JUDGED = r"better|worse"
_HOW_FAR = (
    r"(?:any|much|even|a bit|a little|a lot|far|slightly|significantly|markedly|clearly|still) "
)
_END = r"(?= ?(?:[?.!,;:]|$))"
# What may follow a comparative that stands for itself; "a higher degree", "lower lateral" do not.
_BY_ITSELF = (
    rf"(?:{_END}|(?= (?:now|today|here|this time|again|overall|too|as well|at all|or|and|but|by|"
    r"than|in (?:leads? )?(?:the (?:second|later)|this|v\s?[1-6]|av[rlf]|i{1,3}\b))))"
)
_BEGINS = r"(?:^|[,;] |\b(?:and|or|but|how|far) )"
_COMPARATIVE = re.compile(rf"\b(?:{_MORE}|{_LESS}|{_JUDGED}){_BY_ITSELF}", re.I)
_WENT = re.compile(
    rf"{_BEGINS}(?:has|have|had|did|is|are)(?:n't)?\b.*\b(?:got|gotten|gone|go|going|came|come|coming|"
    rf"become|becoming|getting|grown)\b (?:{_HOW_FAR})*(?:{_MORE}|{_LESS}|{_JUDGED}|up|down)"
    rf"{_BY_ITSELF}",
    re.I,
)
_ROSE = (
    r"r[io]se|risen|increased?|sped up|speed(?:ed)? up|accelerated?|lengthen(?:ed)?|widen(?:ed)?"
)
_FELL = (
    r"fall|fell|fallen|decreased?|slow(?:ed)?(?: down)?|drop(?:ped)?|shorten(?:ed)?|narrow(?:ed)?"
)
_OTHERWISE = r"shift(?:ed)?|moved?|worsen(?:ed)?|improved?|progress(?:ed)?|evolved?|deteriorated?"
_MOVED = re.compile(
    rf"{_BEGINS}(?:has|have|had|did)(?:n't)?\b.*\b(?:{_ROSE}|{_FELL}|{_OTHERWISE})"
    rf"(?:{_BY_ITSELF}|(?= (?:much|significantly|markedly|to the (?:left|right))\b))",
    re.I,
)
_SAME = r"the same|similar|identical|unchanged|stable"
_IS_SAME = re.compile(rf"\b(?:{_SAME})(?:{_END}|(?= (?:now|as (?:before|last time))\b))", re.I)
_DEGREE = (
    r"(?:(?:clinically|statistically) )?(?:significant|relevant|important|major|minor|big|real|"
    r"notable|meaningful|clinical|obvious|clear|substantial|appreciable|interval|dynamic) "
)
_AT_THE_END = (
    rf"(?:{_END}|(?= (?:now|today|here|at all|since(?: then)?|between (?:them|the two|these|"
    r"(?:the|these|both) (?:two )?(?:ecg|ekg|tracing|recording)s))(?: ?[?.!]|$)))"
)
_IT = (
    r"(?:it|they|this|these|things|anything|the (?:two|picture|patient)|"
    r"(?:the|this|these|both) (?:two )?(?:ecg|ekg|tracing|recording)s?)"
)
# What asks for everything that differs.
_WHOLE = re.compile(
    rf"(?:\b(?:any|some|a|no|what|which|the|there) (?:{_DEGREE})*|^(?:{_DEGREE})*)(?:changes?|"
    rf"differences?)(?: (?:are|is) there)?{_AT_THE_END}"
    rf"|\bwhat(?:'s| is| are| has| have|)(?: the)?(?: most)?(?: been)? (?:different|changed|"
    rf"differences?){_AT_THE_END}"
    rf"|\b(?:anything|something|nothing|much)(?: has| is| else| that)* (?:changed?|different)"
    rf"{_AT_THE_END}"
    rf"|\bhow (?:do|does|did) {_IT} (?:compare|differ|change){_AT_THE_END}"
    rf"|\b(?:has|have|did|do|does) {_IT} (?:changed?|differ|evolved?|progress(?:ed)?|improved?|"
    rf"worsen(?:ed)?|deteriorated?){_AT_THE_END}"
    rf"|\b(?:is|are|was|were|do|does|has|have|did) {_IT}(?: (?:all|looks?|become|got|gone|get|any|"
    rf"much))* (?:{_SAME}|{_JUDGED}|alike|different){_AT_THE_END}"
    rf"|^compare (?:them|these|both|the two|{_IT}){_AT_THE_END}",
    re.I,
)
# What is compared within one recording, or with what is normal.
_WITHIN_ONE = re.compile(
    r"\bthan\b(?! (?:it|they) (?:was|were|used)\b| (?:then|yesterday|in the)\b)|"
    r"(?<!heart )(?<!heart)\bbeats?\b(?! per| a min)|\b(?:complex|cycle)(?:es|s)?\b|"
    r"\bprogressive(?:ly)?\b|\bgradual(?:ly)?\b|\bwith (?:each|every)\b|\bacross\b|\buntil\b|"
    r"\bthroughout\b|\bfrom (?:v\s?[1-6]|lead|one)\b|\b(?:before|after) (?:the|an?|each|every)\b|"
    r"\b(?:other|some|most|all|both) (?:leads|intervals|waves|of)\b|\bothers\b|respirat|inspirat|"
    r"\b(?:(?:ab)?normal\w*|physiological|pathological|usual|expected|typical|should|limits?|"
    r"average|reference)\b|\b(?:on|in) (?:both|either|neither)\b|"
    r"\bat the (?:end|start|beginning)\b|\b(?:first|second) half\b|"
    r"\bwaves (?:all )?(?:the same|alike|similar|identical)",
    re.I,
)
_OF_LEADS = re.compile(
    r"^(?:in |to |towards? )?(?:which|what|where)\b(?!.*\b(?:changed?|different)\b)", re.I
)
_BETWEEN_LEADS = re.compile(r"\b(?:v\s?[1-6]|av[rlf]|i{1,3})\s+(?:or|and)\s+", re.I)
_WAVE_CHANGES = re.compile(
    r"\b(?:st|t|p|q|wave|ischa?emic|repolari[sz]ation|acute|chronic)[-/ ](?:t |segment |wave )?"
    r"changes?\b",
    re.I,
)
_PART = re.compile(r"(?<=[.!?:;])\s+")

_NAMED = (
    ("qt corrected", r"qtc\w?|corrected qt"),
    ("qt interval", r"qt"),
    ("pr interval", r"p[rq]|av conduction"),
    ("p axis", r"p[- ](?:wave )?axis"),
    ("t axis", r"t[- ](?:wave )?axis"),
    ("qrs axis", r"axis"),
    ("cornell voltage", r"cornell\w*"),
    ("sokolow-lyon index", r"sokolow\w*|(?:qrs )?voltages?"),
    ("qrs duration", r"qrs(?! (?:axis|voltage|amplitude))"),
    ("rr interval", r"r-?r"),
    ("heart rate", r"(?:heart |ventricular |sinus )?rate|pulse|hr|heart ?beat|rhythm|heart"),
)
_CHANGE_OF = re.compile(
    rf"\b(?:any|some|a|no|what|the|there) (?:{_DEGREE})*(?:changes?|differences?) (?:in|of) "
    rf"(?:the )?(?:{'|'.join(words for _, words in _NAMED)})(?: interval| duration| time)?"
    rf"{_BY_ITSELF}"
    rf"|\bhow much (?:{_MORE}|{_LESS})\b",
    re.I,
)
# What a comparative is said of where nothing is named.
_MEANT = (
    ("heart rate", r"faster|quicker|slower|slow(?:ed)?(?: down)?|spe?ed(?:ed)? up|accelerat\w+"),
    ("qrs axis", r"leftwards?|rightwards?|(?:more|shifted|moved) (?:to the )?(?:left|right)"),
    ("qrs duration", r"wider|broader|narrower|widen(?:ed)?|narrow(?:ed)?"),
)  # fmt: skip
_ON_SIDE = (
    (WITHIN, rf"{_SAME}"),
    (BELOW, r"less \w+|leftwards?|(?:more |to the )left"),
    (ABOVE, rf"(?!less){_MORE}|up|{_ROSE}"),
    (BELOW, rf"{_LESS}|down|{_FELL}"),
)
_ASKS_OPENLY = re.compile(r"^(?:what|which|how|by how|where|compare|tell)\b", re.I)
_NOT_TURNED = (kinds.ADVICE, kinds.LANGUAGE, kinds.REPORT, kinds.WHY, kinds.HOW_SURE)


def _asked(question: str) -> str:
    """The question in a message that also tells a story, without changes of a wave."""
    words = " ".join(_WAVE_CHANGES.sub(" ", question.replace("’", "'")).split())
    parts = _PART.split(words)
    return " ".join([part for part in parts if part.endswith("?")] or parts[-1:])


def compares_everything(question: str) -> bool:
    """Whether a question asks for all that differs, as "any significant change?"."""
    return _WHOLE.search(_asked(question)) is not None


def _compares_something(question: str) -> bool:
    asked = _asked(question)
    if _WITHIN_ONE.search(asked) or _OF_LEADS.search(asked) or _BETWEEN_LEADS.search(asked):
        return False
    return any(words.search(asked) for words in (_COMPARATIVE, _WENT, _MOVED, _IS_SAME, _CHANGE_OF))


def asks_of_two(question: str) -> bool:
    """Whether a question compares, where there are two ECGs to compare."""
    return compares(question) or compares_everything(question) or _compares_something(question)


def asks_openly(question: str) -> bool:
    """Whether no yes and no no would be an answer, as to "what is different?"."""
    return _ASKS_OPENLY.search(question.strip()) is not None


def as_change(read: Reading) -> Reading:
    """A reading of a question about two ECGs, as one of a change where its words compare.

    Findings ("has the bundle branch block gone?") stay what they were read as.
    """
    if read.parts:
        return replace(read, parts=tuple(map(as_change, read.parts)))
    if read.kind in _NOT_TURNED:
        return read
    if compares_everything(read.text):
        return replace(
            read, kind=kinds.DIFFERENCE, findings=(), quantities=(), side="", fate="",
            absent=False, sure=max(read.sure, WRITTEN_SURE),
        )  # fmt: skip
    if not _compares_something(read.text):
        return read
    asked = _asked(read.text)
    named = _first(_NAMED, asked) or ("" if leads_in(asked) else _first(_MEANT, asked))
    if named and named not in read.quantities:
        quantities, sure = (named,), max(read.sure, WRITTEN_SURE)
    elif read.quantities and (named or read.sure >= READ_SURE):
        quantities, sure = read.quantities, max(read.sure, WRITTEN_SURE if named else 0.0)
    else:
        return read
    if read.kind == YES_OR_NO and read.findings and not named:
        return read
    side = "" if asks_openly(asked) else _side(asked)
    return replace(
        read, kind=kinds.CHANGE, findings=(), quantities=quantities, side=side, fate="",
        absent=False, limit=None, sure=sure,
    )  # fmt: skip


def _first(patterns: tuple[tuple[str, str], ...], text: str) -> str:
    """The first name whose words stand in a text, "" for none."""
    return next(
        (name for name, words in patterns if re.search(rf"\b(?:{words})\b", text, re.I)), ""
    )


def _side(text: str) -> str:
    """Which way a question says that it went; "" where it says both or neither."""
    sides: set[str] = set()
    for side, words in _ON_SIDE:
        text, found = re.subn(rf"\b(?:{words})\b", " ", text, flags=re.I)
        if found:
            sides.add(side)
    return sides.pop() if len(sides) == 1 else ""
