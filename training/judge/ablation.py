"""The arms of `training.stages.train` side by side: accuracy and the controls T2-T5 and T8.

    python -m training.judge.ablation --ptbxl DIR --ecgqa DIR --intervals FILE.csv \
        --arm erm=.work/arm_erm/checkpoint balanced=.work/arm_balanced/checkpoint ...

Yes/no questions about single validation ECGs in held-out wordings. Each arm's P(yes) is calibrated
first, on other draws of the same kind, because the arms were trained with different odds of "yes".
With `--alone` the projector answers by what its testimony leans to, without the language model:
many times as fast, so that small differences between arms can be told from chance.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ecgqa.model.ecg_model import EcgModel
from ecgqa.model.features import EcgFeatures
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.questions import Facts, Question
from training.judge import blind
from training.judge.controls import ABOUT_ONE, Asker, by_severity, draws, held_out, swap
from training.judge.evaluate import Answers, contrasts, summary
from training.judge.tables import Control
from training.stages.calibrate import platt
from training.stages.replies import margins_of, predict, rows_of, stand_ins

CONTROLS = ("true", "shuffled", "severity")
SHARPNESS = 5.0  # where `training.stages.train` starts it


class ProjectorAlone(EcgModel):
    """Answers yes or no by what the testimony leans to."""

    def _yes_margin(
        self,
        questions: list[str],
        first: EcgFeatures | None,
        second: EcgFeatures | None,
        severity: int | None = None,
    ) -> torch.Tensor:
        """Log odds of "yes", [b], in the scale of stage align; 0 without an ECG."""
        if first is None:
            return torch.zeros(len(questions))
        return SHARPNESS * self.lean(self.testimony(questions, first, second, severity))


def calibrate(asker: Asker, asked: list[Question]) -> None:
    """Fit P(yes) of questions about one ECG on these."""
    given: list[tuple[int | str, ...] | None] = [q.ecg_id for q in asked]
    rows = rows_of(asker.model, asker.encoded, asked, given)
    margins = margins_of(asker.model, asker.encoded, rows, given)
    truth = [q.answer == ("yes",) for q in asked]
    fitted = platt({"verify": margins}, {"verify": truth})
    asker.model.config = replace(asker.model.config, calibration=fitted)


def right(asker: Asker, asked: list[Question], words: Answers) -> list[Control]:
    """Exact match and AUC on the questions' own ECGs and on permuted ones, T1 to T3."""
    said: dict[str, Answers] = {"text": words}
    lines = []
    for control in CONTROLS:
        given = stand_ins(asked, control, asker.data)
        found = predict(asker.model, asker.encoded, asked, given)
        said[control] = dict(enumerate(found))
        entry = summary(asked, found)["single-verify"]
        low, high = entry["interval"]
        lines.append(
            Control(f"right, {control} ECGs, %", 100 * entry["exact_match"], 100 * low, 100 * high,
                    len(asked), "", True)
        )  # fmt: skip
        low, high = entry["auc_interval"]
        lines.append(Control(f"AUC, {control} ECGs", entry["auc"], low, high, len(asked), "", True))
    return lines + contrasts(asked, said)


def side_by_side(found: dict[str, list[Control]]) -> str:
    """Markdown: a row per control, a column per arm."""
    lines = ["| | n | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    names = dict.fromkeys(control.name for controls in found.values() for control in controls)
    for name in names:
        of_arm = [
            next((c for c in controls if c.name == name), None) for controls in found.values()
        ]
        cells = [f"{c.value:.3g} ({c.low:.3g} to {c.high:.3g})" if c else "" for c in of_arm]
        n = next(c.n for c in of_arm if c)
        lines.append(f"| {name} | {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "llm", "cache")
    parser.add_argument("--intervals", required=True)
    parser.add_argument("--arm", nargs="+", required=True, metavar="NAME=CHECKPOINT")
    parser.add_argument("--questions", type=int, default=500, help="of each control")
    parser.add_argument("--alone", action="store_true", help="ask the projector alone")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    facts, split = Facts(data, args.intervals), ptbxl.splits(data, args.ecgqa)
    rows, signals = split["valid"], ptbxl.signals(data, args.cache)

    one, statements, other = (
        draws(facts, rows, args.questions, templates, "heldout", seed)
        for templates, seed in (
            (ABOUT_ONE, args.seed), ({1}, args.seed), (ABOUT_ONE, args.seed + 1),
        )
    )  # fmt: skip
    asked = [d.question for d in one]
    trained = blind.train_questions(facts, split["train"], args.ecgqa)
    words = dict(enumerate(blind.answers(trained, asked)))
    found: dict[str, list[Control]] = {}
    for arm in args.arm:
        name, _, folder = arm.partition("=")
        kind = ProjectorAlone if args.alone else EcgModel
        asker = Asker(kind.load(Path(folder), args.llm), data, signals)
        calibrate(asker, [d.question for d in other])
        found[name] = [
            *right(asker, asked, words),
            *swap(asker, facts, rows, one, args.seed),
            *by_severity(asker, statements),
            *held_out(asker, facts, rows, args.questions, "heldout", args.seed),
        ]
        print(f"{name} is done", flush=True)
    print(side_by_side(found))


if __name__ == "__main__":
    main()
