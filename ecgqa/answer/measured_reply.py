"""Answers out of the measurements: numbers, limits, ranges, changes and times.

Numbers are copied from `ecgqa.measure`. How sure a yes or no is comes from how near the number lies
to the limit and from how much such a number varies within one recording.
"""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import NormalDist

from ecgqa.answer.case import Case
from ecgqa.answer.options import NONE, RANGE_NAMES
from ecgqa.answer.reply import Reply, said_yes
from ecgqa.measure.normal import limits_of
from ecgqa.model.ecg_model import SEPARATOR, YES_OR_NO
from ecgqa.question.kinds import CHANGE, NUMBER, THRESHOLD
from ecgqa.question.quantity import (
    EARLY_KINDS,
    INTERVALS,
    QUANTITIES,
    WITH_RANGE,
    Value,
    chance,
    in_units_of,
    longest_pause,
    normal_of,
    side_of,
    value_of,
    values_of,
)
from ecgqa.question.reading import ABOVE, BELOW, WITHIN, Reading

RANGE_OF_SIDE: dict[str, str] = dict(zip((BELOW, WITHIN, ABOVE), RANGE_NAMES, strict=True))
WAS_NORMAL = {  # in the first and in the second ECG, for each fate of "is normal"
    "resolved": (True, False), "new": (False, True), "kept": (True, True),
    "absent": (False, False),
}  # fmt: skip
SURE = 0.97  # of a number that was measured and asked for plainly


def reply(case: Case, read: Reading) -> Reply:
    """A number, or a yes or no that rests on one."""
    if read.kind == NUMBER:
        return _numbers(case, read)
    if read.kind == CHANGE or (case.is_pair and read.fate):
        return _change(case, read)
    if read.kind == THRESHOLD:
        return _threshold(case, read)
    return _range(case, read)


def _declined(value: Value) -> Reply:
    words = f"cannot tell: {value.sentence()}"
    return Reply(words, 0.0, answers=(), declined=True)


def _numbers(case: Case, read: Reading) -> Reply:
    """The values that were asked for, of both ECGs where there are two."""
    sentences, known = [], 0
    places = ("First ECG: ", "Second ECG: ") if case.is_pair else ("",)
    for place, m in zip(places, case.measured, strict=True):
        said = [
            value
            for name in read.quantities
            for value in values_of(name, m, read.leads, read.formula)
        ]
        known += sum(value.number is not None for value in said)
        sentences.append(place + "; ".join(value.sentence() for value in said) + ".")
        if not read.formula and "qt corrected" in read.quantities:
            other = value_of("qt corrected", m, formula="Fridericia")
            if other.number is not None:
                sentences[-1] += f" By Fridericia {other.quantity.text(other.number)}."
    if not known:
        return Reply(f"cannot tell: {' '.join(sentences)}", 0.0, answers=(), declined=True)
    if case.is_pair and len(read.quantities) == 1 and not read.leads:
        sentences.append(_difference(case, read.quantities[0], read.formula))
    text = " ".join(filter(None, sentences))
    return Reply(text, SURE * min(1.0, read.sure / 0.9), answers=(text,))


def _difference(case: Case, name: str, formula: str) -> str:
    """The change of a quantity from the first ECG to the second, in words."""
    change = _change_of(case, name, formula)
    if change is None:
        return ""
    quantity = QUANTITIES[name]
    signed = f"{change:+.{quantity.decimals}f}".replace("-", "−")
    return f"Change: {signed} {quantity.unit}.".replace(" .", ".")


def _change_of(case: Case, name: str, formula: str = "", lead: str = "") -> float | None:
    then, now = (value_of(name, m, lead, formula) for m in case.measured)
    if then.number is None or now.number is None:
        return None
    change = now.number - then.number
    return (change + 180) % 360 - 180 if now.quantity.unit == "°" else change


def _threshold(case: Case, read: Reading) -> Reply:
    """Is a number above, below or within limits that the question names?"""
    quantity = QUANTITIES[read.quantities[0]]
    if read.limit is None:
        return _range(case, read)
    limit = in_units_of(quantity, read.limit)
    side = read.side or ABOVE
    if quantity.name == "st level" and "depress" in read.text.lower() and limit.value > 0:
        side = BELOW  # a depression of 0.1 mV and more lies below -0.1 mV
        limit = replace(limit, value=-limit.value)
    values = values_of(quantity.name, case.measured[-1], read.leads, read.formula)
    known = [value for value in values if value.number is not None]
    if not known:
        return _declined(values[0])
    low, high = limit.value, limit.value if limit.high is None else limit.high
    spread = quantity.repeats_within / 1.96 / 2**0.5 or 1e-6
    error = NormalDist(0, spread)
    hits, sure = [], []
    for value in known:
        assert value.number is not None
        number = round(value.number, quantity.decimals)
        over = error.cdf(number - high)
        if side == ABOVE:
            hit, p = number > high, over
            hit = hit or (number == high and _at_least(read.text))
        elif side == BELOW:
            hit, p = number < low, 1 - error.cdf(number - low)
            hit = hit or (number == low and _at_most(read.text))
        else:
            hit, p = low <= number <= high, error.cdf(number - low) - over
        hits.append(hit)
        sure.append(p if hit else 1 - p)
    said = "yes" if any(hits) else "no"
    shown = [v for v, hit in zip(known, hits, strict=True) if hit or not any(hits)]
    words = "; ".join(f"{v.label} {quantity.text(v.number or 0.0)}" for v in shown)
    confidence = max(0.5, min(sure)) * min(1.0, read.sure / 0.9)
    remarks = ()
    if quantity.name == "qt corrected" and not read.formula:
        other = value_of("qt corrected", case.measured[-1], formula="Fridericia")
        if other.number is not None:
            remarks = (f"By Fridericia {other.quantity.text(other.number)}.",)
    return Reply(f"{said}: {words}", confidence, answers=(said,), remarks=remarks)


def _at_least(text: str) -> bool:
    return any(word in text.lower() for word in ("at least", "or more", ">=", "≥", "reach"))


def _at_most(text: str) -> bool:
    return any(word in text.lower() for word in ("at most", "or less", "<=", "≤", "not more"))


def _range(case: Case, read: Reading) -> Reply:
    """Is a number above, below or within its normal range? The model's view stands beside it."""
    quantity = QUANTITIES[read.quantities[0]]
    m = case.measured[-1]
    if normal_of(quantity.name, m, read.formula) is None:
        return _without_range(case, read)
    value = value_of(quantity.name, m, formula=read.formula)
    if value.number is None or value.normal is None:
        return _declined(value)
    low, high = value.normal
    number, side = value.number, read.side or ABOVE
    where = side_of(number, low, high)
    hit = where == side
    said = "yes" if hit != read.absent else "no"
    words = (
        f"{value.label} {quantity.text(number)}, {where} the normal range ({value.range_words()})"
    )
    p = chance(value, low, high)
    confidence = max(0.5, p) * min(1.0, read.sure / 0.9)
    return Reply(
        f"{said}: {words}", confidence, answers=(said,),
        remarks=_model_disagrees(case, quantity.name, side, hit, value),
    )  # fmt: skip


def _without_range(case: Case, read: Reading) -> Reply:
    """The number alone where nothing is known of what is normal, with the reason if it is age."""
    reply = _numbers(case, replace(read, kind=NUMBER))
    limits = limits_of(case.measured[-1])
    if not limits.is_child or read.quantities[0] not in WITH_RANGE:
        return reply
    words = f"No normal limits of it are known at this age ({limits.source})."
    return replace(reply, remarks=(*reply.remarks, words))


def _model_disagrees(case: Case, name: str, side: str, hit: bool, value: Value) -> tuple[str, ...]:
    """A remark where the model says otherwise than a number that is far from its limit."""
    if name not in INTERVALS or value.number is None or value.normal is None or value.whose:
        return ()  # the model has learned the limits of adults
    low, high = value.normal
    clear = min(abs(value.number - low), abs(value.number - high)) > value.quantity.repeats_within
    if not clear:
        return ()
    question = f"Is the {name} {RANGE_OF_SIDE[side]} in this ECG?"
    (said,) = said_yes(case.model, [question], case.each[-1])
    if not said.clear or said.affirms == hit:
        return ()
    sure = max(said.yes, 1 - said.yes)
    return (
        f"⚠ The language model, from the signal alone, says {said.word} ({sure:.0%}): it "
        "contradicts the measurement. Please check the number on the paper.",
    )


def which_range(case: Case, read: Reading) -> Reply:
    """Of two or three ranges the one in which a number lies."""
    value = value_of(read.quantities[0], case.measured[-1])
    if value.normal is None:
        return _without_range(case, read)
    if value.number is None:
        return _declined(value)
    side = side_of(value.number, *value.normal)
    named = _sides_named(read.text)
    if len(named) == 2 and side not in named:
        words = f"neither: {value.sentence()}"
        return Reply(words, chance(value, *value.normal), answers=(NONE,))
    name = RANGE_OF_SIDE[side]
    confidence = chance(value, *value.normal) * min(1.0, read.sure / 0.9)
    return Reply(f"{name}: {value.sentence()}", confidence, answers=(name,))


_SIDE_WORDS = {
    BELOW: re.compile(r"\b(?:below|under|short\w*|narrow\w*|slow\w*|low\w*|brief)\b", re.I),
    ABOVE: re.compile(
        r"\b(?:above|over|exceed\w*|beyond|higher|long\w*|wide\w*|broad\w*|fast\w*|prolong\w*|high)\b",
        re.I,
    ),
    WITHIN: re.compile(r"\b(?:within|inside|in range|normal|ok|fine)\b", re.I),
}
_LIMITS = re.compile(
    r"\b(above|below|over|under|beyond|higher than|lower than|exceed\w*|upper|lower)"
    r"( the)?( upper| lower)?( limit of)?( normal)( range| limits?| values?)?", re.I,
)  # fmt: skip


def _sides_named(text: str) -> set[str]:
    """The sides between which a question chooses."""
    plain = _LIMITS.sub(r"\1", text)
    return {side for side, words in _SIDE_WORDS.items() if words.search(plain)}


def listed(case: Case, read: Reading) -> Reply:
    """Which intervals lie in a range, in which range one lies, or what became of them."""
    if read.kind == "ranges_of_feature" and read.quantities:
        return which_range(case, replace(read, quantities=read.quantities[:1]))
    m = case.measured[-1]
    names, sure, words = [], [], []
    for name in INTERVALS:
        values = [value_of(name, one) for one in case.measured]
        sides = [
            None if v.number is None or v.normal is None else side_of(v.number, *v.normal)
            for v in values
        ]
        if None in sides:
            continue
        if case.is_pair and read.fate:
            if tuple(side == WITHIN for side in sides) != WAS_NORMAL[read.fate]:
                continue
        elif sides[-1] != (read.side or ABOVE):
            continue
        names.append(name)
        last = value_of(name, m)
        sure.append(chance(last, *(last.normal or (0.0, 0.0))))
        words.append(last.sentence())
    if not names:
        return Reply(NONE, 0.9, answers=(NONE,))
    return Reply(
        SEPARATOR.join(names), min(sure), answers=tuple(names), remarks=("; ".join(words) + ".",)
    )


def _change(case: Case, read: Reading) -> Reply:
    """What became of a quantity between two ECGs."""
    quantity = QUANTITIES[read.quantities[0]]
    if not case.is_pair:
        return Reply(
            "I cannot tell a change from one ECG: put an earlier one beside it. "
            + "; ".join(
                v.sentence()
                for v in values_of(quantity.name, case.measured[-1], read.leads, read.formula)
            )
            + ".",
            0.0, answers=(), declined=True,
        )  # fmt: skip
    lead = next(iter(read.leads), "")
    values = [value_of(quantity.name, m, lead, read.formula) for m in case.measured]
    for value in values:
        if value.number is None:
            return _declined(value)
    then, now = values
    assert then.number is not None and now.number is not None
    words = f"{now.label} {quantity.text(then.number)}, then {quantity.text(now.number)}"
    ranged = [(v, v.normal) for v in values if v.normal is not None]
    if read.kind == YES_OR_NO and len(ranged) == len(values):
        normal = tuple(side_of(v.number or 0.0, *limits) == WITHIN for v, limits in ranged)
        said = "yes" if normal == WAS_NORMAL[read.fate] else "no"
        sure = min(chance(v, *limits) for v, limits in ranged)
        words += f" (normal: {now.range_words()})"
        return Reply(f"{said}: {words}", max(0.5, sure), answers=(said,))
    change = _change_of(case, quantity.name, read.formula, lead) or 0.0
    spread = quantity.repeats_within or 1e-6
    side = ABOVE if change > spread else BELOW if change < -spread else WITHIN
    remark = "" if side != WITHIN else " This is within what two halves of one recording differ by."
    signed = f"{change:+.{quantity.decimals}f}".replace("-", "−")
    words = f"{words} ({signed} {quantity.unit})".replace(" )", ")")
    if not read.side:
        if "any" in read.text.lower().split() or read.text.lower().startswith(("has", "is", "did")):
            said = "no" if side == WITHIN else "yes"
            return Reply(f"{said}: {words}.{remark}", 0.9, answers=(said,))
        return Reply(f"{words}.{remark}", SURE, answers=(words,))
    said = "yes" if side == read.side else "no"
    if read.side != WITHIN and side == WITHIN and (change > 0) == (read.side == ABOVE) and change:
        remark = " It did, by less than two halves of one recording differ: hardly a change."
    error = NormalDist(0, spread / 1.96)
    p = error.cdf(abs(change) - spread)
    confidence = max(0.5, p if side != WITHIN else 1 - p)
    return Reply(f"{said}: {words}.{remark}", confidence, answers=(said,))


_OF_PAUSE = re.compile(r"\b(?:pauses?|gaps?|longest|rr|r-r|skip\w*|silen\w+|asystol\w+)\b")
_OF_WIDE = re.compile(r"\b(?:p?vcs?|pvcs?|vpcs?|v?es|wide|broad|ventricular\w*)\b")
_OF_NARROW = re.compile(r"\b(?:pacs?|apcs?|atrial|narrow|supraventricular\w*|sves)\b")


def when(case: Case, read: Reading) -> Reply:
    """At which seconds and beats something happens: premature beats, the longest pause."""
    m, start = case.measured[-1], case.ecgs[-1].start_s
    if not m.r_peaks_s:
        return Reply("cannot tell: no beats were found", 0.0, answers=(), declined=True)
    text = read.text.lower()
    if _OF_PAUSE.search(text):
        found = longest_pause(m)
        if found is None:
            return Reply("cannot tell: only one beat was found", 0.0, answers=(), declined=True)
        at, long = found
        words = f"The longest RR interval begins at {start + at:.2f} s and lasts {long:.0f} ms"
        return Reply(f"{words}.", SURE, answers=(f"{start + at:.2f} s",))
    kinds = EARLY_KINDS
    if _OF_WIDE.search(text):
        kinds = ("premature wide",)
    if _OF_NARROW.search(text):
        kinds = ("premature narrow",)
    early = [(i, peak) for i, (beat, peak) in enumerate(zip(m.beats, m.r_peaks_s, strict=False), 1)
             if beat.kind in kinds]  # fmt: skip
    what = {1: kinds[0] + " beats", 2: "premature beats"}[len(kinds)]
    if not early:
        return Reply(f"no {what} among {len(m.r_peaks_s)} beats", 0.9, answers=(NONE,))
    if any(word in text for word in ("first", "earliest")):
        early = early[:1]
    if any(word in text for word in ("last ", "latest")):
        early = early[-1:]
    said = ", ".join(f"beat {i} at {start + peak:.2f} s" for i, peak in early)
    return Reply(
        f"{what[:1].upper()}{what[1:]}: {said} (of {len(m.r_peaks_s)} beats).", 0.9,
        answers=tuple(f"{start + peak:.2f} s" for _, peak in early),
    )  # fmt: skip
