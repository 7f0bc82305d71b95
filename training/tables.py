"""Lines of the control table with their intervals, and tables between marks of a README."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Control:
    """One line of the table. wanted: the threshold in words; passed: whether `value` meets it."""

    name: str
    value: float
    low: float
    high: float
    n: int
    wanted: str
    passed: bool


def interval(
    values: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean, draws: int = 1000
) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over rows."""
    rng = np.random.default_rng(0)
    n = len(values)
    if statistic is np.mean and values.ndim == 1:  # fifty draws at once: far faster, the same
        parts = [min(50, draws - done) for done in range(0, draws, 50)]
        each = np.concatenate([values[rng.integers(0, n, (k, n))].mean(axis=1) for k in parts])
    else:
        each = [statistic(values[rng.integers(0, n, n)]) for _ in range(draws)]
    each = np.asarray(each)
    known = each[~np.isnan(each)]  # NaN: a draw of which the statistic is not defined
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (np.nan, np.nan)
    return float(low), float(high)


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
    if statistic is np.mean:
        sums = np.array([values[rows].sum() for rows in members], dtype=float)
        sizes = np.array([len(rows) for rows in members])
        return interval(np.arange(len(members)), lambda some: sums[some].sum() / sizes[some].sum())

    def drawn(chosen: np.ndarray) -> float:
        return statistic(values[np.concatenate([members[i] for i in chosen])])

    return interval(np.arange(len(members)), drawn)


def share(
    name: str,
    hits: np.ndarray,
    wanted: float,
    below: bool = False,
    groups: Sequence[Hashable] = (),
) -> Control:
    """A share in percent; wanted at least (or, with `below`, at most)."""
    return measured(name, 100 * hits.astype(float), np.mean, wanted, " %", below, groups)


def measured(
    name: str,
    rows: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    wanted: float,
    unit: str,
    below: bool = False,
    groups: Sequence[Hashable] = (),
) -> Control:
    """A statistic over rows; wanted at least (or, with `below`, at most).

    groups: of each row, where rows of one group (a wording, say) are right or wrong together.
    """
    value = float(statistic(rows))
    range_ = interval_over(groups, rows, statistic) if len(groups) else interval(rows, statistic)
    passed = value <= wanted if below else value >= wanted
    sign = "≤" if below else "≥"
    return Control(name, value, *range_, len(rows), f"{sign} {wanted:g}{unit}", bool(passed))


def table(controls: list[Control]) -> str:
    """Markdown."""
    rows = [
        f"| {c.name} | {c.value:.3g} ({c.low:.3g} to {c.high:.3g}) | {c.n} | {c.wanted} | "
        f"{'yes' if c.passed else 'no'} |"
        for c in controls
    ]
    return "\n".join(["| control | value | n | wanted | passed |", "|---|---|---|---|---|", *rows])


def marks(name: str) -> tuple[str, str]:
    """What stands before and after a generated part of a Markdown file."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def between(file: Path, name: str) -> str:
    """The generated part. Raises ValueError where the file has no such marks."""
    start, end = marks(name)
    _, found, rest = file.read_text().partition(start)
    inside, closed, _ = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{file} has no marks {start} and {end}")
    return inside.strip()


def put_between(file: Path, name: str, text: str) -> None:
    """Replace the generated part. Raises ValueError where the file has no such marks."""
    between(file, name)
    start, end = marks(name)
    before, _, rest = file.read_text().partition(start)
    after = rest.partition(end)[2]
    file.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}")


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])
