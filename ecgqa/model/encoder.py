"""`EcgEncoder`: 12 leads of millivolts → time tokens, lead tokens and statement logits.

Two branches. The trunk is a 1-D residual network with squeeze-and-excitation (Hu et al. 2018) over
all leads together; its last feature map gives one token per 0.32 s. The lead branch is one small
network shared by the twelve leads; it gives one token per lead, so that "in lead V2" can be
answered. The heads are trained in stage 1 and stay: their probabilities become concept tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.model.features import EcgFeatures

N_LEADS = 12


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder, and the names of what its heads estimate."""

    channels: tuple[int, ...] = (48, 96, 160, 256)  # of the trunk's stages, each at half the rate
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    kernel: int = 7
    lead_channels: tuple[int, ...] = (16, 32, 64)
    width: int = 256  # of every token
    dropout: float = 0.2
    statements: tuple[str, ...] = field(default=())  # e.g. "atrial fibrillation"
    lead_findings: tuple[str, ...] = field(default=())  # per lead, e.g. "static noise"
    members: int = 1  # encoders side by side, see `EncoderEnsemble`

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EncoderConfig:
        """The configuration from what `json` makes of its `asdict`: lists become tuples again."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**fields)


class SqueezeExcite(nn.Module):
    """Channel gates from the mean over time (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, channels // 8)
        self.up = nn.Linear(channels // 8, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, channels, t] → the same, each channel scaled by its gate."""
        gate = torch.sigmoid(self.up(F.silu(self.down(x.mean(-1)))))
        return x * gate.unsqueeze(-1)


class ResidualBlock(nn.Module):
    """Two convolutions, a gate and a shortcut; `stride` 2 halves the rate."""

    def __init__(self, into: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.conv1 = nn.Conv1d(into, out, kernel, stride, pad, bias=False)
        self.norm1 = nn.BatchNorm1d(out)
        self.conv2 = nn.Conv1d(out, out, kernel, 1, pad, bias=False)
        self.norm2 = nn.BatchNorm1d(out)
        self.gate = SqueezeExcite(out)
        same = into == out and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.AvgPool1d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv1d(into, out, 1, bias=False),
                nn.BatchNorm1d(out),
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, into, t] → [b, out, ceil(t / stride)]."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.gate(self.norm2(self.conv2(y)))
        return F.relu(y + self.shortcut(x))


class EcgEncoder(nn.Module):
    """See the module's first lines."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        stem = config.channels[0]
        self.stem = nn.Sequential(
            nn.Conv1d(N_LEADS, stem, 15, 2, 7, bias=False), nn.BatchNorm1d(stem), nn.ReLU()
        )
        stages: list[nn.Module] = []
        into = stem
        for out, blocks in zip(config.channels, config.blocks, strict=True):
            for i in range(blocks):
                stages.append(ResidualBlock(into, out, config.kernel, 2 if i == 0 else 1))
                into = out
        self.trunk = nn.Sequential(*stages)
        self.time_token = nn.Linear(into, config.width)

        layers: list[nn.Module] = []
        into_lead = 1
        for i, out in enumerate(config.lead_channels):
            stride, kernel = (4, 11) if i == 0 else (2, 5)
            layers += [
                nn.Conv1d(into_lead, out, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(out),
                nn.ReLU(),
            ]
            into_lead = out
        self.lead_branch = nn.Sequential(*layers)
        self.lead_token = nn.Linear(3 * into_lead, config.width)
        self.lead_context = nn.Linear(2 * into, config.width)

        self.pool = nn.Linear(2 * into + 2 * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.statement_head = nn.Linear(config.width, len(config.statements))
        self.lead_head = nn.Linear(config.width, len(config.lead_findings))

    def forward(self, signal: torch.Tensor) -> EcgFeatures:
        """signal: [b, 12, 1000] from `ecgqa.model.tensor.model_input`."""
        batch = signal.shape[0]
        x = self.trunk(self.stem(signal))  # [b, c, 32]
        time = self.time_token(x.transpose(1, 2))
        summary = torch.cat([x.mean(-1), x.amax(-1)], dim=-1)

        each = self.lead_branch(signal.reshape(batch * N_LEADS, 1, -1))
        each = torch.cat([each.mean(-1), each.amax(-1), each.std(-1)], dim=-1)
        lead = self.lead_token(each).view(batch, N_LEADS, -1)
        lead = F.relu(lead + self.lead_context(summary).unsqueeze(1))

        pooled = F.relu(self.pool(torch.cat([summary, lead.mean(1), lead.amax(1)], dim=-1)))
        return EcgFeatures(
            time,
            lead,
            pooled,
            self.statement_head(self.dropout(pooled)),
            self.lead_head(self.dropout(lead)),
        )


class EncoderEnsemble(nn.Module):
    """Encoders that were trained from other seeds, side by side.

    Their logits are averaged, which is worth more than a larger encoder on so few ECGs; their
    tokens are put next to each other, `width` = members × config.width.
    """

    def __init__(self, members: list[EcgEncoder]) -> None:
        super().__init__()
        self.config = replace(members[0].config, members=len(members))
        self.members = nn.ModuleList(members)

    @property
    def width(self) -> int:
        """Of every token."""
        return self.config.width * self.config.members

    def forward(self, signal: torch.Tensor) -> EcgFeatures:
        """signal: [b, 12, 1000] from `ecgqa.model.tensor.model_input`."""
        time, lead, pooled, statements, leads = zip(
            *(member(signal) for member in self.members), strict=True
        )
        return EcgFeatures(
            torch.cat(time, dim=-1),
            torch.cat(lead, dim=-1),
            torch.cat(pooled, dim=-1),
            torch.stack(statements).mean(0),
            torch.stack(leads).mean(0),
        )


def build_encoder(config: EncoderConfig) -> EncoderEnsemble:
    """A fresh ensemble of `config.members` encoders."""
    return EncoderEnsemble([EcgEncoder(config) for _ in range(config.members)])
