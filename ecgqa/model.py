"""`EcgModel` = encoder + projector + language model: encode an ECG once, ask it many questions.

The prompt, with `<..>` for embeddings that come from the signal:

    ECG:<6 tokens>  (or: First ECG:<6> Second ECG:<6>)
    Question: Is atrial fibrillation present in this ECG?
    Evidence:<4 tokens>
    Answer: no
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from ecgqa.encoder import EcgEncoder, EncoderConfig
from ecgqa.features import EcgFeatures
from ecgqa.language import Language, ModelError, Progress, pad
from ecgqa.projector import Projector, ProjectorConfig
from ecgqa.record import LEADS

ABSTENTION = "cannot tell from this recording"
SEPARATOR = "; "
YES_NO = ("yes", "no")
PLACEHOLDER = -1


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed to build the model before its weights are read."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    llm: str = ""
    llm_width: int = 0
    reading_layers: int = 6
    lora_rank: int = 16
    calibration: dict[str, tuple[float, float]] = field(default_factory=dict)  # scale, shift
    cautious_yes: float = 0.5  # P(yes) that few questions about another patient's ECG reach
    least_move: float = 0.25  # log odds: a smaller move does not count as looking at the ECG
    training: dict = field(default_factory=dict)


class EcgModel(nn.Module):
    """See the module's first lines."""

    def __init__(
        self, config: ModelConfig, encoder: EcgEncoder, projector: Projector, language: Language
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.projector = projector
        self.language = language

    # Building, saving, loading -------------------------------------------------------------------

    @classmethod
    def build(cls, config: ModelConfig, encoder: EcgEncoder, language: Language) -> EcgModel:
        """A model with a fresh projector, its concept names read by `language`."""
        names = _name_states(language, list(encoder.config.statements))
        leads = _name_states(language, [f"lead {lead}" for lead in LEADS])
        projector = Projector(
            config.projector,
            encoder.config.width,
            len(encoder.config.lead_findings),
            names,
            leads,
        )
        # Start at the size of the language model's own embeddings, or it would not listen.
        size = language.embeddings.weight.detach().std()
        with torch.no_grad():
            out = projector.to_llm[1]
            assert isinstance(out, nn.Linear)
            out.weight.normal_(std=float(size) / config.projector.width**0.5)
            out.bias.zero_()
        return cls(config, encoder, projector, language)

    def save(self, folder: Path | str) -> None:
        """Float16 safetensors of encoder, projector and adapter, and `config.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("encoder", "projector"):
            state = getattr(self, name).state_dict()
            half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
            save_file(
                {k: v.contiguous().cpu() for k, v in half.items()}, folder / f"{name}.safetensors"
            )
        adapter = folder / "adapter"
        self.language.save_adapter(adapter)
        weights = adapter / "adapter_model.safetensors"
        save_file({k: v.half() for k, v in load_file(weights).items()}, weights)
        (adapter / "README.md").unlink(missing_ok=True)
        settings = json.loads((adapter / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = self.config.llm
        (adapter / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n")

    @classmethod
    def load(
        cls, folder: Path | str, llm: str | None = None, progress: Progress | None = None
    ) -> EcgModel:
        """Read a saved model. Raises ModelError in plain words."""
        folder = Path(folder)
        try:
            raw = json.loads((folder / "config.json").read_text())
            config = ModelConfig(
                **{
                    **raw,
                    "encoder": EncoderConfig.from_json(raw["encoder"]),
                    "projector": ProjectorConfig(**raw["projector"]),
                }
            )
            weights = {n: load_file(folder / f"{n}.safetensors") for n in ("encoder", "projector")}
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise ModelError(
                f"{folder} holds no trained model that this version can read."
            ) from error
        language = Language.load(llm or config.llm or None, config.reading_layers, progress)
        if language.width != config.llm_width:
            raise ModelError(
                f"This checkpoint was trained with {config.llm} ({config.llm_width} wide), "
                f"but {language.name} has {language.width}. Train a checkpoint for it, or leave "
                "--llm out."
            )
        encoder = EcgEncoder(config.encoder)
        blank = torch.zeros_like(weights["projector"]["statement_names"], dtype=torch.float32)
        projector = Projector(
            config.projector,
            config.encoder.width,
            len(config.encoder.lead_findings),
            blank,
            torch.zeros(len(LEADS), config.llm_width),
        )
        try:
            encoder.load_state_dict(weights["encoder"])
            projector.load_state_dict(weights["projector"])
            language.load_adapter(folder / "adapter")
        except (RuntimeError, ValueError, OSError, SafetensorError) as error:
            raise ModelError(
                f"The checkpoint in {folder} does not fit {language.name}, or is damaged."
            ) from error
        return cls(config, encoder, projector, language).eval()

    # Encoding ------------------------------------------------------------------------------------

    def encode(self, signal: torch.Tensor) -> EcgFeatures:
        """signal [b, 12, 1000] from `model_input` → everything the later stages need."""
        return self.encoder(signal)

    def evidence(
        self, questions: list[str], first: EcgFeatures, second: EcgFeatures | None
    ) -> torch.Tensor:
        """[b, evidence_tokens, llm_width] for one question per row of `first`."""
        states, mask = self.language.read(questions)
        return self.projector.evidence(states, mask, self.projector.memory(first, second))

    # Prompts -------------------------------------------------------------------------------------

    def prompt(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        answers: list[str] | None = None,
        evidence: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Embeddings of prompts, one question per row, padded on the right.

        first None: the question without any ECG. answers: teacher-forced answer texts; without them
        the prompt ends where the answer begins.
        Returns embeds [b, t, w], mask [b, t], keep [b, t] (positions that predict an answer token;
        without answers: the last one), target [kept positions] token ids (empty without answers).
        """
        language, sizes = self.language, self.projector.config
        block = [PLACEHOLDER] * sizes.ecg_tokens
        if first is None:
            head: list[int] = []
        elif second is None:
            head = language.ids("ECG:") + block
        else:
            head = language.ids("First ECG:") + block + language.ids("\nSecond ECG:") + block
        found = language.ids("\nEvidence:") + [PLACEHOLDER] * sizes.evidence_tokens
        tail = ([] if first is None else found) + language.ids("\nAnswer:")
        end = [language.tokenizer.eos_token_id]
        rows, starts = [], []
        for i, question in enumerate(questions):
            row = head + language.ids(f"\nQuestion: {question}") + tail
            starts.append(len(row))
            rows.append(row + (language.ids(" " + answers[i]) + end if answers else []))
        ids, mask = pad(rows, language.tokenizer.pad_token_id)
        device = language.embeddings.weight.device
        ids, mask = ids.to(device), mask.to(device)
        embeds = language.embed(ids.clamp(min=0))
        if first is not None:
            slots = [self.projector.ecg_tokens(ecg) for ecg in (first, second) if ecg is not None]
            if evidence is None:
                evidence = self.evidence(questions, first, second)
            signal = torch.cat([*slots, evidence], dim=1).to(embeds.dtype)
            embeds = embeds.masked_scatter((ids == PLACEHOLDER).unsqueeze(-1), signal)
        keep = torch.zeros_like(mask, dtype=torch.bool)
        for i, start in enumerate(starts):
            keep[i, start - 1 : len(rows[i]) - 1 if answers else start] = True
        target = ids[:, 1:][keep[:, :-1]] if answers else ids.new_empty(0)
        return embeds, mask, keep, target

    # Answers -------------------------------------------------------------------------------------

    @torch.no_grad()
    def answer_log_probs(
        self,
        question: str,
        answers: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log probability of each whole answer to one question, and its number of tokens, both [n].

        `first` (and `second`) hold one ECG, or one per answer.
        """
        n = len(answers)
        first, second = expand(first, n), expand(second, n)
        embeds, mask, keep, target = self.prompt([question] * n, first, second, answers)
        chosen = self.language(embeds, mask, keep).log_softmax(-1).gather(1, target.unsqueeze(1))
        rows = keep.nonzero()[:, 0]
        total = torch.zeros(n, device=chosen.device).index_add_(0, rows, chosen.squeeze(1))
        return total, keep.sum(1)

    @torch.no_grad()
    def yes_margin(
        self, questions: list[str], first: EcgFeatures | None, second: EcgFeatures | None = None
    ) -> torch.Tensor:
        """Log odds of "yes" against "no" for one yes/no question per row, [b]."""
        embeds, mask, keep, _ = self.prompt(questions, first, second)
        logits = self.language(embeds, mask, keep)
        yes, no = (self.language.ids(f" {word}")[0] for word in YES_NO)
        return logits[:, yes] - logits[:, no]

    def yes_probability(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        kind: str = "",
    ) -> torch.Tensor:
        """P("yes") against "no", [b], calibrated (Platt 1999) on the validation ECGs.

        kind: "verify" for a question as the user asks it, "compare" for one about two ECGs (both by
        default); "option" for an option asked about plainly, "check" for one that is checked as an
        answer (`answer.option_question`).
        """
        kind = kind or ("verify" if second is None else "compare")
        scale, shift = self.config.calibration.get(kind, (1.0, 0.0))
        return torch.sigmoid(self.yes_margin(questions, first, second) * scale + shift)

    @torch.no_grad()
    def generate(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        max_tokens: int = 64,
    ) -> list[str]:
        """Greedy answers to one question per row, all at once."""
        embeds, mask, _, _ = self.prompt(questions, first, second)
        # Generation wants the padding on the left.
        shift = mask.shape[1] - mask.sum(1)
        place = (torch.arange(mask.shape[1], device=mask.device) - shift.unsqueeze(1)).clamp(min=-1)
        left = embeds.gather(1, place.clamp(min=0).unsqueeze(-1).expand_as(embeds))
        generate = cast(Callable[..., torch.Tensor], self.language.model.generate)
        ids = generate(
            inputs_embeds=left,
            attention_mask=(place >= 0).long(),
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=self.language.tokenizer.pad_token_id,
        )
        return [self._text(row) for row in ids.tolist()]

    def stream(
        self,
        question: str,
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        max_tokens: int = 96,
    ) -> Iterator[tuple[str, float]]:
        """Greedy answer to one question: yields (text so far, mean log-prob of its tokens)."""
        with torch.no_grad():
            embeds, _, _, _ = self.prompt([question], first, second)
        tokens: list[int] = []
        total = 0.0
        for token, log_probs in self.language.stream(embeds, max_tokens):
            total += float(log_probs[token])
            if token == self.language.tokenizer.eos_token_id:
                yield self._text(tokens), total / (len(tokens) + 1)
                return
            tokens.append(token)
            yield self._text(tokens), total / len(tokens)

    def _text(self, tokens: list[int]) -> str:
        return self.language.tokenizer.decode(tokens, skip_special_tokens=True).strip()

    def loss(
        self,
        questions: list[str],
        answers: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        evidence: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean cross-entropy of each row's answer tokens, [b]."""
        embeds, mask, keep, target = self.prompt(questions, first, second, answers, evidence)
        each = F.cross_entropy(self.language(embeds, mask, keep), target, reduction="none")
        rows = keep.nonzero()[:, 0]
        total = torch.zeros(len(questions), device=each.device).index_add_(0, rows, each)
        return total / keep.sum(1)


def expand(features: EcgFeatures | None, n: int) -> EcgFeatures | None:
    """Features of one ECG for `n` rows; those of `n` ECGs stay."""
    if features is None or features.pooled.shape[0] == n:
        return features
    return EcgFeatures(*(value.expand(n, *value.shape[1:]) for value in features))


def _name_states(language: Language, names: list[str]) -> torch.Tensor:
    """Mean hidden state of each name, [n, llm_width]."""
    states, mask = language.read([f" {name}" for name in names])
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)
