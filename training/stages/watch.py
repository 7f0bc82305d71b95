"""What is looked at while a stage runs: questions on validation ECGs in held-out wordings."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from ecgqa.model.projector import named
from training.data import questions
from training.data.debias import Draw, Sampler
from training.data.wordings import load_wordings, word
from training.stages.config import QuestionStages
from training.stages.feature_bank import FeatureBank
from training.stages.objective import FATES, Objective
from training.stages.stage import Stage


def watch_questions(
    facts: questions.Facts, rows: np.ndarray, config: QuestionStages
) -> dict[bool, list[Draw]]:
    """Verify questions on validation ECGs in held-out wordings, about one ECG and about two."""
    wordings = load_wordings("heldout")
    sampler = Sampler(facts, rows, lambda key, rng: word(key, wordings, rng), arm="erm", seed=99)
    out: dict[bool, list[Draw]] = {False: [], True: []}
    for pair, draws in out.items():
        ask = [
            t for t in sampler.templates()
            if questions.TEMPLATES[t].kind == "verify"
            and (questions.TEMPLATES[t].ecgs == 2) == pair
        ]  # fmt: skip
        while len(draws) < config.watch_questions // (2 if pair else 1):
            try:
                draw = sampler.draw(sampler.rng.choice(ask))
            except LookupError:
                continue
            if draw.question.answer[0] in ("yes", "no"):
                draws.append(draw)
    return out


@torch.no_grad()
def watch_reading(objective: Objective, looks: dict[bool, list[Draw]]) -> None:
    """Print how often held-out wordings are understood: the name meant, and the fate."""
    objective.eval()
    projector, right, fates = objective.model.projector, [], []
    for pair, draws in looks.items():
        for start in range(0, len(draws), 32):
            part = draws[start : start + 32]
            states, mask = objective.model.language.read([d.question.question for d in part])
            meant = named(projector.matches(states, mask)).argmax(-1).tolist()
            about = [[objective.names.get(n) for n in d.names] for d in part]
            right += [m in names for m, names in zip(meant, about, strict=True)]
            if pair:
                asked = projector.asked_fate(states, mask).argmax(-1).tolist()
                fates += [
                    FATES[f] == d.key.template.state for f, d in zip(asked, part, strict=True)
                ]
    print(
        f"watch (read, held-out wordings) name {np.mean(right):.3f} n {len(right)}; "
        f"fate {np.mean(fates):.3f} n {len(fates)}",
        flush=True,
    )
    objective.train()


@torch.no_grad()
def watch(
    objective: Objective, bank: FeatureBank, looks: dict[bool, list[Draw]], stage: Stage
) -> None:
    """Print AUC of P(yes) on true and on permuted ECGs: the number that counts, not the loss."""
    objective.eval()
    words = []
    for pair, draws in looks.items():
        order = np.random.default_rng(5).permutation(len(draws))
        truth = [d.question.answer[0] == "yes" for d in draws]
        areas = []
        for rows in ([d.rows for d in draws], [draws[i].rows for i in order]):
            scores = []
            for start in range(0, len(draws), 32):
                part = slice(start, start + 32)
                texts = [d.question.question for d in draws[part]]
                first = bank.of([r[0] for r in rows[part]], objective.answers.device)
                second = bank.of([r[1] for r in rows[part]], first.pooled.device) if pair else None
                if not stage.through_llm:
                    found = objective.testimony(None, *objective.read(texts), first, second)
                    logits = objective.nearness(found)
                    yes, no = (logits[:, objective.vocabulary[w]] for w in ("yes", "no"))
                    scores += (yes - no).tolist()
                else:
                    scores += objective.model.yes_probability(texts, first, second).tolist()
            areas.append(roc_auc_score(truth, scores))
        name = "two ECGs" if pair else "one ECG"
        words.append(f"{name}: AUC true {areas[0]:.3f} permuted {areas[1]:.3f}")
    print(f"watch ({stage.name}, valid, held-out wordings) " + "; ".join(words), flush=True)
    objective.train()
