"""Stage 1: teach the encoder what an ECG says, before any question is asked.

    python -m training.pretrain_encoder --ptbxl DIR --ecgqa DIR --intervals FILE.csv \
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

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from ecgqa.model.encoder import EcgEncoder, EncoderConfig
from training import ptbxl
from training.config import EncoderStage, parse, resolved
from training.questions import RANGE_NAMES, RANGES_MS, UNNAMED, Facts


class Towers(nn.Module):
    """The encoder and, for stage 1 only, the report tower and the two projections."""

    def __init__(self, encoder: EcgEncoder, vocabulary: int, width: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.words = nn.EmbeddingBag(vocabulary, 256, mode="mean")
        self.report = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, width))
        self.ecg = nn.Linear(encoder.config.width, width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, signal: torch.Tensor, words: torch.Tensor, offsets: torch.Tensor):
        """Features of the ECGs, two views of each [b, width], their reports [b, width]."""
        features = self.encoder(signal)
        views = [F.normalize(self.ecg(self.dropout(features.pooled)), dim=-1) for _ in range(2)]
        report = F.normalize(self.report(self.words(words, offsets)), dim=-1)
        return features, *views, report


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


def align(a: torch.Tensor, b: torch.Tensor, same: torch.Tensor, temperature: float):
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


def save_encoder(encoder: EcgEncoder, weights: dict[str, torch.Tensor], folder: Path, notes: dict):
    """Averaged weights as safetensors, the configuration as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    own: dict[str, torch.Tensor] = encoder.state_dict()
    state = {k: weights.get(k, v).contiguous() for k, v in own.items()}
    save_file(state, folder / "encoder.safetensors")
    text = json.dumps({"encoder": asdict(encoder.config), "training": notes}, indent=1)
    (folder / "encoder.json").write_text(text + "\n")


def main() -> None:
    """Train, resume, save."""
    config = parse(EncoderStage)
    accelerator = Accelerator()
    set_seed(config.seed)
    say = accelerator.print
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)

    data = ptbxl.load(config.ptbxl)
    split = ptbxl.splits(data, config.ecgqa)
    with accelerator.main_process_first():
        signals = ptbxl.signals(data, config.cache)
    rows = split["pretrain"][: config.limit or None]
    words, vocabulary = report_words(data, rows)
    names, statements = names_and_truth(data, Facts(data, config.intervals or None))
    leads = ptbxl.lead_targets(data)
    same_key = np.unique([str(sorted(c)) for c in data.codes], return_inverse=True)[1]

    shape = EncoderConfig(statements=names, lead_findings=tuple(ptbxl.LEAD_FINDINGS))
    towers = Towers(EcgEncoder(shape), vocabulary)
    optimizer = torch.optim.AdamW(
        towers.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    per_epoch = len(rows) // config.batch
    total = config.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=total * accelerator.num_processes + 1
    )
    towers, optimizer, schedule = accelerator.prepare(towers, optimizer, schedule)
    encoder = accelerator.unwrap_model(towers).encoder
    step, state_file = 0, out / "state.pt"
    if config.start_from and not state_file.exists():
        state = torch.load(config.start_from, map_location="cpu", weights_only=True)
        accelerator.unwrap_model(towers).load_state_dict(state["towers"])
        encoder.load_state_dict(state["average"])
        say(f"started from {config.start_from}")
    average = {k: v.clone() for k, v in encoder.state_dict().items()}
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        accelerator.unwrap_model(towers).load_state_dict(state["towers"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        average, step = (
            {k: v.to(accelerator.device) for k, v in state["average"].items()},
            state["step"],
        )
        say(f"resumed at step {step} of {total}")

    def save_state() -> None:
        if not accelerator.is_main_process:
            return
        state = {
            "towers": accelerator.unwrap_model(towers).state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "average": average,
            "step": step,
        }
        torch.save(state, state_file.with_suffix(".part"))
        state_file.with_suffix(".part").rename(state_file)

    started, saved, shown, losses = time.time(), time.time(), step, []
    mine = slice(accelerator.process_index, None, accelerator.num_processes)
    towers.train()
    while step < min(total, config.max_steps or total):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng([config.seed, epoch]).permutation(rows)
        torch.manual_seed(config.seed * 1_000_003 + step * 64 + accelerator.process_index)
        batch = order[position * config.batch : (position + 1) * config.batch][mine]
        signal, kept = augment(
            torch.from_numpy(np.asarray(signals[np.sort(batch)], np.float32)), config.lead_dropout
        )
        batch = np.sort(batch)
        truth = torch.from_numpy(statements[batch])
        lead_truth = torch.from_numpy(leads[batch]).masked_fill(~kept.unsqueeze(-1), torch.nan)
        offsets = np.cumsum([0, *(len(words[i]) for i in batch[:-1])])
        bag = [w for i in batch for w in words[i]]
        place = accelerator.device
        features, one, two, report = towers(
            signal.to(place), torch.tensor(bag, device=place), torch.tensor(offsets, device=place)
        )
        key = torch.from_numpy(same_key[batch]).to(place)
        same = (key[:, None] == key[None]).float()
        loss = (
            config.statement_loss * known_bce(features.statement_logits, truth.to(place))
            + config.lead_loss * known_bce(features.lead_logits, lead_truth.to(place))
            + config.views
            * align(one, two, torch.eye(len(batch), device=place), config.temperature)
            + config.contrast * align(one, report, same, config.temperature)
        )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(towers.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        step += 1
        decay = min(config.ema, step / (step + 20))
        for name, value in encoder.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1 - decay)
            else:
                average[name] = value.clone()
        losses.append(loss.item())
        if step % 20 == 0 or step == total:
            pace = (step - shown) / max(1e-9, time.time() - started)
            say(
                f"step {step}/{total} loss {np.mean(losses[-20:]):.4f} {pace:.2f} steps/s",
                flush=True,
            )
        if time.time() - saved > config.save_minutes * 60:
            save_state()
            saved = time.time()
        if step % per_epoch == 0 and accelerator.is_main_process:
            report_epoch(encoder, average, signals, split["valid"], statements, step, per_epoch)
            save_encoder(encoder, average, out, resolved(config) | {"steps": step})
    save_state()
    if accelerator.is_main_process:
        save_encoder(encoder, average, out, resolved(config) | {"steps": step})
    accelerator.end_training()


def report_epoch(encoder, average, signals, rows, statements, step, per_epoch) -> None:
    """Print the macro AUC of the averaged weights on the validation ECGs."""
    copy = EcgEncoder(encoder.config)
    copy.load_state_dict(average)
    scores, truth = statement_scores(copy, signals, rows), statements[rows]
    parts = {"PTB-XL's statements": ptbxl.statement_columns(), "all names": slice(None)}
    for part, columns in parts.items():
        area, count = macro_auc(scores[:, columns], truth[:, columns])
        print(f"epoch {step // per_epoch}: macro AUC {area:.4f} over {count} of {part} (valid)")


if __name__ == "__main__":
    main()
