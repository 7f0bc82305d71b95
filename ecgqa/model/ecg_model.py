"""`EcgModel` = encoder + projector + language model: encode an ECG once, ask it many questions.

The prompt, with `<..>` for embeddings that come from the signal. The question stands first, so that
it is read once for all ECGs it is asked of:

    Is atrial fibrillation present in this ECG?<6 tokens of the ECG><4 tokens of testimony>
    Answer: no

Of two ECGs there are 6 tokens each. The testimony is what the ECG says to this very question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from ecgqa.model.encoder import EncoderConfig, EncoderEnsemble, build_encoder
from ecgqa.model.features import EcgFeatures
from ecgqa.model.language import Language, ModelError, Progress, Prompts, pad, pad_states
from ecgqa.model.projector import Memory, Projector, ProjectorConfig
from ecgqa.model.reader import Reader
from ecgqa.record import LEADS

ABSTENTION = "cannot tell from this recording"
SEPARATOR = "; "
YES_NO = ("yes", "no")
YES_OR_NO, ONE_OF_TWO = "yes or no", "one of two"  # the kinds of answers that are no lists
PLACEHOLDER = -1


class Opening(NamedTuple):
    """How an answer begins: log odds of "yes" against "no", and its likeliest first word."""

    margin: float
    word: str


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
    vocabulary: dict[str, tuple[str, ...]] = field(default_factory=dict)  # open questions' answers
    lists: dict[str, tuple[float, ...]] = field(default_factory=dict)  # see `options.decide`
    known_answers: dict[str, dict[str, int]] = field(default_factory=dict)  # and how often, by kind
    confidence: dict[str, tuple[float, float]] = field(default_factory=dict)  # by kind of answer
    choice: tuple[float, ...] = ()  # scale, both, neither: see `options.decide`
    finding_limits: dict[str, float] = field(default_factory=dict)  # P from which it is reported
    severities: tuple[float, ...] = ()  # P(s), where the answer is adjusted for the severity s
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What kind of answer a question may want, in the order of `Projector.asked_kind`."""
        return (YES_OR_NO, ONE_OF_TWO, *self.vocabulary)


class EcgModel(nn.Module):
    """See the module's first lines."""

    def __init__(
        self,
        config: ModelConfig,
        encoder: EncoderEnsemble,
        projector: Projector,
        language: Language,
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.projector = projector
        self.language = language
        self.reader: Reader | None = None  # of questions in free words, where there is one
        self.version = "untrained"  # see `_version`
        self._option_states: dict[str, torch.Tensor] = {}

    # Building, saving, loading -------------------------------------------------------------------

    @classmethod
    def build(cls, config: ModelConfig, encoder: EncoderEnsemble, language: Language) -> EcgModel:
        """A model with a fresh projector, its concept names read by `language`."""
        names = _name_states(language, list(encoder.config.statements))
        leads = _name_states(language, [f"lead {lead}" for lead in LEADS])
        projector = Projector(
            config.projector,
            encoder.width,
            _finding_of(encoder.config),
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
        """Float16 safetensors of encoder, projector and adapter, config.json, answers.json."""
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
        settings = asdict(self.config)
        (folder / "answers.json").write_text(json.dumps(settings.pop("known_answers"), indent=0))
        (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")

    @classmethod
    def load(
        cls, folder: Path | str, llm: str | None = None, progress: Progress | None = None
    ) -> EcgModel:
        """Read a saved model. Raises ModelError in plain words."""
        folder = Path(folder)
        try:
            raw = json.loads((folder / "config.json").read_text())
            raw["known_answers"] = json.loads((folder / "answers.json").read_text())
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
        encoder = build_encoder(config.encoder)
        blank = torch.zeros_like(weights["projector"]["statement_names"], dtype=torch.float32)
        projector = Projector(
            config.projector,
            encoder.width,
            _finding_of(config.encoder),
            blank,
            torch.zeros(len(LEADS), config.llm_width),
        )
        try:
            encoder.load_state_dict(weights["encoder"])
            projector.load_state_dict(weights["projector"])
            language.load_adapter(folder / "adapter")
            reader = Reader.load(folder / "reader") if (folder / "reader").is_dir() else None
        except (RuntimeError, ValueError, OSError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(
                f"The checkpoint in {folder} does not fit {language.name}, or is damaged."
            ) from error
        model = cls(config, encoder, projector, language).eval()
        model.reader = reader
        model.version = _version(folder)
        return model

    # Encoding ------------------------------------------------------------------------------------

    def encode(self, signal: torch.Tensor) -> EcgFeatures:
        """signal [b, 12, 1000] from `model_input` → everything the later stages need."""
        return self.encoder(signal)

    def testimony(
        self,
        questions: list[str],
        first: EcgFeatures,
        second: EcgFeatures | None,
        severity: int | None = None,
    ) -> torch.Tensor:
        """[b, evidence_tokens, llm_width] for one question per row of `first`."""
        texts = list(dict.fromkeys(questions))
        with torch.no_grad():
            states, mask = self.language.read(texts)
        of = [texts.index(question) for question in questions]
        memory = self.projector.memory(first, second)
        given = None if severity is None else torch.full((len(of),), severity, device=mask.device)
        return self.projector.testimony(states[of], mask[of], memory, given)

    # Prompts -------------------------------------------------------------------------------------

    def prompt(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        answers: list[str] | None = None,
        testimony: torch.Tensor | None = None,
    ) -> Prompts:
        """One prompt per question and ECG (or pair); like questions are shared.

        first None: the question without any ECG. answers: teacher-forced answer texts; without them
        the prompt ends where the answer begins, and the last position is kept. testimony: what
        `testimony` gives, if it is there already.
        """
        language, sizes = self.language, self.projector.config
        pad_id, device = language.tokenizer.pad_token_id, language.embeddings.weight.device
        texts = list(dict.fromkeys(questions))
        of = [texts.index(question) for question in questions]
        asked, asked_mask = pad([language.question_ids(text) for text in texts], pad_id)

        blocks = 0 if first is None else 1 if second is None else 2
        signals = sizes.ecg_tokens * blocks + sizes.evidence_tokens if blocks else 0
        stem = [PLACEHOLDER] * signals + language.ids("\nAnswer:")
        end = [language.tokenizer.eos_token_id]
        said = [language.ids(" " + a) + end for a in answers] if answers else [[]] * len(of)
        # What follows the last token is not wanted, so that one is not fed.
        rows = [stem + answer[:-1] for answer in said]
        ids, mask = pad(rows, pad_id)
        ids, mask = ids.to(device), mask.to(device)
        rest = language.embed(ids.clamp(min=0))
        if first is not None:
            if testimony is None:
                testimony = self.testimony(questions, first, second)
            signal = torch.cat([self.projector.ecg_tokens(first, second), testimony], dim=1)
            rest = rest.masked_scatter((ids == PLACEHOLDER).unsqueeze(-1), signal.to(rest.dtype))
        keep = torch.zeros_like(mask, dtype=torch.bool)
        keep[:, len(stem) - 1 :] = mask[:, len(stem) - 1 :].bool()
        target = [token for answer in said for token in answer]
        question = language.embed(asked.to(device))
        index = torch.tensor(of, device=device)
        wanted = torch.tensor(target, dtype=torch.long, device=device)
        return Prompts(question, asked_mask.to(device), index, rest, mask, keep, wanted)

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
        prompts = self.prompt([question] * n, first, second, answers)
        log_probs = self.language(prompts).log_softmax(-1)
        chosen = log_probs.gather(1, prompts.target.unsqueeze(1)).squeeze(1)
        rows = prompts.keep.nonzero()[:, 0]
        total = torch.zeros(n, device=chosen.device).index_add_(0, rows, chosen)
        return total, prompts.keep.sum(1)

    @torch.no_grad()
    def yes_margin(
        self, questions: list[str], first: EcgFeatures | None, second: EcgFeatures | None = None
    ) -> torch.Tensor:
        """Log odds of "yes" against "no" for one yes/no question per row, [b].

        Where the model was trained with the severity s of the illness as a given, this is the
        back-door adjustment P(yes | do(question), ECG) = Σ_s P(yes | question, ECG, s) P(s).
        """
        if first is None or not self.config.severities:
            return self._yes_margin(questions, first, second)
        chance = torch.zeros(len(questions), device=first.pooled.device)
        for severity, share in enumerate(self.config.severities):
            chance += share * self._yes_margin(questions, first, second, severity).sigmoid()
        return chance.logit(1e-6)

    def _yes_margin(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None,
        severity: int | None = None,
    ) -> torch.Tensor:
        """Log odds of "yes", [b], at a given severity where the model is told one."""
        testimony = None if first is None else self.testimony(questions, first, second, severity)
        return self._margin(
            self.language(self.prompt(questions, first, second, testimony=testimony))
        )

    @torch.no_grad()
    def openings(
        self, questions: list[str], first: EcgFeatures | None, second: EcgFeatures | None = None
    ) -> list[Opening]:
        """How the answers to questions begin; `first` (and `second`): one ECG, or one per row."""
        first, second = expand(first, len(questions)), expand(second, len(questions))
        logits = self.language(self.prompt(questions, first, second))
        margins = self._margin(logits)
        if first is not None and self.config.severities:
            margins = self.yes_margin(questions, first, second)
        words = [self._text([token]) for token in logits.argmax(-1).tolist()]
        return [Opening(*both) for both in zip(margins.tolist(), words, strict=True)]

    @torch.no_grad()
    def testimony_margin(
        self, questions: list[str], first: EcgFeatures | None, second: EcgFeatures | None = None
    ) -> torch.Tensor:
        """How much nearer the testimony is to "yes" than to "no", [b]; asks no language model.

        One yes/no question per row (`options.option_question`; their states are kept, as they are
        few and hold no words of a user), about one ECG or one each. Without an ECG: 0.
        """
        if first is None:
            return torch.zeros(len(questions))
        new = sorted({q for q in questions if q not in self._option_states}, key=len)
        for start in range(0, len(new), 64):
            states, mask = self.language.read(new[start : start + 64])
            for text, state, there in zip(new[start : start + 64], states, mask, strict=True):
                self._option_states[text] = state[there]
        states, mask = pad_states([self._option_states[question] for question in questions])
        memory = self.projector.memory(first, second)
        memory = Memory(*(v.expand(len(questions), *v.shape[1:]) for v in memory))
        return self.lean(self.projector.testimony(states, mask, memory))

    def lean(self, testimony: torch.Tensor) -> torch.Tensor:
        """How much nearer `testimony` [b, tokens, llm_width] is to "yes" than to "no", [b]."""
        near = testimony @ self.directions(list(YES_NO)).T
        return near.logsumexp(1) @ near.new_tensor([1.0, -1.0])

    @torch.no_grad()
    def directions(self, answers: list[str]) -> torch.Tensor:
        """[n, llm_width]: where each answer lies among the language model's input embeddings.

        The mean of its tokens, seen from the centre of the table, at length 1.
        """
        table = self.language.embeddings.weight
        ids = [self.language.ids(" " + answer) for answer in answers]
        words = torch.stack([table[torch.tensor(i, device=table.device)].mean(0) for i in ids])
        return F.normalize(words - table.mean(0), dim=-1)

    def yes_probability(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        kind: str = "",
    ) -> torch.Tensor:
        """P("yes") against "no", [b], calibrated (Platt 1999) on the validation ECGs.

        kind: "verify" for a question as the user asks it, "compare" for one about two ECGs (the
        defaults); "choose GROUP" for one of the options that a question names, or plain "option"
        where the group is not known.
        """
        kind = kind or ("verify" if second is None else "compare")
        return self.calibrated(self.yes_margin(questions, first, second), kind)

    def calibrated(self, margin: torch.Tensor, kind: str) -> torch.Tensor:
        """P("yes") of log odds; unknown kinds of options are calibrated as any option is."""
        known = self.config.calibration
        scale, shift = known.get(kind) or known.get("option") or (1.0, 0.0)
        return torch.sigmoid(margin * scale + shift)

    @torch.no_grad()
    def generate(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None = None,
        max_tokens: int = 64,
    ) -> list[str]:
        """Greedy answers to one question per row, all at once."""
        prompts = self.prompt(questions, first, second)
        rows = [prompts.row(i) for i in range(len(questions))]
        # Generation wants the padding on the left.
        left = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
        length = torch.tensor([len(row) for row in rows], device=left.device)
        place = torch.arange(left.shape[1], device=left.device) - left.shape[1] + length[:, None]
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
            embeds = self.prompt([question], first, second).row(0).unsqueeze(0)
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
        testimony: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross-entropy of each row's answer tokens, and its log odds of "yes", both [b]."""
        prompts = self.prompt(questions, first, second, answers, testimony)
        logits = self.language(prompts)
        each = F.cross_entropy(logits, prompts.target, reduction="none")
        rows = prompts.keep.nonzero()[:, 0]
        count = prompts.keep.sum(1)
        total = torch.zeros(len(questions), device=each.device).index_add_(0, rows, each)
        begins = count.cumsum(0) - count
        return total / count, self._margin(logits[begins])

    def _margin(self, logits: torch.Tensor) -> torch.Tensor:
        yes, no = (self.language.ids(f" {word}")[0] for word in YES_NO)
        return logits[:, yes] - logits[:, no]


def _version(folder: Path) -> str:
    """The first digits of the SHA-256 of all that a checkpoint's answers depend on, names too."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            digest.update(f"{file.relative_to(folder).as_posix()}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:8]


def expand(features: EcgFeatures | None, n: int) -> EcgFeatures | None:
    """Features of one ECG for `n` rows; those of `n` ECGs stay."""
    if features is None or features.pooled.shape[0] == n:
        return features
    return EcgFeatures(*(value.expand(n, *value.shape[1:]) for value in features))


def _finding_of(config: EncoderConfig) -> list[int]:
    """Which statement each finding of single leads is."""
    return [config.statements.index(finding) for finding in config.lead_findings]


@torch.no_grad()
def _name_states(language: Language, names: list[str]) -> torch.Tensor:
    """Mean hidden state of each name, [n, llm_width]."""
    states, mask = language.read([f" {name}" for name in names])
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)
