"""`Case`: one ECG or a pair, and what was computed of it, each once.

A pair is always in the order in which it was recorded: the earlier (first) ECG, then the later.
"""

from __future__ import annotations

from functools import cached_property

import torch

from ecgqa.measure import Measurements, measure
from ecgqa.measure.quality import Quality, assess, without_lost
from ecgqa.model.ecg_model import EcgModel
from ecgqa.model.features import EcgFeatures
from ecgqa.model.tensor import model_input
from ecgqa.record import ECG


def in_order(ecg: ECG, comparison: ECG | None) -> tuple[ECG, ...]:
    """One ECG, or the pair with the earlier one (the comparison) first."""
    return (ecg,) if comparison is None else (comparison, ecg)


class Case:
    """See the module's first lines. Lives as long as one question."""

    def __init__(self, model: EcgModel, ecg: ECG, comparison: ECG | None = None) -> None:
        self.model = model
        self.ecgs = in_order(ecg, comparison)

    @property
    def is_pair(self) -> bool:
        """Whether there are two ECGs."""
        return len(self.ecgs) == 2

    @property
    def missing_leads(self) -> set[str]:
        """Leads that lack in any of them, or are lost."""
        return {lead for one in self.seen for lead in one.missing_leads}

    @cached_property
    def seen(self) -> tuple[ECG, ...]:
        """Each ECG without the leads that cannot be used: what the model sees."""
        return tuple(map(without_lost, self.ecgs, self.quality))

    @cached_property
    def each(self) -> tuple[EcgFeatures, ...]:
        """Features of each ECG."""
        with torch.no_grad():
            return tuple(
                self.model.encode(torch.from_numpy(model_input(one)).unsqueeze(0))
                for one in self.seen
            )

    @property
    def features(self) -> tuple[EcgFeatures, EcgFeatures | None]:
        """Features as the model takes them: of the (first) ECG, and of the second or None."""
        return self.each[0], self.each[1] if self.is_pair else None

    def asked_of(self, both: bool) -> tuple[EcgFeatures, EcgFeatures | None]:
        """Features for a question about both ECGs, or about the latest one alone."""
        return self.features if both else (self.each[-1], None)

    @cached_property
    def measured(self) -> tuple[Measurements, ...]:
        """Measurements of each ECG."""
        return tuple(measure(one) for one in self.ecgs)

    @cached_property
    def quality(self) -> tuple[Quality, ...]:
        """Quality of each ECG."""
        return tuple(assess(one) for one in self.ecgs)
