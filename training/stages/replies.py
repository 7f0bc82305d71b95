"""What a checkpoint replies to ECG-QA's questions, given their own or other ECGs.

Verify questions compare P(yes) with P(no); choose questions put each of the two options to the
model on its own, query questions the likeliest of their valid answers (`ecgqa.answer.options`).
What fits the probabilities and what judges them both ask here, so that both ask alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ecgqa.answer.grounding import flat_signal, noise_signal
from ecgqa.answer.options import NONE, decide, likeliest, option_questions, understand
from ecgqa.model.ecg_model import SEPARATOR, EcgModel
from ecgqa.model.features import EcgFeatures
from training.data import ptbxl, questions
from training.data.questions import TEMPLATES, Question

KINDS = ("verify", "choose", "query")


class Encoded:
    """Features of the ECGs that the questions need, each encoded once."""

    def __init__(self, model: EcgModel, data: ptbxl.PtbXl, signals: np.ndarray) -> None:
        self.model, self.data, self.signals = model, data, signals
        self.index = {int(e): i for i, e in enumerate(data.ecg_id)}
        self._kept: dict[int | str, EcgFeatures] = {}

    def of(self, names: list[int | str]) -> EcgFeatures:
        """Features [b, ...] of ECG ids, "noise" or "flat"."""
        missing = [n for n in dict.fromkeys(names) if n not in self._kept]
        for start in range(0, len(missing), 64):
            part = missing[start : start + 64]
            signal = np.stack([self.signal(n) for n in part]).astype(np.float32)
            with torch.no_grad():
                features = self.model.encode(torch.from_numpy(signal))
            for i, name in enumerate(part):
                self._kept[name] = EcgFeatures(*(v[i : i + 1] for v in features))
        rows = [self._kept[n] for n in names]
        return EcgFeatures(*(torch.cat(values) for values in zip(*rows, strict=True)))

    def given(
        self, names: tuple[int | str, ...] | None
    ) -> tuple[EcgFeatures | None, EcgFeatures | None]:
        """Features of one ECG each: the first and the second, None where there is none."""
        first, second, *_ = [*(self.of([name]) for name in names or ()), None, None]
        return first, second

    def signal(self, name: int | str) -> np.ndarray:
        """Model input [12, 1000] of an ECG id, of "flat" or of "noise ID"."""
        if name == "flat":
            return flat_signal()
        if isinstance(name, str):  # "noise 17": noise as loud as ECG 17
            like = np.asarray(self.signals[self.index[int(name.split()[1])]], np.float32)
            return noise_signal(like, int(name.split()[1]))
        return np.asarray(self.signals[self.index[name]])


def stand_ins(
    asked: list[Question], control: str, data: ptbxl.PtbXl, seed: int = 0
) -> list[tuple[int | str, ...] | None]:
    """The ECGs given to the model for each question under a control; None: no ECG.

    shuffled, severity: those of another question, none of them its own; two tracings of one patient
    are exchanged for two of another.
    """
    own = [q.ecg_id for q in asked]
    if control == "true":
        return list(own)
    if control == "blind":
        return [None] * len(own)
    if control == "flat":
        return [tuple("flat" for _ in ids) for ids in own]
    if control == "noise":
        return [tuple(f"noise {i}" for i in ids) for ids in own]
    index = {int(e): i for i, e in enumerate(data.ecg_id)}
    alike, cells = defaultdict(list), defaultdict(list)
    for k, question in enumerate(asked):
        ids = question.ecg_id
        sort = len(ids), TEMPLATES[question.template_id].consecutive
        strata = tuple(int(data.severity[index[i]]) for i in ids) if control == "severity" else ()
        alike[sort].append(k)
        cells[sort, strata].append(k)
    rng = np.random.default_rng(seed)
    out: list[tuple[int | str, ...] | None] = [None] * len(own)
    for (sort, _), members in cells.items():
        order = [int(k) for k in rng.permutation(members)]
        rest = [int(k) for k in rng.permutation(alike[sort])]  # where a cell has nobody else
        for place, k in enumerate(order):
            others = (*order[place + 1 :], *order[:place], *rest)
            out[k] = next((own[o] for o in others if not set(own[o]) & set(own[k])), None)
    return out


class Row(NamedTuple):
    """One yes/no question for the language model: which question it belongs to, its text, its kind
    for `decide` or of calibration, and the option that it asks about (None: it is the question)."""

    k: int
    text: str
    kind: str
    option: str | None = None


def rows_of(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
) -> list[Row]:
    """The yes/no questions that `asked` are answered with.

    Lists as `ecgqa.answer.options` answers them: what the question asks is read from its words, the
    testimony proposes, the language model is asked of what it proposes.
    """
    out: list[Row] = []
    opens: dict[bool, list[int]] = defaultdict(list)
    for k, question in enumerate(asked):
        template = TEMPLATES[question.template_id]
        if template.kind == "verify":
            out.append(Row(k, question.question, "verify" if template.ecgs == 1 else "compare"))
        else:
            opens[template.ecgs == 2].append(k)
    for two, these in opens.items():
        for start in range(0, len(these), 32):
            part = these[start : start + 32]
            about = understand(model, [asked[k].question for k in part], two)
            for k, what in zip(part, about, strict=True):
                options = [o for o in asked[k].valid_answers if o != NONE]
                texts = option_questions(model, what, options)
                first, second = encoded.given(given[k])
                template = TEMPLATES[asked[k].template_id]
                kind = template.group if template.kind == "query" else f"choose {template.group}"
                for i in likeliest(model, texts, first, second):
                    out.append(Row(k, texts[i], kind, options[i]))
    return out


def batches(
    encoded: Encoded, texts: list[str], given: list[tuple[int | str, ...] | None], size: int
) -> Iterator[tuple[list[int], EcgFeatures | None, EcgFeatures | None]]:
    """(numbers of texts, features of their first and of their second ECGs) of batches in which all
    have as many ECGs and about the same length; like texts lie together, so that each is read once.
    """
    jobs: dict[int, list[int]] = defaultdict(list)
    for i, names in enumerate(given):
        jobs[len(names or ())].append(i)
    for count, members in jobs.items():
        members = sorted(members, key=lambda i: (len(texts[i]), texts[i]))
        for start in range(0, len(members), size):
            part = members[start : start + size]
            ecgs = [encoded.of([(given[i] or ())[e] for i in part]) for e in range(count)]
            first, second, *_ = [*ecgs, None, None]
            yield part, first, second


def margins_of(
    model: EcgModel,
    encoded: Encoded,
    rows: list[Row],
    given: list[tuple[int | str, ...] | None],
) -> list[float]:
    """Log odds of "yes" per row; what is asked of the same ECGs in the same words is asked once."""
    asked = list(dict.fromkeys((row.text, given[row.k]) for row in rows))
    texts = [text for text, _ in asked]
    found: dict[tuple[str, tuple[int | str, ...] | None], float] = {}
    for part, first, second in batches(encoded, texts, [ecgs for _, ecgs in asked], 48):
        margins = model.yes_margin([texts[i] for i in part], first, second).tolist()
        found.update(zip((asked[i] for i in part), margins, strict=True))
    return [found[row.text, given[row.k]] for row in rows]


def predict(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
) -> list[tuple[tuple[str, ...], float]]:
    """(answer, P(yes) or NaN) per question, given these ECGs."""
    rows = rows_of(model, encoded, asked, given)
    out: list[tuple[tuple[str, ...], float]] = [((), np.nan)] * len(asked)
    found: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    margins = margins_of(model, encoded, rows, given)
    for row, margin in zip(rows, margins, strict=True):
        if row.option is None:
            chance = float(model.calibrated(torch.tensor(margin), row.kind))
            out[row.k] = (("yes",) if chance >= 0.5 else ("no",), chance)
        else:
            found[row.k, row.kind][row.option] = margin
    for (k, kind), of_options in found.items():
        out[k] = (decide(model, kind, of_options).options, np.nan)
    return out


def generate(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
) -> list[tuple[tuple[str, ...], float]]:
    """(answer, NaN) per question by free generation, given these ECGs."""
    out: list[tuple[tuple[str, ...], float]] = [((), np.nan)] * len(asked)
    texts = [question.question for question in asked]
    for part, first, second in batches(encoded, texts, given, 32):
        found = model.generate([texts[k] for k in part], first, second)
        for k, text in zip(part, found, strict=True):
            out[k] = (tuple(t.strip() for t in text.split(SEPARATOR.strip())), np.nan)
    return out


def some_questions(path: Path, kinds: Collection[str], limit: int) -> list[Question]:
    """The questions of these kinds in a file or folder; at most `limit` (0: all), at random."""
    asked = [q for q in questions.read_questions(path) if TEMPLATES[q.template_id].kind in kinds]
    if not limit or limit >= len(asked):
        return asked
    return [asked[i] for i in some(len(asked), limit)]


def some(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` numbers, at random but always the same ones, in order."""
    chosen = np.random.default_rng(0).choice(count, min(limit, count), replace=False)
    return sorted(int(i) for i in chosen)
