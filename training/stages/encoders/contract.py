"""What every encoder of the table offers, and what its constructor is given.

`build(shape)` of each file returns an `Encoder`: signal [b, 12, 1000] in mV → pooled features and
statement logits. One that is pre-trained on signals alone overrides `pretext`, and spends
`pretext_share` of the epochs on it; its labels come later, so that all see the ECGs equally often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

MOST_PARAMETERS = 4_000_000


@dataclass(frozen=True)
class Shape:
    """Number of statements, width of the pooled features, dropout before the head."""

    statements: int
    width: int = 256
    dropout: float = 0.2


class Seen(NamedTuple):
    """pooled [b, width], statement_logits [b, statements]."""

    pooled: torch.Tensor
    statement_logits: torch.Tensor


class Encoder(nn.Module):
    """A backbone (`features`) under the head that all share."""

    pretext_share: float = 0.0

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(shape.width, shape.statements)

    def features(self, signal: torch.Tensor) -> torch.Tensor:
        """signal [b, 12, 1000] → [b, width]."""
        raise NotImplementedError

    def pretext(self, signal: torch.Tensor) -> torch.Tensor:
        """Loss of a batch without labels; signal as the augmentation left it."""
        raise NotImplementedError

    def forward(self, signal: torch.Tensor) -> Seen:
        """See `Seen`."""
        pooled = self.features(signal)
        return Seen(pooled, self.head(self.dropout(pooled)))


def contrast(one: torch.Tensor, two: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) of two views, [b, d] each."""
    one = nn.functional.normalize(one.float(), dim=-1)
    two = nn.functional.normalize(two.float(), dim=-1)
    near = one @ two.T / temperature
    own = torch.arange(len(near), device=near.device)
    cross = nn.functional.cross_entropy
    return (cross(near, own) + cross(near.T, own)) / 2
