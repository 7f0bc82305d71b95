"""`Projector`: what the encoder found → embeddings of the language model.

It does so twice. `ecg_tokens` are a few embeddings of the ECG as a whole, the same for every
question. `evidence` is question-aware, after InstructBLIP (Dai et al. 2023, arXiv 2305.06500): a
few learned queries travel with the question's tokens through self-attention and look up the ECG's
memory by cross-attention. The memory holds

- one concept token per statement: its *name* as the language model itself reads it, plus what the
  encoder's probability says (continuous, never text). For two ECGs it carries both probabilities;
- one token per lead and per half second, for what the statements miss.

The question finds the concept by its meaning, and the signal decides what is said about it. That
matching (`matches`) is taught on purpose in the first training stage: left to the answers alone it
takes very long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.features import EcgFeatures


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the projector."""

    width: int = 256
    layers: int = 3
    heads: int = 8
    ecg_tokens: int = 6
    evidence_tokens: int = 4
    dropout: float = 0.1


class Memory(NamedTuple):
    """What a question can look up.

    tokens [b, m, width]: for attention; said [b, statements + 12, width]: what the ECG says of
    each name, in the order of `Projector.names`; fates [b, statements, 4]: how likely each
    statement is resolved, new, kept or absent in the second ECG (0 for a single ECG).
    """

    tokens: torch.Tensor
    said: torch.Tensor
    fates: torch.Tensor


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
    names as read by the language model; statement_usual [statements], lead_usual [12, findings]:
    log odds of each finding among the training ECGs (`learn_usual`). All are saved as buffers.
    """

    statement_names: torch.Tensor
    lead_names: torch.Tensor
    statement_usual: torch.Tensor
    lead_usual: torch.Tensor

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
        self.register_buffer("statement_usual", torch.zeros(statement_names.shape[0]))
        self.register_buffer("lead_usual", torch.zeros(lead_names.shape[0], lead_findings))
        # One map for the names and for the question: like words start out near each other.
        self.words = nn.Sequential(nn.LayerNorm(llm_width), nn.Linear(llm_width, width))
        self.concept = nn.Embedding(statement_names.shape[0] + lead_names.shape[0], width)
        self.nothing = nn.Parameter(
            torch.randn(width) * 0.1
        )  # what a word that names nothing finds
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.value = nn.Sequential(nn.Linear(10, 64), nn.GELU(), nn.Linear(64, width))
        self.found = nn.Linear(width, width)
        self.fate_words = nn.Sequential(
            nn.LayerNorm(llm_width), nn.Linear(llm_width, width), nn.GELU()
        )
        self.fate_weight = nn.Linear(width, 1)
        self.fate_asked = nn.Linear(width, 4)
        self.fate = nn.Sequential(nn.Linear(2, 64), nn.GELU(), nn.Linear(64, width))
        self.time = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.lead = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.lead_finding = nn.Linear(lead_findings, width)
        self.pooled = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.which = nn.Embedding(2, width)
        self.memory_norm = nn.LayerNorm(width)

        self.summary_queries = nn.Parameter(torch.randn(config.ecg_tokens, width) * 0.5)
        self.summary = Block(config)
        self.evidence_queries = nn.Parameter(torch.randn(config.evidence_tokens, width) * 0.5)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.to_llm = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, llm_width))
        nn.init.normal_(self.concept.weight, std=0.1)
        with torch.no_grad():  # what the signal says must be as loud as what the words say
            last = self.value[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(4)
        nn.init.normal_(self.which.weight, std=0.1)

    @torch.no_grad()
    def learn_usual(self, features: EcgFeatures) -> None:
        """Set the usual log odds of every finding from the training ECGs."""
        self.statement_usual.copy_(features.statement_logits.float().sigmoid().mean(0).logit(1e-4))
        self.lead_usual.copy_(features.lead_logits.float().sigmoid().mean(0).logit(1e-4))

    def memory(self, first: EcgFeatures, second: EcgFeatures | None = None) -> Memory:
        """All that the question may look up of one ECG or of a pair."""
        # Log odds above the finding's usual ones: for a rare finding 10 % is a lot.
        p = (first.statement_logits - self.statement_usual) / 3
        q = p if second is None else (second.statement_logits - self.statement_usual) / 3
        pair = torch.full_like(p, 0.0 if second is None else 1.0)
        chance = first.statement_logits.sigmoid()
        # What became of it: resolved, new, kept, absent.
        here, then = (1.5 * q).sigmoid(), (1.5 * p).sigmoid()
        fates = [then * (1 - here), here * (1 - then), here * then, (1 - here) * (1 - then)]
        fates = [fate * pair for fate in fates]
        said = torch.stack([p, p.tanh(), chance, q * pair, (q - p) * pair, pair, *fates], dim=-1)
        said = self.value(said)  # [b, statements, w]
        names = self.names()
        count = self.statement_names.shape[0]
        parts = [names[:count] + said]
        leads = torch.zeros_like(said[:, :1])
        for i, ecg in enumerate([first] if second is None else [first, second]):
            mark = self.which.weight[i]
            batch, steps, size = ecg.time.shape
            half = ecg.time[:, : steps // 2 * 2].reshape(batch, steps // 2, 2, size).mean(2)
            findings = (ecg.lead_logits - self.lead_usual) / 3
            lead = self.lead(ecg.lead) + self.lead_finding(findings) + mark
            leads = leads + lead
            parts += [
                self.time(half) + mark,
                lead + names[count:],
                self.pooled(ecg.pooled).unsqueeze(1) + mark,
            ]
        tokens = self.memory_norm(torch.cat(parts, dim=1))
        return Memory(tokens, torch.cat([said, leads], dim=1), torch.stack(fates, dim=-1))

    def names(self) -> torch.Tensor:
        """[statements + 12, width]: keys of the statements and leads, by their names."""
        return self.words(torch.cat([self.statement_names, self.lead_names])) + self.concept.weight

    def matches(self, question: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [b, t, statements + 12 + 1]: which name each word of the question belongs to.

        The last one stands for none of them. Padding belongs to none.
        """
        keys = torch.cat([self.names(), self.nothing.unsqueeze(0)])
        near = F.normalize(self.words(question), dim=-1) @ F.normalize(keys, dim=-1).T
        return (self.sharpness * near).masked_fill(~mask.unsqueeze(-1), -1e4)

    def asked_fate(self, question: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [b, 4]: does a question about two ECGs ask for resolved, new, kept or absent?"""
        words = self.fate_words(question)
        weight = self.fate_weight(words).masked_fill(~mask.unsqueeze(-1), -1e4).softmax(1)
        return self.fate_asked((weight * words).sum(1))

    def ecg_tokens(self, features: EcgFeatures) -> torch.Tensor:
        """[b, ecg_tokens, llm_width]: one ECG as a whole, whatever the question."""
        memory = self.memory(features).tokens
        queries = self.summary_queries.expand(memory.shape[0], -1, -1)
        return self.to_llm(self.summary(queries, memory))

    def evidence(self, question: torch.Tensor, mask: torch.Tensor, memory: Memory) -> torch.Tensor:
        """[b, evidence_tokens, llm_width]: what this ECG (or pair) says to this question.

        question [b, t, llm_width] from `Language.read`, mask [b, t] True where a token is,
        memory from `memory`.
        """
        batch, count = question.shape[0], self.config.evidence_tokens
        matches = self.matches(question, mask)
        meant = named(matches).softmax(-1)
        # Each word finds what the ECG says of its own name; the queries, of the names of them all.
        by_word = self.found(matches.softmax(-1)[..., :-1] @ memory.said)
        whole = self.found(meant[:, None, :-1] @ memory.said)
        # Of two ECGs: how likely the fate that the question asks about is that of what it names.
        asked = self.asked_fate(question, mask).softmax(-1)
        share = meant[:, : memory.fates.shape[1]]
        fate = torch.einsum("bn,bnf,bf->b", share, memory.fates, asked)
        fate = fate / share.sum(1).clamp(min=1e-3)
        known = (memory.fates.sum((1, 2)) > 0).to(fate.dtype)
        told = self.fate(torch.stack([fate * 4 - known, known], dim=-1))
        queries = self.evidence_queries + whole + told.unsqueeze(1)
        x = torch.cat([queries, self.words(question) + by_word], dim=1)
        hidden = torch.cat([mask.new_zeros(batch, count), ~mask], dim=1)
        for block in self.blocks:
            x = block(x, memory.tokens, hidden)
        return self.to_llm(x[:, :count])


def named(matches: torch.Tensor) -> torch.Tensor:
    """[b, names + 1]: how much each name is meant by the question as a whole (its best word)."""
    best = matches.amax(1)
    # "None of them" must not win because of one empty word such as "the".
    return torch.cat([best[:, :-1], matches[..., -1:].amax(1) - 2.0], dim=-1)
