"""Other hospitals' recorders, imitated on the device that trains: a whole batch at once.

`Policy` says what may happen to an ECG. `PLAIN` is what `training.stages.pretrain_encoder` does:
shift, gain, a little noise. `WIDE` adds what sets hospitals apart: filters, mains hum, wandering
baselines, gain of single leads, a clock that is off, shorter strips. Labels stay true: nothing here
moves an interval by more than the 2 % of the clock. Units: mV, 100 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ecgqa.record import LEADS

RATE_HZ = 100
SUBSETS = (
    ("I", "II"),
    ("I", "II", "V2"),
    ("II", "V1", "V5"),
    ("I", "II", "III", "aVR", "aVL", "aVF"),
    ("II",),
    ("V1", "V2", "V3", "V4", "V5", "V6"),
)


@dataclass(frozen=True)
class Policy:
    """Chances (0 to 1) of each change, and its greatest size."""

    shift: int = 100  # samples, either way
    gain: float = 0.1  # of the whole ECG, share either way
    noise_mv: float = 0.015
    lead_gain: float = 0.0  # share either way, each lead its own
    clock: float = 0.0  # share either way
    filters: float = 0.0  # chance of another band
    hum: float = 0.0  # chance of mains hum, aliased to 20 to 49 Hz
    wander: float = 0.0  # chance of a wandering baseline
    crop: float = 0.0  # chance of a strip of 4 to 10 s
    subset: float = 0.0  # chance of one of `SUBSETS` only
    blank: float = 0.0  # chance that some leads are blanked
    most: int = 0  # of the optional changes, so many at random for each ECG (0: each by its chance)


BARE = Policy(gain=0.0, noise_mv=0.0)
PLAIN = Policy()
MASKED = Policy(blank=0.3, subset=0.15)
WIDE = Policy(
    noise_mv=0.03, lead_gain=0.05, clock=0.02, filters=0.4, hum=0.15, wander=0.2, crop=0.1,
    subset=0.05, blank=0.25,
)  # fmt: skip
RANDOM = Policy(
    noise_mv=0.05, lead_gain=0.15, clock=0.02, filters=1.0, hum=1.0, wander=1.0, crop=0.0, most=2
)
OPTIONAL = ("filters", "hum", "wander")


def augment(signal: torch.Tensor, policy: Policy) -> tuple[torch.Tensor, torch.Tensor]:
    """signal float [b, 12, t] → the changed signal and which leads are still there [b, 12]."""
    batch = len(signal)
    on = _chosen(batch, policy, signal.device)
    out = _moved(signal, policy)
    out = out * _around(1.0, policy.gain, (batch, 1, 1), out)
    if policy.lead_gain:
        out = out * _around(1.0, policy.lead_gain, (batch, signal.shape[1], 1), out)
    if policy.filters:
        out = torch.where(on["filters"], _filtered(out), out)
    if policy.wander:
        out = out + on["wander"] * _waves(out, 0.05, 0.6, 0.15)
    if policy.hum:
        out = out + on["hum"] * _waves(out, 20.0, 49.0, 0.02)
    if policy.noise_mv:
        size = policy.noise_mv * torch.rand(batch, 1, 1, device=out.device)
        out = out + torch.randn_like(out) * size
    kept = _kept_leads(batch, signal.shape[1], policy, out.device)
    out = out * kept.unsqueeze(-1)
    if policy.crop:
        seconds = torch.empty(batch, 1, 1, device=out.device).uniform_(4.0, 10.0)
        seconds = torch.where(_coin(batch, policy.crop, out.device), seconds, seconds + 10.0)
        out = out * (torch.arange(out.shape[-1], device=out.device) < seconds * RATE_HZ)
    return out, kept


def _coin(batch: int, chance: float, device: torch.device) -> torch.Tensor:
    return torch.rand(batch, 1, 1, device=device) < chance


def _around(middle: float, most: float, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    return middle + most * (2 * torch.rand(shape, device=like.device) - 1)


def _chosen(batch: int, policy: Policy, device: torch.device) -> dict[str, torch.Tensor]:
    """Which optional changes each ECG gets, bool [b, 1, 1]."""
    if not policy.most:
        return {name: _coin(batch, getattr(policy, name), device) for name in OPTIONAL}
    rank = torch.rand(batch, len(OPTIONAL), device=device).argsort(1).argsort(1)
    return {name: (rank[:, i] < policy.most).view(-1, 1, 1) for i, name in enumerate(OPTIONAL)}


def _moved(signal: torch.Tensor, policy: Policy) -> torch.Tensor:
    """Shifted, and read by a clock that is off; 0 where there was nothing."""
    batch, leads, samples = signal.shape
    shift = torch.randint(-policy.shift, policy.shift + 1, (batch, 1), device=signal.device)
    place = torch.arange(samples, device=signal.device) - shift.float()
    if policy.clock:
        place = place * _around(1.0, policy.clock, (batch, 1), signal)
    low = place.floor()
    share = (place - low).unsqueeze(1)
    index = low.long()
    there = ((index >= 0) & (index < samples)).unsqueeze(1)
    first = index.clamp(0, samples - 1).unsqueeze(1).expand(-1, leads, -1)
    if not policy.clock:
        return signal.gather(2, first) * there
    second = (index + 1).clamp(0, samples - 1).unsqueeze(1).expand(-1, leads, -1)
    return (signal.gather(2, first) * (1 - share) + signal.gather(2, second) * share) * there


def _filtered(signal: torch.Tensor) -> torch.Tensor:
    """One pole each: a recorder's high pass (0.05 to 0.7 Hz) and a low pass (15 to 60 Hz)."""
    batch, _, samples = signal.shape
    f = torch.fft.rfftfreq(2 * samples, 1 / RATE_HZ, device=signal.device)
    high = 0.05 * (0.7 / 0.05) ** torch.rand(batch, 1, device=signal.device)
    low = 15.0 * 4.0 ** torch.rand(batch, 1, device=signal.device)
    response = (1j * f / (1j * f + high)) / (1 + (f / low) ** 4).sqrt()
    spectrum = torch.fft.rfft(signal.float(), n=2 * samples) * response.unsqueeze(1)
    return torch.fft.irfft(spectrum, n=2 * samples)[..., :samples]


def _waves(signal: torch.Tensor, low_hz: float, high_hz: float, most_mv: float) -> torch.Tensor:
    """One sine, its size and phase different in every lead."""
    batch, leads, samples = signal.shape
    t = torch.arange(samples, device=signal.device) / RATE_HZ
    f = torch.empty(batch, 1, 1, device=signal.device).uniform_(low_hz, high_hz)
    phase = torch.empty(batch, leads, 1, device=signal.device).uniform_(0, 6.2832)
    size = most_mv * torch.rand(batch, leads, 1, device=signal.device)
    return size * torch.sin(6.2832 * f * t + phase)


def _kept_leads(batch: int, leads: int, policy: Policy, device: torch.device) -> torch.Tensor:
    share = torch.rand(batch, 1, device=device) ** 2 * 0.9  # mostly a few, now and then nearly all
    blank = torch.rand(batch, leads, device=device) < share
    blank &= torch.rand(batch, 1, device=device) < policy.blank
    blank &= ~blank.all(1, keepdim=True)
    if policy.subset:
        table = torch.tensor([[lead in some for lead in LEADS] for some in SUBSETS], device=device)
        chosen = table[torch.randint(len(SUBSETS), (batch,), device=device)]
        some = torch.rand(batch, 1, device=device) < policy.subset
        return torch.where(some, chosen, ~blank)
    return ~blank
