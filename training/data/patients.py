"""ECGs of one split with their labels and measurements, drawn so that an answer is right or not."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from ecgqa import ECG, measure
from ecgqa.measure import Measurements
from ecgqa.measure.quality import assess
from ecgqa.question.reading import TOGETHER
from training.data import ptbxl, questions
from training.data.ptbxl import GROUPS

POOL = 400  # test ECGs that questions are asked about


class Patients:
    """Test ECGs with their labels and measurements."""

    def __init__(self, data: ptbxl.PtbXl, facts: questions.Facts, rows: np.ndarray) -> None:
        self.data, self.facts = data, facts
        rng = np.random.default_rng(11)
        self.rows = [int(i) for i in rng.permutation(rows)]
        self._ecgs: dict[int, ECG] = {}
        self._measured: dict[int, Measurements] = {}
        self._readable: dict[int, bool] = {}

    def ecg(self, row: int) -> ECG:
        """One recording."""
        if row not in self._ecgs:
            self._ecgs[row] = ptbxl.read_plain(self.data.folder / self.data.path[row])
        return self._ecgs[row]

    def measured(self, row: int) -> Measurements:
        """Its measurements."""
        if row not in self._measured:
            self._measured[row] = measure(self.ecg(row))
        return self._measured[row]

    def readable(self, row: int) -> bool:
        """Whether the assistant would answer about it at all."""
        if row not in self._readable:
            self._readable[row] = assess(self.ecg(row)).readable
        return self._readable[row]

    def label(self, finding: str) -> np.ndarray:
        """1, 0 or NaN for every row."""
        if finding in TOGETHER:
            known = np.stack([self.label(member) for member in TOGETHER[finding]])
            return np.where((known > 0).any(0), 1.0, np.where(np.isnan(known).any(0), np.nan, 0.0))
        if finding in UNNAMED_OF:
            return self.facts.columns[UNNAMED_OF[finding], ""]
        for group, names in GROUPS.items():
            if finding in names:
                return self.data.facts[group][:, names.index(finding)]
        raise KeyError(finding)

    def draw(self, rng: random.Random, fits: Callable[[int], bool], count: int) -> list[int]:
        """Readable rows that fit, at most `count`."""
        out, rows = [], self.rows[:]
        rng.shuffle(rows)
        for row in rows:
            if fits(row) and self.readable(row):
                out.append(row)
                if len(out) == count:
                    break
        return out


UNNAMED_OF = {name: group for group, name in questions.UNNAMED.items()}
