"""Diagonal state spaces over the ECG's time, pre-trained to foretell their own input.

The layers are S4D (Gu et al. 2022, arXiv 2206.11893): each channel is a sum of damped oscillators,
applied as one long convolution through the Fourier transform. The pretext is contrastive predictive
coding (van den Oord et al. 2018): what a causal state knows picks the latent some steps ahead out
of the other ECGs' latents.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.model.encoder import N_LEADS
from training.stages.encoders.contract import Encoder, Shape

WIDTH, LAYERS, STATES = 192, 4, 16
AHEAD = (2, 4, 8)  # latents of 40 ms each


class StateSpace(nn.Module):
    """[b, width, t] → the same, each channel convolved with its own kernel, causally."""

    def __init__(self, width: int) -> None:
        super().__init__()
        step = torch.rand(width) * (math.log(0.1) - math.log(0.002)) + math.log(0.002)
        self.log_step = nn.Parameter(step)
        self.log_damping = nn.Parameter(torch.full((width, STATES), math.log(0.5)))
        self.turn = nn.Parameter(math.pi * torch.arange(STATES).repeat(width, 1))
        self.out = nn.Parameter(torch.randn(width, STATES, 2) * 0.5**0.5)
        self.through = nn.Parameter(torch.randn(width))

    def kernel(self, length: int) -> torch.Tensor:
        """[width, length]."""
        step = self.log_step.exp().unsqueeze(1)
        pole = torch.complex(-self.log_damping.exp(), self.turn)
        moved = pole * step
        gain = torch.view_as_complex(self.out) * (moved.exp() - 1) / pole
        t = torch.arange(length, device=step.device)
        return 2 * torch.einsum("ws,wst->wt", gain, (moved.unsqueeze(-1) * t).exp()).real

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        length = x.shape[-1]
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            spectrum = torch.fft.rfft(self.kernel(length), n=2 * length)
            y = torch.fft.irfft(torch.fft.rfft(x, n=2 * length) * spectrum, n=2 * length)
            return y[..., :length] + x * self.through.unsqueeze(-1)


class Layer(nn.Module):
    """Norm, state space, gated mixing of channels, shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.space = StateSpace(width)
        self.mix = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, t, width] → the same."""
        y = self.space(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(F.glu(self.mix(F.gelu(y)), dim=-1))


class Foretelling(Encoder):
    """See the module's first lines."""

    pretext_share = 0.34

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.stem = nn.Sequential(
            nn.Conv1d(N_LEADS, 96, 5, 2, 2, bias=False), nn.BatchNorm1d(96), nn.ReLU(),
            nn.Conv1d(96, WIDTH, 5, 2, 2, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU(),
        )  # fmt: skip
        self.layers = nn.Sequential(*(Layer(WIDTH) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.pool = nn.Linear(2 * WIDTH, shape.width)
        self.foretell = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in AHEAD)

    def features(self, signal: torch.Tensor) -> torch.Tensor:
        """See `Encoder.features`."""
        x = self.norm(self.layers(self.stem(signal).transpose(1, 2)))
        return F.relu(self.pool(torch.cat([x.mean(1), x.amax(1)], dim=-1)))

    def pretext(self, signal: torch.Tensor) -> torch.Tensor:
        """InfoNCE over the ECGs of the batch at a few places of each."""
        latent = self.stem(signal).transpose(1, 2)
        state = self.norm(self.layers(latent))
        places = torch.randint(40, latent.shape[1] - max(AHEAD), (8,), device=signal.device)
        losses = []
        own = torch.arange(len(signal), device=signal.device).expand(len(places), -1)
        for ahead, foretell in zip(AHEAD, self.foretell, strict=True):
            said = F.normalize(foretell(state[:, places]).float(), dim=-1).transpose(0, 1)
            true = F.normalize(latent[:, places + ahead].float(), dim=-1).transpose(0, 1)
            near = said @ true.transpose(1, 2) / 0.1
            losses.append(F.cross_entropy(near.flatten(0, 1), own.flatten()))
        return torch.stack(losses).mean()


def build(shape: Shape) -> Encoder:
    """See `training.stages.encoders.contract`."""
    return Foretelling(shape)
