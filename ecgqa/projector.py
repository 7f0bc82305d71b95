"""`Projector`: what the encoder found → embeddings of the language model.

It does so twice. `ecg_tokens` are a few embeddings of the ECG as a whole, the same for every
question. `evidence` is question-aware, after InstructBLIP (Dai et al. 2023, arXiv 2305.06500): a
few learned queries travel with the question's tokens through self-attention and look up the ECG's
memory by cross-attention. The memory holds

- one concept token per statement: its *name* as the language model itself reads it, plus what the
  encoder's probability says (continuous, never text). For two ECGs it carries both probabilities;
- one token per lead and per half second, for what the statements miss.

So the question finds the concept by its meaning, and the signal decides what is said about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ecgqa.encoder import EcgFeatures


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the projector."""

    width: int = 256
    layers: int = 3
    heads: int = 8
    ecg_tokens: int = 6
    evidence_tokens: int = 4
    dropout: float = 0.1


class Block(nn.Module):
    """Pre-norm transformer block: attention among the queries and the question, then to the ECG."""

    def __init__(self, config: ProjectorConfig, to_itself: bool = True) -> None:
        super().__init__()
        width, heads, drop = config.width, config.heads, config.dropout
        self.norm_self = nn.LayerNorm(width) if to_itself else None
        self.self_attention = (
            nn.MultiheadAttention(width, heads, drop, batch_first=True) if to_itself else None
        )
        self.norm_cross = nn.LayerNorm(width)
        self.cross_attention = nn.MultiheadAttention(width, heads, drop, batch_first=True)
        # Queries and keys start with the same map, so that like looks up like from the first step.
        with torch.no_grad():
            weight = self.cross_attention.in_proj_weight
            weight[:width] = weight[width : 2 * width]
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(drop),
            nn.Linear(2 * width, width),
        )  # fmt: skip

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, hidden: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x [b, t, w], memory [b, m, w], hidden [b, t] True where x is padding."""
        if self.norm_self is not None and self.self_attention is not None:
            y = self.norm_self(x)
            x = x + self.self_attention(y, y, y, key_padding_mask=hidden, need_weights=False)[0]
        y = self.norm_cross(x)
        x = x + self.cross_attention(y, memory, memory, need_weights=False)[0]
        return x + self.feed(x)


class Projector(nn.Module):
    """See the module's first lines.

    statement_names [statements, llm_width], lead_names [12, llm_width]: the mean states of the
    names as read by the language model; buffers, saved with the weights.
    """

    statement_names: torch.Tensor
    lead_names: torch.Tensor

    def __init__(
        self,
        config: ProjectorConfig,
        encoder_width: int,
        lead_findings: int,
        statement_names: torch.Tensor,
        lead_names: torch.Tensor,
    ) -> None:
        super().__init__()
        self.config = config
        width, llm_width = config.width, statement_names.shape[1]
        self.register_buffer("statement_names", statement_names)
        self.register_buffer("lead_names", lead_names)
        # One map for the names and for the question: like words start out near each other.
        self.words = nn.Sequential(nn.LayerNorm(llm_width), nn.Linear(llm_width, width))
        self.concept = nn.Embedding(statement_names.shape[0], width)
        self.value = nn.Sequential(nn.Linear(7, 64), nn.GELU(), nn.Linear(64, width))
        self.time = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.lead = nn.Sequential(
            nn.LayerNorm(encoder_width + lead_findings),
            nn.Linear(encoder_width + lead_findings, width),
        )
        self.pooled = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.which = nn.Embedding(2, width)
        self.memory_norm = nn.LayerNorm(width)

        self.summary_queries = nn.Parameter(torch.randn(config.ecg_tokens, width) * 0.5)
        self.summary = Block(config)
        self.evidence_queries = nn.Parameter(torch.randn(config.evidence_tokens, width) * 0.5)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.to_llm = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, llm_width))
        nn.init.normal_(self.concept.weight, std=0.1)
        nn.init.normal_(self.which.weight, std=0.1)

    def memory(self, first: EcgFeatures, second: EcgFeatures | None = None) -> torch.Tensor:
        """[b, m, width]: all that the question may look up of one ECG or of a pair."""
        both = first.statement_logits if second is None else second.statement_logits
        p, q = first.statement_logits.sigmoid(), both.sigmoid()
        pair = torch.full_like(p, 0.0 if second is None else 1.0)
        value = torch.stack(
            [p, first.statement_logits / 5, q * pair, both / 5 * pair, (q - p) * pair, p * q, pair],
            dim=-1,
        )
        concepts = self.words(self.statement_names) + self.concept.weight + self.value(value)
        parts = [concepts]
        for i, ecg in enumerate([first] if second is None else [first, second]):
            mark = self.which.weight[i]
            batch, steps, size = ecg.time.shape
            half = ecg.time[:, : steps // 2 * 2].reshape(batch, steps // 2, 2, size).mean(2)
            lead = self.lead(torch.cat([ecg.lead, ecg.lead_logits], dim=-1))
            parts += [
                self.time(half) + mark,
                lead + self.words(self.lead_names) + mark,
                self.pooled(ecg.pooled).unsqueeze(1) + mark,
            ]
        return self.memory_norm(torch.cat(parts, dim=1))

    def ecg_tokens(self, features: EcgFeatures) -> torch.Tensor:
        """[b, ecg_tokens, llm_width]: one ECG as a whole, whatever the question."""
        memory = self.memory(features)
        queries = self.summary_queries.expand(memory.shape[0], -1, -1)
        return self.to_llm(self.summary(queries, memory))

    def evidence(
        self, question: torch.Tensor, mask: torch.Tensor, memory: torch.Tensor
    ) -> torch.Tensor:
        """[b, evidence_tokens, llm_width]: what this ECG (or pair) says to this question.

        question [b, t, llm_width] from `Language.read`, mask [b, t] True where a token is,
        memory from `memory`.
        """
        batch, count = question.shape[0], self.config.evidence_tokens
        x = torch.cat([self.evidence_queries.expand(batch, -1, -1), self.words(question)], dim=1)
        hidden = torch.cat([mask.new_zeros(batch, count), ~mask], dim=1)
        for block in self.blocks:
            x = block(x, memory, hidden)
        return self.to_llm(x[:, :count])
