"""Training an encoder with every signal on the device: batches, schedule, averaged weights.

No loader and no worker: the 21,799 ECGs are half a gigabyte in float16, so a batch is an index and
a change of the ECGs (`training.data.augment`) a few kernels. Matrix work runs in bfloat16 where the
device is no CPU. The schedule runs over steps, or over minutes where these end first, so that it
always comes to its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn

WARM_UP = 0.05  # of the way
LAST_RATE = 0.002  # share of the peak


def device_of(name: str = "") -> torch.device:
    """The named device, else the first GPU, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def half(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 for matrix work, except on the CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu")


def seed_all(seed: int, device: torch.device) -> None:
    """Of weights, order and augmentation; TensorFloat-32 is on."""
    torch.manual_seed(seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = device.type == "cuda"


def batches(
    rows: torch.Tensor, size: int, seed: int, device: torch.device
) -> Iterator[torch.Tensor]:
    """Row numbers [size] without end, each pass in another order; a pass leaves a part out."""
    generator = torch.Generator().manual_seed(seed)
    size = min(size, len(rows))
    while True:
        order = rows[torch.randperm(len(rows), generator=generator)].to(device)
        for start in range(0, len(rows) - size + 1, size):
            yield order[start : start + size]


class Average:
    """Averaged weights of a module (exponential, faster while it is young)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.step = module, decay, 0
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """After every step."""
        self.step += 1
        share = 1 - min(self.decay, self.step / (self.step + 20))
        now = self.module.state_dict()
        for name, kept in self.state.items():
            if kept.is_floating_point():
                kept.lerp_(now[name], share)
            else:
                kept.copy_(now[name])


class Schedule:
    """How far a training is: by its steps, or by its minutes where these end first (0: never)."""

    def __init__(self, steps: int, minutes: float = 0.0) -> None:
        self.steps, self.minutes = steps, minutes
        self.started, self.step = time.monotonic(), 0

    @property
    def done(self) -> float:
        """0 to 1."""
        by_time = (time.monotonic() - self.started) / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(self.step / self.steps, by_time))

    def rate(self) -> float:
        """Share of the peak learning rate: linear warm-up, then half a cosine."""
        done = self.done
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return min(1.0, done / WARM_UP + 0.02) * max(LAST_RATE, cosine)


def train(
    modules: nn.Module,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    order: Iterator[torch.Tensor],
    schedule: Schedule,
    rate: float,
    weight_decay: float,
    averages: tuple[Average, ...] = (),
    say: str = "",
) -> int:
    """AdamW until the schedule's end; returns the steps done. `loss_of`: rows → loss."""
    parameters = [p for p in modules.parameters() if p.requires_grad]
    cuda = parameters[0].is_cuda
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=weight_decay, fused=cuda)
    modules.train()
    losses: list[torch.Tensor] = []
    while schedule.done < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule.rate()
        loss = loss_of(next(order))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for average in averages:
            average.update()
        schedule.step += 1
        losses.append(loss.detach())
        if say and (schedule.step % 100 == 0 or schedule.step == schedule.steps):
            mean = float(torch.stack(losses).mean())
            losses.clear()
            seconds = time.monotonic() - schedule.started
            print(
                f"{say} step {schedule.step}/{schedule.steps} loss {mean:.4f} "
                f"{schedule.step / seconds:.1f} steps/s",
                flush=True,
            )
    return schedule.step


@torch.no_grad()
def run(
    model: nn.Module, signals: torch.Tensor, rows: np.ndarray, keep: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Statement logits and pooled features, float32 numpy; of `keep` leads only, where given."""
    model.eval()
    device = next(model.parameters()).device
    logits, pooled = [], []
    for part in torch.as_tensor(rows).split(256):
        signal = signals[part.to(signals.device)].to(device).float()
        if keep:
            blank = torch.ones(signal.shape[1], dtype=torch.bool, device=device)
            blank[list(keep)] = False
            signal = signal.masked_fill(blank[:, None], 0.0)
        seen = model(signal)
        logits.append(seen.statement_logits.float().cpu())
        pooled.append(seen.pooled.float().cpu())
    return torch.cat(logits).numpy(), torch.cat(pooled).numpy()
