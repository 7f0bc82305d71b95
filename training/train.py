"""Stages 2 and 3: teach projector and adapter to answer from the ECG.

    python -m training.train --ptbxl DIR --ecgqa DIR [--out .work/model]
    accelerate launch --cpu --num_processes 2 -m training.train ...   # the same, two processes

2a read    Text only: which statement, lead and fate (resolved, new, kept, absent) is a question
           about, and what kind of answer does it want? The projector learns it together with the
           adapter of the reading layers, which then stays.
2b align   The projector alone. Its evidence tokens are scored against the language model's own
           input embeddings of the possible answers, so that they speak the language model's
           language before it hears them. No pass through the language model, and this is where
           the signal is learned.
2c debias  The same balanced questions, now through the language model: the adapter learns to say
           what the evidence shows, the projector to be understood.
3  tune    The same with ECG-QA's proportion of yes to no.

Questions come from a sampler of `training/debias.py`, by default the balanced one in all stages.
Arms: erm, independent and balanced are these samplers; counterfactual adds to balanced a margin
between two ECGs of one severity that answer a question differently; adjusted samples like erm, but
tells the projector the severity, over which the answer is then averaged. A few questions are
asked about noise, a flat line or no ECG at all; the answer to those is that one cannot tell.
The encoder is frozen and its features are kept on disk. Run the same command again to resume.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from ecgqa.model.ecg_model import ABSTENTION, SEPARATOR, YES_NO, EcgModel, ModelConfig
from ecgqa.model.encoder import EcgEncoder, EncoderConfig, EncoderEnsemble
from ecgqa.model.features import EcgFeatures
from ecgqa.model.language import Language
from ecgqa.model.projector import ProjectorConfig, named
from ecgqa.record import LEADS
from training import ptbxl, questions
from training.config import QuestionStages, parse, resolved
from training.debias import Draw, Sampler, known_answers

STAGES = ("read", "align", "debias", "tune")
LLM_STAGES = ("debias", "tune")
FATE_WEIGHT = 2.0  # of questions about two ECGs in stage read: they are the hardest to read
FATES = tuple(questions.FATES)  # in the order of the projector's fates
BLANKS = 256  # made-up recordings without an ECG
SEVERITIES = 3  # of `ptbxl.severity_of`
SAMPLED_AS = {"counterfactual": "balanced", "adjusted": "erm"}  # other arms: as they are called


class FeatureBank:
    """Frozen encoder features of every row, and of recordings that hold no ECG (rows n ...)."""

    def __init__(
        self, encoder: EncoderEnsemble, signals: np.ndarray, cache: Path, seed: int
    ) -> None:
        self.rows = len(signals)
        blank = blank_signals(BLANKS, seed)
        path = cache / f"features_{_digest(encoder, signals, blank)}.pt"
        if not path.exists():
            place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            encoder.eval().to(place)
            parts: list[EcgFeatures] = []
            with torch.no_grad():
                for start in range(0, self.rows + BLANKS, 256):
                    real = np.asarray(signals[start : start + 256], np.float32)
                    more = blank[max(0, start - self.rows) : max(0, start + 256 - self.rows)]
                    batch = torch.from_numpy(np.concatenate([real, more])).to(place)
                    parts.append(EcgFeatures(*(v.half().cpu() for v in encoder(batch))))
                    if start % 5120 == 0:
                        print(f"encoding {start}/{self.rows}", flush=True)
            encoder.cpu()
            whole = EcgFeatures(*(torch.cat(v) for v in zip(*parts, strict=True)))
            torch.save(tuple(whole), path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
        self.features = EcgFeatures(*torch.load(path, weights_only=True, mmap=True))

    def of(self, rows: list[int], device) -> EcgFeatures:
        """Features of these rows, float32."""
        return EcgFeatures(*(v[rows].float().to(device) for v in self.features))


def _digest(encoder: EncoderEnsemble, *signals: np.ndarray) -> str:
    """Of the weights and of one ECG in a hundred."""
    whole = hashlib.sha256()
    for value in encoder.state_dict().values():
        whole.update(value.numpy().tobytes())
    for part in signals:
        whole.update(f"{part.shape}".encode() + np.ascontiguousarray(part[::100]).tobytes())
    return whole.hexdigest()[:16]


def blank_signals(count: int, seed: int) -> np.ndarray:
    """float32 [count, 12, 1000] mV: flat lines, white noise, mains hum, wandering baselines."""
    rng = np.random.default_rng([seed, 7])
    t = np.arange(1000) / 100
    out = np.zeros((count, 12, 1000), np.float32)
    for i in range(count):
        kind = i % 4
        if kind == 1:
            out[i] = rng.normal(0, rng.uniform(0.02, 1.0), (12, 1000))
        elif kind == 2:
            walk = rng.normal(0, 1, (12, 1000)).cumsum(1)
            out[i] = (walk - walk.mean(1, keepdims=True)) * rng.uniform(0.002, 0.05)
        elif kind == 3:
            phase = rng.uniform(0, 6.3, (12, 1))
            hum = np.sin(2 * np.pi * rng.uniform(8, 45) * t + phase)
            out[i] = hum * rng.uniform(0.02, 0.6) + rng.normal(0, 0.03, (12, 1000))
    return out


class Objective(nn.Module):
    """The model with the loss of each stage, in one forward so that DDP sees it."""

    answers: torch.Tensor

    def __init__(
        self,
        model: EcgModel,
        vocabulary: list[str],
        config: QuestionStages,
        severity: np.ndarray,
    ) -> None:
        super().__init__()
        self.model, self.config = model, config
        # Of every row of the bank; a recording without an ECG gets any.
        self.severity = np.concatenate([severity, np.arange(BLANKS) % SEVERITIES])
        self.vocabulary = {name: i for i, name in enumerate(vocabulary)}
        self.register_buffer("answers", model.directions(vocabulary))
        leads = [f"lead {lead}" for lead in LEADS]
        names = [*model.encoder.config.statements, *leads]
        self.names = {name: i for i, name in enumerate(names)}
        self.kinds = {name: i for i, name in enumerate(model.config.kinds)}
        self.sharpness = nn.Parameter(torch.tensor(5.0))
        self.rarity = nn.Parameter(torch.tensor(-3.0))
        self._read: dict[str, torch.Tensor] = {}

    def read(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """States of the questions, remembered: past stage read the reading layers stay."""
        missing = sorted({t for t in texts if t not in self._read}, key=len)
        if len(self._read) > 40_000:
            self._read.clear()
            missing = sorted(set(texts), key=len)
        if missing:
            with torch.no_grad():
                states, mask = self.model.language.read(missing)
            for text, state, there in zip(missing, states, mask, strict=True):
                self._read[text] = state[there].half()
        rows = [self._read[t] for t in texts]
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True).float()
        mask = nn.utils.rnn.pad_sequence([r.new_ones(len(r)) for r in rows], batch_first=True)
        return states, mask.bool()

    def evidence(self, draws: list[Draw] | None, states, mask, first, second) -> torch.Tensor:
        """[b, evidence_tokens, width], told the true severity where the arm is "adjusted"."""
        projector, severity = self.model.projector, None
        if draws and self.model.config.severities:
            worst = [int(self.severity[list(d.rows)].max()) for d in draws]
            severity = torch.tensor(worst, device=states.device)
        return projector.evidence(states, mask, projector.memory(first, second), severity)

    def nearness(self, evidence: torch.Tensor) -> torch.Tensor:
        """[b, vocabulary]: how near the evidence is to each answer."""
        return self.sharpness * (evidence @ self.answers.T).logsumexp(1)

    def matching_loss(self, draws: list[Draw], states, mask) -> torch.Tensor:
        """Cross-entropy of the names that each question is about, of the kind of answer that it
        wants, and for two ECGs of the fate it asks for."""
        projector = self.model.projector
        about = [[self.names[n] for n in d.names if n in self.names] for d in draws]
        rows = [i for i, names in enumerate(about) if names]
        loss = self.answers.new_zeros(())
        if rows:
            meant = named(projector.matches(states[rows], mask[rows])).log_softmax(-1)
            each = [-meant[k, about[i]].mean() for k, i in enumerate(rows)]
            loss = loss + torch.stack(each).mean()
        kinds = torch.tensor([self.kinds[d.kind] for d in draws], device=loss.device)
        loss = loss + F.cross_entropy(projector.asked_kind(states, mask), kinds)
        asked = [questions.TEMPLATES[d.question.template_id].state for d in draws]
        pairs = [i for i, state in enumerate(asked) if len(state) == 2]
        if pairs:
            fates = torch.tensor([FATES.index(asked[i]) for i in pairs], device=loss.device)
            loss = loss + F.cross_entropy(projector.asked_fate(states[pairs], mask[pairs]), fates)
        return loss

    def margin_loss(self, draws: list[Draw], margins: torch.Tensor) -> torch.Tensor:
        """Of one question about two ECGs of the same severity: "yes" must win where it is true.

        margins [b]: log odds of "yes". Hinge on the difference between every right yes and every
        right no to the same question; 0 where there is no such pair.
        """
        said = [d.question.answer[0] for d in draws]
        pairs = [
            (i, k)
            for i, a in enumerate(draws)
            for k, b in enumerate(draws)
            if said[i] == "yes" and said[k] == "no" and a.stratum == b.stratum
            and a.question.question == b.question.question
        ]  # fmt: skip
        if not pairs or self.config.arm != "counterfactual":
            return margins.new_zeros(())
        yes, no = torch.tensor(pairs, device=margins.device).T
        return F.relu(self.config.margin - (margins[yes] - margins[no])).mean()

    def forward(self, stage: str, draws: list[Draw], first, second) -> torch.Tensor:
        """Mean loss of a batch; past stage read all are about one ECG, or all about two."""
        texts = [d.question.question for d in draws]
        states, mask = self.model.language.read(texts) if stage == "read" else self.read(texts)
        matching = self.matching_loss(draws, states, mask)
        if stage == "read":
            return matching
        if stage in LLM_STAGES:
            answers = [SEPARATOR.join(d.question.answer) for d in draws]
            blank = first is None
            evidence = None if blank else self.evidence(draws, states, mask, first, second)
            each, margins = self.through_llm(texts, answers, first, second, evidence)
            loss = each.mean() + 0.2 * matching
        else:
            logits = self.nearness(self.evidence(draws, states, mask, first, second))
            yes, no = (logits[:, self.vocabulary[word]] for word in YES_NO)
            margins = yes - no
            loss = self.evidence_loss(draws, logits) + matching
        return loss + self.config.margin_loss * self.margin_loss(draws, margins)

    def through_llm(self, texts, answers, first, second, evidence):
        """`EcgModel.loss`, lists apart from short answers: else every row is as long as the
        longest list of the batch."""
        lists = torch.tensor([SEPARATOR in answer for answer in answers])
        each, margins = torch.zeros(len(texts)), torch.zeros(len(texts))
        each, margins = each.to(self.answers), margins.to(self.answers)
        for part in (lists, ~lists):
            rows = part.nonzero().squeeze(1)
            if len(rows):
                found = self.model.loss(
                    [texts[i] for i in rows],
                    [answers[i] for i in rows],
                    _rows(first, rows),
                    _rows(second, rows),
                    None if evidence is None else evidence[rows],
                )
                each, margins = (
                    whole.index_put((rows.to(whole.device),), value.to(whole.dtype))
                    for whole, value in zip((each, margins), found, strict=True)
                )
        return each, margins

    def evidence_loss(self, draws: list[Draw], logits: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the right answer; of lists, of each valid option."""
        losses = []
        for draw, row in zip(draws, logits, strict=True):
            true = [self.vocabulary[a] for a in draw.question.answer]
            if draw.question.answer[0] in ("yes", "no", "not sure", ABSTENTION):
                among = [self.vocabulary[a] for a in ("yes", "no", "not sure", ABSTENTION)]
                right = torch.tensor(among.index(true[0]), device=row.device)
                losses.append(F.cross_entropy(row[among], right))
            else:
                valid = [self.vocabulary[a] for a in draw.question.valid_answers]
                target = torch.zeros(len(self.vocabulary), device=row.device)
                target[true] = 1.0
                among = sorted({*valid, *true})
                each = F.binary_cross_entropy_with_logits(
                    row[among] + self.rarity, target[among], reduction="sum"
                )
                losses.append(each / (1 + len(true)))
        return torch.stack(losses).mean()


def main() -> None:
    """Train through the three stages, resume, save."""
    config = parse(QuestionStages)
    accelerator = Accelerator(
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
    )
    set_seed(config.seed)
    say = accelerator.print
    out, cache = Path(config.out), Path(config.cache)
    out.mkdir(parents=True, exist_ok=True)

    data = ptbxl.load(config.ptbxl)
    split = ptbxl.splits(data, config.ecgqa)
    facts = questions.Facts(data, config.intervals or None)
    encoder = load_encoder(config.encoder)
    with accelerator.main_process_first():
        bank = FeatureBank(encoder, ptbxl.signals(data, cache), cache, config.seed)
    train_rows = split["train"][: config.limit or None]
    model = fresh_model(config, encoder, shares(data.severity[train_rows], config))
    shape = replace(model.config, known_answers=known_answers(facts, train_rows))
    model.config, language = shape, model.language
    model.projector.learn_usual(bank.of(train_rows.tolist(), "cpu"))
    objective = Objective(model, vocabulary(), config, data.severity)
    reader, adapter = language.adapter_parts()
    projector = [*model.projector.parameters(), objective.sharpness, objective.rarity]
    optimizer = torch.optim.AdamW(
        [{"params": group} for group in (projector, reader, adapter)],
        lr=0.0,
        weight_decay=config.weight_decay,
    )
    objective, optimizer = accelerator.prepare(objective, optimizer)

    steps = {s: getattr(config, f"{s}_steps") for s in STAGES}
    progress = {"stage": 0, "step": 0}
    state_file = out / "state.pt"
    if config.start_from and not state_file.exists():
        state = torch.load(config.start_from, map_location="cpu", weights_only=True)
        bare = accelerator.unwrap_model(objective)
        fits = {n: p.shape for n, p in bare.named_parameters()}
        kept = {n: v for n, v in state["weights"].items() if fits.get(n) == v.shape}
        bare.load_state_dict(kept, strict=False)
        say(f"started from {len(kept)} tensors of {config.start_from}")
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        accelerator.unwrap_model(objective).load_state_dict(state["weights"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        progress = state["progress"]
        say(f"resumed in stage {STAGES[progress['stage']]} at step {progress['step']}")

    def save() -> None:
        if not accelerator.is_main_process:
            return
        bare = accelerator.unwrap_model(objective)
        kept = {n for n, p in bare.named_parameters() if p.requires_grad}
        weights = {n: v for n, v in bare.state_dict().items() if n in kept}
        state = {"weights": weights, "optimizer": optimizer.state_dict(), "progress": progress}
        torch.save(state, state_file.with_suffix(".part"))
        state_file.with_suffix(".part").rename(state_file)
        training = resolved(config) | {
            "reached": f"{STAGES[progress['stage']]} {progress['step']}",
            "processes": accelerator.num_processes,
        }
        folders = map(Path, config.encoder.split(","))
        notes = [json.loads((f / "encoder.json").read_text())["training"] for f in folders]
        bare.model.config = replace(shape, training={"encoder": notes, "questions": training})
        bare.model.save(out / "checkpoint")

    looks = watch_questions(facts, split["valid"], config)
    saved = time.time()
    while progress["stage"] < len(STAGES):
        stage = STAGES[progress["stage"]]
        if stage != "read":
            accelerator.unwrap_model(objective).model.language.settle_reading()
        sampler = make_sampler(stage, facts, train_rows, config)
        pool = text_pool(sampler, config) if stage == "read" else []
        shown, started, losses = progress["step"], time.time(), []
        while progress["step"] < steps[stage]:
            step = progress["step"]
            done = share_done(config, step, steps[stage], started)
            if accelerator.num_processes == 1 and done >= 1:
                break
            set_rates(optimizer, config, stage, done)
            seed = config.seed * 7_919 + STAGES.index(stage) * 1_000_003 + step
            if stage == "read":
                draws, first, second = like_long(pool, config.read_batch, seed), None, None
                draws = draws[accelerator.process_index :: accelerator.num_processes]
            else:
                draws, first, second = draw_batch(sampler, bank, config, stage, seed, accelerator)
            objective.train()
            bare = accelerator.unwrap_model(objective)
            bare.model.encoder.eval()
            torch.manual_seed(seed * 64 + accelerator.process_index)
            loss = objective(stage, draws, first, second)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(objective.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            progress["step"] += 1
            gathered = cast(torch.Tensor, accelerator.gather(loss.detach()))
            losses.append(gathered.mean().item())
            if progress["step"] % 20 == 0:
                pace = (progress["step"] - shown) / (time.time() - started)
                say(
                    f"{stage} {progress['step']}/{steps[stage]} loss {np.mean(losses[-20:]):.4f} "
                    f"{pace * batch_size(config, stage):.1f} questions/s",
                    flush=True,
                )
            due = progress["step"] % config.watch_every == 0 or progress["step"] == steps[stage]
            if due and accelerator.is_main_process:
                if stage == "read":
                    watch_reading(bare, looks)
                else:
                    watch(bare, bank, looks, stage)
            if time.time() - saved > config.save_minutes * 60:
                save()
                saved = time.time()
        if progress["stage"] + 1 == len(STAGES):
            break
        progress = {"stage": progress["stage"] + 1, "step": 0}
        save()
    save()
    accelerator.end_training()


def _rows(features: EcgFeatures | None, rows: torch.Tensor) -> EcgFeatures | None:
    return None if features is None else EcgFeatures(*(v[rows] for v in features))


def load_encoder(folders: str) -> EncoderEnsemble:
    """The encoders that stage 1 saved in these folders (a comma between), side by side."""
    members = []
    for folder in map(Path, folders.split(",")):
        raw = json.loads((folder / "encoder.json").read_text())["encoder"]
        member = EcgEncoder(EncoderConfig.from_json(raw))
        member.load_state_dict(load_file(folder / "encoder.safetensors"))
        members.append(member)
    return EncoderEnsemble(members).eval()


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


def vocabulary() -> list[str]:
    """Every answer there is."""
    names = {*YES_NO, "not sure", ABSTENTION, questions.NONE}
    for template in questions.TEMPLATES.values():
        names.update(o for o in questions._all_options(template, every=True))
    return sorted(names)


def make_sampler(stage: str, facts, rows, config: QuestionStages) -> Sampler:
    """One sampler; its arm and odds depend on the stage."""
    wordings = questions.load_wordings("train", config.ecgqa)
    synonyms = questions.load_synonyms()

    def worder(key, rng):
        # Each template has so many texts, shared by its keys, so that they come back and are read
        # once. A key with few of them leaves out wordings, which the template's other keys show.
        # Stage read keeps nothing and sees them all.
        keys = len(sampler.keys[key.template.id])
        texts = max(config.texts_per_key, config.texts_per_template // keys)
        own = rng if stage == "read" else random.Random(f"{key} {rng.randrange(texts)}")
        return questions.word(key, wordings, own, synonyms)

    sampler = Sampler(
        facts,
        rows,
        worder,
        arm=SAMPLED_AS.get(config.arm, config.arm),
        yes_share=1 / 3 if stage == "tune" else 0.5,
        check_share=config.late_check_share if stage in LLM_STAGES else config.check_share,
        seed=config.seed,
        without=config.without.split(";"),
    )
    return sampler


def text_pool(sampler: Sampler, config: QuestionStages) -> list[Draw]:
    """The questions that stage read goes over again and again."""
    rng = random.Random(config.seed)
    sampler.rng = rng
    ask = sampler.templates()
    weights = [
        template_weight(t) * (FATE_WEIGHT if len(questions.TEMPLATES[t].state) == 2 else 1.0)
        for t in ask
    ]
    pool: list[Draw] = []
    while len(pool) < config.read_texts:
        try:
            pool.append(sampler.draw(rng.choices(ask, weights)[0]))
        except LookupError:
            continue
    return pool


def like_long(pool: list[Draw], count: int, seed: int) -> list[Draw]:
    """`count` questions of about the same length, so that little of a batch is padding."""
    rng = random.Random(seed)
    some = rng.sample(pool, min(8 * count, len(pool)))
    some.sort(key=lambda draw: len(draw.question.question))
    start = rng.randrange(len(some) - count + 1)
    return some[start : start + count]


def batch_size(config: QuestionStages, stage: str) -> int:
    """Questions a step over all processes."""
    return config.batch if stage in LLM_STAGES else config.align_batch


def draw_batch(sampler: Sampler, bank: FeatureBank, config, stage, seed, accelerator):
    """This process's share of a step's questions and the features of their ECGs."""
    rng = random.Random(seed)
    sampler.rng = rng
    pair = rng.random() < config.pair_share
    ask = [t for t in sampler.templates() if (questions.TEMPLATES[t].ecgs == 2) == pair]
    weights = [template_weight(t) for t in ask]
    blank = stage in LLM_STAGES and rng.random() < config.blank_share / 4
    count = config.late_shared if stage in LLM_STAGES else config.shared
    draws: list[Draw] = []
    while len(draws) < batch_size(config, stage):
        try:
            group = sampler.group(rng.choices(ask, weights)[0], count)
        except LookupError:
            continue
        for draw in group:
            if blank or rng.random() < config.blank_share:
                rows = tuple(bank.rows + rng.randrange(BLANKS) for _ in draw.rows)
                silent = replace(draw.question, answer=(ABSTENTION,))
                draw = replace(draw, question=silent, rows=rows)
            draws.append(draw)
    share = len(draws) // accelerator.num_processes  # one process gets the whole of a group
    start = accelerator.process_index * share
    draws = draws[start : start + share]
    if blank:  # now and then a whole batch without any ECG
        return draws, None, None
    first = bank.of([d.rows[0] for d in draws], accelerator.device)
    second = bank.of([d.rows[1] for d in draws], accelerator.device) if pair else None
    return draws, first, second


def template_weight(template_id: int) -> float:
    """Verify questions and the statement itself more often: they carry most of the signal."""
    template = questions.TEMPLATES[template_id]
    weight = 2.0 if template.kind == "verify" else 1.0
    return weight * (5.0 if template_id == 1 else 2.0 if template.group == "statement" else 1.0)


def share_done(config: QuestionStages, step: int, steps: int, started: float) -> float:
    """How far a stage is, 0 to 1: by its steps, or by its minutes where these end first."""
    limit = 60 * config.stage_minutes
    by_time = (time.time() - started) / limit if limit else 0.0
    return min(1.0, max(step / steps, by_time))


def set_rates(optimizer, config: QuestionStages, stage: str, done: float) -> None:
    """Warm up over 3 %, then a half cosine down to 2 % of the peak."""
    factor = min(1.0, done / 0.03 + 0.02) * (0.51 + 0.49 * math.cos(math.pi * min(1.0, done)))
    through_llm = stage in LLM_STAGES
    peaks = (
        config.projector_rate if through_llm else config.align_rate,
        config.reader_rate if stage == "read" else 0.0,
        config.adapter_rate if through_llm else 0.0,
    )
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


def watch_questions(facts, rows, config: QuestionStages) -> dict[bool, list[Draw]]:
    """Verify questions on validation ECGs in held-out wordings, about one ECG and about two."""
    wordings = questions.load_wordings("heldout")
    sampler = Sampler(
        facts, rows, lambda key, rng: questions.word(key, wordings, rng), arm="erm", seed=99
    )
    out: dict[bool, list[Draw]] = {False: [], True: []}
    for pair, draws in out.items():
        ask = [
            t for t in sampler.templates()
            if questions.TEMPLATES[t].kind == "verify"
            and (questions.TEMPLATES[t].ecgs == 2) == pair
        ]  # fmt: skip
        while len(draws) < config.watch_questions // (2 if pair else 1):
            try:
                draw = sampler.draw(sampler.rng.choice(ask))
            except LookupError:
                continue
            if draw.question.answer[0] in ("yes", "no"):
                draws.append(draw)
    return out


@torch.no_grad()
def watch_reading(objective: Objective, looks: dict[bool, list[Draw]]) -> None:
    """Print how often held-out wordings are understood: the name meant, and the fate."""
    objective.eval()
    projector, right, fates = objective.model.projector, [], []
    for pair, draws in looks.items():
        for start in range(0, len(draws), 32):
            part = draws[start : start + 32]
            states, mask = objective.model.language.read([d.question.question for d in part])
            meant = named(projector.matches(states, mask)).argmax(-1).tolist()
            about = [[objective.names.get(n) for n in d.names] for d in part]
            right += [m in names for m, names in zip(meant, about, strict=True)]
            if pair:
                asked = projector.asked_fate(states, mask).argmax(-1).tolist()
                fates += [
                    FATES[f] == d.key.template.state for f, d in zip(asked, part, strict=True)
                ]
    print(
        f"watch (read, held-out wordings) name {np.mean(right):.3f} n {len(right)}; "
        f"fate {np.mean(fates):.3f} n {len(fates)}",
        flush=True,
    )
    objective.train()


@torch.no_grad()
def watch(
    objective: Objective, bank: FeatureBank, looks: dict[bool, list[Draw]], stage: str
) -> None:
    """Print AUC of P(yes) on true and on permuted ECGs: the number that counts, not the loss."""
    objective.eval()
    words = []
    for pair, draws in looks.items():
        order = np.random.default_rng(5).permutation(len(draws))
        truth = [d.question.answer[0] == "yes" for d in draws]
        areas = []
        for rows in ([d.rows for d in draws], [draws[i].rows for i in order]):
            scores = []
            for start in range(0, len(draws), 32):
                part = slice(start, start + 32)
                texts = [d.question.question for d in draws[part]]
                first = bank.of([r[0] for r in rows[part]], objective.answers.device)
                second = bank.of([r[1] for r in rows[part]], first.pooled.device) if pair else None
                if stage not in LLM_STAGES:
                    found = objective.evidence(None, *objective.read(texts), first, second)
                    logits = objective.nearness(found)
                    yes, no = (logits[:, objective.vocabulary[w]] for w in ("yes", "no"))
                    scores += (yes - no).tolist()
                else:
                    scores += objective.model.yes_probability(texts, first, second).tolist()
            areas.append(roc_auc_score(truth, scores))
        name = "two ECGs" if pair else "one ECG"
        words.append(f"{name}: AUC true {areas[0]:.3f} permuted {areas[1]:.3f}")
    print(f"watch ({stage}, valid, held-out wordings) " + "; ".join(words), flush=True)
    objective.train()


if __name__ == "__main__":
    main()
