"""Scalograms of the twelve leads, stacked as channels, under a two-dimensional residual network."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.model.encoder import N_LEADS
from training.stages.encoders.contract import Encoder, Shape

SCALES = 32
LOWEST_HZ, HIGHEST_HZ = 0.7, 45.0
CYCLES = 5.0  # of a Morlet wavelet within ± 2 standard deviations, about
STRIDE = 4  # samples from one column to the next: 40 ms


def morlets(length: int = 255, rate_hz: float = 100.0) -> torch.Tensor:
    """Real, then imaginary parts of Morlet wavelets, evenly in octaves: [2 · SCALES, length]."""
    t = (torch.arange(length) - length // 2) / rate_hz
    f = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** (torch.arange(SCALES) / (SCALES - 1))
    width = (CYCLES / (2 * math.pi * f)).clamp(max=length / rate_hz / 5).unsqueeze(1)
    bell = torch.exp(-0.5 * (t / width) ** 2)
    bell = bell / bell.sum(1, keepdim=True)
    turn = 2 * math.pi * f.unsqueeze(1) * t
    return torch.cat([bell * turn.cos(), bell * turn.sin()])


class Block2d(nn.Module):
    """Two 3 × 3 convolutions and a shortcut; `stride` 2 halves both axes."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential(
            nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, into, f, t] → [b, out, f / stride, t / stride]."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Scalogram(Encoder):
    """See the module's first line."""

    wavelets: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.register_buffer("wavelets", morlets().unsqueeze(1))
        self.norm = nn.BatchNorm2d(N_LEADS)
        self.blocks = nn.Sequential(
            Block2d(N_LEADS, 32, 1), Block2d(32, 64, 2), Block2d(64, 128, 2), Block2d(128, 192, 2),
            Block2d(192, 256, 2),
        )  # fmt: skip
        self.pool = nn.Linear(512, shape.width)

    def image(self, signal: torch.Tensor) -> torch.Tensor:
        """[b, 12, t] → log power [b, 12, SCALES, t / STRIDE]."""
        batch, leads, samples = signal.shape
        flat = signal.reshape(batch * leads, 1, samples)
        out = F.conv1d(flat, self.wavelets, stride=STRIDE, padding=self.wavelets.shape[-1] // 2)
        power = out[:, :SCALES].float() ** 2 + out[:, SCALES:].float() ** 2
        return (power + 1e-5).log().view(batch, leads, SCALES, -1)

    def features(self, signal: torch.Tensor) -> torch.Tensor:
        """See `Encoder.features`."""
        x = self.blocks(self.norm(self.image(signal)))
        return F.relu(self.pool(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)))


def build(shape: Shape) -> Encoder:
    """See `training.stages.encoders.contract`."""
    return Scalogram(shape)
