"""Every encoder of the table keeps the contract and learns; augmentation keeps what it must."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ecgqa.record import LEADS
from training.data import augment
from training.judge.encoder_table import build, fit, parameters, probe, rhythm_accuracy, table
from training.stages.encoders import ROWS
from training.stages.encoders.contract import MOST_PARAMETERS
from training.stages.encoders.periods import period_of
from training.stages.encoders.state_space import StateSpace
from training.stages.on_device import Schedule, batches
from training.stages.pretrain_encoder import known_bce

BACKBONES = ("se_resnet", "scalogram", "vgg_lstm", "masked_transformer", "state_space", "periods")


def beating(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Simulated ECGs [count, 12, 1000] of two rates; the faster ones have the second statement."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 0.02, (count, 12, 1000)).astype(np.float32)
    fast = np.arange(count) % 2
    for i in range(count):
        period = 60 if fast[i] else 100
        for start in range(int(rng.integers(20, 60)), 980, period):
            signal[i, :, start - 2 : start + 3] += np.array([0.2, 0.7, 1.0, 0.6, -0.2])
    truth = np.stack([1 - fast, fast], axis=1).astype(np.float32)
    return torch.from_numpy(signal), torch.from_numpy(truth)


@pytest.mark.parametrize("row", BACKBONES)
def test_encoder_keeps_the_contract(row):
    torch.manual_seed(0)
    encoder = build(row, 71)
    signal, _ = beating(4)
    seen = encoder(signal)
    assert seen.pooled.shape == (4, 256)
    assert seen.statement_logits.shape == (4, 71)
    assert 300_000 < parameters(encoder) <= MOST_PARAMETERS
    encoder.eval()
    with torch.no_grad():
        alone = encoder(signal[:1]).statement_logits
        assert torch.allclose(encoder(signal).statement_logits[:1], alone, atol=1e-4)


@pytest.mark.parametrize("row", BACKBONES)
def test_encoder_learns_what_tells_the_ecgs_apart(row):
    torch.manual_seed(0)
    signal, truth = beating(8)
    encoder = build(row, 2)
    optimizer = torch.optim.AdamW(encoder.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = known_bce(encoder(signal).statement_logits, truth)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < 0.7 * losses[0]


@pytest.mark.parametrize("row", [r for r in BACKBONES if build(r, 2).pretext_share])
def test_pretext_loss_falls(row):
    torch.manual_seed(1)
    signal, _ = beating(8)
    encoder = build(row, 2)
    optimizer = torch.optim.AdamW(encoder.parameters(), 1e-3)
    losses = []
    for _ in range(14):
        loss = encoder.pretext(signal)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:2])


def test_rows_are_the_issues_eight_and_a_baseline_without_augmentation():
    assert len(ROWS) == 9
    assert {ROWS[r][2].blank > 0 for r in ("se_resnet", "lead_masking")} == {False, True}


def test_period_is_found():
    signal, truth = beating(6)
    assert period_of(signal).tolist() == [60 if t[1] else 100 for t in truth.tolist()]


def test_state_space_is_causal_and_equals_its_recurrence():
    torch.manual_seed(0)
    layer = StateSpace(3)
    x = torch.randn(1, 3, 40)
    with torch.no_grad():
        y, changed = layer(x), x.clone()
        changed[..., 25:] = 0
        assert torch.allclose(layer(changed)[..., :25], y[..., :25], atol=1e-5)
        step = layer.log_step.exp().unsqueeze(1)
        pole = torch.complex(-layer.log_damping.exp(), layer.turn)
        state, said = torch.zeros_like(pole), []
        for k in range(40):
            state = (pole * step).exp() * state + x[0, :, k].unsqueeze(1)
            gain = torch.view_as_complex(layer.out) * ((pole * step).exp() - 1) / pole
            said.append(2 * (gain * state).sum(1).real + layer.through * x[0, :, k])
    assert torch.allclose(torch.stack(said, 1), y[0], atol=1e-3)


def test_augmentation_keeps_shape_and_blanks_what_it_says():
    torch.manual_seed(0)
    signal, _ = beating(64)
    for policy in (augment.BARE, augment.PLAIN, augment.MASKED, augment.WIDE, augment.RANDOM):
        changed, kept = augment.augment(signal, policy)
        assert changed.shape == signal.shape
        assert torch.isfinite(changed).all()
        assert kept.any(1).all()
        assert bool((changed[~kept] == 0).all())
        assert bool((changed[kept].abs().sum(-1) > 0).all())


def test_bare_policy_only_shifts():
    torch.manual_seed(0)
    signal, _ = beating(8)
    changed, _ = augment.augment(signal, augment.BARE)
    for before, after in zip(signal, changed, strict=True):
        near = []
        for shift in range(-100, 101):
            there = slice(max(0, shift), 1000 + min(0, shift))
            moved = before.roll(shift, -1)[:, there]
            near.append(float((moved - after[:, there]).abs().max()))
        assert min(near) == 0


def test_filter_takes_out_what_lies_outside_its_band():
    torch.manual_seed(0)
    t = torch.arange(1000) / 100
    drift = torch.sin(2 * torch.pi * 0.01 * t + 1.5).expand(16, 12, 1000)
    inside = torch.sin(2 * torch.pi * 8 * t).expand(16, 12, 1000)
    assert augment._filtered(drift)[..., 500:].std() < 0.7 * drift.std()
    assert abs(augment._filtered(inside)[..., 200:800].std() / inside.std() - 1) < 0.1


def test_schedule_comes_to_its_end_by_steps_or_by_minutes():
    plan = Schedule(10)
    plan.step = 5
    assert plan.done == 0.5
    plan.step = 10
    assert plan.done == 1.0
    late = Schedule(10, minutes=1e-9)
    assert late.done == 1.0


def test_batches_show_every_row_once_in_a_pass():
    stream = batches(torch.arange(12), 4, 3, "cpu")
    first = torch.cat([next(stream) for _ in range(3)])
    assert sorted(first.tolist()) == list(range(12))
    second = torch.cat([next(stream) for _ in range(3)])
    assert sorted(second.tolist()) == list(range(12))
    assert first.tolist() != second.tolist()


def test_row_is_trained_and_its_weights_averaged():
    signal, truth = beating(32)
    args = SimpleNamespace(row="periods", batch=8, max_steps=6, epochs=1, seed=0, minutes=0.0)
    torch.manual_seed(0)
    encoder = build("periods", 2)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    steps = fit(args, encoder, signal, truth, np.arange(32))
    assert steps == {"pretext": 2, "labels": 4}
    moved = [k for k, v in encoder.state_dict().items() if not torch.equal(v, before[k])]
    assert any(k.startswith("backbone") for k in moved)


def test_probe_tells_what_can_be_told_and_leaves_out_what_is_not_known():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(0, 1, (300, 5)).astype(np.float32))
    truth = (x[:, :2] > 0).float()
    truth[:150, 1] = torch.nan
    scores = probe(x[:200], truth[:200], x[200:], c=1.0)
    assert ((scores > 0) == (x[200:, :2].numpy() > 0)).mean() > 0.9


def test_rhythm_accuracy_counts_ecgs_with_one_rhythm():
    names = ["atrial fibrillation", "sinus rhythm", "sinus tachycardia", "sinus bradycardia"]
    logits = np.array([[3.0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 5], [1, 0, 0, 0]])
    truth = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]])
    accuracy, n = rhythm_accuracy(logits, truth, names)
    assert (round(accuracy, 3), n) == (0.667, 3)


def test_table_shows_the_rows_there_are(tmp_path):
    row = (
        '{"macro_auc": 0.9, "low": 0.88, "high": 0.92, "af_auc": 0.98, "rhythm_accuracy": 0.95, '
        '"probe": {"0.01": 0.7, "0.1": 0.8, "1": 0.88}, "few": {"I, II": 0.85, "I, II, V2": 0.87}, '
        '"parameters": 3236000, "ms": 7.24}'
    )
    (tmp_path / "scalogram.json").write_text(row)
    lines = table(tmp_path).splitlines()
    assert len(lines) == 3
    assert "0.900 (0.880-0.920)" in lines[2]
    assert "3.24" in lines[2]


def test_subsets_name_leads():
    assert all(set(some) <= set(LEADS) for some in augment.SUBSETS)
