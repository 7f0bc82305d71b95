"""What a question's words alone tell: is it about two recordings, does it ask for an absence.

Of two recordings are only words that make no sense of one: "a recent infarct" and "ST changes" are
seen in one ECG, "the recent ECG" and "has it changed?" take two. The rules were written by ECG-QA's
and the training's 27,000 wordings, and tell 94 % of those about two ECGs and 99.9 % of the others.
"""

from __future__ import annotations

import re

_ECG = (
    r"(?:ecg|ekg|electrocardiogram|tracing|recording|trace|record|study|exam|examination|strip|"
    r"visit|check|test|one)s?"
)
_EARLIER = (
    r"(?:first|1st|other|previous|prior|preceding|earlier|earliest|former|old|older|oldest|initial|"
    r"original|baseline|past|comparison|reference)"
)
_LATER = (
    r"(?:second|2nd|recent|latest|later|latter|last|newer|newest|new|next|repeat|repeated|"
    r"follow-?up|following|subsequent)"
)
_BEFORE = r"(?:before|previously|earlier|formerly|initially|back then|in the past|to begin with)"
_NOW = r"(?:now|today|nowadays|currently|later|subsequently|afterwards?|in the end)"
_END = r"(?= ?(?:[?.!,;:]|$))"
# Not if it is something within one recording that differs, is compared or changes.
_WHOLE = (
    r"(?!(?: (?:of|in|to|from|with|between|the|that|a|its|this|patient's|lead|wave|segment))* "
    r"(?:v[1-6]|av[rlf]|i{1,3}|leads?|limb|chest|precordial|normal|reference|[pqrst]|qrs|beats?|"
    r"form|shape|morphology|size|amplitude|height|expected)\b)"
)
_CHANGE_SEEN = re.compile(
    r"\b(?:st|t|p|q|wave|ischa?emic|repolari[sz]ation)[-/ ](?:t |segment |wave )?changes?\b", re.I
)
_RECORDINGS = (  # another one than this, or both
    rf"(?:{_EARLIER}|{_LATER}) (?:ecg |heart |rhythm |12-lead )?{_ECG}",
    rf"(?:first|second|1st|2nd|former|latter)(?:{_END}|(?= (?:and|but|or|nor|not|only|alone|than|"
    r"too|as|compared|versus|vs|while|though|although|is|was|has|had|does|did|shows?|to|from)\b))"
    r"(?!,? (?:and|or|to) (?:the )?(?:1st|first|2nd|second|3rd|third|last))",
    r"(?:first|second|older|newer|earlier|later) of (?:the|these) (?:two|pair|patient's)",
    r"(?:ecg|ekg|tracing|recording|number) (?:no\.? |number |# ?)?(?:1|2|one|two)",
    r"(?:two|both) (?:of )?(?:the |these |my )?(?:ecg|ekg|tracing|recording|trace|strip|record)s",
    r"(?:the|these|my|all) (?:ecgs|ekgs|electrocardiograms|tracings|recordings)",
    r"(?:each|neither|either|(?:the|this) pair of) (?:ecg|ekg|tracing|recording)s?",
    r"(?:in|on|of) the (?:former|latter)",
    rf"(?:between|on|in) (?:the|these) (?:two|pair){_END}|(?:do|have|are) the two",
    rf"(?:in|on|of|for|by|from|to|neither of) both{_END}|(?:are|do) both (?:free|normal|abnormal)",
    r"both (?:times?|time points|of them|now|then|before|at)",
    rf"{_EARLIER} and (?:the |then )?(?:{_LATER}|{_NOW}|current|present)(?! (?:beat|complex|half))",
)
_COURSE = (  # what became of a finding, when, and how two recordings differ
    r"(?:un)?changed",
    rf"(?:do|does|did) (?:(?!shows?|have|suggest|see|there)[^ ?]+ )+change(?!s){_WHOLE}",
    rf"changes? (?:since|between|from|compared|over time){_WHOLE}",
    r"(?:(?:what|which|any|there|the|a|no) |^)changes?(?: are there)?(?=\W*$)",
    r"(?:any|is there a|no) change in(?! (?:the |lead )*(?:form|shape|leads?|av[rlf]|v[1-6]))",
    r"(?<!old or )new(?:ly)?(?! (?:patient|stroke|drug|medication|symptom|referral))",
    r"still|no longer|any ?more|any longer|as before|back to normal|continues? to",
    r"resolv(?:e|es|ed|ing)|resolution|gone(?! up| down)|went away|go(?:es)? away|"
    r"disappear\w*|vanish\w*",
    r"appeared|reappear\w*|persist(?:s|ed|ing)?|remain(?:s|ed|(?! \w+ful))|stay(?:s|ed)?",
    r"(?:has|have|had|did)\b[^?]*\b(?:widened?|narrowed|lengthened|shortened|increased?|decreased?|"
    r"risen|fallen|developed?|evolved?|improved?|worsened?|progressed|regressed|normali[sz]ed?|"
    r"recover(?:ed)?|becom(?:e|ing)|became|turned|return(?:ed)?|cleared|come back|emerged?|lost|"
    r"lose|acquired?|stop(?:ped)?|started|kept|continued)",
    r"since(?! when)|meanwhile|in the meantime|(?:in|over|across) the interval|over time|"
    r"than before",
    r"(?:last|this|second|first) time|at (?:baseline|follow-?up)|baseline and follow-?up",
    r"then and (?:not )?now|then and \w+ now|past and present",
    rf"(?:(?:was|were)(?:n't)?|use to|{_BEFORE})\b.*\b{_NOW}|{_NOW}\b.*\b{_BEFORE}",
    rf"compar(?:e|es|ed|ing|ison){_WHOLE}",
    rf"differ(?:s|ed|ences?)?{_WHOLE}",
    rf"different(?:ly)?(?:{_END}|(?= (?:from|than|to|in|now|between|compared)\b)){_WHOLE}",
)
_OTHER_ECG, _CHANGED = (
    re.compile(rf"\b(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE) for parts in (_RECORDINGS, _COURSE)
)
_PART = re.compile(r"(?<=[.!?:;])\s+")
# "A new infarct in this ECG" is a fresh one; "new in this ECG" was not there before.
_THIS_ECG = re.compile(r"\bthis (?:ecg|ekg|tracing|recording|trace)\b", re.IGNORECASE)
_FRESH = re.compile(
    r"\bnew(?:ly)?[ -](?!in |on |here|now|since|than|compared)(?=\w)", re.IGNORECASE
)


def comparing_words(question: str) -> str:
    """The words by which a question is about two recordings, "" where it is about one."""
    words = _CHANGE_SEEN.sub(" ", question)
    if _THIS_ECG.search(words):
        words = _FRESH.sub(" ", words)
    # "Chest pain since noon: is there an infarct?" tells a course, and asks for none.
    parts = _PART.split(words.strip())
    asked = " ".join([part for part in parts if part.endswith("?")] or parts[-1:])
    found = _OTHER_ECG.search(words) or _CHANGED.search(asked)
    return found[0] if found else ""


def compares(question: str) -> bool:
    """Whether a question, by its wording, is about two recordings."""
    return bool(comparing_words(question))


_ABSENT = re.compile(
    r"\b(?:rul(?:e|es|ed|ing) out|exclud\w+|exclusion|absen\w+|free (?:of|from)|clear of|no|not|"
    r"cannot|\w+n't|none|never|neither|nor|without|lack(?:s|ing)?|missing|miss(?:es)?|den(?:y|ied)|"
    r"negative|unlikely)\b(?!-)",
    re.IGNORECASE,
)


def negates(question: str) -> bool:
    """Whether "yes" may mean, by the wording, that a finding is absent."""
    return _ABSENT.search(question.replace("’", "'")) is not None
