"""`Projector`: what the encoder found → embeddings of the language model.

It does so twice. `ecg_tokens` are a few embeddings of the ECG as a whole, the same for every
question. `testimony` is question-aware, after InstructBLIP (Dai et al. 2023, arXiv 2305.06500): a
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

from ecgqa.model.features import EcgFeatures


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the projector."""

    width: int = 256
    layers: int = 3
    heads: int = 8
    ecg_tokens: int = 6
    evidence_tokens: int = 4  # of the testimony; the checkpoints say it so
    dropout: float = 0.1
    kinds: int = 2  # of answers that a question may want, see `ModelConfig.kinds`
    severities: int = 0  # of the illness that the testimony may be told, see `ModelConfig`
    joining_layers: int = 2  # in which the words of a question meet before its fate is read


class Memory(NamedTuple):
    """What a question can look up.

    tokens [b, m, width]: for attention; said [b, statements + 12, width]: what the ECG says of
    each name, in the order of `Projector.names`; fates [b, statements, 4]: how likely each
    statement is resolved, new, kept or absent in the second ECG (0 for a single ECG); odds
    [b, statements, 4]: log odds above the usual and probability, in the first and in the second ECG
    (0 without one); lead_odds [b, 12, findings]: log odds above the usual in the last ECG.
    """

    tokens: torch.Tensor
    said: torch.Tensor
    fates: torch.Tensor
    odds: torch.Tensor
    lead_odds: torch.Tensor


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
    log odds of each finding among the training ECGs (`learn_usual`); finding_of [findings]: which
    statement each finding of single leads is. All are saved as buffers.
    """

    statement_names: torch.Tensor
    lead_names: torch.Tensor
    statement_usual: torch.Tensor
    lead_usual: torch.Tensor
    finding_of: torch.Tensor

    def __init__(
        self,
        config: ProjectorConfig,
        encoder_width: int,
        finding_of: list[int],
        statement_names: torch.Tensor,
        lead_names: torch.Tensor,
    ) -> None:
        super().__init__()
        self.config = config
        width, llm_width = config.width, statement_names.shape[1]
        lead_findings = len(finding_of)
        self.register_buffer("statement_names", statement_names)
        self.register_buffer("lead_names", lead_names)
        self.register_buffer("statement_usual", torch.zeros(statement_names.shape[0]))
        self.register_buffer("lead_usual", torch.zeros(lead_names.shape[0], lead_findings))
        self.register_buffer("finding_of", torch.tensor(finding_of, dtype=torch.long))
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
        layer = nn.TransformerEncoderLayer(
            width, config.heads, 2 * width, config.dropout, "gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.joined = nn.TransformerEncoder(
            layer, config.joining_layers, enable_nested_tensor=False
        )
        self.fate_weight = nn.Linear(width, 1)
        self.fate_asked = nn.Linear(width, 4)
        self.kind_weight = nn.Linear(width, 1)
        self.kind_asked = nn.Linear(width, config.kinds)
        self.told = nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.Linear(64, width))
        self.time = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.lead = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.lead_finding = nn.Linear(lead_findings, width)
        self.pooled = nn.Sequential(nn.LayerNorm(encoder_width), nn.Linear(encoder_width, width))
        self.which = nn.Embedding(2, width)
        self.place = nn.Embedding(3, llm_width)  # the only ECG, the first, the second
        self.memory_norm = nn.LayerNorm(width)

        self.summary_queries = nn.Parameter(torch.randn(config.ecg_tokens, width) * 0.5)
        self.summary = Block(config)
        self.evidence_queries = nn.Parameter(torch.randn(config.evidence_tokens, width) * 0.5)
        self.severity = nn.Embedding(config.severities, width) if config.severities else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.to_llm = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, llm_width))
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """How loud each part is before it is trained."""
        nn.init.normal_(self.concept.weight, std=0.1)
        last = self.value[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(4)  # what the signal says must be as loud as what the words say
        nn.init.normal_(self.which.weight, std=0.1)
        nn.init.normal_(self.place.weight, std=0.02)

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
        leads, lead_odds = torch.zeros_like(said[:, :1]), first.lead_logits
        for i, ecg in enumerate([first] if second is None else [first, second]):
            mark = self.which.weight[i]
            batch, steps, size = ecg.time.shape
            half = ecg.time[:, : steps // 2 * 2].reshape(batch, steps // 2, 2, size).mean(2)
            lead_odds = (ecg.lead_logits - self.lead_usual) / 3
            lead = self.lead(ecg.lead) + self.lead_finding(lead_odds) + mark
            leads = leads + lead
            parts += [
                self.time(half) + mark,
                lead + names[count:],
                self.pooled(ecg.pooled).unsqueeze(1) + mark,
            ]
        tokens = self.memory_norm(torch.cat(parts, dim=1))
        later = chance if second is None else second.statement_logits.sigmoid()
        odds = [p, chance, q * pair, later * pair]
        return Memory(
            tokens,
            torch.cat([said, leads], dim=1),
            torch.stack(fates, dim=-1),
            torch.stack(odds, dim=-1),
            lead_odds,
        )

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
        return self.fate_asked(self._gist(self.fate_weight, question, mask))

    def asked_kind(self, question: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [b, kinds]: what kind of answer a question wants."""
        return self.kind_asked(self._gist(self.kind_weight, question, mask))

    def _gist(
        self, attention: nn.Linear, question: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """[b, width]: the words of a question, weighed by how much each one matters.

        The language model read them from left to right; here each word meets those behind it too.
        """
        words = self.joined(self.fate_words(question), src_key_padding_mask=~mask)
        weight = attention(words).masked_fill(~mask.unsqueeze(-1), -1e4).softmax(1)
        return (weight * words).sum(1)

    def ecg_tokens(self, first: EcgFeatures, second: EcgFeatures | None = None) -> torch.Tensor:
        """[b, ecg_tokens (twice for two ECGs), llm_width]: ECGs as a whole, for any question."""
        out = []
        for i, ecg in enumerate([first] if second is None else [first, second]):
            memory = self.memory(ecg).tokens
            queries = self.summary_queries.expand(memory.shape[0], -1, -1)
            place = self.place.weight[0 if second is None else i + 1]
            out.append(self.to_llm(self.summary(queries, memory)) + place)
        return torch.cat(out, dim=1)

    def direct(
        self, matches: torch.Tensor, question: torch.Tensor, mask: torch.Tensor, memory: Memory
    ) -> torch.Tensor:
        """[b, 8]: what the encoder says of the very thing that is asked about.

        The fate asked for and whether there are two ECGs; log odds and probability of the names
        meant, in either ECG; the log odds in the lead that is meant, and whether any is.
        """
        meant = named(matches).softmax(-1)
        statements = memory.odds.shape[1]
        share = meant[:, :statements]
        some = share.sum(1).clamp(min=1e-3)
        asked = self.asked_fate(question, mask).softmax(-1)
        fate = torch.einsum("bn,bnf,bf->b", share, memory.fates, asked) / some
        two = (memory.fates.sum((1, 2)) > 0).to(fate.dtype)
        odds = torch.einsum("bn,bnk->bk", share, memory.odds) / some.unsqueeze(-1)
        leads = meant[:, statements:-1]
        any_lead = leads.sum(1)
        finding = share[:, self.finding_of] / some.unsqueeze(-1)
        in_lead = torch.einsum("bl,blf,bf->b", leads, memory.lead_odds, finding)
        in_lead = in_lead / any_lead.clamp(min=1e-3)
        here = (any_lead > 0.1).to(fate.dtype)
        parts = [fate * 4 - two, two, odds, (in_lead * here), any_lead]
        return torch.cat([p if p.dim() == 2 else p.unsqueeze(-1) for p in parts], dim=-1)

    def testimony(
        self,
        question: torch.Tensor,
        mask: torch.Tensor,
        memory: Memory,
        severity: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[b, evidence_tokens, llm_width]: what this ECG (or pair) says to this question.

        question [b, t, llm_width] from `Language.read`, mask [b, t] True where a token is,
        memory from `memory`; severity [b] of the illness, for a projector that is told it.
        """
        batch, count = question.shape[0], self.config.evidence_tokens
        matches = self.matches(question, mask)
        meant = named(matches).softmax(-1)
        # Each word finds what the ECG says of its own name; the queries, of the names of them all.
        by_word = self.found(matches.softmax(-1)[..., :-1] @ memory.said)
        whole = self.found(meant[:, None, :-1] @ memory.said)
        told = self.told(self.direct(matches, question, mask, memory))
        queries = self.evidence_queries + whole + told.unsqueeze(1)
        if self.severity is not None:
            known = self.severity.weight.mean(0) if severity is None else self.severity(severity)
            queries = queries + known.expand(batch, -1).unsqueeze(1)
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
