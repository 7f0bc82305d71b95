"""Which questions a stage asks: its sampler, and the batches drawn from it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from ecgqa.model.ecg_model import ABSTENTION
from ecgqa.model.features import EcgFeatures
from training.data import questions
from training.data.debias import Draw, Sampler
from training.data.questions import Key
from training.data.wordings import load_synonyms, load_wordings, word
from training.stages.config import QuestionStages
from training.stages.feature_bank import BLANKS, FeatureBank
from training.stages.stage import Stage


class Place(Protocol):
    """Which of how many processes this is and where its tensors lie: an `Accelerator`, say."""

    @property
    def process_index(self) -> int: ...  # noqa: D102
    @property
    def num_processes(self) -> int: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102


FATE_WEIGHT = 2.0  # of questions about two ECGs in stage read: they are the hardest to read
SAMPLED_AS = {"counterfactual": "balanced", "adjusted": "erm"}  # other arms: as they are called


def make_sampler(
    stage: Stage, facts: questions.Facts, rows: np.ndarray, config: QuestionStages
) -> Sampler:
    """One sampler; its arm and odds depend on the stage."""
    wordings = load_wordings("train", config.ecgqa)
    synonyms = load_synonyms()

    def worder(key: Key, rng: random.Random) -> str:
        # Each template has so many texts, shared by its keys, so that they come back and are read
        # once. A key with few of them leaves out wordings, which the template's other keys show.
        # Stage read keeps nothing and sees them all.
        keys = len(sampler.keys[key.template.id])
        texts = max(config.texts_per_key, config.texts_per_template // keys)
        own = rng if stage.text_only else random.Random(f"{key} {rng.randrange(texts)}")
        return word(key, wordings, own, synonyms)

    sampler = Sampler(
        facts,
        rows,
        worder,
        arm=SAMPLED_AS.get(config.arm, config.arm),
        yes_share=stage.yes_share,
        check_share=stage.check_share,
        seed=config.seed,
        without=config.without.split(";"),
    )
    return sampler


def text_pool(sampler: Sampler, config: QuestionStages) -> list[Draw]:
    """The questions that stage read goes over again and again."""
    rng = random.Random(config.seed)
    sampler.rng = rng
    ask = sampler.templates()
    weights = [
        template_weight(t) * (FATE_WEIGHT if len(questions.TEMPLATES[t].state) == 2 else 1.0)
        for t in ask
    ]
    pool: list[Draw] = []
    while len(pool) < config.read_texts:
        try:
            pool.append(sampler.draw(rng.choices(ask, weights)[0]))
        except LookupError:
            continue
    return pool


def like_long(pool: list[Draw], count: int, seed: int) -> list[Draw]:
    """`count` questions of about the same length, so that little of a batch is padding."""
    rng = random.Random(seed)
    some = rng.sample(pool, min(8 * count, len(pool)))
    some.sort(key=lambda draw: len(draw.question.question))
    start = rng.randrange(len(some) - count + 1)
    return some[start : start + count]


def draw_batch(
    sampler: Sampler,
    bank: FeatureBank,
    config: QuestionStages,
    stage: Stage,
    seed: int,
    place: Place,
) -> tuple[list[Draw], EcgFeatures | None, EcgFeatures | None]:
    """This process's share of a step's questions and the features of their ECGs."""
    rng = random.Random(seed)
    sampler.rng = rng
    pair = rng.random() < config.pair_share
    ask = [t for t in sampler.templates() if (questions.TEMPLATES[t].ecgs == 2) == pair]
    weights = [template_weight(t) for t in ask]
    blank = stage.through_llm and rng.random() < config.blank_share / 4
    draws: list[Draw] = []
    while len(draws) < stage.batch:
        try:
            group = sampler.group(rng.choices(ask, weights)[0], stage.shared)
        except LookupError:
            continue
        for draw in group:
            if blank or rng.random() < config.blank_share:
                rows = tuple(bank.rows + rng.randrange(BLANKS) for _ in draw.rows)
                silent = replace(draw.question, answer=(ABSTENTION,))
                draw = replace(draw, question=silent, rows=rows)
            draws.append(draw)
    share = len(draws) // place.num_processes  # one process gets the whole of a group
    start = place.process_index * share
    draws = draws[start : start + share]
    if blank:  # now and then a whole batch without any ECG
        return draws, None, None
    first = bank.of([d.rows[0] for d in draws], place.device)
    second = bank.of([d.rows[1] for d in draws], place.device) if pair else None
    return draws, first, second


def template_weight(template_id: int) -> float:
    """Verify questions and the statement itself more often: they carry most of the signal."""
    template = questions.TEMPLATES[template_id]
    weight = 2.0 if template.kind == "verify" else 1.0
    return weight * (5.0 if template_id == 1 else 2.0 if template.group == "statement" else 1.0)
