"""`place`: in which leads, and so in which wall of the heart, a finding is seen.

Walls and their leads after the Fourth Universal Definition of Myocardial Infarction (Thygesen et
al. 2018, doi 10.1161/CIR.0000000000000617).
"""

from __future__ import annotations

from collections.abc import Callable

from ecgqa.answer.case import Case
from ecgqa.answer.findings import findings
from ecgqa.answer.options import NONE, Asked, option_question
from ecgqa.answer.reply import Reply, replies
from ecgqa.measure import LeadValues
from ecgqa.model.ecg_model import SEPARATOR
from ecgqa.question.kinds import WHERE
from ecgqa.question.reading import TOGETHER, Reading, phrase
from ecgqa.record import LEADS

WALLS = {
    "inferior": ("II", "III", "aVF"),
    "anteroseptal": ("V1", "V2", "V3"),
    "anterior": ("V2", "V3", "V4"),
    "lateral": ("I", "aVL", "V5", "V6"),
    "anterolateral": ("V3", "V4", "V5", "V6", "I", "aVL"),
    "inferolateral": ("II", "III", "aVF", "V5", "V6"),
    "posterior": ("V1", "V2", "V3"),
    "inferoposterior": ("II", "III", "aVF", "V1", "V2", "V3"),
    "inferoposterolateral": ("II", "III", "aVF", "V1", "V2", "V5", "V6"),
}
HINT = 0.4  # share of a statement's own limit from which its place is named as a possibility
FAMILIES = {  # what is asked for → how its places are called, and the statement of any place
    "myocardial infarction": ("myocardial infarction in ", "myocardial infarction"),
    "ischemi": ("ischemic in ", "non-specific ischemic"),
    "subendocardial injury": ("subendocardial injury in ", ""),
    "stage of myocardial infarction": ("myocardial infarction in ", "myocardial infarction"),
}
# What a lead must measure for a finding of single leads to be seen in it, mV.
SEEN: dict[str, tuple[str, Callable[[LeadValues], bool]]] = {
    "non-specific st elevation": ("ST at J 0.1 mV and more", lambda v: v.st_j_mv >= 0.1),
    "non-specific st depression": ("ST at J −0.05 mV and less", lambda v: v.st_j_mv <= -0.05),
    "inverted t-waves": ("T −0.1 mV and less", lambda v: v.t_mv is not None and v.t_mv <= -0.1),
    "low amplitude t-wave": (
        "T within ±0.1 mV", lambda v: v.t_mv is not None and abs(v.t_mv) < 0.1,
    ),
    "q waves present": (
        "Q 0.1 mV and a quarter of R and more", lambda v: -v.q_mv >= max(0.1, v.r_mv / 4),
    ),
}  # fmt: skip


def wall_of(name: str) -> tuple[str, ...]:
    """The leads that show the wall which a finding names, () where it names none."""
    wall = name.partition(" in ")[2].removesuffix(" leads")
    return WALLS.get(wall, ())


def place(case: Case, read: Reading) -> Reply:
    """Where the finding of a question is seen; of a pair, in the later ECG."""
    name = next(iter(read.findings), "myocardial infarction")
    family = next((f for f in FAMILIES if f in name), "")
    if name in TOGETHER and "ischemi" in name:
        family = "ischemi"
    if family:
        return _wall(case, *FAMILIES[family])
    if name in case.model.encoder.config.lead_findings:
        return _leads(case, name, read.kind == WHERE)
    return _shown(case, name)


def _wall(case: Case, start: str, anywhere: str) -> Reply:
    """The likeliest place of an infarct, of ischaemia or injury, where there is any."""
    found = findings(case)
    places = [f for name, f in found.items() if name.startswith(start)]
    best = max(places, key=lambda f: f.chance / max(f.limit, 0.02))
    whole = found.get(anywhere)
    what = start.removesuffix(" in ").replace("ischemic", "ischemia")
    there = best.there or (whole is not None and whole.there)
    wall = best.name.removeprefix(start).removesuffix(" leads")
    leads = ", ".join(lead for lead in LEADS if lead in WALLS[wall])
    if not there and best.chance < HINT * best.limit:
        chance = max(best.chance, whole.chance if whole else 0.0)
        return Reply(
            f"no {what} is seen, so there is no place to name", 1 - chance, answers=(NONE,)
        )
    if not there:
        return Reply(
            f"no {what} is seen for sure; if there is one, most likely {wall} ({leads})",
            best.chance, answers=(wall,),
        )  # fmt: skip
    others = [
        f.name.removeprefix(start).removesuffix(" leads") for f in places if f.there and f != best
    ]
    also = f" Also possible: {', '.join(others)}." if others else ""
    return Reply(
        f"{wall} ({leads}): {phrase(best.name)}", best.chance, answers=(wall,),
        remarks=(also.strip(),) if also else (), asked=option_question(Asked(), best.name),
    )  # fmt: skip


def _leads(case: Case, name: str, asked_where: bool) -> Reply:
    """The leads in which the model sees a finding, and those in which it can be measured."""
    kind = "leads_of_noise" if name not in SEEN else "leads_of_form"
    last = case.each[-1]
    *_, reply = replies(
        case.model, f"In which leads is {name} seen?", Asked(kind, finding=name), last, None,
        case.missing_leads,
    )  # fmt: skip
    if name not in SEEN:
        return reply
    words, seen = SEEN[name]
    leads = [lead for lead, v in case.measured[-1].leads.items() if seen(v)]
    remark = f"Measured, {words}: {', '.join(leads) or 'in no lead'}."
    answers = tuple(reply.text.split(SEPARATOR))
    if answers == (NONE,) and leads and asked_where:
        named = tuple(f"lead {lead}" for lead in leads)
        text = f"{SEPARATOR.join(named)} (measured, {words}; the model itself names none)"
        return Reply(text, 0.6, answers=named)
    return Reply(reply.text, reply.confidence, reply.margins, answers, (remark,))


def _shown(case: Case, name: str) -> Reply:
    """A finding of the whole ECG is seen in many leads; which weigh most is its evidence."""
    found = findings(case).get(name)
    if found is None:
        return Reply("I cannot name a place for this.", 0.0, answers=(), declined=True)
    if not found.there:
        return Reply(f"{phrase(name)} is not seen, so there is no place to name", 1 - found.chance,
                     answers=(NONE,))  # fmt: skip
    return Reply(
        f"{phrase(name)} is seen in the ECG as a whole; the leads it rests on are named below",
        found.chance, answers=(name,),
    )  # fmt: skip
