"""`EcgFeatures`: what the encoder says of ECGs, and all that the projector gets to see."""

from __future__ import annotations

from typing import NamedTuple

import torch


class EcgFeatures(NamedTuple):
    """What the encoder says of a batch of ECGs. Everything later stages need; encode once."""

    time: torch.Tensor  # [b, 32, width]
    lead: torch.Tensor  # [b, 12, width]
    pooled: torch.Tensor  # [b, width]
    statement_logits: torch.Tensor  # [b, statements]
    lead_logits: torch.Tensor  # [b, 12, lead_findings]
