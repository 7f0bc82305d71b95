"""Our own: the residual network with squeeze-and-excitation and the branch of single leads."""

from __future__ import annotations

import torch

from ecgqa.model.encoder import EcgEncoder, EncoderConfig
from training.stages.encoders.contract import Encoder, Shape


class SeResNet(Encoder):
    """`ecgqa.model.encoder.EcgEncoder` under the table's head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.backbone = EcgEncoder(EncoderConfig(width=shape.width, statements=("",)))
        self.backbone.statement_head.requires_grad_(False)

    def features(self, signal: torch.Tensor) -> torch.Tensor:
        """See `Encoder.features`."""
        return self.backbone(signal).pooled


def build(shape: Shape) -> Encoder:
    """See `training.stages.encoders.contract`."""
    return SeResNet(shape)
