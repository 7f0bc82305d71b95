"""Questions a second: `training.stages.train` beside a plain transformers `Trainer` + peft loop.

    python -m training.judge.bench_train --ptbxl DIR --ecgqa DIR --intervals FILE.csv [--steps 6]

The same weights learn the same questions about the same ECGs, once as stage tune of
`training.stages.train` does it (features and question states kept, one question for several ECGs
read once, logits at answer positions only), once as a Trainer does it out of the box: every row is
encoded, read and run whole, padded to the longest, with logits everywhere. The two take turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from peft import PeftModel
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import HfArgumentParser, Trainer, TrainingArguments
from transformers.hf_argparser import DataClassType

from ecgqa.model.ecg_model import SEPARATOR, EcgModel
from ecgqa.model.language import pad
from training.data import ptbxl, questions
from training.data.debias import Draw
from training.stages.config import QuestionStages
from training.stages.draws import draw_batch, make_sampler
from training.stages.feature_bank import FeatureBank, load_encoder
from training.stages.objective import Objective, vocabulary
from training.stages.stage import stages_of
from training.stages.train import fresh_model


@dataclass
class Bench(QuestionStages):
    """Flags of `training.stages.train`, and"""

    steps: int = 6
    rounds: int = 3


class PlainModel(nn.Module):
    """The same network as a Trainer would have it: one row, one ECG, one whole prompt."""

    def __init__(self, model: EcgModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, signal, second, questions, answers, labels):
        """Loss over the answer tokens; everything is computed for every row."""
        model, language = self.model, self.model.language
        with torch.no_grad():
            first = model.encode(signal)
            other = None if second is None else model.encode(second)
        testimony = model.testimony(questions, first, other)
        signals = torch.cat([model.projector.ecg_tokens(first, other), testimony], dim=1)
        stem = language.ids("\nAnswer:")
        parts, wanted = [], []
        for i, (question, answer) in enumerate(zip(questions, answers, strict=True)):
            before = language.question_ids(question)
            after = [*language.ids(" " + answer), language.tokenizer.eos_token_id]
            embed = language.embed
            tokens = [embed(torch.tensor(before)), signals[i], embed(torch.tensor(stem + after))]
            parts.append(torch.cat(tokens))
            wanted.append([-100] * (len(parts[-1]) - len(after)) + after)
        embeds = nn.utils.rnn.pad_sequence(parts, batch_first=True)
        _, mask = pad([[0] * len(row) for row in wanted], 0)
        target, _ = pad(wanted, -100)
        return {"loss": language.model(inputs_embeds=embeds, attention_mask=mask, labels=target)[0]}


class InOrder(Trainer):
    """A Trainer that keeps the order, so that no batch mixes questions about one ECG and two."""

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(cast(Sized, self.train_dataset))


def plain_rate(model: EcgModel, signals: np.ndarray, batches: list[list[Draw]], config) -> float:
    """Questions a second of a Trainer on these batches."""
    rows = [
        {
            "rows": d.rows,
            "question": d.question.question,
            "answer": SEPARATOR.join(d.question.answer),
        }
        for batch in batches
        for d in batch
    ]

    def collate(part):
        ecgs = [
            torch.from_numpy(np.stack([signals[r["rows"][k]] for r in part]).astype(np.float32))
            for k in range(len(part[0]["rows"]))
        ]
        return {
            "signal": ecgs[0],
            "second": ecgs[1] if len(ecgs) == 2 else None,
            "questions": [r["question"] for r in part],
            "answers": [SEPARATOR.join(r["answer"]) for r in part],
            "labels": torch.zeros(len(part)),
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=config.batch,
            num_train_epochs=1,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
        )
        trainer = InOrder(PlainModel(model), arguments, train_dataset=rows, data_collator=collate)
        started = time.perf_counter()
        trainer.train()
        return len(rows) / (time.perf_counter() - started)


def main() -> None:
    """Take turns and print the ratio."""
    config = HfArgumentParser(DataClassType(Bench)).parse_args_into_dataclasses()[0]
    data = ptbxl.load(config.ptbxl)
    rows = ptbxl.splits(data, config.ecgqa)["train"]
    signals = ptbxl.signals(data, config.cache)
    encoder = load_encoder(config.encoder)
    bank = FeatureBank(encoder, signals, Path(config.cache), config.seed)
    model = fresh_model(config, encoder)
    objective = Objective(model, vocabulary(), config, data.severity)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], 1e-4)
    config.blank_share = 0.0
    *_, tune = stages_of(config)
    sampler = make_sampler(tune, questions.Facts(data, config.intervals), rows, config)
    alone = _Alone()
    batches = [draw_batch(sampler, bank, config, tune, i, alone) for i in range(config.steps)]
    objective.train()
    encoder.eval()
    plain, ours = [], []
    for _ in range(config.rounds):
        model.language.settle_reading()  # as past stage read
        count, started = 0, time.perf_counter()
        for draws, first, second in batches:
            objective(tune, draws, first, second).backward()
            optimizer.step()
            optimizer.zero_grad()
            count += len(draws)
        ours.append(count / (time.perf_counter() - started))
        cast(PeftModel, model.language.model).unmerge_adapter()
        plain.append(plain_rate(model, signals, [draws for draws, _, _ in batches], config))
        encoder.eval()
        print(
            f"questions/s: plain loop {plain[-1]:.2f}, stage tune {ours[-1]:.2f}",
            flush=True,
        )
    ratio = np.median(ours) / np.median(plain)
    print(f"ratio of medians: {ratio:.2f} ({config.batch} questions a step, {config.steps} steps)")


class _Alone:
    """Stands for an accelerator with one process."""

    process_index, num_processes, device = 0, 1, torch.device("cpu")


if __name__ == "__main__":
    main()
