"""Encoders side by side: one file each, one contract (`training.stages.encoders.contract`)."""

from __future__ import annotations

from training.data.augment import BARE, MASKED, PLAIN, RANDOM, Policy
from training.stages.encoders import (
    masked_transformer,
    periods,
    scalogram,
    se_resnet,
    state_space,
    vgg_lstm,
)

# Row of the table → its name there, the file's constructor, how its ECGs are changed in training.
ROWS = {
    "se_resnet": ("SE-ResNet (ours)", se_resnet.build, PLAIN),
    "scalogram": ("stacked scalograms, 2-D CNN", scalogram.build, PLAIN),
    "vgg_lstm": ("SE-VGG + LSTM", vgg_lstm.build, PLAIN),
    "masked_transformer": ("transformer, masked + contrastive", masked_transformer.build, PLAIN),
    "state_space": ("state space (S4D), CPC", state_space.build, PLAIN),
    "periods": ("SE-ResNet, inter-/intra-period", periods.build, PLAIN),
    "random_augment": ("SE-ResNet, RandAugment-like policy", se_resnet.build, RANDOM),
    "lead_masking": ("SE-ResNet, lead masking", se_resnet.build, MASKED),
    "no_augment": ("SE-ResNet, shift alone", se_resnet.build, BARE),
}

__all__ = ["ROWS", "Policy"]
