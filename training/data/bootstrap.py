"""95 % intervals of a statistic by the bootstrap, over rows or over groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np


def interval(
    values: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean, draws: int = 1000
) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over rows."""
    rng = np.random.default_rng(0)
    n = len(values)
    each = [statistic(values[rng.integers(0, n, n)]) for _ in range(draws)]
    return float(np.nanquantile(each, 0.025)), float(np.nanquantile(each, 0.975))


def interval_over(
    groups: Sequence[Hashable],
    values: np.ndarray,
    statistic: Callable[[np.ndarray], float] = np.mean,
) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic, whole groups drawn: rows of a group go together."""
    order: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        order.setdefault(group, []).append(row)
    members = list(order.values())

    def drawn(chosen: np.ndarray) -> float:
        return statistic(values[np.concatenate([members[i] for i in chosen])])

    return interval(np.arange(len(members)), drawn)
