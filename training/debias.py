"""Severity strata and the samplers that cut severity → answer.

Severity S of the illness moves the ECG, what gets asked (Q) and the answer (A); through
Q ← S → A a model can answer from the question alone. Arm "balanced" draws the question, then the
severity, then the answer independently of the severity, then an ECG (or a pair) from that cell, so
that inside every (question, severity) the answers have the same odds: nothing but the ECG tells
them apart. Arm "erm" draws as ECG-QA does, without looking at the severity.

    python -m training.debias --ptbxl DIR --ecgqa DIR     # I(Q;S), I(S;A), I(Q;A) of both streams
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from sklearn.metrics import mutual_info_score

from ecgqa.answer import check_option
from training import ptbxl, questions
from training.ptbxl import PtbXl
from training.questions import NONE, TEMPLATES, Facts, Key, Question

ARMS = ("erm", "balanced")
FEWEST = 3  # ECGs that a cell needs before it is drawn from
Worder = Callable[[Key, random.Random], str]


@dataclass(frozen=True)
class Draw:
    """A drawn question with the rows of its ECGs and the stratum it was drawn from.

    names: statements and leads ("lead V2") that the question is about. key: what it words.
    """

    question: Question
    rows: tuple[int, ...]
    stratum: tuple[int, ...]
    names: tuple[str, ...]
    key: Key


class Sampler:
    """Draws questions about the ECGs of `rows`.

    arm: see above. yes_share: P(yes) of verify questions (ECG-QA: 1/3). check_share: how many of
    the choose and query questions become "... Is the answer X?" questions, half of them yes.
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
    ) -> None:
        if arm not in ARMS:
            raise ValueError(f"arm must be one of {ARMS}, not {arm}")
        self.facts, self.data, self.worder = facts, facts.data, worder
        self.yes_share, self.check_share = yes_share, check_share
        self.rng = random.Random(seed)
        self.rows = np.asarray(rows)
        severity = self.data.severity[self.rows]
        self.strata = [self.rows] if arm == "erm" else [self.rows[severity == s] for s in range(3)]
        pairs = questions.consecutive_pairs(self.data, self.rows)
        worst = self.data.severity[pairs].max(1) if len(pairs) else np.zeros(0)
        self.pair_strata = [pairs] if arm == "erm" else [pairs[worst == s] for s in range(3)]
        self.keys = {
            t.id: questions.keys(t, facts, random.Random(seed + t.id)) for t in TEMPLATES.values()
        }
        self._cells: dict[tuple, np.ndarray] = {}
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
        for _ in range(1000):
            key = self.rng.choice(self.keys[template_id])
            found = self._pick(key)
            if found is None:
                continue
            rows, stratum, option, polarity = found
            text = self.worder(key, self.rng)
            if option is not None:
                text = check_option(text, option)
                answer: tuple[str, ...] | None = ("yes",) if polarity else ("no",)
            else:
                answer = questions.answer_of(key, self.facts, rows)
            if answer is None:
                continue
            question = questions.make_question(key, text, answer, self.data, rows)
            return Draw(question, rows, stratum, self._names(key, option), key)
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
            return tuple(f"{key.context} {name}" for name in options or questions.RANGE_NAMES)
        if group == "features_in_range":
            return tuple(f"{name} {key.context}" for name in options)
        if group in ("feature", "features"):
            return tuple(f"{name} {questions.RANGE_NAMES[1]}" for name in options)
        if group in ("leads_of_form", "leads_of_noise"):
            return (key.context, *options)
        return (*options, *lead)

    def _pick(self, key: Key):
        """Rows, stratum, and for an option check the option and whether it is true."""
        kind = key.template.kind
        if kind == "verify":
            yes = self.rng.random() < self.yes_share
            return self._verify(key, key.options[0], yes, None)
        if self.rng.random() < self.check_share:
            option = self.rng.choice(key.options)
            return self._verify(key, option, self.rng.random() < 0.5, option)
        if kind == "choose":
            return self._choose(key)
        return self._query(key)

    def _verify(self, key: Key, option: str, yes: bool, check: str | None):
        state = key.template.state
        others = [s for s in product((0, 1), repeat=len(state)) if s != state]
        stratum = self._stratum(key)
        if stratum is None:
            return None
        # Both answers must be possible here, or the stratum alone would give the answer away.
        true_rows = self._rows(key, option, state, stratum)
        false_rows = [r for s in others if (r := self._rows(key, option, s, stratum)) is not None]
        if true_rows is None or not false_rows:
            return None
        make = true_rows if yes else self.rng.choice(false_rows)
        return make(), stratum, check, yes

    def _choose(self, key: Key):
        """Two A only, two B only, at most two both, two none: equal odds where all are there."""
        stratum = self._stratum(key)
        a, b = key.options
        if stratum is None:
            return None
        pool = self._pool(key, stratum)
        va, vb = (self.facts.column(key, o)[pool[:, 0]] for o in (a, b))
        known = ~np.isnan(va + vb)
        cells = [
            pool[known & ((va > 0) == x) & ((vb > 0) == y)]
            for x, y in ((1, 0), (0, 1), (0, 0), (1, 1))
        ]
        if min(len(c) for c in cells[:3]) < FEWEST:
            return None
        cell = self.rng.choice([c for c in cells if len(c) >= FEWEST])
        return self._one(cell), stratum, None, None

    def _query(self, key: Key):
        """An option that is true, drawn evenly over options ("none" among them), then an ECG."""
        stratum = self._stratum(key)
        if stratum is None:
            return None
        state = key.template.state
        options = [*key.options, NONE]
        self.rng.shuffle(options)
        for option in options[:8]:
            if option == NONE:
                if key.template.ecgs == 1 or key.template.consecutive:
                    pool = self._none(key, stratum)
                    if len(pool) >= FEWEST:
                        return self._one(pool), stratum, None, None
                    continue
                pools = [self.strata[s] for s in stratum]
                return tuple(int(self.rng.choice(p)) for p in pools), stratum, None, None
            make = self._rows(key, option, state, stratum)
            if make is not None:
                return make(), stratum, None, None
        return None

    def _stratum(self, key: Key) -> tuple[int, ...] | None:
        """One severity for one ECG or a patient's pair, one each for two unrelated ECGs."""
        template = key.template
        count = 2 if template.ecgs == 2 and not template.consecutive else 1
        pools = self.pair_strata if template.consecutive else self.strata
        choice = tuple(self.rng.randrange(len(pools)) for _ in range(count))
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
        seen: set[tuple] = set()
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


def arrows(draws: list[Draw], data: PtbXl, shuffles: int = 20, seed: int = 0) -> dict[str, tuple]:
    """I(Q;S), I(S;A), I(Q;A) of verify questions in bit, each with its null (mean, 95 %)."""
    verify = [d for d in draws if d.question.question_type == "single-verify"]
    name = [f"{d.question.template_id} {d.question.attribute}" for d in verify]
    severity = [int(data.severity[d.rows[0]]) for d in verify]
    answer = [d.question.answer[0] for d in verify]
    rng = random.Random(seed)
    out = {}
    for label, a, b in (
        ("I(Q;S)", name, severity),
        ("I(S;A)", severity, answer),
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


def main() -> None:
    """Print the arrows of both arms' streams."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--ecgqa", required=True)
    parser.add_argument("--draws", type=int, default=20_000)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    rows = ptbxl.splits(data, args.ecgqa)["train"]
    facts = Facts(data)
    words = questions.load_wordings("train", args.ecgqa)
    verify = [t.id for t in TEMPLATES.values() if t.type == "single-verify"]
    for arm in ARMS:
        sampler = Sampler(facts, rows, lambda key, rng: questions.word(key, words, rng), arm)
        ask = [t for t in sampler.templates() if t in verify]
        draws = [sampler.draw(sampler.rng.choice(ask)) for _ in range(args.draws)]
        print(f"arm {arm}: {len(draws)} single-verify questions")
        for label, (value, null, high) in arrows(draws, data).items():
            print(f"  {label} {value:.4f} bit (permuted: {null:.4f}, 95 % below {high:.4f})")
        by = defaultdict(list)
        for d in draws:
            by[int(data.severity[d.rows[0]])].append(d.question.answer[0] == "yes")
        shares = " / ".join(f"{np.mean(by[s]):.2f}" for s in sorted(by))
        print(f"  P(yes) by severity 0 / 1 / 2: {shares}")


if __name__ == "__main__":
    main()
