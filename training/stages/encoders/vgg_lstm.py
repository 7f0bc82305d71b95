"""Plain stacked convolutions with squeeze-and-excitation gates, read in both directions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.model.encoder import N_LEADS, SqueezeExcite
from training.stages.encoders.contract import Encoder, Shape

CHANNELS = (48, 96, 160, 224)


class VggLstm(Encoder):
    """VGG-like stages (two convolutions, a gate, halved), then a bidirectional LSTM over time."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        layers: list[nn.Module] = []
        into = N_LEADS
        for out in CHANNELS:
            for source in (into, out):
                conv = nn.Conv1d(source, out, 7, padding=3, bias=False)
                layers += [conv, nn.BatchNorm1d(out), nn.ReLU()]
            layers += [SqueezeExcite(out), nn.MaxPool1d(2 if into > N_LEADS else 4)]
            into = out
        self.stages = nn.Sequential(*layers)
        self.lstm = nn.LSTM(into, 160, batch_first=True, bidirectional=True)
        self.pool = nn.Linear(640, shape.width)

    def features(self, signal: torch.Tensor) -> torch.Tensor:
        """See `Encoder.features`."""
        x = self.lstm(self.stages(signal).transpose(1, 2))[0]
        return F.relu(self.pool(torch.cat([x.mean(1), x.amax(1)], dim=-1)))


def build(shape: Shape) -> Encoder:
    """See `training.stages.encoders.contract`."""
    return VggLstm(shape)
