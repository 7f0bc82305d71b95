"""Severity strata and the samplers that cut severity → answer.

Severity S of the illness moves the ECG, what gets asked (Q) and the answer (A); through
Q ← S → A a model can answer from the question alone. Arm "balanced" draws the question, then the
severity, then the answer independently of the severity, then an ECG (or a pair) from that cell, so
that inside every (question, severity) the answers have the same odds: nothing but the ECG tells
them apart. Arm "erm" draws as ECG-QA does, without looking at the severity: yes to no as 1 to 2,
and for lists evenly over the distinct sets of answers. Arm "independent" is the literal back-door
sampling: the question does not depend on the severity, and the answer is whatever the ECG says.

    python -m training.data.debias report --ptbxl DIR --ecgqa DIR    # what each arm's stream cuts
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from sklearn.metrics import mutual_info_score

from ecgqa.answer.options import NONE, RANGE_NAMES, option_question
from ecgqa.model.ecg_model import SEPARATOR, YES_OR_NO
from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.questions import TEMPLATES, Facts, Key, Question
from training.data.wordings import load_wordings, word

ARMS = ("erm", "independent", "balanced")
FEWEST = 3  # ECGs that a cell needs before it is drawn from
PER_ANSWER = 25  # ECGs per answer to an open question, as in ECG-QA's validation shard (train: 50)
Worder = Callable[[Key, random.Random], str]


@dataclass(frozen=True)
class Draw:
    """A drawn question with the rows of its ECGs and the stratum it was drawn from.

    names: statements and leads ("lead V2") that the question is about. key: what it words.
    option: the option that it checks with yes or no, where the key's own question is another one.
    """

    question: Question
    rows: tuple[int, ...]
    stratum: tuple[int, ...]
    names: tuple[str, ...]
    key: Key
    option: str | None = None

    @property
    def kind(self) -> str:
        """The kind of answer that is wanted, one of `ModelConfig.kinds`."""
        return YES_OR_NO if self.option else questions.kind_of(self.key.template)


class Sampler:
    """Draws questions about the ECGs of `rows`.

    arm: see above. yes_share: P(yes) of verify questions (ECG-QA: 1/3). check_share: how many of
    the choose and query questions become "... Is the answer X?" questions, half of them yes.
    without: findings and numbers of templates that are never asked about, nor part of an answer.
    """

    def __init__(
        self,
        facts: Facts,
        rows: np.ndarray,
        worder: Worder,
        arm: str = "balanced",
        yes_share: float = 1 / 3,
        check_share: float = 0.0,
        seed: int = 0,
        without: Collection[str] = (),
    ) -> None:
        if arm not in ARMS:
            raise ValueError(f"arm must be one of {ARMS}, not {arm}")
        self.facts, self.data, self.worder, self.arm = facts, facts.data, worder, arm
        self.yes_share, self.check_share = yes_share, check_share
        self.rng = random.Random(seed)
        self.rows = np.asarray(rows)
        severity = self.data.severity[self.rows]
        self.strata = [self.rows] if arm == "erm" else [self.rows[severity == s] for s in range(3)]
        pairs = questions.consecutive_pairs(self.data, self.rows)
        worst = self.data.severity[pairs].max(1) if len(pairs) else np.zeros(0)
        self.pair_strata = [pairs] if arm == "erm" else [pairs[worst == s] for s in range(3)]
        self.keys = {
            t.id: questions.keys(t, facts, random.Random(seed + t.id))
            for t in TEMPLATES.values()
            if str(t.id) not in without
        }
        self.without = frozenset(without)
        self._cells: dict[tuple[Any, ...], np.ndarray] = {}
        self._groups: dict[tuple[Any, ...], list[np.ndarray]] = {}
        self._askable: list[int] | None = None

    def templates(self) -> list[int]:
        """Templates for which the labels of these ECGs allow a question."""
        if self._askable is None:
            here = self.rng
            self.rng = random.Random(0)
            self._askable = [t for t, keys in self.keys.items() if keys and self._can_ask(t)]
            self.rng = here
        return self._askable

    def _can_ask(self, template_id: int) -> bool:
        try:
            self.draw(template_id)
        except LookupError:
            return False
        return True

    def draw(self, template_id: int) -> Draw:
        """One question. Raises LookupError when the labels do not allow any."""
        return self.group(template_id, 1)[0]

    def group(self, template_id: int, count: int) -> list[Draw]:
        """The same question, in the same words and stratum, about `count` ECGs (or pairs).

        The answers of yes/no questions differ as the odds allow. Raises LookupError when the labels
        do not allow any.
        """
        for _ in range(1000):
            key = self.rng.choice(self.keys[template_id])
            found = self._pick(key, count)
            if found is None:
                continue
            each, stratum, option = found
            if option is None:
                text = self.worder(key, self.rng)
            else:
                feature = key.template.group in ("features", "features_in_range")
                text = option_question(questions.asked_of(key), option, feature)
            draws: list[Draw] = []
            for rows, truth in each:
                answer = (
                    questions.answer_of(key, self.facts, rows)
                    if option is None
                    else ("yes",) if truth else ("no",)
                )  # fmt: skip
                if answer is None:
                    break
                question = questions.make_question(key, text, answer, self.data, rows)
                draws.append(Draw(question, rows, stratum, self._names(key, option), key, option))
            said = {name for d in draws for name in (*d.names, *d.question.answer)}
            if len(draws) == count and not said & self.without:
                return draws
        raise LookupError(f"template {template_id}: the labels allow no question")

    def _names(self, key: Key, option: str | None) -> tuple[str, ...]:
        """Names that a question is about: what a reader would look up to answer it."""
        group, slots = key.template.group, dict(key.slots)
        lead = [f"lead {slots['lead']}"] if "lead" in slots else []
        if group in questions.UNNAMED:
            return (questions.UNNAMED[group],)
        if group == "any_noise_in_lead":
            return (questions.UNNAMED["any_noise"], *lead)
        options = [option] if option else [] if key.template.kind == "query" else list(key.options)
        if group in ("feature_in_range", "ranges_of_feature"):
            return tuple(f"{key.context} {name}" for name in options or RANGE_NAMES)
        if group == "features_in_range":
            return tuple(f"{name} {key.context}" for name in options or questions.RANGES_MS)
        if group in ("feature", "features"):
            return tuple(f"{name} {RANGE_NAMES[1]}" for name in options)
        if group in ("leads_of_form", "leads_of_noise"):
            return (key.context, *options)
        return (*options, *lead)

    def _pick(
        self, key: Key, count: int
    ) -> tuple[Sequence[tuple[tuple[int, ...], bool | None]], tuple[int, ...], str | None] | None:
        """[(rows, truth of the option)], stratum, and the option that is checked, if any."""
        kind = key.template.kind
        if kind == "verify":
            return self._verify(key, key.options[0], self.yes_share, None, count)
        if self.rng.random() < self.check_share:
            option = self.rng.choice(key.options)
            return self._verify(key, option, 0.5, option, count)
        stratum = self._stratum(key)
        if stratum is None:
            return None
        make = self._choose if kind == "choose" else self._query
        made = [make(key, stratum) for _ in range(count)]
        each = [(rows, None) for rows in made if rows is not None]
        return (each, stratum, None) if len(each) == count else None

    def _verify(self, key: Key, option: str, yes_share: float, check: str | None, count: int):
        state = key.template.state
        stratum = self._stratum(key)
        if stratum is None:
            return None
        if self.arm == "independent":  # whatever the ECGs of this stratum answer
            pools = [self._known(key, option, s) for s in self._places(key, stratum)]
            if min(len(p) for p in pools) < FEWEST:
                return None
            each = []
            for _ in range(count):
                rows = tuple(i for p in pools for i in self._one(p))
                values = self.facts.column(key, option)[list(rows)]
                each.append((rows, tuple(int(v > 0) for v in values) == state))
            return each, stratum, check
        others = [s for s in product((0, 1), repeat=len(state)) if s != state]
        # Both answers must be possible here, or the stratum alone would give the answer away.
        true_rows = self._rows(key, option, state, stratum)
        false_rows = [r for s in others if (r := self._rows(key, option, s, stratum)) is not None]
        if true_rows is None or not false_rows:
            return None
        yes = count * yes_share
        yes = int(yes) + (self.rng.random() < yes - int(yes))
        truths = [True] * yes + [False] * (count - yes)
        self.rng.shuffle(truths)
        each = [((true_rows if t else self.rng.choice(false_rows))(), t) for t in truths]
        return each, stratum, check

    def _places(self, key: Key, stratum: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The strata to draw from one after the other: two for two unrelated ECGs."""
        if key.template.ecgs == 2 and not key.template.consecutive:
            return [(s,) for s in stratum]
        return [stratum]

    def _known(self, key: Key, option: str, stratum: tuple[int, ...]) -> np.ndarray:
        """Rows [k, 1] or pairs of rows [k, 2] of a stratum where the option's truth is known."""
        name = (key.template.group, key.context, option, "known", stratum, key.template.consecutive)
        if name not in self._cells:
            pool = self._pool(key, stratum)
            values = self.facts.column(key, option)[pool]
            self._cells[name] = pool[~np.isnan(values).any(1)]
        return self._cells[name]

    def _choose(self, key: Key, stratum: tuple[int, ...]) -> tuple[int, ...] | None:
        """Two A only, two B only, at most two both, two none: equal odds where all are there."""
        a, b = key.options
        pool = self._pool(key, stratum)
        va, vb = (self.facts.column(key, o)[pool[:, 0]] for o in (a, b))
        known = ~np.isnan(va + vb)
        cells = [
            pool[known & ((va > 0) == x) & ((vb > 0) == y)]
            for x, y in ((1, 0), (0, 1), (0, 0), (1, 1))
        ]
        if min(len(c) for c in cells[:3]) < FEWEST:
            return None
        return self._one(self.rng.choice([c for c in cells if len(c) >= FEWEST]))

    def _query(self, key: Key, stratum: tuple[int, ...]) -> tuple[int, ...] | None:
        """As ECG-QA where the arm is its own, else an option that is true, drawn evenly over
        options ("none" among them), then an ECG."""
        if self.arm == "erm":
            groups = self.by_answer(key)
            if not groups:
                return None
            return self._one(self.rng.choices(groups, [min(len(g), PER_ANSWER) for g in groups])[0])
        state = key.template.state
        options = [*key.options, NONE]
        self.rng.shuffle(options)
        for option in options[:8]:
            if option == NONE:
                if key.template.ecgs == 1 or key.template.consecutive:
                    pool = self._none(key, stratum)
                    if len(pool) >= FEWEST:
                        return self._one(pool)
                    continue
                pools = [self.strata[s] for s in stratum]
                return tuple(int(self.rng.choice(p)) for p in pools)
            make = self._rows(key, option, state, stratum)
            if make is not None:
                return make()
        return None

    def by_answer(self, key: Key) -> list[np.ndarray]:
        """ECGs (or pairs) by the set of options that are true of them, a group for each set."""
        name = (key.template.id, key.context, "by answer")
        if name not in self._groups:
            if key.template.ecgs == 2 and not key.template.consecutive:
                rng = np.random.default_rng(self.rng.randrange(2**31))
                pool = rng.choice(self.rows, (4000, 2))
                pool = pool[pool[:, 0] != pool[:, 1]]
            else:
                pool = self._pool(key, (0,))
            truth = np.ones((len(pool), len(key.options)), bool)
            known = np.ones(len(pool), bool)
            for k, option in enumerate(key.options):
                values = self.facts.column(key, option)[pool]
                known &= ~np.isnan(values).any(1)
                truth[:, k] = ((values > 0) == np.array(key.template.state)).all(1)
            pool, truth = pool[known], truth[known]
            groups: dict[bytes, list[int]] = defaultdict(list)
            for i, row in enumerate(truth):
                groups[row.tobytes()].append(i)
            self._groups[name] = [pool[members] for members in groups.values()]
        return self._groups[name]

    def _stratum(self, key: Key) -> tuple[int, ...] | None:
        """One severity for one ECG or a patient's pair, one each for two unrelated ECGs."""
        template = key.template
        count = 2 if template.ecgs == 2 and not template.consecutive else 1
        pools = self.pair_strata if template.consecutive else self.strata
        # "independent" keeps the share of every severity; "balanced" draws them evenly.
        weights = [len(p) if self.arm == "independent" else 1 for p in pools]
        choice = tuple(self.rng.choices(range(len(pools)), weights, k=count))
        return choice if all(len(pools[s]) >= FEWEST for s in choice) else None

    def _pool(self, key: Key, stratum: tuple[int, ...]) -> np.ndarray:
        """Rows [k, 1] or pairs of rows [k, 2] of a stratum."""
        if key.template.consecutive:
            return self.pair_strata[stratum[0]]
        return self.strata[stratum[0]][:, None]

    def _rows(self, key: Key, option: str, state: tuple[int, ...], stratum: tuple[int, ...]):
        """A function that draws ECGs in which `option` is in `state`; None if there are too few."""
        if key.template.ecgs == 2 and not key.template.consecutive:
            cells = [
                self._cell(key, option, (value,), (s,), each=True)
                for value, s in zip(state, stratum, strict=True)
            ]
            if min(len(c) for c in cells) < FEWEST:
                return None
            return lambda: tuple(int(self.rng.choice(c)[0]) for c in cells)
        cell = self._cell(key, option, state, stratum)
        if len(cell) < FEWEST:
            return None
        return lambda: self._one(cell)

    def _cell(self, key, option, state, stratum, each: bool = False) -> np.ndarray:
        name = (key.template.group, key.context, option, state, stratum, key.template.consecutive)
        if name not in self._cells:
            pool = self.strata[stratum[0]][:, None] if each else self._pool(key, stratum)
            values = self.facts.column(key, option)[pool]
            match = ~np.isnan(values).any(1)
            for k, wanted in enumerate(state):
                match &= (values[:, k] > 0) == wanted
            self._cells[name] = pool[match]
        return self._cells[name]

    def _none(self, key: Key, stratum: tuple[int, ...]) -> np.ndarray:
        """ECGs (or pairs) of which no option is in the wanted state."""
        name = (key.template.id, key.context, NONE, stratum)
        if name not in self._cells:
            pool = self._pool(key, stratum)
            keep = np.ones(len(pool), bool)
            for option in key.options:
                values = self.facts.column(key, option)[pool]
                hit = np.ones(len(pool), bool)
                for k, wanted in enumerate(key.template.state):
                    hit &= (values[:, k] > 0) == wanted
                keep &= ~hit & ~np.isnan(values).any(1)
            self._cells[name] = pool[keep]
        return self._cells[name]

    def _one(self, cell: np.ndarray) -> tuple[int, ...]:
        return tuple(int(i) for i in cell[self.rng.randrange(len(cell))])


def regenerate(sampler: Sampler, per_template: int) -> list[Question]:
    """Up to `per_template` distinct questions of each template, by the sampler's rules."""
    out: list[Question] = []
    for template_id in sampler.templates():
        seen: set[tuple[Any, ...]] = set()
        for _ in range(3 * per_template):
            if len(seen) >= per_template:
                break
            try:
                question = sampler.draw(template_id).question
            except LookupError:
                break
            name = (question.attribute, question.question, question.ecg_id)
            if name not in seen:
                seen.add(name)
                out.append(question)
    return out


def known_answers(facts: Facts, rows: np.ndarray) -> dict[str, dict[str, int]]:
    """{kind of open question: {answer: how often it would be drawn}} about the ECGs of `rows`."""
    sampler = Sampler(facts, rows, lambda key, rng: "", arm="erm")
    out: dict[str, Counter[str]] = defaultdict(Counter)
    for template in TEMPLATES.values():
        if template.kind != "query":
            continue
        for key in sampler.keys[template.id]:
            for ecgs in sampler.by_answer(key):
                answer = questions.answer_of(key, facts, tuple(int(i) for i in ecgs[0]))
                if answer:
                    out[template.group][SEPARATOR.join(answer)] += min(len(ecgs), PER_ANSWER)
    return {kind: dict(sorted(counts.items())) for kind, counts in out.items()}


def arrows(
    draws: list[Draw], severity: np.ndarray, shuffles: int = 20, seed: int = 0
) -> dict[str, tuple[Any, ...]]:
    """I(Q;S), I(S;A), I(Q;A) of verify questions in bit, each with its null (mean, 95 %).

    severity: of every row of the data.
    """
    verify = [d for d in draws if d.question.question_type == "single-verify"]
    name = [f"{d.question.template_id} {d.question.attribute}" for d in verify]
    level = [int(severity[d.rows[0]]) for d in verify]
    answer = [d.question.answer[0] != "no" for d in verify]  # "not sure": it is there
    rng = random.Random(seed)
    out = {}
    for label, a, b in (
        ("I(Q;S)", name, level),
        ("I(S;A)", level, answer),
        ("I(Q;A)", name, answer),
    ):
        null = []
        for _ in range(shuffles):
            mixed = list(b)
            rng.shuffle(mixed)
            null.append(mutual_info_score(a, mixed) / np.log(2))
        value = mutual_info_score(a, b) / np.log(2)
        out[label] = (value, float(np.mean(null)), float(np.quantile(null, 0.95)))
    return out


def blind_accuracy(draws: list[Draw]) -> float:
    """Share right when every question gets the answer that it has most often in this stream."""
    answers: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for draw in draws:
        question = draw.question
        answers[question.template_id, question.attribute][question.answer[0]] += 1
    return sum(max(c.values()) for c in answers.values()) / len(draws)


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa")
    parser.add_argument("what", choices=("report",))
    parser.add_argument("--draws", type=int, default=20_000, help="of each arm")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    rows = ptbxl.splits(data, args.ecgqa)["train"]
    facts = Facts(data)
    words = load_wordings("train", args.ecgqa)
    super_of = ptbxl.superclass_of(args.ptbxl)
    print(
        f"{args.draws} single-verify questions; in brackets: 95 % of permutations lie below\n\n"
        "| severity | arm | I(Q;S) bit | I(S;A) | I(Q;A) | blind accuracy | P(yes) by severity |\n"
        "|---|---|---|---|---|---|---|"
    )
    for definition in ptbxl.SEVERITIES:
        severity = np.array([ptbxl.severity_of(c, super_of, definition) for c in data.codes])
        facts.data = replace(data, severity=severity.astype(np.int8))
        for arm in ARMS:
            sampler = Sampler(facts, rows, lambda key, rng: word(key, words, rng), arm)
            verify = [t for t in sampler.templates() if TEMPLATES[t].type == "single-verify"]
            draws = [sampler.draw(sampler.rng.choice(verify)) for _ in range(args.draws)]
            cells = [
                f"{value:.3f} ({high:.3f})" for value, _, high in arrows(draws, severity).values()
            ]
            by = defaultdict(list)
            for d in draws:
                by[int(severity[d.rows[0]])].append(d.question.answer[0] == "yes")
            shares = " / ".join(f"{np.mean(by[s]):.2f}" for s in sorted(by))
            cells += [f"{100 * blind_accuracy(draws):.1f}", shares]
            print(f"| {definition} | {arm} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
