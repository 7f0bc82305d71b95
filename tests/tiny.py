"""A language model small enough for tests: random weights, byte-level tokens, no download."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ecgqa.model.ecg_model import EcgModel, ModelConfig
from ecgqa.model.encoder import EncoderConfig, build_encoder
from ecgqa.model.language import Language
from ecgqa.model.projector import ProjectorConfig

STATEMENTS = (
    "atrial fibrillation",
    "sinus rhythm",
    "left ventricular hypertrophy",
    "static noise",
)
SMALL_ENCODER = EncoderConfig(
    channels=(8, 8),
    blocks=(1, 1),
    lead_channels=(4, 4),
    width=16,
    statements=STATEMENTS,
    lead_findings=("static noise",),
)


def tiny_llm(folder: Path, width: int = 32, layers: int = 3) -> Path:
    """Write a tiny Llama and its tokenizer into `folder`."""
    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(["<end>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(f" {word}", normalized=False) for word in ("yes", "no")])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(alphabet) + 3,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def tiny_model(folder: Path) -> EcgModel:
    """An untrained model around `tiny_llm`, with an adapter that does something."""
    language = Language.load(str(tiny_llm(folder)), reading_layers=1)
    language.add_adapter(2)
    torch.manual_seed(1)
    for name, value in language.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.5)
    config = ModelConfig(
        encoder=SMALL_ENCODER,
        projector=ProjectorConfig(
            width=16, layers=2, heads=2, ecg_tokens=2, evidence_tokens=2, kinds=3
        ),
        llm=language.name,
        llm_width=language.width,
        reading_layers=1,
        lora_rank=2,
        vocabulary={"rhythm": ("sinus rhythm", "atrial fibrillation")},
        known_answers={"rhythm": {"atrial fibrillation": 2, "none": 1, "sinus rhythm": 4}},
    )
    model = EcgModel.build(config, build_encoder(SMALL_ENCODER), language)
    with torch.no_grad():
        model.projector.to_llm[1].weight.mul_(20)  # an untrained model that still hears the signal
    return model.eval()
