"""Our residual network, pre-trained on what stays from beat to beat and on the order within a beat.

Inter-period: an ECG and the same ECG moved by one period of its own (the lag of its highest
autocorrelation) are two views of one heart. Intra-period: the four quarters of every period are put
in one of six orders, and the network says which.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from training.stages.encoders.contract import Encoder, Shape, contrast
from training.stages.encoders.se_resnet import SeResNet

SHORTEST, LONGEST = 40, 160  # samples of a period: 150 to 37 beats a minute
ORDERS = ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0), (0, 2, 1, 3), (3, 1, 2, 0))


def period_of(signal: torch.Tensor) -> torch.Tensor:
    """[b, leads, t] → samples of one period, int64 [b], from the autocorrelation of the slopes."""
    slope = signal.float().diff(dim=-1).abs().sum(1)
    slope = slope - slope.mean(-1, keepdim=True)
    power = torch.fft.rfft(slope, n=2 * slope.shape[-1]).abs() ** 2
    lags = torch.fft.irfft(power)[:, SHORTEST:LONGEST]
    return lags.argmax(-1) + SHORTEST


class Periods(SeResNet):
    """See the module's first lines."""

    pretext_share = 0.34

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.view = nn.Linear(shape.width, 128)
        self.order = nn.Linear(shape.width, len(ORDERS))

    def pretext(self, signal: torch.Tensor) -> torch.Tensor:
        """InfoNCE between periods, and cross-entropy of the order within one."""
        period = period_of(signal).unsqueeze(1)
        t = torch.arange(signal.shape[-1], device=signal.device)
        last = signal.shape[-1] - 1
        moved = _take(signal, (t + period).clamp(max=last))
        which = torch.randint(len(ORDERS), (len(signal),), device=signal.device)
        orders = torch.tensor(ORDERS, device=signal.device)[which]
        quarter = (period // 4).clamp(min=1)
        place = t % period
        number = (place // quarter).clamp(max=3)
        source = t - place + orders.gather(1, number) * quarter + place - number * quarter
        mixed = _take(signal, source.clamp(0, last))
        one, two, three = self.features(torch.cat([signal, moved, mixed])).chunk(3)
        return contrast(self.view(one), self.view(two)) + F.cross_entropy(
            self.order(three).float(), which
        )


def _take(signal: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return signal.gather(2, index.unsqueeze(1).expand(-1, signal.shape[1], -1))


def build(shape: Shape) -> Encoder:
    """See `training.stages.encoders.contract`."""
    return Periods(shape)
