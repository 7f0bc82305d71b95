"""A training that is stopped goes on as if it had not been."""

from __future__ import annotations

import random

import pytest
import torch

from training.stages.resume import Resume


def test_weights_and_dice_come_back(tmp_path):
    dice = random.Random(3)
    torch.manual_seed(3)
    resume = Resume(tmp_path, 60, dice)
    assert resume.load() is None
    resume.save({"weights": torch.arange(3), "step": 7})
    wanted = dice.random(), random.random(), torch.rand(2)
    state = Resume(tmp_path, 60, dice).load()
    assert state is not None and state["step"] == 7
    assert state["weights"].tolist() == [0, 1, 2]
    assert dice.random() == wanted[0] and random.random() == wanted[1]
    assert torch.equal(torch.rand(2), wanted[2])


def test_a_save_that_breaks_off_leaves_the_one_before(tmp_path):
    resume = Resume(tmp_path, 60)
    resume.save({"step": 1})
    with pytest.raises(Exception, match="pickle"):
        resume.save({"step": lambda: 2})
    assert Resume(tmp_path, 60).load() == {"step": 1}


def test_a_state_without_dice_is_read_as_well(tmp_path):
    torch.save({"step": 4}, tmp_path / "state.pt")
    assert Resume(tmp_path, 60).load() == {"step": 4}
