"""Verify questions about two ECGs, put together from parts: what became of a finding or interval.

There are more ways to say that something was there and is gone than anybody writes down, and what
a small language model has not met it takes for the opposite. So most wordings are composed: a
statement about either ECG, in either order and joined in many ways; "only", "both" and "neither";
verbs of change over a span. The rest are whole phrases (`wordings.json`; those under "nouns" name
the ECGs by nouns only). For an interval "present" means: normal.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from ecgqa.answer.options import FATES

DEV_WORDINGS = Path(__file__).with_name("wordings_dev.json")  # by somebody who saw no other
# Whether the older and the newer ECG have it.
STATES: dict[str, tuple[bool, bool]] = dict(
    zip(FATES, ((True, False), (False, True), (True, True), (False, False)), strict=True)
)
NEAR = 0.86  # of the letters
# Words that need no "in" before the ECG that follows.
JOINING = {"since", "after", "with", "by", "between", "to", "and", "of", "are", "from", "than"}
# Both ECGs as nouns, the older one first.
PAIRS = (
    ("the previous tracing", "the recent tracing"), ("the earlier ECG", "the later ECG"),
    ("the first ECG", "the second ECG"), ("ECG 1", "ECG 2"), ("ECG one", "ECG two"),
    ("the old recording", "the new recording"), ("the prior ECG", "the latest ECG"),
    ("the initial ECG", "the follow-up ECG"), ("the first tracing", "the second tracing"),
    ("the first one", "the second one"), ("the first", "the second"),
    ("the old ECG", "the new ECG"), ("the previous ECG", "the current ECG"),
    ("the former recording", "the present recording"), ("the baseline ECG", "the ECG after it"),
    ("the earlier recording", "this recording"), ("the older of the two", "the newer of the two"),
    ("the former", "the latter"), ("the former ECG", "the latter ECG"),
    ("ECG number one", "ECG number two"), ("the first of the two", "the second of the two"),
    ("the first recording", "the second recording"), ("number 1", "number 2"),
)  # fmt: skip
# Both as times.
TIMES = (
    ("before", "now"), ("in the past", "today"), ("last time", "this time"),
    ("previously", "currently"), ("earlier", "later"), ("at first", "in the end"),
    ("back then", "at present"), ("formerly", "nowadays"), ("initially", "subsequently"),
    ("at baseline", "on follow-up"), ("to begin with", "afterwards"),
)  # fmt: skip
OPENERS = (
    "Is it true that", "Is it right that", "Is it correct that", "Would you say that",
    "Can one say that", "Do you agree that", "Is it so that", "Am I right that",
    "Does it hold that",
    "Could one state that", "Is it the case that", "Do you find that", "Does one see that", "", "",
)  # fmt: skip
SAME = (
    "and",
    "and also",
    "and likewise",
    "just as",
    "and, again,",
    "as well as that",
    "and",
    "while",
)
OTHER = ("but", "while", "whereas", "and yet", "although", "even though", "and", "though")
# What can be said of one ECG: {e} is the ECG as a noun, {at} where or when.
SAID = {
    "finding": {
        True: (
            "{e} shows {x}", "{e} has {x}", "{e} contains {x}", "{e} displays {x}",
            "{e} is positive for {x}", "{e} carries {x}", "{e} bears signs of {x}",
            "there is {x} {at}", "{x} is present {at}", "{x} is seen {at}", "{x} can be found {at}",
            "{x} turns up {at}", "one sees {x} {at}", "{x} is visible {at}", "{x} exists {at}",
            "{x} is on the list {at}", "{x} is evident {at}",
        ),
        False: (
            "{e} lacks {x}", "{e} does not show {x}", "{e} has no {x}", "{e} is free of {x}",
            "{e} is without {x}", "{e} is negative for {x}", "{e} bears no signs of {x}",
            "{e} fails to show {x}", "there is no {x} {at}", "{x} is absent {at}",
            "{x} is not seen {at}", "{x} cannot be found {at}", "{x} is missing {at}",
            "one sees no {x} {at}", "{x} does not turn up {at}", "{x} is not present {at}",
            "nothing like {x} exists {at}", "no trace of {x} is visible {at}",
            "{x} is nowhere to be seen {at}",
        ),
    },
    "feature": {
        True: (
            "{e} has a normal {x}", "{e} shows a {x} within its limits", "{e} has the {x} in range",
            "the {x} is normal {at}", "the {x} is within normal limits {at}",
            "the {x} lies in the normal range {at}", "the {x} is as it should be {at}",
            "the {x} is unremarkable {at}", "nothing is wrong with the {x} {at}",
            "the {x} is all right {at}", "the {x} is not abnormal {at}", "the {x} is in order {at}",
        ),
        False: (
            "{e} has an abnormal {x}", "{e} shows a {x} outside its limits",
            "{e} has the {x} out of range", "the {x} is abnormal {at}",
            "the {x} is out of the normal range {at}", "the {x} lies beyond its limits {at}",
            "the {x} is not as it should be {at}", "the {x} is not normal {at}",
            "something is wrong with the {x} {at}", "the {x} is off {at}",
            "the {x} is not in order {at}", "the {x} is pathological {at}",
        ),
    },
}  # fmt: skip
# Questions with a verb about one ECG and the other: {e} has what is asked, {f} has not.
ONE_HAS = {
    "finding": (
        "Does {e} show {x} and {f} not?", "Does {e}, but not {f}, show {x}?",
        "Does only {e} show {x}?", "Does {x} occur in {e} only?", "Is {x} limited to {e}?",
        "Is {e} alone in showing {x}?", "Is {x} peculiar to {e}?",
        "Is {x} something that {e} has and {f} has not?", "Is it {e} rather than {f} that has {x}?",
        "Does {f} lack the {x} that {e} shows?", "Is {x} missing from {f} alone?",
        "Does {f} alone lack {x}?", "Is {f} without {x}, unlike {e}?",
        "Is {x} found in {e} and nowhere in {f}?", "Does {x} set {e} apart from {f}?",
        "Would {x} be reported for {e} but not for {f}?", "Is {f} clean where {e} has {x}?",
        "Unlike {f}, does {e} have {x}?", "In contrast to {e}, is {f} free of {x}?",
        "Is there {x} in {e} without there being any in {f}?",
        "Of {o} and {n}, does {e} alone have {x}?", "With {e} having {x}, does {f} have none?",
        "Does one find {x} on {e} while finding none on {f}?", "Is {x} exclusive to {e}?",
    ),
    "feature": (
        "Is the {x} normal in {e} and not in {f}?", "Does only {e} have a normal {x}?",
        "Is a normal {x} found in {e} only?", "Is {e} alone in having a normal {x}?",
        "Is it {f} rather than {e} whose {x} is abnormal?", "Is the {x} off in {f} alone?",
        "Does {f} alone have an abnormal {x}?", "Unlike {f}, does {e} have a normal {x}?",
        "Does an abnormal {x} set {f} apart from {e}?", "Is {f} the one with the {x} out of range?",
        "Is {e} the one with the {x} in range?", "Is the abnormal {x} limited to {f}?",
        "Does {f} lack the normal {x} that {e} has?",
        "With the {x} of {e} normal, is that of {f} abnormal?",
        "Is the {x} within its limits in {e} but beyond them in {f}?",
    ),
}  # fmt: skip
BOTH_HAVE = {
    "finding": (
        "Do both show {x}?", "Do {o} and {n} both have {x}?", "Is {x} in each of the two?",
        "Is {x} found in {o} as well as in {n}?", "Is neither {o} nor {n} without {x}?",
        "Does {x} occur twice?",
        "Do {o} and {n} share {x}?", "Is {x} there in both {o} and {n}?", "Is neither free of {x}?",
        "Does {n} show {x} just like {o}?", "Does {x} unite {o} and {n}?",
        "Would {x} be reported for either of them?", "Are both positive for {x}?",
        "Is there no ECG of the two that lacks {x}?", "Do {o} and {n} agree in having {x}?",
        "Does each one, {o} and {n}, come with {x}?", "Does {n} have the {x} that {o} has?",
    ),
    "feature": (
        "Is the {x} normal in both?", "Do {o} and {n} both have a normal {x}?",
        "Is the {x} in range in {o} as well as in {n}?", "Is the {x} abnormal in neither?",
        "Is neither {o} nor {n} out of range in its {x}?", "Do {o} and {n} share a normal {x}?",
        "Is the {x} of {n} normal just like that of {o}?", "Is the {x} fine in each of the two?",
        "Do {o} and {n} agree in a normal {x}?", "Does either one have the {x} in order?",
    ),
}  # fmt: skip
NEITHER_HAS = {
    "finding": (
        "Does neither show {x}?", "Does neither {o} nor {n} have {x}?", "Do both lack {x}?",
        "Is {x} missing in {o} as well as in {n}?", "Is {x} in none of the two?",
        "Are {o} and {n} both without {x}?", "Is there {x} in neither {o} nor {n}?",
        "Are both free of {x}?", "Does {n} lack {x} just like {o}?", "Are both negative for {x}?",
        "Would {x} be reported for neither of them?", "Is there no ECG of the two with {x}?",
        "Do {o} and {n} agree in having no {x}?", "Does each one, {o} and {n}, come without {x}?",
        "Is either one clear of {x}?", "Is each of the two without {x}?",
        "Does one look for {x} in vain in both?",
    ),
    "feature": (
        "Is the {x} abnormal in both?", "Do {o} and {n} both have an abnormal {x}?",
        "Is the {x} out of range in {o} as well as in {n}?", "Is the {x} normal in neither?",
        "Is neither {o} nor {n} in range in its {x}?", "Do {o} and {n} share an abnormal {x}?",
        "Is the {x} of {n} abnormal just like that of {o}?", "Is the {x} off in each of the two?",
        "Do {o} and {n} agree in an abnormal {x}?", "Does neither one have the {x} in order?",
    ),
}  # fmt: skip
# Verbs of change: plain, -ing form, past participle.
CHANGE = {
    "finding": {
        "resolved": (
            ("disappear", "disappearing", "disappeared"), ("vanish", "vanishing", "vanished"),
            ("go away", "going away", "gone away"), ("resolve", "resolving", "resolved"),
            ("subside", "subsiding", "subsided"), ("get lost", "getting lost", "got lost"),
            ("cease", "ceasing", "ceased"), ("drop out", "dropping out", "dropped out"),
            ("recede", "receding", "receded"), ("stop being there", "stopping", "stopped"),
            ("fade away", "fading away", "faded away"), ("regress", "regressing", "regressed"),
        ),
        "new": (
            ("appear", "appearing", "appeared"), ("arise", "arising", "arisen"),
            ("emerge", "emerging", "emerged"), ("set in", "setting in", "set in"),
            ("begin", "beginning", "begun"), ("turn up", "turning up", "turned up"),
            ("newly occur", "newly occurring", "newly occurred"), ("start", "starting", "started"),
            ("come on", "coming on", "come on"), ("show up", "showing up", "shown up"),
            ("form", "forming", "formed"),
            ("come into being", "coming into being", "come into being"),
        ),
        "kept": (
            ("persist", "persisting", "persisted"), ("remain", "remaining", "remained"),
            ("stay", "staying", "stayed"), ("continue", "continuing", "continued"),
            ("last", "lasting", "lasted"), ("endure", "enduring", "endured"),
            ("hold on", "holding on", "held on"), ("stay put", "staying put", "stayed put"),
            ("fail to go away", "failing to go away", "failed to go away"),
            ("keep being there", "keeping on", "kept on"),
        ),
        "absent": (
            ("stay absent", "staying absent", "stayed absent"),
            ("remain absent", "remaining absent", "remained absent"),
            ("stay away", "staying away", "stayed away"),
            ("fail to appear", "failing to appear", "failed to appear"),
            ("keep being absent", "continuing to be absent", "been absent throughout"),
            ("remain missing", "remaining missing", "remained missing"),
            ("never show up", "never showing up", "never shown up"),
            ("not come on at all", "not coming on at all", "not come on at all"),
        ),
    },
    "feature": {
        "new": (
            ("become normal", "becoming normal", "become normal"),
            ("normalise", "normalising", "normalised"), ("recover", "recovering", "recovered"),
            ("return to normal", "returning to normal", "returned to normal"),
            ("come back into range", "coming back into range", "come back into range"),
            ("stop being abnormal", "ceasing to be abnormal", "ceased to be abnormal"),
            ("enter its normal range", "entering its normal range", "entered its normal range"),
        ),
        "resolved": (
            ("become abnormal", "becoming abnormal", "become abnormal"),
            ("leave its normal range", "leaving its normal range", "left its normal range"),
            ("go out of range", "going out of range", "gone out of range"),
            ("stop being normal", "ceasing to be normal", "ceased to be normal"),
            ("turn abnormal", "turning abnormal", "turned abnormal"),
            ("lose its normal value", "losing its normal value", "lost its normal value"),
        ),
        "kept": (
            ("remain normal", "remaining normal", "remained normal"),
            ("stay in range", "staying in range", "stayed in range"),
            ("keep within its limits", "keeping within its limits", "kept within its limits"),
            ("continue to be normal", "continuing to be normal", "continued to be normal"),
            ("not become abnormal", "not becoming abnormal", "not become abnormal"),
        ),
        "absent": (
            ("remain abnormal", "remaining abnormal", "remained abnormal"),
            ("stay out of range", "staying out of range", "stayed out of range"),
            ("keep outside its limits", "keeping outside its limits", "kept outside its limits"),
            ("continue to be abnormal", "continuing to be abnormal", "continued to be abnormal"),
            ("fail to normalise", "failing to normalise", "failed to normalise"),
        ),
    },
}  # fmt: skip
SPANS = (
    "from {o} to {n}", "between {o} and {n}", "on the way from {o} to {n}", "{o} to {n}",
    "if one compares {o} with {n}", "over the time from {o} to {n}", "by {n}, starting from {o}",
)  # fmt: skip
SINCE = (
    "since {o}", "compared with {o}", "relative to {o}", "after {o}", "in {n} compared with {o}",
    "in {n} as against {o}", "in {n}", "by the time of {n}", "over time", "", "meanwhile",
)  # fmt: skip


def wordings(
    fate: str,
    feature: bool,
    phrases: dict[str, Any],
    count: int,
    seed: int,
    apart: Sequence[str] = (),
) -> list[str]:
    """`count` different wordings with {x} for the finding or interval, half of them phrases.

    fate: "resolved", "new", "kept" or "absent"; phrases: "fates" of `wordings.json`; apart:
    wordings with {x} that are kept for looks and tests: nothing near one of them is returned.
    """
    rng = random.Random(seed)
    kind = "feature" if feature else "finding"
    makers = (_phrase, _noun_phrase, _noun_phrase, _statements, _one_or_both, _change)
    found: set[str] = set()
    kept_apart = Apart(apart)
    while len(found) < count:
        make = makers[rng.randrange(len(makers))]
        text = make(fate, kind, phrases, rng)
        if not kept_apart.near(text):
            found.add(text[0].upper() + text[1:] if rng.random() < 0.5 else text)
    return sorted(found)


class Apart:
    """Wordings to which no other may be nearly the same letters."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text.lower() for text in texts]
        self._sizes = np.array([len(text) for text in texts])
        self._letters = np.array([_letters(text) for text in self._texts]).reshape(-1, 128)

    def near(self, text: str) -> list[str]:
        """Those of them, lower case, that `text` nearly is.

        Most are told apart by their length and by how many letters they share, which is what
        `SequenceMatcher.quick_ratio` counts, of all of them at once.
        """
        text = text.lower()
        shared = np.minimum(self._letters, _letters(text)).sum(axis=1)
        may_be = 2 * shared > NEAR * (self._sizes + len(text))
        may_be &= abs(self._sizes - len(text)) <= 0.3 * self._sizes
        some = [self._texts[i] for i in np.flatnonzero(may_be)]
        return [x for x in some if SequenceMatcher(None, text, x, autojunk=False).ratio() > NEAR]


def _letters(text: str) -> np.ndarray:
    """How often each character occurs, [128]; what is not ASCII counts as one character."""
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    return np.bincount(codes, minlength=128)


def _phrase(fate: str, kind: str, phrases: dict[str, Any], rng: random.Random) -> str:
    """A whole phrase; the ECGs are put into it with "in" where they need it."""
    which = rng.randrange(len(phrases["older"]))  # "the first ECG" goes with "the second ECG"
    text = rng.choice(phrases[kind][fate])
    for slot in ("older", "newer"):
        words = phrases[slot][which]
        bare = " " not in words or words.endswith(("time", "past"))
        before = text.partition("{" + slot + "}")[0].split()
        joined = bool(before) and before[-1] in JOINING
        text = text.replace("{" + slot + "}", words if joined or bare else f"in {words}")
    return text


def _noun_phrase(fate: str, kind: str, phrases: dict[str, Any], rng: random.Random) -> str:
    """A whole phrase that has its own prepositions."""
    older, newer = rng.choice(PAIRS)
    text = rng.choice(phrases["nouns"][kind][fate])
    return text.replace("{older}", older).replace("{newer}", newer)


def _statements(fate: str, kind: str, phrases: dict[str, Any], rng: random.Random) -> str:
    """A statement about each ECG, joined, in either order."""
    timed = rng.random() < 0.3
    names, states = rng.choice(TIMES if timed else PAIRS), STATES[fate]
    parts = []
    for name, state in zip(names, states, strict=True):
        choices = [s for s in SAID[kind][state] if not (timed and "{e}" in s)]
        said = rng.choice(choices)
        at = name if timed else f"in {name}"
        if "{at}" in said and rng.random() < 0.3:  # "in the first ECG there is ..."
            said = "{at} " + said.replace(" {at}", "")
        parts.append(said.replace("{e}", name).replace("{at}", at))
    if rng.random() < 0.4:
        parts.reverse()
    if kind == "finding" and rng.random() < 0.5:
        parts[1] = parts[1].replace("no {x}", "none of it").replace("{x}", "it")
    joint = rng.choice(SAME if states[0] == states[1] else OTHER)
    text = f"{rng.choice(OPENERS)} {parts[0]}{rng.choice((' ', ', '))}{joint} {parts[1]}?"
    return text.strip()


def _one_or_both(fate: str, kind: str, phrases: dict[str, Any], rng: random.Random) -> str:
    """Only, both, neither."""
    older, newer = rng.choice(PAIRS)
    has = STATES[fate]
    if has[0] == has[1]:
        text = rng.choice((BOTH_HAVE if has[0] else NEITHER_HAS)[kind])
    else:
        one, other = (older, newer) if has[0] else (newer, older)
        text = rng.choice(ONE_HAS[kind]).replace("{e}", one).replace("{f}", other)
    return text.replace("{o}", older).replace("{n}", newer)


def _change(fate: str, kind: str, phrases: dict[str, Any], rng: random.Random) -> str:
    """A verb of change."""
    older, newer = rng.choice(PAIRS)
    thing = "the {x}" if kind == "feature" else "{x}"
    plain, ongoing, done = rng.choice(CHANGE[kind][fate])
    span, since = rng.choice(SPANS), rng.choice(SINCE)
    text = rng.choice((
        f"did {thing} {plain} {span}?", f"does {thing} {plain} {span}?",
        f"{span}, did {thing} {plain}?", f"{span}, does {thing} {plain}?",
        f"has {thing} {done} {since}?", f"{since}, has {thing} {done}?",
        f"do we see {thing} {ongoing} {span}?", f"is {thing} {ongoing} {span}?",
        f"would you say that {thing} has {done} {since}?", f"did you see {thing} {plain} {since}?",
        f"{thing}: {done} {since}?",
    ))  # fmt: skip
    text = text.replace("{o}", older).replace("{n}", newer)
    return " ".join(text.replace(" ?", "?").lstrip(", ").split())
