"""`findings`: how likely each of PTB-XL's statements is, from the encoder's own statement head.

What a report, a place or the nearest known things rest on. A statement counts as there from its own
limit on, fitted on the validation ECGs (`training.stages.fit_findings`); without one from one half
on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ecgqa.answer.case import Case
from ecgqa.answer.options import RANGE_NAMES
from ecgqa.model.ecg_model import EcgModel

UNNAMED = (
    "abnormal ecg", "any diagnostic symptom", "any certain diagnostic symptom",
    "any form-related symptom", "any rhythm-related symptom", "any noise", "any extra systole",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A statement: its probability 0..1, and the limit from which it counts as there."""

    name: str
    chance: float
    limit: float

    @property
    def there(self) -> bool:
        """Whether it counts as there."""
        return self.chance >= self.limit


def findings(case: Case, which: int = -1) -> dict[str, Finding]:
    """Every named statement of one ECG of a case, by default the latest one's."""
    chances = case.each[which].statement_logits[0].float().sigmoid().tolist()
    return named_findings(case.model, chances)


def named_findings(model: EcgModel, chances: Iterable[float]) -> dict[str, Finding]:
    """Probabilities in the order of the encoder's statements, with their names and limits."""
    limits = model.config.finding_limits
    return {
        name: Finding(name, chance, limits.get(name, 0.5))
        for name, chance in zip(model.encoder.config.statements, chances, strict=True)
        if not name.endswith(RANGE_NAMES)
    }
