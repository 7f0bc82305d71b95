"""`respond`: a `Reading` and a `Case` → what is said, each kind of question in its own way.

What is measured is answered from the measurement and never generated; what was trained is put to
the model in the wording it knows best; what no ECG can tell, or this model was not trained to see,
is said to be so. Each answer is a `Reply`; the last one of those yielded counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ecgqa.answer import measured_reply, narrative
from ecgqa.answer.askable import hindered
from ecgqa.answer.case import Case
from ecgqa.answer.findings import UNNAMED, findings
from ecgqa.answer.options import FATES, Asked, decide, option_question
from ecgqa.answer.place import place
from ecgqa.answer.reply import Reply, replies, said_yes
from ecgqa.model.ecg_model import ABSTENTION, ONE_OF_TWO, SEPARATOR, YES_OR_NO, expand
from ecgqa.question import kinds
from ecgqa.question.comparison import asks_openly
from ecgqa.question.quantity import value_of
from ecgqa.question.reading import TOGETHER, Reading, phrase

# How the model is asked about what has no name of its own.
PLAINLY = {
    "normal ecg": "Is the ECG tracing normal?",
    "abnormal ecg": "Are there any abnormalities evident in the ECG?",
    "any diagnostic symptom": (
        "Does this ECG show any potential diagnostic symptoms, including uncertain ones?"
    ),
    "any certain diagnostic symptom": (
        "Does this ECG present any unmistakable diagnostic signs, leaving out any uncertain "
        "symptoms?"
    ),
    "any form-related symptom": "Does this ECG exhibit any form-related symptoms?",
    "any rhythm-related symptom": "Are there any rhythm-related symptoms displayed on this ECG?",
    "any noise": "Is there any interference on this ECG?",
    "any extra systole": "Are there any extra systoles present on this ECG?",
}
STAGES = ("early stage of", "middle stage of", "old stage of", "unknown stage of")
LEAST_SURE = 0.2  # of a reading: below, nothing is answered; see `training.judge.clinic`
NO_ADVICE = (
    "I cannot give advice on treatment or on what to do next; that needs the patient and a "
    "clinician."
)
NOT_FROM_AN_ECG = (
    "I cannot tell that from an ECG. I answer what is in the tracing: findings, rhythm, "
    "intervals, axis, changes between two ECGs, or a whole report."
)
IN_ENGLISH = (
    "I cannot read this language surely: please ask in English. · Bitte auf Englisch fragen. · "
    "Merci de poser la question en anglais. · Por favor, pregunte en inglés."
)
NOT_READ = (
    "I am not sure what is asked, so I cannot answer. Please put it in other words, or name the "
    "finding, the interval or the lead."
)
NOTHING_BEFORE = "I cannot tell what this refers to: please ask the whole question."
NO_VERDICT = "Whether that is better or worse is for a clinician to say."
MEASURED_SURE = 0.9  # of a yes or no that rests on many numbers and findings
NEAREST = 3


def respond(case: Case, read: Reading) -> Iterator[Reply]:
    """Replies that grow."""
    if read.parts:
        yield from _each(case, read)
        return
    answer = _BY_KIND.get(read.kind)
    if kinds.kind_of(read.kind).names and read.sure < LEAST_SURE:
        yield _declined(_not_read(read))
    elif answer is not None:
        yield answer(case, read)
    elif read.kind == kinds.REPORT:
        yield from _report(case)
    else:
        yield from _list(case, read)


def _declined(text: str, remarks: tuple[str, ...] = ()) -> Reply:
    return Reply(text, 0.0, answers=(), remarks=remarks, declined=True)


def _each(case: Case, read: Reading) -> Iterator[Reply]:
    """Several questions, one by one, each behind its number."""
    done: list[Reply] = []
    for part in read.parts:
        reply = Reply("", 0.0)
        for reply in _allowed(case, part):
            yield _together([*done, reply])
        done.append(reply)


def _allowed(case: Case, part: Reading) -> Iterator[Reply]:
    """Replies to one of several questions, or why the recordings do not allow one."""
    why_not = hindered(case, part) if kinds.kind_of(part.kind).of_an_ecg else ()
    if why_not:
        yield _declined(ABSTENTION, why_not)
        return
    yield from respond(case, part)


def _together(done: Sequence[Reply]) -> Reply:
    """The replies to several questions as one."""
    text = "\n".join(f"{i}. {reply.text}" for i, reply in enumerate(done, 1))
    parts = [reply.answers or (reply.text,) for reply in done]
    counted = [reply.confidence for reply in done if not reply.declined]
    return Reply(
        text,
        min(counted, default=0.0),
        answers=tuple(answer for part in parts for answer in part),
        remarks=tuple(dict.fromkeys(remark for reply in done for remark in reply.remarks)),
        declined=not counted,
    )


# Findings ---------------------------------------------------------------------------------------


def asked_plainly(finding: str, lead: str = "") -> str:
    """The question about a finding in the wording that the model knows best."""
    if finding == "any noise" and lead:
        return f"Are there any noises detected in lead {lead} on this ECG?"
    if finding in PLAINLY:
        return PLAINLY[finding]
    return option_question(Asked(lead=lead), finding)


def _yes_or_no(case: Case, read: Reading) -> Reply:
    """Is a finding there, or a quantity on one side of its normal range?"""
    if read.quantities:
        return measured_reply.reply(case, read)
    if not read.findings:
        return _declined(_not_read(read))
    if case.is_pair:
        return _yes_or_no_of_two(case, read)
    named = read.findings[0]
    stage = next((n for n in read.findings if n.startswith(STAGES)), "")
    place_named = next((n for n in read.findings if n.startswith("myocardial infarction in")), "")
    remarks: list[str] = []
    if stage and place_named:
        named = place_named
        remarks.append(_stage_remark(case))
    members = TOGETHER.get(named, (named,))
    leads = [lead for lead in read.leads if _of_leads(case, named)] or [""]
    asked = [(member, lead) for member in members for lead in leads]
    texts = [asked_plainly(member, lead) for member, lead in asked]
    said = said_yes(case.model, texts, *case.asked_of(False), plain=True)
    known = [(*what, one) for what, one in zip(asked, said, strict=True) if one.clear]
    if not known:
        return Reply(ABSTENTION, 0.0, answers=(ABSTENTION,), declined=True)
    member, lead, likeliest = max(known, key=lambda one: one[2].yes)
    if len(members) > 1 and likeliest.affirms:
        remarks.append(f"Likeliest: {phrase(member)}.")
    if len(leads) > 1:
        found = [where for _, where, one in known if one.affirms]
        remarks.append(f"Of these leads: {', '.join(found) or 'none'}.")
    text = "yes" if likeliest.affirms != read.absent else "no"
    return Reply(
        text, max(likeliest.yes, 1 - likeliest.yes) * _reading_counts(read), answers=(text,),
        remarks=tuple(remarks), asked=asked_plainly(member, lead), affirms=likeliest.affirms,
        margin=likeliest.margin,
    )  # fmt: skip


def _yes_or_no_of_two(case: Case, read: Reading) -> Reply:
    """Two ECGs: the model reads the question itself, and what must have become of the finding."""
    (said,) = said_yes(case.model, [read.text], *case.features)
    if not said.clear:
        return Reply(ABSTENTION, 0.0, answers=(ABSTENTION,), declined=True)
    confidence = max(said.yes, 1 - said.yes) * _reading_counts(read)
    return Reply(
        said.word, confidence, answers=(said.word,), asked=read.text, affirms=said.affirms,
        margin=said.margin,
    )  # fmt: skip


def _reading_counts(read: Reading) -> float:
    """What an unsure reading takes from the confidence of an answer."""
    return min(1.0, read.sure / 0.9)


def _of_leads(case: Case, finding: str) -> bool:
    """Whether the model was taught in which leads a finding is."""
    return finding == "any noise" or finding in case.model.encoder.config.lead_findings


def _stage_remark(case: Case) -> str:
    """What the encoder says of an infarct's age."""
    found = findings(case)
    ages = [f for name, f in found.items() if name.startswith(STAGES)]
    if not ages:
        return "The answer is about the place; nothing is said of its age."
    best = max(ages, key=lambda f: f.chance)
    return f"The answer is about the place. Its age, likeliest: {phrase(best.name)}."


def _not_read(read: Reading) -> str:
    if not read.findings:
        return NOT_READ
    near = ", ".join(phrase(name) for name in read.findings)
    return f"{NOT_READ} The nearest that I know: {near}."


def group_of(case: Case, names: Sequence[str]) -> str:
    """The kind of list that all names are options of, "" for none."""
    known = case.model.config.vocabulary
    groups = ("axis", "stage", "noise", "extrasystole", "rhythm", "form", "diagnostic")
    return next((g for g in groups if set(names) <= set(known.get(g, ()))), "")


def _one_of_two(case: Case, read: Reading) -> Reply:
    """A choice: which of two is likelier, "both" where both are likely, "none" where none is."""
    if read.quantities:
        return measured_reply.which_range(case, read)
    if len(read.findings) < 2:
        return _declined(_not_read(read))
    lead = next((lead for lead in read.leads if _of_leads(case, read.findings[0])), "")
    asked = [(name, one) for name in read.findings[:2] for one in TOGETHER.get(name, (name,))]
    first, _ = case.asked_of(False)
    texts = [asked_plainly(member, lead) for _, member in asked]
    margins: dict[str, float] = {}
    each = case.model.yes_margin(texts, expand(first, len(texts))).tolist()
    for (name, _), margin in zip(asked, each, strict=True):
        margins[name] = max(margin, margins[name]) if name in margins else margin
    group = group_of(case, read.findings[:2]) or "superclass"
    options, confidence = decide(case.model, f"choose {group}", margins)
    confidence *= _reading_counts(read)
    return Reply(SEPARATOR.join(options), confidence, margins, answers=tuple(options))


def _list(case: Case, read: Reading) -> Iterator[Reply]:
    """An open question: options of its kind, one by one; intervals are measured."""
    if read.kind in ("features_in_range", "ranges_of_feature", "features"):
        yield measured_reply.listed(case, read)
        return
    if read.kind in ("leads_of_form", "leads_of_noise") and read.findings:
        yield place(case, read)
        return
    if read.kind not in case.model.config.vocabulary:
        yield _declined(_not_read(read))
        return
    asked = Asked(
        kind=read.kind,
        fate=read.fate if read.fate in FATES else ("new" if read.kind == "statements" else ""),
        lead=next(iter(read.leads), ""),
        finding=next(iter(read.findings), ""),
        range=measured_reply.RANGE_OF_SIDE.get(read.side, ""),
    )
    first, second = case.asked_of(read.kind == "statements")
    for reply in replies(case.model, read.text, asked, first, second, case.missing_leads):
        yield replace(reply, confidence=reply.confidence * _reading_counts(read))


# What is no question of one finding -------------------------------------------------------------


def _report(case: Case) -> Iterator[Reply]:
    """The report on the latest ECG, section by section; of a pair also what differs."""
    said: list[str] = []
    told = narrative.report(case)
    sections = list(told.sections)
    if case.is_pair:
        sections.append(("Compared with the first ECG", tuple(narrative.comparison(case))))
    found = findings(case)
    sure = [found[name].chance for name in told.statements if name in found]
    for title, sentences in sections:
        said.append(f"{title}: {' '.join(sentences)}")
        yield Reply("\n".join(said), sum(sure) / max(1, len(sure)), answers=told.statements)


def _advice(case: Case, read: Reading) -> Reply:
    """None, but what the ECG shows that bears on it."""
    told = narrative.report(case)
    shown = " ".join(f"{' '.join(said)}" for title, said in told.sections[:1])
    conclusion = " ".join(told.sections[-1][1])
    return _declined(NO_ADVICE, (f"What this ECG shows: {shown} {conclusion}",))


def _outside(case: Case, read: Reading) -> Reply:
    return _declined(NOT_FROM_AN_ECG)


def _untrained(case: Case, read: Reading) -> Reply:
    """That it was never taught, and the nearest things that were."""
    found = findings(case)
    near = [n for n in read.findings if n in found and n not in UNNAMED][:NEAREST]
    told = [f"{phrase(n)} ({found[n].chance:.0%})" for n in near]
    words = (
        "I cannot tell: I was not trained to see this, so neither a yes nor a no from me counts."
    )
    if told:
        words += f" The nearest things I know, by their words only: {', '.join(told)}."
    rate = value_of("heart rate", case.measured[-1])
    return _declined(words, (f"What was measured: {rate.sentence()}.",))


def _language(case: Case, read: Reading) -> Reply:
    return _declined(IN_ENGLISH)


def _nothing_before(case: Case, read: Reading) -> Reply:
    return _declined(NOTHING_BEFORE)


def _difference(case: Case, read: Reading) -> Reply:
    """All that changed from the first ECG to the second, by more than it does within one."""
    told = narrative.comparison(case)
    changed, text = told != [narrative.ALIKE], " ".join(told)
    if re.search(r"\b(?:better|worse|improv|worsen|deterior)", read.text, re.I):
        return Reply(text, MEASURED_SURE, answers=(), remarks=(NO_VERDICT,))
    if asks_openly(read.text):
        return Reply(text, MEASURED_SURE, answers=())
    alike = re.search(r"\b(?:same|similar|identical|alike|unchanged|stable|no)\b", read.text, re.I)
    said = "yes" if changed != bool(alike) else "no"
    return Reply(f"{said}: {text}", MEASURED_SURE, answers=(said,))


def _since_when(case: Case, read: Reading) -> Reply:
    """One ECG does not tell; of a pair, what is new in the second."""
    if not case.is_pair:
        return _declined(
            "I cannot tell since when from one ECG: it shows one moment. Put an earlier ECG beside "
            "it and ask what is new."
        )
    return Reply(" ".join(narrative.comparison(case)), 1.0, answers=())


_BY_KIND: dict[str, Callable[[Case, Reading], Reply]] = {
    YES_OR_NO: _yes_or_no,
    ONE_OF_TWO: _one_of_two,
    kinds.NUMBER: measured_reply.reply,
    kinds.THRESHOLD: measured_reply.reply,
    kinds.CHANGE: measured_reply.reply,
    kinds.WHERE: place,
    kinds.WHEN: measured_reply.when,
    kinds.ADVICE: _advice,
    kinds.OUTSIDE: _outside,
    kinds.UNTRAINED: _untrained,
    kinds.LANGUAGE: _language,
    kinds.FOLLOW_UP: _nothing_before,
    kinds.WHY: _nothing_before,
    kinds.HOW_SURE: _nothing_before,
    kinds.SINCE_WHEN: _since_when,
    kinds.DIFFERENCE: _difference,
}
