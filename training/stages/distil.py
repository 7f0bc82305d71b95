"""Stage 1 on a GPU: teachers with wide augmentation, and one encoder that learns from their mean.

    python -m training.stages.distil --ptbxl DIR --ecgqa DIR --intervals FILE.csv --seed 1 --out T1
    python -m training.stages.distil ... --teachers T1,T2,T3 --out .work/encoder

Losses, names and report tower are `training.stages.pretrain_encoder`'s; the folder that is written
is the same, so that `training.stages.train --encoder` goes on from it. A teacher sees every ECG as
another recorder might have written it (`training.data.augment.WIDE`). The pupil learns, beside what
the teachers learned from, the mean of the teachers' probabilities for the very ECG that it sees,
which half of the time is a mixture of two (Hinton et al. 2015, arXiv 1503.02531; Beyer et al. 2021,
arXiv 2106.05237: long and with the same view for both).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ecgqa.model.encoder import EcgEncoder, EncoderConfig, EncoderEnsemble
from training.data import augment, ptbxl
from training.data.questions import Facts
from training.stages.config import DistilStage, parse, resolved
from training.stages.feature_bank import load_encoder
from training.stages.on_device import (
    Average,
    Schedule,
    batches,
    device_of,
    half,
    run,
    seed_all,
    train,
)
from training.stages.pretrain_encoder import (
    Towers,
    align,
    known_bce,
    macro_auc,
    names_and_truth,
    report_words,
    save_encoder,
)


class Task:
    """Signals, truth and reports on the device, and the loss of one batch of rows."""

    def __init__(self, config: DistilStage, device: torch.device) -> None:
        self.config, self.device = config, device
        data = ptbxl.load(config.ptbxl)
        self.split = ptbxl.splits(data, config.ecgqa)
        whole = np.array(ptbxl.signals(data, config.cache))
        self.signals = torch.from_numpy(whole).to(device)
        self.rows = self.split["pretrain"][: config.limit or None]
        self.names, self.truth = names_and_truth(data, Facts(data, config.intervals or None))
        self.targets = torch.from_numpy(self.truth).to(device)
        self.leads = torch.from_numpy(ptbxl.lead_targets(data)).to(device)
        key = np.unique([str(sorted(c)) for c in data.codes], return_inverse=True)[1]
        self.key = torch.from_numpy(key).to(device)
        words, self.vocabulary = report_words(data, self.rows)
        longest = max(map(len, words))
        self.words = torch.zeros(len(words), longest, dtype=torch.long)
        for i, number in enumerate(words):
            self.words[i, : len(number)] = torch.tensor(number)
        self.words = self.words.to(device)
        self.length = torch.tensor([len(w) for w in words], device=device)
        self.teachers: EncoderEnsemble | None = None

    def bag(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Word numbers of these rows' reports one after the other, and where each begins."""
        length = self.length[rows]
        there = torch.arange(self.words.shape[1], device=self.device) < length[:, None]
        return self.words[rows][there], length.cumsum(0) - length

    def loss(self, towers: Towers, rows: torch.Tensor) -> torch.Tensor:
        """What stage 1 wants of a batch, and for a pupil what the teachers say of it."""
        config = self.config
        signal, kept = augment.augment(self.signals[rows].float(), augment.WIDE)
        with half(self.device):
            features, one, two, report = towers(signal, *self.bag(rows))
        lead_truth = self.leads[rows].masked_fill(~kept.unsqueeze(-1), torch.nan)
        key = self.key[rows]
        same = (key[:, None] == key[None]).float()
        own = torch.eye(len(rows), device=self.device)
        one, two, report = one.float(), two.float(), report.float()
        hard = known_bce(features.statement_logits.float(), self.targets[rows])
        lead = known_bce(features.lead_logits.float(), lead_truth)
        soft = hard.new_zeros(())
        if self.teachers is not None:
            soft = self.soft(towers.encoder, signal, features)
        return (
            config.statement_loss * (hard * (1 - config.soft * (self.teachers is not None)) + soft)
            + config.lead_loss * lead
            + config.views * align(one, two, own, config.temperature)
            + config.contrast * align(one, report, same, config.temperature)
        )

    def soft(self, encoder: EcgEncoder, signal: torch.Tensor, features) -> torch.Tensor:
        """Cross-entropy with the teachers' mean, of the batch and of mixtures within it."""
        assert self.teachers is not None
        share = torch.rand(len(signal), 1, 1, device=signal.device) * 0.5
        mixed = signal * (1 - share) + signal.roll(1, 0) * share
        with torch.no_grad(), half(self.device):
            said = self.teachers(torch.cat([signal, mixed]))
        with half(self.device):
            again = encoder(mixed)
        bce = F.binary_cross_entropy_with_logits
        each = [
            bce(torch.cat([a, b]).float(), t.float().sigmoid())
            for a, b, t in zip(features[3:], again[3:], said[3:], strict=True)
        ]
        return self.config.soft * (each[0] + 0.1 * each[1])

    def report(self, encoder: EcgEncoder, name: str, signals: torch.Tensor) -> dict[str, float]:
        """Print the macro AUC over PTB-XL's statements on the validation and the test ECGs."""
        columns, out = ptbxl.statement_columns(), {}
        for split in ("valid", "test"):
            rows = self.split[split]
            scores = run(encoder, signals, rows)[0][:, columns]
            out[split] = macro_auc(scores, self.truth[rows][:, columns])[0]
        print(f"{name}: macro AUC valid {out['valid']:.4f} test {out['test']:.4f}", flush=True)
        return out


def teachers_of(folders: str, device: torch.device) -> EncoderEnsemble:
    """The teachers, frozen."""
    return load_encoder(folders).requires_grad_(False).to(device)


def main() -> None:
    """Train one teacher or the pupil, save, report."""
    config = parse(DistilStage)
    device = device_of(config.device)
    seed_all(config.seed, device)
    task = Task(config, device)
    shape = EncoderConfig(statements=task.names, lead_findings=tuple(ptbxl.LEAD_FINDINGS))
    towers = Towers(EcgEncoder(shape), task.vocabulary).to(device)
    if config.start_from:
        state = torch.load(config.start_from, map_location=device, weights_only=True)
        towers.load_state_dict(state["towers"])
        towers.encoder.load_state_dict(state["average"])
    if config.teachers:
        task.teachers = teachers_of(config.teachers, device)
        task.report(task.teachers, "mean of the teachers", task.signals)  # type: ignore[arg-type]
    average = Average(towers.encoder, config.ema)
    size = min(config.batch, len(task.rows))
    steps = config.steps or config.epochs * (len(task.rows) // size)
    order = batches(torch.from_numpy(task.rows), size, config.seed, device)

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        return task.loss(towers, rows)

    done = train(
        towers, loss_of, order, Schedule(steps, config.minutes), config.rate,
        config.weight_decay, (average,), Path(config.out).name,
    )  # fmt: skip
    finish(config, towers, average, task, done)


def finish(config: DistilStage, towers: nn.Module, average: Average, task: Task, done: int) -> None:
    """Save the encoder with averaged weights and its towers; print how good it is."""
    encoder = towers.encoder
    assert isinstance(encoder, EcgEncoder)
    out = Path(config.out)
    weights = {k: v.float().cpu() for k, v in average.state.items()}
    own = EcgEncoder(encoder.config)
    own.load_state_dict(weights)
    own.to(task.device)
    areas = task.report(own, out.name, task.signals)
    notes = resolved(config) | {"steps": done, "macro_auc": areas}
    save_encoder(own.cpu(), weights, out, notes)
    state = {k: v.float().cpu() for k, v in towers.state_dict().items()}
    torch.save({"towers": state, "average": weights, "step": done}, out / "state.pt")


if __name__ == "__main__":
    main()
