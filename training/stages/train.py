"""Stages 2 and 3: teach projector and adapter to answer from the ECG.

    python -m training.stages.train --ptbxl DIR --ecgqa DIR [--out .work/model]
    accelerate launch --cpu --num_processes 2 -m training.stages.train ...  # the same, in two

2a read    Text only: which statement, lead and fate (resolved, new, kept, absent) is a question
           about, and what kind of answer does it want? The projector learns it together with the
           adapter of the reading layers, which then stays.
2b align   The projector alone. Its testimony is scored against the language model's own
           input embeddings of the possible answers, so that they speak the language model's
           language before it hears them. No pass through the language model, and this is where
           the signal is learned.
2c debias  The same balanced questions, now through the language model: the adapter learns to say
           what the testimony says, the projector to be understood.
3  tune    The same with ECG-QA's proportion of yes to no.

Questions come from a sampler of `training/data/debias.py`, by default the balanced one in all
stages. Arms: erm, independent and balanced are these samplers; counterfactual adds to balanced a
margin between two ECGs of one severity that answer a question differently; adjusted samples like
erm, but tells the projector the severity, over which the answer is then averaged. A few questions
are asked about noise, a flat line or no ECG at all; the answer to those is that one cannot tell.
The encoder is frozen and its features are kept on disk. Run the same command again to resume.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed

from ecgqa.model.ecg_model import EcgModel, ModelConfig
from ecgqa.model.encoder import EncoderEnsemble
from ecgqa.model.features import EcgFeatures
from ecgqa.model.language import Language
from ecgqa.model.projector import ProjectorConfig
from training.data import ptbxl, questions
from training.data.debias import Draw, Sampler, known_answers
from training.stages.config import QuestionStages, parse, resolved
from training.stages.draws import draw_batch, like_long, make_sampler, text_pool
from training.stages.feature_bank import FeatureBank, load_encoder
from training.stages.objective import SEVERITIES, Objective, vocabulary
from training.stages.resume import Resume
from training.stages.stage import Stage, stages_of
from training.stages.watch import watch, watch_questions, watch_reading


class QuestionTraining:
    """Model, data and how far the stages are."""

    def __init__(self, config: QuestionStages) -> None:
        self.config, self.stages = config, stages_of(config)
        self.accelerator = Accelerator(
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        )
        set_seed(config.seed)
        self.out, cache = Path(config.out), Path(config.cache)
        self.out.mkdir(parents=True, exist_ok=True)
        data = ptbxl.load(config.ptbxl)
        self.split = ptbxl.splits(data, config.ecgqa)
        self.facts = questions.Facts(data, config.intervals or None)
        encoder = load_encoder(config.encoder)
        with self.accelerator.main_process_first():
            self.bank = FeatureBank(encoder, ptbxl.signals(data, cache), cache, config.seed)
        self.rows = self.split["train"][: config.limit or None]
        model = fresh_model(config, encoder, shares(data.severity[self.rows], config))
        self.shape = replace(model.config, known_answers=known_answers(self.facts, self.rows))
        model.config = self.shape
        model.projector.learn_usual(self.bank.of(self.rows.tolist(), "cpu"))
        objective = Objective(model, vocabulary(), config, data.severity)
        reader, adapter = model.language.adapter_parts()
        projector = [*model.projector.parameters(), objective.sharpness, objective.rarity]
        optimizer = torch.optim.AdamW(
            [{"params": group} for group in (projector, reader, adapter)],
            lr=0.0,
            weight_decay=config.weight_decay,
        )
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.progress = {"stage": 0, "step": 0}
        self.resume = Resume(self.out, config.save_minutes)

    @property
    def bare(self) -> Objective:
        """The objective without what several processes wrap it in."""
        return cast(Objective, self.accelerator.unwrap_model(self.objective))

    def begin(self) -> None:
        """Go on where this training was, else from another's weights, else afresh."""
        say, config = self.accelerator.print, self.config
        state = self.resume.load()
        if state is not None:
            self.bare.load_state_dict(state["weights"], strict=False)
            self.optimizer.load_state_dict(state["optimizer"])
            self.progress = state["progress"]
            name = self.stages[self.progress["stage"]].name
            say(f"resumed in stage {name} at step {self.progress['step']}")
        elif config.start_from:
            state = torch.load(config.start_from, map_location="cpu", weights_only=True)
            fits = {n: p.shape for n, p in self.bare.named_parameters()}
            kept = {n: v for n, v in state["weights"].items() if fits.get(n) == v.shape}
            self.bare.load_state_dict(kept, strict=False)
            say(f"started from {len(kept)} tensors of {config.start_from}")

    def save(self) -> None:
        """The state to resume from, and the checkpoint."""
        if not self.accelerator.is_main_process:
            return
        bare, progress = self.bare, self.progress
        kept = {n for n, p in bare.named_parameters() if p.requires_grad}
        weights = {n: v for n, v in bare.state_dict().items() if n in kept}
        self.resume.save(
            {"weights": weights, "optimizer": self.optimizer.state_dict(), "progress": progress}
        )
        training = resolved(self.config) | {
            "reached": f"{self.stages[progress['stage']].name} {progress['step']}",
            "processes": self.accelerator.num_processes,
        }
        folders = map(Path, self.config.encoder.split(","))
        notes = [json.loads((f / "encoder.json").read_text())["training"] for f in folders]
        bare.model.config = replace(self.shape, training={"encoder": notes, "questions": training})
        bare.model.save(self.out / "checkpoint")

    def run(self) -> None:
        """All stages that are left, from top to bottom."""
        self.begin()
        looks = watch_questions(self.facts, self.split["valid"], self.config)
        for place in range(self.progress["stage"], len(self.stages)):
            if place > self.progress["stage"]:
                self.progress = {"stage": place, "step": 0}
                self.save()
            self.learn(self.stages[place], looks)
        self.save()
        self.accelerator.end_training()

    def learn(self, stage: Stage, looks: dict[bool, list[Draw]]) -> None:
        """The steps of one stage that are left."""
        config, accelerator, progress = self.config, self.accelerator, self.progress
        if not stage.text_only:
            self.bare.model.language.settle_reading()
        sampler = make_sampler(stage, self.facts, self.rows, config)
        pool = text_pool(sampler, config) if stage.text_only else []
        shown, started, losses = progress["step"], time.time(), []
        while progress["step"] < stage.steps:
            done = share_done(config, progress["step"], stage.steps, started)
            if accelerator.num_processes == 1 and done >= 1:
                break
            set_rates(self.optimizer, stage, done)
            losses.append(self.step(stage, sampler, pool))
            progress["step"] += 1
            if progress["step"] % 20 == 0:
                pace = (progress["step"] - shown) / (time.time() - started)
                accelerator.print(
                    f"{stage.name} {progress['step']}/{stage.steps} "
                    f"loss {np.mean(losses[-20:]):.4f} {pace * stage.batch:.1f} questions/s",
                    flush=True,
                )
            due = progress["step"] % config.watch_every == 0 or progress["step"] == stage.steps
            if due and accelerator.is_main_process:
                if stage.text_only:
                    watch_reading(self.bare, looks)
                else:
                    watch(self.bare, self.bank, looks, stage)
            if self.resume.due():
                self.save()

    def step(self, stage: Stage, sampler: Sampler, pool: list[Draw]) -> float:
        """One step; the mean loss of its questions, over all processes."""
        config, accelerator, step = self.config, self.accelerator, self.progress["step"]
        seed = config.seed * 7_919 + self.progress["stage"] * 1_000_003 + step
        first: EcgFeatures | None = None
        second: EcgFeatures | None = None
        if stage.text_only:
            draws = like_long(pool, stage.batch, seed)
            draws = draws[accelerator.process_index :: accelerator.num_processes]
        else:
            draws, first, second = draw_batch(sampler, self.bank, config, stage, seed, accelerator)
        self.objective.train()
        self.bare.model.encoder.eval()
        torch.manual_seed(seed * 64 + accelerator.process_index)
        loss = self.objective(stage, draws, first, second)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.objective.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return cast(torch.Tensor, accelerator.gather(loss.detach())).mean().item()


def shares(severity: np.ndarray, config: QuestionStages) -> tuple[float, ...]:
    """P(s) of each severity for an arm whose answers are adjusted for it, else nothing."""
    if config.arm != "adjusted":
        return ()
    return tuple(float(np.mean(severity == s)) for s in range(SEVERITIES))


def fresh_model(
    config: QuestionStages, encoder: EncoderEnsemble, severities: tuple[float, ...] = ()
) -> EcgModel:
    """An untrained projector and adapter between this encoder, frozen, and the language model."""
    language = Language.load(config.llm or None, config.reading_layers)
    language.add_adapter(config.lora_rank)
    shape = ModelConfig(
        encoder=encoder.config,
        projector=ProjectorConfig(
            width=config.projector_width,
            kinds=2 + len(questions.vocabulary()),
            severities=len(severities),
        ),
        severities=severities,
        llm=language.name,
        llm_width=language.width,
        reading_layers=config.reading_layers,
        lora_rank=config.lora_rank,
        vocabulary=questions.vocabulary(),
    )
    return EcgModel.build(shape, encoder.requires_grad_(False).eval(), language)


def share_done(config: QuestionStages, step: int, steps: int, started: float) -> float:
    """How far a stage is, 0 to 1: by its steps, or by its minutes where these end first."""
    limit = 60 * config.stage_minutes
    by_time = (time.time() - started) / limit if limit else 0.0
    return min(1.0, max(step / steps, by_time))


def set_rates(optimizer: torch.optim.Optimizer, stage: Stage, done: float) -> None:
    """Warm up over 3 %, then a half cosine down to 2 % of the peak."""
    factor = min(1.0, done / 0.03 + 0.02) * (0.51 + 0.49 * math.cos(math.pi * min(1.0, done)))
    peaks = (stage.projector_rate, stage.reader_rate, stage.adapter_rate)
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


def main() -> None:
    """Command line."""
    QuestionTraining(parse(QuestionStages)).run()


if __name__ == "__main__":
    main()
