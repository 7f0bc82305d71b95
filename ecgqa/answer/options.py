"""Open questions, option by option: what is asked about, and an option as a yes/no question.

A list ("which findings are new?") is answered in four steps. The projector reads from the question
what kind of answer is wanted, in which lead, and what must have become of a finding between two
ECGs. Every option is put as a plain yes/no question; the projector's testimony alone picks the
likeliest. Those are asked of the language model. Of the answers that such questions had in
training, the one that agrees best with what it says is the answer.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ecgqa.model.ecg_model import ABSTENTION, ONE_OF_TWO, SEPARATOR, YES_OR_NO, EcgModel, expand
from ecgqa.model.features import EcgFeatures
from ecgqa.model.projector import named
from ecgqa.record import LEADS

FATES = ("resolved", "new", "kept", "absent")  # in the order of `Projector.asked_fate`
RANGE_NAMES = ("below the normal range", "within the normal range", "above the normal range")
OF_FINDING = {
    "resolved": "Is {} present in the first ECG and no longer in the second?",
    "new": "Is {} absent in the first ECG and new in the second?",
    "kept": "Is {} present in both the first and the second ECG?",
    "absent": "Is {} absent in both the first and the second ECG?",
}
OF_FEATURE = {  # what becomes of "is normal"
    "resolved": "Is the {} normal in the first ECG and abnormal in the second?",
    "new": "Is the {} abnormal in the first ECG and normal in the second?",
    "kept": "Is the {} normal in both the first and the second ECG?",
    "absent": "Is the {} abnormal in both the first and the second ECG?",
}
# The language model is asked of the likeliest option, of all whose testimony comes near it, and of
# at least LEAST and at most MOST. Twice as far or half as far answers as many lists rightly.
NEAR, LEAST, MOST = 0.5, 3, 12
OF_TWO_ECGS = ("statements", "features")  # kinds that compare; all others are about one ECG
OF_LEAD = {"form": "forms_of_lead", "noise": "noises_of_lead"}  # the same about one named lead
LEADS_OF = {"form": "leads_of_form", "noise": "leads_of_noise"}  # where a finding is seen
NONE = "none"
# How much weigh, in `decide`: the log odds of an option, that it is one, that there is any, and how
# often the answer was right in training. Fitted for every kind by `training.stages.calibrate`.
UNFITTED = (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Asked:
    """What a question is about.

    kind: one of `ModelConfig.kinds`. fate: one of `FATES` for a question about two ECGs, else "".
    lead, finding, feature, range: what all options refer to, "" where nothing is named. names: the
    two names that the question is most about, weight: 0..1, how much it is about the first.
    """

    kind: str = ""
    fate: str = ""
    lead: str = ""
    finding: str = ""
    feature: str = ""
    range: str = ""
    names: tuple[str, ...] = ()
    weight: float = 0.0


@torch.no_grad()
def understand(model: EcgModel, questions: Sequence[str], two: bool) -> list[Asked]:
    """What each question is about, from its words alone; two: they are about two ECGs."""
    projector, config = model.projector, model.encoder.config
    states, mask = model.language.read(list(questions))
    count = len(config.statements)
    meant = named(projector.matches(states, mask)).softmax(-1)
    fates = projector.asked_fate(states, mask).argmax(-1).tolist()
    fits = [k == YES_OR_NO or (k in OF_TWO_ECGS) == two for k in model.config.kinds]
    kinds = projector.asked_kind(states, mask)[:, : len(fits)]
    kinds = kinds.masked_fill(~torch.tensor(fits, device=kinds.device), -1e4).argmax(-1).tolist()
    out = []
    for i, question in enumerate(questions):
        weight = dict(zip(config.statements, meant[i, :count].tolist(), strict=True))
        leads = meant[i, count:-1]
        said = re.search(r"\b(aV[RLF]|V[1-6]|lead (I{1,3}))\b", question, re.IGNORECASE)
        lead = ""
        if said:
            lead = next(x for x in LEADS if x.lower() == (said[2] or said[1]).lower())
        elif float(leads.sum()) > 0.2:
            lead = LEADS[int(leads.argmax())]
        finding = max(config.lead_findings, key=lambda f: weight.get(f, 0.0), default="")
        ranges = {(f, r): weight.get(f"{f} {r}", 0.0) for f in features(model) for r in RANGE_NAMES}
        out.append(
            Asked(
                kind=_fitting(model, model.config.kinds[kinds[i]], lead, finding),
                fate=FATES[fates[i]] if two else "",
                lead=lead,
                finding=finding,
                feature=_heaviest(ranges, 0),
                range=_heaviest(ranges, 1),
                names=tuple(sorted(weight, key=weight.__getitem__, reverse=True)[:2]),
                weight=max(weight.values(), default=0.0),
            )
        )
    return out


def _fitting(model: EcgModel, kind: str, lead: str, finding: str) -> str:
    """Of kinds that differ by what the question names, the one that fits what it does name."""
    known = model.config.vocabulary
    for whole, one in OF_LEAD.items():
        if kind in (whole, one) and {whole, one} <= known.keys():
            return one if lead else whole
    if kind in LEADS_OF.values():
        fits = [name for whole, name in LEADS_OF.items() if finding in known.get(whole, ())]
        return fits[0] if fits else kind
    return kind


def features(model: EcgModel) -> list[str]:
    """Intervals whose ranges the encoder estimates."""
    end = f" {RANGE_NAMES[1]}"
    return [s.removesuffix(end) for s in model.encoder.config.statements if s.endswith(end)]


def option_question(asked: Asked, option: str, feature: bool = False) -> str:
    """The yes/no question whether `option` belongs to the answer; feature: it is an interval."""
    if asked.fate:
        return (OF_FEATURE if feature else OF_FINDING)[asked.fate].format(option)
    if feature:
        return f"Is the {option} {asked.range} in this ECG?"
    if option in RANGE_NAMES:
        return f"Is the {asked.feature} {option} in this ECG?"
    if option.startswith("lead "):
        return f"Is {asked.finding} present in {option} of this ECG?"
    if asked.lead:
        return f"Is {option} present in lead {asked.lead} of this ECG?"
    return f"Is {option} present in this ECG?"


def option_questions(model: EcgModel, asked: Asked, options: Sequence[str]) -> list[str]:
    """`option_question` of each."""
    known = features(model)
    return [option_question(asked, option, option in known) for option in options]


def unknown_options(model: EcgModel, options: Sequence[str]) -> list[str]:
    """Why options cannot be weighed, one sentence for each that the model was never taught."""
    known = {name for names in model.config.vocabulary.values() for name in names}
    known |= set(model.encoder.config.statements)
    said = []
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option.lower(), sorted(known), 3, 0.4)
            hint = f" The nearest that it knows: {', '.join(near)}." if near else ""
            said.append(f"The model was not taught the option “{option}”.{hint}")
    return said


def likeliest(
    model: EcgModel,
    texts: Sequence[str],
    first: EcgFeatures | None,
    second: EcgFeatures | None = None,
) -> list[int]:
    """Numbers of the yes/no questions about one ECG or pair that the testimony affirms most."""
    margins = model.testimony_margin(list(texts), first, second)
    order = margins.argsort(descending=True).tolist()[:MOST]
    near = float(margins.max()) - NEAR
    return sorted(i for place, i in enumerate(order) if place < LEAST or margins[i] >= near)


def is_list(model: EcgModel, asked: Asked) -> bool:
    """Whether the answer is put together from options, and is neither yes nor no."""
    return asked.kind == ONE_OF_TWO or asked.kind in model.config.vocabulary


def weigh(
    model: EcgModel, asked: Asked, first: EcgFeatures | None, second: EcgFeatures | None = None
) -> dict[str, float]:
    """{option: log odds that it belongs to the answer} of the likeliest, for one ECG or pair."""
    options = choices(model, asked)
    texts = option_questions(model, asked, options)
    chosen = likeliest(model, texts, first, second)
    n = len(chosen)
    margins = model.yes_margin([texts[i] for i in chosen], expand(first, n), expand(second, n))
    return dict(zip((options[i] for i in chosen), margins.tolist(), strict=True))


def abstains(
    model: EcgModel, question: str, first: EcgFeatures | None, second: EcgFeatures | None = None
) -> bool:
    """Whether the language model begins to say that one cannot tell."""
    text = ""
    for text, _ in model.stream(question, first, second):
        if not ABSTENTION.startswith(text):
            return False
    return text == ABSTENTION


class Decision(NamedTuple):
    """The options of an answer (or "none"), and the probability of its least sure part, 0..1."""

    options: tuple[str, ...]
    confidence: float


def decide(model: EcgModel, kind: str, margins: dict[str, float]) -> Decision:
    """The answer to an open question from the log odds of its options (`weigh`).

    kind: of `ModelConfig.vocabulary`, or a kind of calibration for one or both of two options.
    Options that were not asked about do not belong to the answer.
    """
    answers, scores = candidates(model, kind, margins)
    if not answers and model.config.choice and len(margins) == 2:
        return _between(model, kind, margins)
    if not answers:
        return _each(model, kind, margins)
    chance = (scores @ scores.new_tensor(model.config.lists.get(kind, UNFITTED))).softmax(0)
    best = answers[int(chance.argmax())]
    parts = [
        sum(float(p) for p, other in zip(chance, answers, strict=True) if option in other)
        for option in best
    ]
    return Decision(best or (NONE,), min(parts) if parts else float(chance.max()))


def candidates(
    model: EcgModel, kind: str, margins: dict[str, float]
) -> tuple[list[tuple[str, ...]], torch.Tensor]:
    """The answers that questions of this kind had in training, as far as their options were asked
    about, and [n, 4]: for each, the sum of its options' log odds, how many they are, whether there
    is any, and the log of how often it was the answer. () stands for "none"."""
    answers, rows = [], []
    for text, count in model.config.known_answers.get(kind, {}).items():
        options = () if text == NONE else tuple(text.split(SEPARATOR))
        if all(option in margins for option in options):
            answers.append(options)
            total = sum(margins[option] for option in options)
            rows.append([total, float(len(options)), float(bool(options)), math.log(count)])
    return answers, torch.tensor(rows, dtype=torch.double)


def _between(model: EcgModel, kind: str, margins: dict[str, float]) -> Decision:
    """The likeliest of: one of two options, both, neither (`training.stages.fit_choice`)."""
    scale, both, neither = model.config.choice
    (one, a), (other, b) = (
        (option, scale * float(model.calibrated(torch.tensor(margin), kind).logit(1e-6)))
        for option, margin in margins.items()
    )
    answers = ((one,), (other,), (one, other), (NONE,))
    chances = torch.tensor([a, b, a + b + both, neither], dtype=torch.double).softmax(0)
    best = int(chances.argmax())
    return Decision(answers[best], float(chances[best]))


def _each(model: EcgModel, kind: str, margins: dict[str, float]) -> Decision:
    """Every option on its own: those with a probability of 0.5 and more."""
    chances = model.calibrated(torch.tensor(list(margins.values())), kind).tolist()
    found = tuple(o for o, chance in zip(margins, chances, strict=True) if chance >= 0.5)
    return Decision(found or (NONE,), min(max(chance, 1 - chance) for chance in chances))


def choices(model: EcgModel, asked: Asked) -> tuple[str, ...]:
    """The options of an open question, or the two that a question chooses between."""
    known = model.config.vocabulary
    if asked.kind in known:
        return tuple(known[asked.kind])
    ranges = [next((r for r in RANGE_NAMES if name.endswith(r)), "") for name in asked.names]
    return tuple(ranges) if all(ranges) and len(set(ranges)) == 2 else asked.names


def _heaviest(weights: dict[tuple[str, str], float], part: int) -> str:
    """The feature (part 0) or range (part 1) that carries the most weight."""
    total: dict[str, float] = {}
    for key, weight in weights.items():
        total[key[part]] = total.get(key[part], 0.0) + weight
    return max(total, key=total.__getitem__, default="")
