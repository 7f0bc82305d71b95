"""The model with the loss of each of the stages that ask questions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.answer.options import NONE
from ecgqa.model.ecg_model import ABSTENTION, SEPARATOR, YES_NO, EcgModel
from ecgqa.model.features import EcgFeatures
from ecgqa.model.projector import named
from ecgqa.record import LEADS
from training.data import questions
from training.data.debias import Draw
from training.stages.config import QuestionStages
from training.stages.feature_bank import BLANKS
from training.stages.stage import Stage

FATES = tuple(questions.FATES)  # in the order of the projector's fates
SEVERITIES = 3  # of `ptbxl.severity_of`


class Objective(nn.Module):
    """The model with the loss of each stage, in one forward so that DDP sees it."""

    answers: torch.Tensor

    def __init__(
        self,
        model: EcgModel,
        vocabulary: list[str],
        config: QuestionStages,
        severity: np.ndarray,
    ) -> None:
        super().__init__()
        self.model, self.config = model, config
        # Of every row of the bank; a recording without an ECG gets any.
        self.severity = np.concatenate([severity, np.arange(BLANKS) % SEVERITIES])
        self.vocabulary = {name: i for i, name in enumerate(vocabulary)}
        self.register_buffer("answers", model.directions(vocabulary))
        leads = [f"lead {lead}" for lead in LEADS]
        names = [*model.encoder.config.statements, *leads]
        self.names = {name: i for i, name in enumerate(names)}
        self.kinds = {name: i for i, name in enumerate(model.config.kinds)}
        self.sharpness = nn.Parameter(torch.tensor(5.0))
        self.rarity = nn.Parameter(torch.tensor(-3.0))
        self._read: dict[str, torch.Tensor] = {}

    def read(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """States of the questions, remembered: past stage read the reading layers stay."""
        missing = sorted({t for t in texts if t not in self._read}, key=len)
        if len(self._read) > 40_000:
            self._read.clear()
            missing = sorted(set(texts), key=len)
        if missing:
            with torch.no_grad():
                states, mask = self.model.language.read(missing)
            for text, state, there in zip(missing, states, mask, strict=True):
                self._read[text] = state[there].half()
        rows = [self._read[t] for t in texts]
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True).float()
        mask = nn.utils.rnn.pad_sequence([r.new_ones(len(r)) for r in rows], batch_first=True)
        return states, mask.bool()

    def testimony(
        self,
        draws: list[Draw] | None,
        states: torch.Tensor,
        mask: torch.Tensor,
        first: EcgFeatures,
        second: EcgFeatures | None,
    ) -> torch.Tensor:
        """[b, evidence_tokens, width], told the true severity where the arm is "adjusted"."""
        projector, severity = self.model.projector, None
        if draws and self.model.config.severities:
            worst = [int(self.severity[list(d.rows)].max()) for d in draws]
            severity = torch.tensor(worst, device=states.device)
        return projector.testimony(states, mask, projector.memory(first, second), severity)

    def nearness(self, testimony: torch.Tensor) -> torch.Tensor:
        """[b, vocabulary]: how near the testimony is to each answer."""
        return self.sharpness * (testimony @ self.answers.T).logsumexp(1)

    def matching_loss(
        self, draws: list[Draw], states: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy of the names that each question is about, of the kind of answer that it
        wants, and for two ECGs of the fate it asks for."""
        projector = self.model.projector
        about = [[self.names[n] for n in d.names if n in self.names] for d in draws]
        rows = [i for i, names in enumerate(about) if names]
        loss = self.answers.new_zeros(())
        if rows:
            meant = named(projector.matches(states[rows], mask[rows])).log_softmax(-1)
            each = [-meant[k, about[i]].mean() for k, i in enumerate(rows)]
            loss = loss + torch.stack(each).mean()
        kinds = torch.tensor([self.kinds[d.kind] for d in draws], device=loss.device)
        loss = loss + F.cross_entropy(projector.asked_kind(states, mask), kinds)
        asked = [questions.TEMPLATES[d.question.template_id].state for d in draws]
        pairs = [i for i, state in enumerate(asked) if len(state) == 2]
        if pairs:
            fates = torch.tensor([FATES.index(asked[i]) for i in pairs], device=loss.device)
            loss = loss + F.cross_entropy(projector.asked_fate(states[pairs], mask[pairs]), fates)
        return loss

    def margin_loss(self, draws: list[Draw], margins: torch.Tensor) -> torch.Tensor:
        """Of one question about two ECGs of the same severity: "yes" must win where it is true.

        margins [b]: log odds of "yes". Hinge on the difference between every right yes and every
        right no to the same question; 0 where there is no such pair.
        """
        said = [d.question.answer[0] for d in draws]
        pairs = [
            (i, k)
            for i, a in enumerate(draws)
            for k, b in enumerate(draws)
            if said[i] == "yes" and said[k] == "no" and a.stratum == b.stratum
            and a.question.question == b.question.question
        ]  # fmt: skip
        if not pairs or self.config.arm != "counterfactual":
            return margins.new_zeros(())
        yes, no = torch.tensor(pairs, device=margins.device).T
        return F.relu(self.config.margin - (margins[yes] - margins[no])).mean()

    def forward(
        self, stage: Stage, draws: list[Draw], first: EcgFeatures | None, second: EcgFeatures | None
    ) -> torch.Tensor:
        """Mean loss of a batch; past stage read all are about one ECG, or all about two."""
        texts = [d.question.question for d in draws]
        states, mask = self.model.language.read(texts) if stage.text_only else self.read(texts)
        matching = self.matching_loss(draws, states, mask)
        if stage.text_only:
            return matching
        if stage.through_llm:
            answers = [SEPARATOR.join(d.question.answer) for d in draws]
            testimony = (
                None if first is None else self.testimony(draws, states, mask, first, second)
            )
            each, margins = self.through_llm(texts, answers, first, second, testimony)
            loss = each.mean() + 0.2 * matching
        else:
            assert first is not None
            logits = self.nearness(self.testimony(draws, states, mask, first, second))
            yes, no = (logits[:, self.vocabulary[word]] for word in YES_NO)
            margins = yes - no
            loss = self.testimony_loss(draws, logits) + matching
        return loss + self.config.margin_loss * self.margin_loss(draws, margins)

    def through_llm(
        self,
        texts: list[str],
        answers: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None,
        testimony: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`EcgModel.loss`, lists apart from short answers: else every row is as long as the
        longest list of the batch."""
        lists = torch.tensor([SEPARATOR in answer for answer in answers])
        each, margins = torch.zeros(len(texts)), torch.zeros(len(texts))
        each, margins = each.to(self.answers), margins.to(self.answers)
        for part in (lists, ~lists):
            rows = part.nonzero().squeeze(1)
            if len(rows):
                found = self.model.loss(
                    [texts[i] for i in rows],
                    [answers[i] for i in rows],
                    _rows(first, rows),
                    _rows(second, rows),
                    None if testimony is None else testimony[rows],
                )
                each, margins = (
                    whole.index_put((rows.to(whole.device),), value.to(whole.dtype))
                    for whole, value in zip((each, margins), found, strict=True)
                )
        return each, margins

    def testimony_loss(self, draws: list[Draw], logits: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the right answer; of lists, of each valid option."""
        losses = []
        for draw, row in zip(draws, logits, strict=True):
            true = [self.vocabulary[a] for a in draw.question.answer]
            if draw.question.answer[0] in ("yes", "no", "not sure", ABSTENTION):
                among = [self.vocabulary[a] for a in ("yes", "no", "not sure", ABSTENTION)]
                right = torch.tensor(among.index(true[0]), device=row.device)
                losses.append(F.cross_entropy(row[among], right))
            else:
                valid = [self.vocabulary[a] for a in draw.question.valid_answers]
                target = torch.zeros(len(self.vocabulary), device=row.device)
                target[true] = 1.0
                among = sorted({*valid, *true})
                each = F.binary_cross_entropy_with_logits(
                    row[among] + self.rarity, target[among], reduction="sum"
                )
                losses.append(each / (1 + len(true)))
        return torch.stack(losses).mean()


def _rows(features: EcgFeatures | None, rows: torch.Tensor) -> EcgFeatures | None:
    return None if features is None else EcgFeatures(*(v[rows] for v in features))


def vocabulary() -> list[str]:
    """Every answer there is."""
    names = {*YES_NO, "not sure", ABSTENTION, NONE}
    for template in questions.TEMPLATES.values():
        names.update(o for o in questions.all_options(template, every=True))
    return sorted(names)
