"""The state that a training goes on from: written whole or not at all, and with the dice."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import torch


class Resume:
    """`state.pt` of a training's folder.

    draws: the training's own random numbers, kept beside torch's and Python's.
    """

    def __init__(self, folder: Path, minutes: float, draws: random.Random | None = None) -> None:
        self.file, self.minutes, self.draws = folder / "state.pt", minutes, draws
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What was saved last, tensors on the CPU, the dice put back; None where nothing was."""
        if not self.file.exists():
            return None
        state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        dice = state.pop("dice", None)
        if dice is not None:
            torch.set_rng_state(dice["torch"])
            random.setstate(dice["python"])
            if self.draws is not None and dice["draws"] is not None:
                self.draws.setstate(dice["draws"])
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved; a training that is stopped meanwhile still finds the old one."""
        dice = {
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "draws": None if self.draws is None else self.draws.getstate(),
        }
        part = self.file.with_suffix(".part")
        torch.save(state | {"dice": dice}, part)
        part.replace(self.file)
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last save, or the start, is so many minutes ago."""
        return time.monotonic() - self._saved > 60 * self.minutes
