"""`understand`: a question in its conversation → one `Reading`, complete and ready to be answered.

The reader's logits become a reading; several questions in one message are taken apart; what only
makes sense after the question before ("and in V2?") is completed from that one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch

from ecgqa.model.ecg_model import YES_OR_NO
from ecgqa.model.reader import Reader
from ecgqa.question import kinds
from ecgqa.question.kinds import EITHER, FINDING, QUANTITY, kind_of
from ecgqa.question.reading import TOGETHER, Reading, formula_in, leads_in, limit_in

NAMED = 0.35  # probability from which a name counts as named
ON_A_SIDE = 0.25  # of a quantity, where the question asks on which side of normal it lies
SECOND = 0.5  # probability of a further finding of a plain yes/no question
MOST_PARTS = 6
# What an ECG as a whole is or has: no finding beside another one.
WHOLE = (
    "normal ecg", "abnormal ecg", "any diagnostic symptom", "any certain diagnostic symptom",
    "any form-related symptom", "any rhythm-related symptom", "any noise", "any extra systole",
)  # fmt: skip
# Words of a question that leans on the one before it, and of one that does where it is unclear.
SHORTEST, SHORT = 3, 5
UNCLEAR = 0.4  # sureness of a reading
ALONE = 0.6  # and from which such a question also counts by itself,
ALONE_ON_A_SIDE = 0.35  # or does where it asks on which side of normal something lies
CLEARLY_AWAY = 0.8  # and from which it has nothing to do with the one before it
_APART = re.compile(
    r"(?<=[?;\n])\s*|(?<=[.!])\s+(?=[A-Z0-9])|\s+(?:and also|also|plus|as well as)\s+|"
    r"(?:^|\s)\(?\d\s?[.)]\s+",
    re.IGNORECASE,
)
_JOINT = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*|\s*\+\s*|\s+then\s+", re.IGNORECASE)
_FOREIGN = re.compile(r"[\u0370-\u1cff\u2c00-\ua7ff\uab30-\ufaff]")  # letters no English text has


@torch.no_grad()
def readings(reader: Reader, texts: Sequence[str], two: bool = False) -> list[Reading]:
    """What each text asks, by itself. two: it is about two ECGs."""
    config, read = reader.config, reader(texts)
    of_kinds = read.kind.softmax(-1)
    names, fates = read.names.sigmoid(), read.fate.softmax(-1)
    sides = read.side.softmax(-1)
    count = len(config.findings)
    apart = torch.tensor([not kind_of(kind).of_an_ecg for kind in config.kinds])
    out = []
    for i, text in enumerate(texts):
        chances = of_kinds[i]
        away = turned_away(chances[apart].sum(), chances[~apart].max()) >= config.away
        chances = torch.where(apart == away, chances, 0.0)
        kind = config.kinds[int(chances.argmax())]
        if len(_FOREIGN.findall(text)) > 2:
            kind = kinds.LANGUAGE
        findings = _likely(config.findings, names[i, :count])
        quantities = _likely(config.quantities, names[i, count:])
        limit = limit_in(text)
        # "Is the PR interval prolonged?" names a statement too, but asks on which side it lies.
        if kind == YES_OR_NO and 1 - float(sides[i, 0]) > 0.5 and quantities[0][1] >= ON_A_SIDE:
            findings = [(name, 0.0) for name, _ in findings]
        about_number = quantities[0][1] > max(NAMED, findings[0][1])
        if kind == YES_OR_NO and limit is not None and about_number:
            kind = kinds.THRESHOLD  # the limit stands there
        side = config.sides[int(sides[i].argmax())]
        if not side and kind == kinds.THRESHOLD:
            side = config.sides[1 + int(sides[i, 1:].argmax())]
        fate = ""
        if two:
            best = int(fates[i].argmax())
            fate = config.fates[best] if best else ""
        sure = float(chances.max())
        if kind_of(kind).names:
            sure *= _surest(kind, findings, quantities)
        out.append(
            Reading(
                text=text,
                kind=kind,
                findings=_kept(kind, findings, quantities),
                quantities=_measured(kind, findings, quantities),
                side=side if kind_of(kind).side else "",
                absent=kind == YES_OR_NO and float(read.absent[i]) > 0,
                fate=fate,
                leads=leads_in(text),
                limit=limit if kind in (kinds.THRESHOLD, kinds.FOLLOW_UP) else None,
                formula=formula_in(text),
                sure=sure,
            )
        )
    return out


def turned_away(away: torch.Tensor, nearest: torch.Tensor) -> float:
    """How much speaks for a question being none about an ECG: 0 where one kind that is outweighs.

    away: probability of all kinds that are none; nearest: of the likeliest kind that is one.
    """
    return float(away) if float(away) >= 0.5 or float(nearest) < 0.5 else 0.0


Likely = list[tuple[str, float]]


def _likely(names: tuple[str, ...], chances: torch.Tensor) -> Likely:
    """Names with their probabilities, the likeliest first."""
    order = chances.argsort(descending=True).tolist()
    return [(names[k], float(chances[k])) for k in order[:6]]


def _surest(kind: str, findings: Likely, quantities: Likely) -> float:
    """How sure it is what a question names."""
    names = kind_of(kind).names
    if names == QUANTITY:
        return quantities[0][1]
    if names == EITHER:
        return max(min(findings[0][1], findings[1][1]), quantities[0][1])
    return max(findings[0][1], quantities[0][1])


def _kept(kind: str, findings: Likely, quantities: Likely) -> tuple[str, ...]:
    """The findings that a question of this kind names."""
    names = kind_of(kind).names
    if names == EITHER:
        if quantities[0][1] > findings[1][1]:
            return ()
        first = findings[0][0]
        # "Left anterior hemiblock or any hemiblock" is no choice.
        apart = [n for n, _ in findings[1:] if not _overlap(first, n)]
        return (first, *apart[:1])
    if names == QUANTITY:
        return ()
    if names == FINDING and quantities[0][1] > findings[0][1]:
        return ()
    named = [name for k, (name, p) in enumerate(findings) if p >= (SECOND if k else NAMED)]
    if names == FINDING and not named:
        named = [findings[0][0]]
    return tuple(named[:3])


def _overlap(one: str, other: str) -> bool:
    """Whether one of two findings is a kind of the other."""
    return other in TOGETHER.get(one, ()) or one in TOGETHER.get(other, ())


def _measured(kind: str, findings: Likely, quantities: Likely) -> tuple[str, ...]:
    """The quantities that a question of this kind names."""
    names = kind_of(kind).names
    named = tuple(name for name, p in quantities if p >= NAMED)
    if names == QUANTITY:
        return named or (quantities[0][0],)
    if names == FINDING:
        return named if quantities[0][1] > findings[0][1] else ()
    if names == EITHER:
        return named[:1] if quantities[0][1] > findings[1][1] else ()
    return named


def understand(
    reader: Reader, question: str, two: bool = False, before: Sequence[Reading] = ()
) -> Reading:
    """One question of a conversation. before: readings of the questions before it, oldest first."""
    (whole,) = readings(reader, [question], two)
    last = _last(before)
    if last is not None and _leans(whole):
        return _in_its_light(reader, whole, last, two)
    if whole.kind == kinds.SEVERAL:
        parts = _parts(reader, question, two)
        done: list[Reading] = []
        for part in parts:
            previous = _last([*before, *done])
            leaning = previous is not None and _leans(part)
            done.append(
                _in_its_light(reader, part, previous, two)
                if leaning and previous is not None
                else completed(part, previous)
            )
        if len(done) > 1:
            return replace(whole, parts=tuple(done), sure=min(part.sure for part in done))
        (whole,) = done
    elif _joins_findings(whole):
        done = [replace(whole, findings=(name,)) for name in whole.findings]
        return replace(whole, kind=kinds.SEVERAL, parts=tuple(done))
    elif whole.kind == YES_OR_NO and len(whole.quantities) > 1 and not two:
        done = _split(reader, question, whole, two)  # "is QRS narrow and QT ok"
        if len(done) > 1 and min(part.sure for part in done) >= ALONE:
            return replace(whole, kind=kinds.SEVERAL, parts=tuple(done))
    return completed(whole, last)


def _last(before: Sequence[Reading]) -> Reading | None:
    """The last question about an ECG that another one can lean on."""
    last = next((r for r in reversed(before) if _about_an_ecg(r)), None)
    return last.parts[-1] if last is not None and last.parts else last


def _leans(read: Reading) -> bool:
    """Whether a question leaves something out: a few words that name little surely."""
    if read.kind in (kinds.WHY, kinds.HOW_SURE, kinds.SINCE_WHEN, kinds.REPORT, kinds.SEVERAL):
        return False
    words = len(read.text.split())
    if not kind_of(read.kind).of_an_ecg:
        return words <= SHORT and read.sure < CLEARLY_AWAY
    return (
        read.kind == kinds.FOLLOW_UP
        or words <= SHORTEST
        or (words <= SHORT and read.sure < UNCLEAR)
    )


def _in_its_light(reader: Reader, read: Reading, last: Reading, two: bool) -> Reading:
    """A short question read once more behind the one before it: what it adds is what it asks.

    "Is there an inferior infarct? or anterior?" names the anterior infarct beside the inferior one.
    """
    (both,) = readings(reader, [f"{last.text.rstrip('?. ')}? {read.text}"], two)
    enough = ALONE_ON_A_SIDE if read.side and read.quantities else ALONE
    by_itself = kind_of(read.kind).of_an_ecg and read.kind != kinds.FOLLOW_UP
    sure_alone = read.sure >= enough and by_itself
    own = {*read.findings, *read.quantities} if sure_alone else set()
    named = reader.named(f"{last.text.rstrip('?. ')}? {read.text}")
    new = [n for n in named if n not in {*last.findings, *last.quantities}]
    if own and own <= set(new[:2]) | {*last.findings, *last.quantities}:
        return completed(read, last)
    if own and not new:
        return completed(read, last)
    if not own and not new:
        return completed(replace(_as_follow_up(read), sure=max(read.sure, last.sure)), last)
    name = new[0]
    quantity = name in reader.config.quantities
    follow = replace(
        _as_follow_up(read), findings=() if quantity else (name,),
        quantities=(name,) if quantity else (), sure=max(read.sure, both.sure),
    )  # fmt: skip
    done = completed(follow, last)
    if read.kind in (kinds.WHERE, kinds.NUMBER) and sure_alone:
        done = replace(done, kind=read.kind)
    return done


def _as_follow_up(read: Reading) -> Reading:
    """A question without what it was not sure of, as a follow-up; its side, leads, limit stay."""
    limit = read.limit or limit_in(read.text)
    where = read.kind == kinds.WHERE or re.search(r"\b(?:where|leads?|walls?)\b", read.text, re.I)
    place = bool(where) and not read.leads
    return replace(
        read, kind=kinds.WHERE if place else kinds.FOLLOW_UP, findings=(), quantities=(),
        limit=limit,
    )  # fmt: skip


def _joins_findings(read: Reading) -> bool:
    """Whether a yes/no question asks for one finding and another ("LVH and LBBB?")."""
    ages = [name for name in read.findings if "stage of" in name]
    if any(name in WHOLE for name in read.findings):
        return False
    places = {name.split(" in ")[0] for name in read.findings if " in " in name}
    if len(places) == 1 and len(read.findings) > 1 and " in " in read.findings[1]:
        return False  # "bottom, back and side wall" is one place
    return (
        read.kind == YES_OR_NO
        and len(read.findings) > 1
        and not ages
        and not read.fate
        and bool(re.search(r"\band\b|&|\+|\bplus\b", read.text, re.IGNORECASE))
    )


def _parts(reader: Reader, question: str, two: bool) -> list[Reading]:
    """The questions that a message holds, each by itself."""
    pieces = [p.strip(" ,;") for p in _APART.split(question) if p and re.search(r"\w", p)]
    out: list[Reading] = []
    for piece, read in zip(pieces, readings(reader, pieces, two), strict=True):
        several = read.kind == kinds.SEVERAL or len(pieces) == 1
        out += _split(reader, piece, read, two) if several else [read]
    # What only introduces ("72M with chest pain.") asks nothing.
    asked = [part for part in out if "?" in part.text or part.kind != kinds.OUTSIDE]
    return _dealt(asked or out)[:MOST_PARTS]


def _split(reader: Reader, piece: str, read: Reading, two: bool) -> list[Reading]:
    """A piece without full stops, at its commas and "and"s, wherever both sides are questions."""
    cuts = list(_JOINT.finditer(piece))
    if not cuts:
        return [read if read.kind != kinds.SEVERAL else _single(read)]
    parts, start = [], 0
    for cut in cuts:
        parts.append(piece[start : cut.start()])
        start = cut.end()
    parts.append(piece[start:])
    parts = [part.strip() for part in parts if re.search(r"\w", part)]
    each = readings(reader, parts, two)
    out: list[Reading] = []
    for text, one in zip(parts, each, strict=True):
        alone = one.kind not in (kinds.OUTSIDE, kinds.SEVERAL) and one.sure >= 0.3
        if alone or not out:
            out.append(one)
        else:  # a part of the question before it
            joined = f"{out[-1].text}, {text}"
            out[-1] = readings(reader, [joined], two)[0]
    return [one if one.kind != kinds.SEVERAL else _single(one) for one in out]


def _single(read: Reading) -> Reading:
    """A reading of several that could not be taken apart, by what it names."""
    if read.quantities:
        return replace(read, kind=kinds.NUMBER, findings=())
    return replace(read, kind=YES_OR_NO if read.findings else kinds.OUTSIDE)


def _dealt(parts: list[Reading]) -> list[Reading]:
    """Of a question about several findings one each."""
    out: list[Reading] = []
    for part in parts:
        if part.kind == YES_OR_NO and len(part.findings) > 1 and not part.quantities:
            out += [replace(part, findings=(name,)) for name in part.findings]
        else:
            out.append(part)
    return out


def completed(read: Reading, last: Reading | None) -> Reading:
    """A question with what it leaves out taken from the last one about an ECG."""
    if read.kind == kinds.WHERE and not read.findings and last is not None and last.findings:
        return replace(read, findings=last.findings, sure=max(read.sure, last.sure))
    if read.kind != kinds.FOLLOW_UP:
        return read
    if last is None:
        return _standing_alone(read)
    merged = replace(last, text=read.text, sure=min(read.sure, last.sure), absent=False, parts=())
    if read.leads:
        merged = replace(merged, leads=read.leads)
    if read.quantities and not (read.findings and last.findings):
        kind, limit = last.kind, read.limit or last.limit
        numbers = kind_of(last.kind).names == QUANTITY
        about_numbers = numbers or (last.kind == YES_OR_NO and last.side)
        if not about_numbers or (kind == kinds.THRESHOLD and read.limit is None):
            kind, limit = kinds.NUMBER, None
        return replace(
            merged, kind=kind, quantities=read.quantities, findings=(), limit=limit,
            formula=read.formula, leads=read.leads or last.leads,
        )  # fmt: skip
    if read.findings:
        kind = last.kind if last.kind in (YES_OR_NO, kinds.WHERE) else YES_OR_NO
        return replace(
            merged, kind=kind, findings=read.findings[:1], quantities=(), side="",
            leads=read.leads, limit=None,
        )  # fmt: skip
    if read.formula and last.quantities:
        return replace(merged, formula=read.formula)
    if read.limit is not None and last.quantities:
        side = last.side or read.side
        return replace(merged, kind=kinds.THRESHOLD, limit=read.limit, side=side)
    if read.leads:
        return replace(merged, kind=YES_OR_NO) if last.kind == kinds.WHERE else merged
    if last.quantities:
        if read.side and read.side != last.side:
            return replace(merged, kind=YES_OR_NO, side=read.side, limit=None)
        return replace(merged, kind=kinds.NUMBER, side="", limit=None)
    return _standing_alone(read)


def _about_an_ecg(read: Reading) -> bool:
    """Whether a reading asked something of an ECG that another question can lean on."""
    kind = kind_of(read.kind)
    return kind.of_an_ecg and not kind.of_the_talk


def _standing_alone(read: Reading) -> Reading:
    """A follow-up to nothing, by what it names."""
    if read.quantities and not read.findings:
        return replace(read, kind=kinds.NUMBER)
    if read.findings:
        return replace(read, kind=YES_OR_NO, findings=read.findings[:1], quantities=())
    return read
