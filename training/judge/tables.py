"""Lines of the control table with their intervals, and tables between marks of a document.

    python -m training.judge.tables

writes the tables of training/RESULTS.md and the short one of README.md from assets/*.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from training.data.arguments import command_line
from training.data.bootstrap import interval, interval_over

ROOT = Path(str(files("ecgqa"))).parent  # the repository
RESULTS, README = ROOT / "training" / "RESULTS.md", ROOT / "README.md"


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


# The README's rows: what it is, file, path to the entry in it, value, its interval, unit.
CLINIC = (
    ("clinicians' questions, yes or no: right, %", "yes_no"),
    ("clinicians' questions for a number: right, %", "number"),
    ("clinicians' questions, A or B: right, %", "choose"),
    ("clinicians' questions for a report: right, %", "report"),
    ("clinicians' questions about untrained findings: declined, %", "untrained"),
)
MATCHES = (
    ("ECG-QA, one ECG, yes or no: right, %", "single-verify"),
    ("ECG-QA, one ECG, A or B: right, %", "single-choose"),
    ("ECG-QA, one ECG, lists: all right, %", "single-query"),
    ("ECG-QA, two ECGs, yes or no: right, %", "two ECGs, verify"),
)


def summary(assets: Path) -> str:
    """The README's table of results, in Markdown, from the JSON files of a folder."""

    def read(name: str) -> Any:
        return json.loads((assets / f"{name}.json").read_text())

    def row(
        what: str, value: float, low: float, high: float, n: int, command: str, digits: int = 1
    ) -> list[object]:
        shown = f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
        return [what, shown, n, f"`python -m training.judge.{command}`"]

    clinic, results = read("clinic"), read("evaluation")["results"]
    rows = []
    for what, key in CLINIC:
        one = clinic[key]
        rows.append(row(what, one["right"], one["low"], one["high"], one["n"], "clinic"))
    for what, key in MATCHES:
        one = results["true"][key]
        right, (low, high) = one["exact_match"], one["interval"]
        rows.append(row(what, 100 * right, 100 * low, 100 * high, one["n"], "evaluate"))
    other = results["shuffled"]["single-verify"]
    what = "the same yes or no with another patient's ECG: AUC (chance: 0.5)"
    low, high = other["auc_interval"]
    rows.append(row(what, other["auc"], low, high, other["n"], "evaluate", digits=3))
    flips = next(c for c in read("controls") if c["name"] == "T4 swap: flips")
    evidence = read("deletion")[0]
    for what, one, command in (
        ("ECG exchanged for one with the other answer: answer follows, %", flips, "controls"),
        ("evidence taken away: the answer moves, times as much as at random", evidence, "deletion"),
    ):
        rows.append(row(what, one["value"], one["low"], one["high"], one["n"], command))
    return markdown(["what", "value (interval)", "n", "command"], rows)


def main() -> None:
    """Command line: write all generated tables again."""
    from training.judge import clinic, evaluate  # they import this module

    command_line(__doc__).parse_args()

    def read(name: str) -> Any:
        return json.loads((ROOT / "assets" / f"{name}.json").read_text())

    put_between(RESULTS, "clinic", clinic.report(read("clinic")))
    put_between(RESULTS, "evaluation", evaluate.report(read("evaluation")))
    put_between(RESULTS, "controls", table([Control(**c) for c in read("controls")]))
    put_between(README, "results", summary(ROOT / "assets"))


if __name__ == "__main__":
    main()
