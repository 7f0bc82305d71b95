"""Stage 1: teach the encoder what an ECG says, before any question is asked.

    python -m training.stages.pretrain_encoder --ptbxl DIR --ecgqa DIR --intervals FILE.csv \
        [--out .work/encoder]

Three objectives on every step: what is true of the ECG (statements, ranges of intervals, and what
questions ask without naming a finding; binary cross-entropy, unknown ones left out), contrastive
alignment of the ECG with its report, and of two dropout views of the ECG with each other (CMA and
UMA of MERL, Liu et al. 2024, arXiv 2403.06659). The report tower is a bag of words learned from
scratch: PTB-XL's reports are German and Swedish machine shorthand that no small language model
reads. It is thrown away afterwards. Only ECGs of patients outside ECG-QA's valid and test splits
are used. Run the same command again to resume.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from ecgqa.answer.options import RANGE_NAMES
from ecgqa.model.encoder import EcgEncoder, EncoderConfig
from ecgqa.model.features import EcgFeatures
from training.data import ptbxl
from training.data.questions import RANGES_MS, UNNAMED, Facts
from training.stages.config import EncoderStage, parse, resolved
from training.stages.resume import Resume


class Towers(nn.Module):
    """The encoder and, for stage 1 only, the report tower and the two projections."""

    def __init__(self, encoder: EcgEncoder, vocabulary: int, width: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.words = nn.EmbeddingBag(vocabulary, 256, mode="mean")
        self.report = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, width))
        self.ecg = nn.Linear(encoder.config.width, width)
        self.dropout = nn.Dropout(0.1)

    def forward(
        self, signal: torch.Tensor, words: torch.Tensor, offsets: torch.Tensor
    ) -> tuple[EcgFeatures, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of the ECGs, two views of each [b, width], their reports [b, width]."""
        features = self.encoder(signal)
        one, two = (F.normalize(self.ecg(self.dropout(features.pooled)), dim=-1) for _ in range(2))
        report = F.normalize(self.report(self.words(words, offsets)), dim=-1)
        return features, one, two, report


def augment(signal: torch.Tensor, chance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift, gain, a little noise, blanked leads. Returns the signal and the kept leads [b, 12]."""
    batch, leads, samples = signal.shape
    out = signal * (0.9 + 0.2 * torch.rand(batch, 1, 1))
    out = out + torch.randn_like(out) * (0.015 * torch.rand(batch, 1, 1))
    for i, shift in enumerate(torch.randint(-100, 101, (batch,)).tolist()):
        out[i] = torch.roll(out[i], shift, dims=-1)
        if shift > 0:
            out[i, :, :shift] = 0
        elif shift < 0:
            out[i, :, samples + shift :] = 0
    share = torch.rand(batch, 1) ** 2 * 0.9  # mostly a few leads, now and then nearly all
    blank = (torch.rand(batch, leads) < share) & (torch.rand(batch, 1) < chance)
    blank[blank.all(dim=1)] = False
    return out.masked_fill(blank.unsqueeze(-1), 0.0), ~blank


def known_bce(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy over the targets that are known (not NaN)."""
    known = ~torch.isnan(target)
    loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def align(a: torch.Tensor, b: torch.Tensor, same: torch.Tensor, temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE; `same` [n, n] marks pairs that say the same and count as positives."""
    logits = a @ b.T / temperature
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def names_and_truth(data: ptbxl.PtbXl, facts: Facts) -> tuple[tuple[str, ...], np.ndarray]:
    """What the statement head estimates, and float32 [n, names]: 1, 0, NaN not known.

    The statements of `ptbxl.concept_names`, then "pr interval above the normal range" and the like,
    then the names of `questions.UNNAMED`.
    """
    columns = {f"{f} {r}": (f"range@{f}", r) for f in RANGES_MS for r in RANGE_NAMES}
    columns |= {name: (group, "") for group, name in UNNAMED.items()}
    columns = {name: column for name, column in columns.items() if column in facts.columns}
    truth = [ptbxl.concept_targets(data), *(facts.columns[c][:, None] for c in columns.values())]
    return (*ptbxl.concept_names(), *columns), np.concatenate(truth, axis=1).astype(np.float32)


def report_texts(data: ptbxl.PtbXl) -> list[list[str]]:
    """Words of each report: the original ones, then the names of its statements."""
    names = np.array(ptbxl.concept_names())
    targets = ptbxl.concept_targets(data)
    return [
        re.findall(r"\w+", data.report[i].lower() + " " + " ".join(names[targets[i] == 1]))
        for i in range(len(data.ecg_id))
    ]


def report_vocabulary(data: ptbxl.PtbXl, rows: np.ndarray) -> dict[str, int]:
    """A number from 1 on for each word that these rows' reports use three times or more."""
    texts = report_texts(data)
    counts = Counter(word for i in rows for word in texts[i])
    return {word: k + 1 for k, (word, c) in enumerate(sorted(counts.items())) if c >= 3}


def report_words(data: ptbxl.PtbXl, rows: np.ndarray) -> tuple[list[list[int]], int]:
    """Word numbers of each report, 0 where none is known, and how many numbers there are."""
    number = report_vocabulary(data, rows)
    numbers = [[number[w] for w in words if w in number] or [0] for words in report_texts(data)]
    return numbers, max(number.values()) + 1


@torch.no_grad()
def statement_scores(encoder: EcgEncoder, signals: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Statement logits [len(rows), statements] of the encoder as it would be served."""
    encoder.eval()
    device = next(encoder.parameters()).device
    out = []
    for part in np.array_split(rows, max(1, len(rows) // 128)):
        signal = torch.from_numpy(np.asarray(signals[part], np.float32)).to(device)
        out.append(encoder(signal).statement_logits.float().cpu())
    encoder.train()
    return torch.cat(out).numpy()


def macro_auc(scores: np.ndarray, targets: np.ndarray) -> tuple[float, int]:
    """Mean area under the ROC curve over the statements that occur, and how many those are."""
    areas = []
    for k in range(targets.shape[1]):
        known = ~np.isnan(targets[:, k])
        truth = targets[known, k]
        if known.any() and 0 < truth.sum() < len(truth):
            areas.append(roc_auc_score(truth, scores[known, k]))
    return float(np.mean(areas)), len(areas)


def save_encoder(
    encoder: EcgEncoder, weights: dict[str, torch.Tensor], folder: Path, notes: dict[str, Any]
) -> None:
    """Averaged weights as safetensors, the configuration as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    own: dict[str, torch.Tensor] = encoder.state_dict()
    state = {k: weights.get(k, v).contiguous() for k, v in own.items()}
    save_file(state, folder / "encoder.safetensors")
    text = json.dumps({"encoder": asdict(encoder.config), "training": notes}, indent=1)
    (folder / "encoder.json").write_text(text + "\n")


class EncoderTraining:
    """Encoder, towers, data and how far stage 1 is."""

    def __init__(self, config: EncoderStage) -> None:
        self.config, self.accelerator = config, Accelerator()
        set_seed(config.seed)
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        data = ptbxl.load(config.ptbxl)
        self.split = ptbxl.splits(data, config.ecgqa)
        with self.accelerator.main_process_first():
            self.signals = ptbxl.signals(data, config.cache)
        self.rows = self.split["pretrain"][: config.limit or None]
        self.words, vocabulary = report_words(data, self.rows)
        names, self.statements = names_and_truth(data, Facts(data, config.intervals or None))
        self.leads = ptbxl.lead_targets(data)
        self.same_key = np.unique([str(sorted(c)) for c in data.codes], return_inverse=True)[1]
        shape = EncoderConfig(statements=names, lead_findings=tuple(ptbxl.LEAD_FINDINGS))
        towers = Towers(EcgEncoder(shape), vocabulary)
        optimizer = torch.optim.AdamW(
            towers.parameters(), config.rate, weight_decay=config.weight_decay
        )
        self.per_epoch = len(self.rows) // config.batch
        self.total, self.step = config.epochs * self.per_epoch, 0
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.rate, total_steps=self.total * self.accelerator.num_processes + 1
        )
        prepared = self.accelerator.prepare(towers, optimizer, schedule)
        self.towers, self.optimizer, self.schedule = prepared
        self.average = {k: v.clone() for k, v in self.encoder.state_dict().items()}
        self.resume = Resume(self.out, config.save_minutes)

    @property
    def bare(self) -> Towers:
        """The towers without what several processes wrap them in."""
        return cast(Towers, self.accelerator.unwrap_model(self.towers))

    @property
    def encoder(self) -> EcgEncoder:
        """The encoder that is trained."""
        return self.bare.encoder

    def begin(self) -> None:
        """Go on where this training was, else from another's weights, else afresh."""
        say, config = self.accelerator.print, self.config
        state = self.resume.load()
        if state is not None:
            self.bare.load_state_dict(state["towers"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            place = self.accelerator.device
            self.average = {k: v.to(place) for k, v in state["average"].items()}
            self.step = state["step"]
            say(f"resumed at step {self.step} of {self.total}")
        elif config.start_from:
            state = torch.load(config.start_from, map_location="cpu", weights_only=True)
            self.bare.load_state_dict(state["towers"])
            self.encoder.load_state_dict(state["average"])
            self.average = {k: v.clone() for k, v in self.encoder.state_dict().items()}
            say(f"started from {config.start_from}")

    def save(self) -> None:
        """The state to resume from."""
        if self.accelerator.is_main_process:
            self.resume.save({
                "towers": self.bare.state_dict(), "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(), "average": self.average,
                "step": self.step,
            })  # fmt: skip

    def save_encoder(self) -> None:
        """What the later stages go on from."""
        notes = resolved(self.config) | {"steps": self.step}
        save_encoder(self.encoder, self.average, self.out, notes)

    def batch(self) -> np.ndarray:
        """Rows of this process's share of the step, in order."""
        config, accelerator = self.config, self.accelerator
        epoch, position = divmod(self.step, self.per_epoch)
        order = np.random.default_rng([config.seed, epoch]).permutation(self.rows)
        whole = order[position * config.batch : (position + 1) * config.batch]
        return np.sort(whole[accelerator.process_index :: accelerator.num_processes])

    def loss(self, batch: np.ndarray) -> torch.Tensor:
        """Of these rows, as another second of another recording of them might look."""
        config, place = self.config, self.accelerator.device
        signal, kept = augment(
            torch.from_numpy(np.asarray(self.signals[batch], np.float32)), config.lead_dropout
        )
        truth = torch.from_numpy(self.statements[batch])
        lead_truth = torch.from_numpy(self.leads[batch]).masked_fill(~kept.unsqueeze(-1), torch.nan)
        offsets = np.cumsum([0, *(len(self.words[i]) for i in batch[:-1])])
        bag = [w for i in batch for w in self.words[i]]
        features, one, two, report = self.towers(
            signal.to(place), torch.tensor(bag, device=place), torch.tensor(offsets, device=place)
        )
        key = torch.from_numpy(self.same_key[batch]).to(place)
        same = (key[:, None] == key[None]).float()
        own = torch.eye(len(batch), device=place)
        return (
            config.statement_loss * known_bce(features.statement_logits, truth.to(place))
            + config.lead_loss * known_bce(features.lead_logits, lead_truth.to(place))
            + config.views * align(one, two, own, config.temperature)
            + config.contrast * align(one, report, same, config.temperature)
        )

    def learn(self) -> float:
        """One step; its loss."""
        accelerator = self.accelerator
        torch.manual_seed(self.config.seed * 1_000_003 + self.step * 64 + accelerator.process_index)
        loss = self.loss(self.batch())
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.towers.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.step += 1
        decay = min(self.config.ema, self.step / (self.step + 20))
        for name, value in self.encoder.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name] = value.clone()
        return loss.item()

    def run(self) -> None:
        """All steps that are left."""
        self.begin()
        started, shown, losses = time.time(), self.step, []
        main = self.accelerator.is_main_process
        self.towers.train()
        while self.step < min(self.total, self.config.steps or self.total):
            losses.append(self.learn())
            if self.step % 20 == 0 or self.step == self.total:
                pace = (self.step - shown) / max(1e-9, time.time() - started)
                self.accelerator.print(
                    f"step {self.step}/{self.total} loss {np.mean(losses[-20:]):.4f} "
                    f"{pace:.2f} steps/s",
                    flush=True,
                )
            if self.resume.due():
                self.save()
            if self.step % self.per_epoch == 0 and main:
                report_epoch(
                    self.encoder, self.average, self.signals, self.split["valid"],
                    self.statements, self.step // self.per_epoch,
                )  # fmt: skip
                self.save_encoder()
        self.save()
        if main:
            self.save_encoder()
        self.accelerator.end_training()


def report_epoch(
    encoder: EcgEncoder,
    average: dict[str, torch.Tensor],
    signals: np.ndarray,
    rows: np.ndarray,
    statements: np.ndarray,
    epoch: int,
) -> None:
    """Print the macro AUC of the averaged weights on the validation ECGs."""
    copy = EcgEncoder(encoder.config)
    copy.load_state_dict(average)
    scores, truth = statement_scores(copy, signals, rows), statements[rows]
    parts = {"PTB-XL's statements": ptbxl.statement_columns(), "all names": slice(None)}
    for part, columns in parts.items():
        area, count = macro_auc(scores[:, columns], truth[:, columns])
        print(f"epoch {epoch}: macro AUC {area:.4f} over {count} of {part} (valid)")


def main() -> None:
    """Command line."""
    EncoderTraining(parse(EncoderStage)).run()


if __name__ == "__main__":
    main()
