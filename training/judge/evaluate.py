"""Score a checkpoint on ECG-QA questions, with the controls that show whether it looks at the ECG.

    python -m training.judge.evaluate --ptbxl DIR --questions FILE_OR_DIR [--control NAME ...] \
        [--limit N] [--checkpoint DIR] [--out FILE.json]

A questions file is ECG-QA's own JSON; `training.data.questions` writes regenerated ones in that
form. Exact match as ECG-QA defines it: only the template's valid answers count, and all must be
right. Verify questions compare P(yes) with P(no); choose questions put each of the two options to
the model on its own, query questions the likeliest of their valid answers (`ecgqa.answer.options`).
With `--free` choose and query questions are answered by free generation (set equality).

Controls: `true` the question's own ECG; `blind` no ECG; `noise`, `flat` a stand-in without an ECG;
`shuffled` another question's ECG; `severity` another question's ECG of the same severity; `text`
no model of ours, but one that was trained on the questions' words alone (`training.judge.blind`;
give `--ecgqa`); `commonest` the commonest answer to each template among training questions.
`perfect` and `perfect-severity` ask no model: they answer from the labels of the shuffled ECGs
(give `--intervals`), which is what a flawless reader scores when it is handed the wrong ECG. It
falls below blind, so a model that looks must fall below blind as well.

Verify questions are scored twice: "yes" from P(yes) 0.5 on, and, as `cautious`, from the P(yes) on
that one in twenty validation questions reaches with another patient's ECG.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from ecgqa.model.ecg_model import EcgModel
from ecgqa.record import LEADS
from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.bootstrap import interval, interval_over
from training.data.questions import TEMPLATES, Facts, Question
from training.judge import blind
from training.judge.tables import Control, measured, put_between, table
from training.stages.replies import (
    KINDS,
    Encoded,
    generate,
    predict,
    some,
    some_questions,
    stand_ins,
)

CONTROLS = (
    "true", "blind", "text", "commonest", "shuffled", "severity", "noise", "flat", "perfect",
    "perfect-severity",
)  # fmt: skip
# Controls that ask no model, and whose ECGs they are given.
NO_MODEL = {
    "text": "true", "commonest": "true", "perfect": "shuffled", "perfect-severity": "severity",
}  # fmt: skip


Answers = dict[int, tuple[tuple[str, ...], float]]  # number of a question: answer, P(yes) or NaN


def read_perfectly(
    asked: list[Question], given: list[tuple[int | str, ...] | None], facts: Facts
) -> list[tuple[tuple[str, ...], float]]:
    """What the labels of the given ECGs answer, as `predict` does; () where they do not say."""
    index = {int(e): i for i, e in enumerate(facts.data.ecg_id)}
    out: list[tuple[tuple[str, ...], float]] = []
    for question, ids in zip(asked, given, strict=True):
        rows = tuple(index[int(i)] for i in ids or ())
        answer = questions.answer_of(questions.key_of(question), facts, rows)
        if answer == ("not sure",):  # the model is only asked for yes or no
            answer = ("yes",)
        out.append((answer or (), float(answer == ("yes",))))
    return out


def summary(
    asked: list[Question],
    predicted: list[tuple[tuple[str, ...], float]],
    cautious: float = 0.5,
    severity: dict[int, int] | None = None,
) -> dict[str, Any]:
    """Exact match by question type, and by its attribute type and the severity of the ECG.

    For verify questions also AUC of P(yes), the exact match where "yes" needs P(yes) of `cautious`,
    the expected calibration error, and the share right among the surest 80 and 50 %. macro: mean
    over templates. over_wordings: the interval if not questions but wordings are drawn anew, since
    one that is misread spoils all questions put in it. severity: {ECG id: 0, 1, 2}. Intervals are
    95 %.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for k, question in enumerate(asked):
        groups[question.question_type].append(k)
        if severity:
            worst = max(severity[i] for i in question.ecg_id)
            groups[f"{question.question_type} / severity {worst}"].append(k)
        if TEMPLATES[question.template_id].ecgs == 2 and question.question_type.endswith("verify"):
            groups["two ECGs, verify"].append(k)
        groups[f"{question.question_type} / {question.attribute_type}"].append(k)
    out = {}
    for name, members in sorted(groups.items()):
        right = np.array([set(predicted[k][0]) == set(asked[k].answer) for k in members], float)
        entry = {"n": len(members), "exact_match": float(right.mean()), "interval": interval(right)}
        words = [wording(asked[k]) for k in members]
        entry |= {"wordings": len(set(words)), "over_wordings": interval_over(words, right)}
        template = np.array([asked[k].template_id for k in members])
        entry["macro"] = float(np.mean([right[template == t].mean() for t in np.unique(template)]))
        if "verify" in name:
            pairs = np.array(
                [
                    (asked[k].answer[0] == "yes", predicted[k][1])
                    for k in members
                    if asked[k].answer[0] in ("yes", "no")
                ],
                float,
            )
            entry["said_yes"] = float(np.mean([predicted[k][0] == ("yes",) for k in members]))
            sure = [("yes" if predicted[k][1] >= cautious else "no") for k in members]
            agrees = [(s,) == asked[k].answer for s, k in zip(sure, members, strict=True)]
            right = np.array(agrees, float)
            entry["cautious"] = float(right.mean())
            entry["cautious_interval"] = interval(right)
            entry |= calibration(pairs)
            entry["auc"] = area(pairs)
            entry["auc_interval"] = interval(pairs, area, 300)
        out[name] = entry
    return out


def wording(question: Question) -> tuple[int, str]:
    """Template and text without what it names: the same for all questions put in the same words."""
    text = question.question.lower()
    for name in sorted(question.attribute, key=len, reverse=True):
        text = text.replace(name.lower(), "*")
    return question.template_id, re.sub(rf"\b({'|'.join(LEADS)})\b", "*", text, flags=re.I)


def calibration(pairs: np.ndarray, bins: int = 10) -> dict[str, float]:
    """Of (truth, P(yes)) rows: expected calibration error over `bins` equal bins of P(yes), and the
    share right among the surest 80 and 50 % (1 - risk at that coverage)."""
    truth, chance = pairs[:, 0], pairs[:, 1]
    if np.isnan(chance).any():
        return {}
    place = np.minimum((chance * bins).astype(int), bins - 1)
    gaps = [
        abs(truth[place == b].mean() - chance[place == b].mean()) * (place == b).mean()
        for b in np.unique(place)
    ]
    order = np.argsort(-np.abs(chance - 0.5))
    right = ((chance >= 0.5) == truth)[order]
    surest = {f"right_at_{share}": float(right[: len(right) * share // 100].mean())
              for share in (80, 50) if len(right) * share >= 100}  # fmt: skip
    return {"ece": float(sum(gaps)), **surest}


def area(pairs: np.ndarray) -> float:
    """Area under the ROC curve of (truth, score) rows; NaN where all are of one kind.

    By the ranks of the scores (Mann & Whitney 1947), since a bootstrap asks for it thousands of
    times.
    """
    truth = pairs[:, 0] > 0
    yes, no = int(truth.sum()), int((~truth).sum())
    if not yes or not no:
        return float("nan")
    ranks = rankdata(pairs[:, 1])
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: a table per figure, in it a row per question type and a column per control."""
    names = [n for n in next(iter(results.values())) if " / " not in n]
    out = []
    for title, figure, interval_of, scale in (
        ("exact match, %", "exact_match", "interval", 100),
        ("AUC of P(yes)", "auc", "auc_interval", 1),
        ("cautious, %", "cautious", "cautious_interval", 100),
    ):
        lines = [
            f"| {title} | n | " + " | ".join(results) + " |",
            "|---|---|" + "---|" * len(results),
        ]
        for name in names:
            cells = [
                _cell(found.get(name, {}), figure, interval_of, scale) for found in results.values()
            ]
            if any(cells):
                n = next(iter(results.values()))[name]["n"]
                lines.append(f"| {name} | {n} | " + " | ".join(cells) + " |")
        if len(lines) > 2:
            out.append("\n".join(lines))
    own = results.get("true", {})
    lines = ["| exact match, %, over wordings | wordings | true |", "|---|---|---|"]
    for name in names:
        if "over_wordings" in own.get(name, {}):
            cell = _cell(own[name], "exact_match", "over_wordings", 100)
            lines.append(f"| {name} | {own[name]['wordings']} | {cell} |")
    return "\n\n".join([*out, "\n".join(lines)] if len(lines) > 2 else out)


def contrasts(asked: list[Question], said: dict[str, Answers]) -> list[Control]:
    """How far the accuracy falls from one control to another, in points, with paired intervals."""
    said = said | {"labels": {k: (question.answer, np.nan) for k, question in enumerate(asked)}}

    def gaps(kind: str, *pairs: tuple[str, str]) -> np.ndarray:
        """[n, pairs]: right under one control minus right under the other, 100 each; over the
        questions of this kind that all of them were asked."""
        names = {name for pair in pairs for name in pair}
        if not names <= set(said):
            return np.zeros((0, len(pairs)))
        common = set.intersection(*(set(said[name]) for name in names))
        members = sorted(k for k in common if asked[k].question_type == kind)
        right = {name: hits(name, members) for name in names}
        return np.stack([right[a] - right[b] for a, b in pairs], axis=1)

    def hits(name: str, members: list[int]) -> np.ndarray:
        return 100.0 * np.array([set(said[name][k][0]) == set(asked[k].answer) for k in members])

    def no_ecg(kind: str) -> str:
        """The best of the answerers that see no ECG."""
        members = [k for k, question in enumerate(asked) if question.question_type == kind]
        names = {"text", "commonest"} & set(said) if members else set()
        return max(sorted(names), key=lambda name: hits(name, members).mean(), default="text")

    out = []
    for kind, least in (("single-verify", 8), ("single-choose", 15)):
        gap = gaps(kind, ("true", no_ecg(kind)))
        if len(gap):
            name = f"T1 {kind}: true minus {no_ecg(kind)}"
            out.append(measured(name, gap, np.mean, least, " points"))
    # The same of a flawless reader, who answers from the labels of the ECG that is handed over.
    for who, true, shuffled, severity in (
        ("", "true", "shuffled", "severity"),
        (", a flawless reader", "labels", "perfect", "perfect-severity"),
    ):
        gap = gaps("single-verify", (shuffled, no_ecg("single-verify")))
        if len(gap):
            name = f"T2 single-verify: shuffled minus {no_ecg('single-verify')}{who}"
            t2 = measured(name, gap, np.mean, 0, "")
            out.append(replace(t2, wanted="within 1 point", passed=abs(t2.value) <= 1))
        gap = gaps("single-verify", (true, severity), (true, shuffled))
        if len(gap):
            name = f"T3 single-verify: drop within a severity, share of the whole drop{who}"
            out.append(measured(name, gap, _share_of_drop, 70, " %"))
    return out


def _share_of_drop(gaps: np.ndarray) -> float:
    return 100 * float(gaps[:, 0].mean()) / max(1e-9, float(gaps[:, 1].mean()))


def _cell(entry: dict[str, Any], figure: str, interval_of: str, scale: int) -> str:
    if figure not in entry:
        return ""
    digits = 1 if scale == 100 else 3
    value, (low, high) = entry[figure] * scale, (v * scale for v in entry[interval_of])
    n = f", n {entry['n']}" if entry.get("part") else ""
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f}){n}"


def replies_of(
    args: argparse.Namespace, asked: list[Question], data: ptbxl.PtbXl, model: EcgModel
) -> dict[str, Answers]:
    """What each control replies to the questions that are put to it."""
    every, few = list(range(len(asked))), some(len(asked), args.few) if args.few else None
    members = {c: every if few is None or c in ("true", *NO_MODEL) else few for c in args.control}
    given = {
        c: stand_ins([asked[k] for k in members[c]], NO_MODEL.get(str(c), str(c)), data, args.seed)
        for c in args.control
    }
    looking = [c for c in args.control if c not in NO_MODEL]
    runs = [(c, k) for c in looking for k in members[c]]
    # All controls at once: the same question about other ECGs is read once.
    found = (generate if args.free else predict)(
        model,
        Encoded(model, data, ptbxl.signals(data, args.cache)),
        [asked[k] for _, k in runs],
        [ecgs for c in looking for ecgs in given[c]],
    )
    said: dict[str, Answers] = {c: {} for c in args.control}
    for (control, k), reply in zip(runs, found, strict=True):
        said[control][k] = reply
    if set(args.control) & set(NO_MODEL):
        said |= without_model(args, asked, given, Facts(data, args.intervals))
    return said


def without_model(
    args: argparse.Namespace,
    asked: list[Question],
    given: dict[str, list[tuple[int | str, ...] | None]],
    facts: Facts,
) -> dict[str, Answers]:
    """What the controls of `NO_MODEL` reply, those that were chosen."""
    said: dict[str, Answers] = {}
    if {"text", "commonest"} & set(args.control):
        rows = ptbxl.splits(facts.data, args.ecgqa)["train"]
        made = blind.train_questions(facts, rows, args.ecgqa)
        for name, by in (("text", blind.answers), ("commonest", blind.commonest)):
            if name in args.control:
                said[name] = dict(enumerate(by(made, asked)))
    for control in {"perfect", "perfect-severity"} & set(args.control):
        perfect = read_perfectly(asked, given[control], facts)
        said[control] = {k: reply for k, reply in enumerate(perfect) if reply[0]}
    return said


def scores(
    asked: list[Question], said: dict[str, Answers], cautious: float, severity: dict[int, int]
) -> dict[str, dict[str, Any]]:
    """The summary of each control, without what says nothing there."""
    results = {}
    for control, replies in said.items():
        part = summary([asked[k] for k in replies], list(replies.values()), cautious, severity)
        if control in NO_MODEL:  # the model's thresholds say nothing here
            kept: tuple[str, ...] = ("n", "exact_match", "interval", "macro")
            kept += ("auc", "auc_interval") if control in ("text", "commonest") else ()
            part = {name: {k: entry[k] for k in kept if k in entry} for name, entry in part.items()}
        if len(replies) < len(asked):
            part = {name: entry | {"part": True} for name, entry in part.items()}
        results[control] = part
    return results


def flags() -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__, "ptbxl", "checkpoint", "llm", "cache")
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--ecgqa", help="ECG-QA folder, for control text")
    parser.add_argument("--intervals", help="CSV of training.data.intervals, for text and perfect")
    parser.add_argument("--control", nargs="+", choices=CONTROLS, default=["true"])
    parser.add_argument("--free", action="store_true", help="answer lists by free generation")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="leave out the others"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the shuffles")
    parser.add_argument("--limit", type=int, default=0, help="a random so many of the questions")
    parser.add_argument(
        "--few", type=int, default=0,
        help="put a random so many of the questions to the other controls than true",
    )  # fmt: skip
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", type=Path, help="what a run on other --kinds wrote, to add to it")
    parser.add_argument("--readme", type=Path, help="put the tables between this file's marks")
    return parser.parse_args()


def main() -> None:
    """Ask, score, and write what was found."""
    args = flags()
    asked = some_questions(args.questions, args.kinds, args.limit)
    data = ptbxl.load(args.ptbxl)
    model = EcgModel.load(args.checkpoint, args.llm)
    said = replies_of(args, asked, data, model)
    severity = {int(e): int(s) for e, s in zip(data.ecg_id, data.severity, strict=True)}
    results = scores(asked, said, model.config.cautious_yes, severity)
    lines = [asdict(c) for c in contrasts(asked, said)]
    record = {"questions": args.questions.name, "results": results, "contrasts": lines}
    if args.add:
        record = together(record, json.loads(args.add.read_text()))
    print(report(record))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n")
    if args.readme:
        put_between(args.readme, "evaluation", report(record))


def together(record: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two runs on other kinds of questions of one file as one. Raises ValueError otherwise."""
    if record["questions"] != other["questions"]:
        raise ValueError(f"not the same questions: {record['questions']}, {other['questions']}")
    results = {}
    for control in record["results"] | other["results"]:
        parts = [r["results"].get(control, {}) for r in (record, other)]
        if set(parts[0]) & set(parts[1]):
            raise ValueError(f"both hold {sorted(set(parts[0]) & set(parts[1]))}")
        results[control] = dict(sorted((parts[0] | parts[1]).items()))
    lines = sorted([*record["contrasts"], *other["contrasts"]], key=lambda line: line["name"])
    return {"questions": record["questions"], "results": results, "contrasts": lines}


def report(record: dict[str, Any]) -> str:
    """Markdown of what `main` wrote: the tables, and the lines of the controls."""
    lines = table([Control(**c) for c in record["contrasts"]])
    return f"{tables(record['results'])}\n\n{lines}"


if __name__ == "__main__":
    main()
