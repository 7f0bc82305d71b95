"""Stages 2 and 3: teach projector and adapter to answer from the ECG.

    python -m training.train --ptbxl DIR --ecgqa DIR [--out .work/model]
    accelerate launch --cpu --num_processes 2 -m training.train ...   # the same, two processes

2a read    The projector alone, on text only: which statement, lead and fate (resolved, new, kept,
           absent) is a question about? A thousand questions a second once they are read.
2b align   The projector alone. Its evidence tokens are scored against the language model's own
           input embeddings of the possible answers, so that they speak the language model's
           language before it hears them. No pass through the language model: a hundred questions
           a second on two cores, and this is where the signal is learned.
2c debias  The same balanced questions, now through the language model: the adapter learns to say
           what the evidence shows, the projector to be understood.
3  tune    All 70 templates in ECG-QA's own proportions, one and two ECGs.

In stage 2 questions come from the balanced sampler (`training/debias.py`). A few questions are
asked about noise, a flat line or no ECG at all; the answer to those is that one cannot tell.
The encoder is frozen and its features are kept on disk. Run the same command again to resume.
"""

from __future__ import annotations

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

from ecgqa.encoder import EcgEncoder, EncoderConfig
from ecgqa.features import EcgFeatures
from ecgqa.language import Language
from ecgqa.model import ABSTENTION, SEPARATOR, EcgModel, ModelConfig
from ecgqa.projector import ProjectorConfig, named
from ecgqa.record import LEADS
from training import ptbxl, questions
from training.config import QuestionStages, parse, resolved
from training.debias import Draw, Sampler

STAGES = ("read", "align", "debias", "tune")
LLM_STAGES = ("debias", "tune")
FATES = tuple(questions.FATES)  # in the order of the projector's fates
BLANKS = 256  # made-up recordings without an ECG


class FeatureBank:
    """Frozen encoder features of every row, and of recordings that hold no ECG (rows n ...)."""

    def __init__(self, encoder: EcgEncoder, signals: np.ndarray, cache: Path, seed: int) -> None:
        self.rows = len(signals)
        blank = blank_signals(BLANKS, seed)
        path = cache / f"features_{_digest(encoder)}.pt"
        if not path.exists():
            encoder.eval()
            parts: list[EcgFeatures] = []
            with torch.no_grad():
                for start in range(0, self.rows + BLANKS, 256):
                    real = np.asarray(signals[start : start + 256], np.float32)
                    more = blank[max(0, start - self.rows) : max(0, start + 256 - self.rows)]
                    batch = torch.from_numpy(np.concatenate([real, more]))
                    parts.append(EcgFeatures(*(v.half() for v in encoder(batch))))
                    if start % 5120 == 0:
                        print(f"encoding {start}/{self.rows}", flush=True)
            whole = EcgFeatures(*(torch.cat(v) for v in zip(*parts, strict=True)))
            torch.save(tuple(whole), path)
        self.features = EcgFeatures(*torch.load(path, weights_only=True, mmap=True))

    def of(self, rows: list[int], device) -> EcgFeatures:
        """Features of these rows, float32."""
        return EcgFeatures(*(v[rows].float().to(device) for v in self.features))


def _digest(encoder: EcgEncoder) -> str:
    return f"{abs(sum(float(p.double().abs().sum()) for p in encoder.parameters())):.6f}"


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

    def __init__(self, model: EcgModel, vocabulary: list[str]) -> None:
        super().__init__()
        self.model = model
        self.vocabulary = {name: i for i, name in enumerate(vocabulary)}
        ids = [model.language.ids(" " + name) for name in vocabulary]
        with torch.no_grad():
            table = model.language.embeddings.weight
            words = torch.stack([table[torch.tensor(i, device=table.device)].mean(0) for i in ids])
            self.register_buffer("answers", F.normalize(words - table.mean(0), dim=-1))
        leads = [f"lead {lead}" for lead in LEADS]
        names = [*model.encoder.config.statements, *leads]
        self.names = {name: i for i, name in enumerate(names)}
        self.sharpness = nn.Parameter(torch.tensor(5.0))
        self.rarity = nn.Parameter(torch.tensor(-3.0))
        self._read: dict[str, torch.Tensor] = {}

    def read(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """States of the questions, remembered: the reading layers never change."""
        missing = sorted({t for t in texts if t not in self._read}, key=len)
        if len(self._read) > 40_000:
            self._read.clear()
            missing = sorted(set(texts), key=len)
        if missing:
            states, mask = self.model.language.read(missing)
            for text, state, there in zip(missing, states, mask, strict=True):
                self._read[text] = state[there].half()
        rows = [self._read[t] for t in texts]
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True).float()
        mask = nn.utils.rnn.pad_sequence([r.new_ones(len(r)) for r in rows], batch_first=True)
        return states, mask.bool()

    def evidence_logits(self, texts, first, second) -> torch.Tensor:
        """[b, vocabulary]: how near the evidence is to each answer."""
        states, mask = self.read(texts)
        projector = self.model.projector
        evidence = projector.evidence(states, mask, projector.memory(first, second))
        return self.sharpness * (evidence @ self.answers.T).logsumexp(1)

    def matching_loss(self, draws: list[Draw]) -> torch.Tensor:
        """Cross-entropy of the names that each question is about, and of the fate it asks for."""
        about = [[self.names[n] for n in d.names if n in self.names] for d in draws]
        rows = [i for i, names in enumerate(about) if names]
        if not rows:
            return self.answers.new_zeros(())
        states, mask = self.read([draws[i].question.question for i in rows])
        meant = named(self.model.projector.matches(states, mask)).log_softmax(-1)
        loss = torch.stack([-meant[k, about[i]].mean() for k, i in enumerate(rows)]).mean()
        asked = [questions.TEMPLATES[draws[i].question.template_id].state for i in rows]
        pairs = [k for k, state in enumerate(asked) if len(state) == 2]
        if pairs:
            fates = torch.tensor([FATES.index(asked[k]) for k in pairs], device=loss.device)
            meant = self.model.projector.asked_fate(states[pairs], mask[pairs])
            loss = loss + F.cross_entropy(meant, fates)
        return loss

    def forward(self, stage: str, draws: list[Draw], first, second) -> torch.Tensor:
        """Mean loss of a batch; past stage read all are about one ECG, or all about two."""
        if stage == "read":
            return self.matching_loss(draws)
        texts = [d.question.question for d in draws]
        if stage in LLM_STAGES:
            answers = [SEPARATOR.join(d.question.answer) for d in draws]
            states, mask = self.read(texts)
            evidence = None
            if first is not None:
                projector = self.model.projector
                evidence = projector.evidence(states, mask, projector.memory(first, second))
            through_llm = self.model.loss(texts, answers, first, second, evidence).mean()
            return through_llm + 0.2 * self.matching_loss(draws)
        logits = self.evidence_logits(texts, first, second)
        losses = []
        for draw, row in zip(draws, logits, strict=True):
            true = [self.vocabulary[a] for a in draw.question.answer]
            if draw.question.answer[0] in ("yes", "no", "not sure", ABSTENTION):
                among = [self.vocabulary[a] for a in ("yes", "no", "not sure", ABSTENTION)]
                losses.append(F.cross_entropy(row[among], torch.tensor(among.index(true[0]))))
            else:
                valid = [self.vocabulary[a] for a in draw.question.valid_answers]
                target = torch.zeros(len(self.vocabulary), device=row.device)
                target[true] = 1.0
                among = sorted({*valid, *true})
                each = F.binary_cross_entropy_with_logits(
                    row[among] + self.rarity, target[among], reduction="sum"
                )
                losses.append(each / (1 + len(true)))
        return torch.stack(losses).mean() + self.matching_loss(draws)


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
    language = Language.load(config.llm or None, config.reading_layers)
    language.add_adapter(config.lora_rank)
    shape = ModelConfig(
        encoder=encoder.config,
        projector=ProjectorConfig(),
        llm=language.name,
        llm_width=language.width,
        reading_layers=config.reading_layers,
        lora_rank=config.lora_rank,
    )
    model = EcgModel.build(shape, encoder.requires_grad_(False).eval(), language)
    train_rows = split["train"][: config.limit or None]
    model.projector.learn_usual(bank.of(train_rows.tolist(), "cpu"))
    objective = Objective(model, vocabulary())
    adapter = [p for p in language.parameters() if p.requires_grad]
    projector = [*model.projector.parameters(), objective.sharpness, objective.rarity]
    optimizer = torch.optim.AdamW(
        [{"params": projector}, {"params": adapter}], lr=0.0, weight_decay=config.weight_decay
    )
    objective, optimizer = accelerator.prepare(objective, optimizer)

    steps = {s: getattr(config, f"{s}_steps") for s in STAGES}
    progress = {"stage": 0, "step": 0}
    state_file = out / "state.pt"
    if config.start and not state_file.exists():
        state = torch.load(config.start, map_location="cpu", weights_only=True)
        bare = accelerator.unwrap_model(objective)
        fits = {n: p.shape for n, p in bare.named_parameters()}
        kept = {n: v for n, v in state["weights"].items() if fits.get(n) == v.shape}
        bare.load_state_dict(kept, strict=False)
        say(f"started from {len(kept)} tensors of {config.start}")
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
        training = resolved(config) | {"reached": f"{STAGES[progress['stage']]} {progress['step']}"}
        notes = json.loads((Path(config.encoder) / "encoder.json").read_text())["training"]
        bare.model.config = replace(shape, training={"encoder": notes, "questions": training})
        bare.model.save(out / "checkpoint")

    looks = watch_questions(facts, split["valid"], config)
    saved = time.time()
    while progress["stage"] < len(STAGES):
        stage = STAGES[progress["stage"]]
        sampler = make_sampler(stage, facts, train_rows, config)
        pool = text_pool(sampler, config) if stage == "read" else []
        shown, started, losses = progress["step"], time.time(), []
        while progress["step"] < steps[stage]:
            step = progress["step"]
            set_rates(optimizer, config, stage, step / steps[stage])
            seed = config.seed * 7_919 + STAGES.index(stage) * 1_000_003 + step
            if stage == "read":
                draws, first, second = (
                    random.Random(seed).sample(pool, config.align_batch),
                    None,
                    None,
                )
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
            if progress["step"] % (20 if stage != "read" else 200) == 0:
                pace = (progress["step"] - shown) / (time.time() - started)
                say(
                    f"{stage} {progress['step']}/{steps[stage]} loss {np.mean(losses[-20:]):.4f} "
                    f"{pace * batch_size(config, stage):.1f} questions/s",
                    flush=True,
                )
            due = progress["step"] % config.watch_every == 0 or progress["step"] == steps[stage]
            if due and stage != "read" and accelerator.is_main_process:
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


def load_encoder(folder: Path | str) -> EcgEncoder:
    """The encoder that stage 1 saved."""
    folder = Path(folder)
    raw = json.loads((folder / "encoder.json").read_text())["encoder"]
    encoder = EcgEncoder(EncoderConfig.from_json(raw))
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return encoder.eval()


def vocabulary() -> list[str]:
    """Every answer there is."""
    names = {"yes", "no", "not sure", ABSTENTION, questions.NONE}
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
        keys = len(sampler.keys[key.template.id])
        texts = max(config.texts_per_key, config.texts_per_template // keys)
        own = random.Random(f"{key} {rng.randrange(texts)}")
        return questions.word(key, wordings, own, synonyms)

    tune = stage == "tune"
    sampler = Sampler(
        facts,
        rows,
        worder,
        arm="erm" if tune else config.arm,
        yes_share=1 / 3 if tune else 0.5,
        check_share=config.check_share,
        seed=config.seed,
    )
    return sampler


def text_pool(sampler: Sampler, config: QuestionStages) -> list[Draw]:
    """The questions that stage read goes over again and again."""
    rng = random.Random(config.seed)
    sampler.rng = rng
    ask = sampler.templates()
    weights = [template_weight(t) for t in ask]
    pool: list[Draw] = []
    while len(pool) < config.read_texts:
        draw = sampler.draw(rng.choices(ask, weights)[0])
        if draw.names:
            pool.append(draw)
    return pool


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
    draws: list[Draw] = []
    while len(draws) < batch_size(config, stage):
        try:
            draw = sampler.draw(rng.choices(ask, weights)[0])
        except LookupError:
            continue
        if blank or rng.random() < config.blank_share:
            rows = tuple(bank.rows + rng.randrange(BLANKS) for _ in draw.rows)
            draw = replace(draw, question=replace(draw.question, answer=(ABSTENTION,)), rows=rows)
        draws.append(draw)
    draws = draws[accelerator.process_index :: accelerator.num_processes]
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


def set_rates(optimizer, config: QuestionStages, stage: str, done: float) -> None:
    """Warm up over 3 %, then a half cosine down to 2 % of the peak."""
    factor = min(1.0, done / 0.03 + 0.02) * (0.51 + 0.49 * math.cos(math.pi * min(1.0, done)))
    through_llm = stage in LLM_STAGES
    peaks = (
        config.projector_rate if through_llm else config.align_rate,
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
                    logits = objective.evidence_logits(texts, first, second)
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
