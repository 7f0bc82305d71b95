"""A small transformer over patches of 0.2 s, pre-trained to fill masked patches in and to tell
which two views are of one ECG."""

from __future__ import annotations

import torch
from torch import nn

from ecgqa.model.encoder import N_LEADS
from training.stages.encoders.contract import Encoder, Shape, contrast

PATCH = 20  # samples
WIDTH, LAYERS, HEADS = 192, 6, 6
MASKED = 0.5


class MaskedTransformer(Encoder):
    """See the module's first lines. Signals hold 1000 samples, that is 50 patches."""

    pretext_share = 0.34

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.patch = nn.Conv1d(N_LEADS, WIDTH, 2 * PATCH, PATCH, PATCH // 2)
        self.place = nn.Parameter(torch.randn(1, 50, WIDTH) * 0.02)
        self.mask = nn.Parameter(torch.randn(WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.pool = nn.Linear(2 * WIDTH, shape.width)
        self.fill = nn.Linear(WIDTH, N_LEADS * PATCH)
        self.view = nn.Linear(shape.width, 128)

    def _tokens(self, signal: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        x = self.patch(signal).transpose(1, 2)
        if hidden is not None:
            x = torch.where(hidden.unsqueeze(-1), self.mask.to(x.dtype), x)
        return self.norm(self.layers(x + self.place))

    def _pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.pool(torch.cat([tokens.mean(1), tokens.amax(1)], dim=-1)))

    def features(self, signal: torch.Tensor) -> torch.Tensor:
        """See `Encoder.features`."""
        return self._pooled(self._tokens(signal))

    def pretext(self, signal: torch.Tensor) -> torch.Tensor:
        """Mean squared error in the masked patches, and InfoNCE of two maskings of one ECG."""
        batch, leads, samples = signal.shape
        count = samples // PATCH
        loss, views = signal.new_zeros(()), []
        truth = signal.view(batch, leads, count, PATCH).permute(0, 2, 1, 3).flatten(2)
        scale = truth.std((1, 2), keepdim=True) + 0.05
        for _ in range(2):
            hidden = torch.rand(batch, count, device=signal.device) < MASKED
            # The convolution reaches half a patch to either side, so the samples go too.
            bare = signal * ~hidden.repeat_interleave(PATCH, 1).unsqueeze(1)
            tokens = self._tokens(bare, hidden)
            error = ((self.fill(tokens).float() - truth) / scale) ** 2
            loss = loss + error.mean(-1)[hidden].mean() / 2
            views.append(self.view(self._pooled(tokens)))
        return loss + 0.2 * contrast(*views)


def build(shape: Shape) -> Encoder:
    """See `training.stages.encoders.contract`."""
    return MaskedTransformer(shape)
