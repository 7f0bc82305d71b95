"""Score a checkpoint on ECG-QA questions, with the controls that show whether it looks at the ECG.

    python -m training.evaluate --ptbxl DIR --questions FILE_OR_DIR [--control NAME ...] \
        [--limit N] [--checkpoint DIR] [--out FILE.json]

A questions file is ECG-QA's own JSON; `training.questions` writes regenerated ones in that form.
Exact match as ECG-QA defines it: only the template's valid answers count, and all must be right.
Verify questions compare P(yes) with P(no); choose questions put each of the two options to the
model on its own, query questions the likeliest of their valid answers (`ecgqa.answer.options`).
With `--free` choose and query questions are answered by free generation (set equality).

Controls: `true` the question's own ECG; `blind` no ECG; `noise`, `flat` a stand-in without an ECG;
`shuffled` another question's ECG; `severity` another question's ECG of the same severity; `text`
no model of ours, but one that was trained on the questions' words alone (`training.blind`; give
`--ecgqa`); `commonest` the commonest answer to each template among training questions. `perfect`
and `perfect-severity` ask no model: they answer from the labels of the shuffled ECGs (give
`--intervals`), which is what a flawless reader scores when it is handed the wrong ECG. It falls
below blind, so a model that looks must fall below blind as well.

Verify questions are scored twice: "yes" from P(yes) 0.5 on, and, as `cautious`, from the P(yes) on
that one in twenty validation questions reaches with another patient's ECG.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from scipy.stats import rankdata

from ecgqa.answer.assistant import CHECKPOINT
from ecgqa.answer.grounding import flat_signal, noise_signal
from ecgqa.answer.options import NONE, decide, likeliest, option_questions, understand
from ecgqa.model.ecg_model import SEPARATOR, EcgModel
from ecgqa.model.features import EcgFeatures
from ecgqa.record import LEADS
from training import blind, ptbxl, questions
from training.questions import TEMPLATES, Facts, Question
from training.tables import Control, interval, interval_over, measured, put_between, table

CONTROLS = (
    "true", "blind", "text", "commonest", "shuffled", "severity", "noise", "flat", "perfect",
    "perfect-severity",
)  # fmt: skip
# Controls that ask no model, and whose ECGs they are given.
NO_MODEL = {
    "text": "true", "commonest": "true", "perfect": "shuffled", "perfect-severity": "severity",
}  # fmt: skip
KINDS = ("verify", "choose", "query")


class Encoded:
    """Features of the ECGs that the questions need, each encoded once."""

    def __init__(self, model: EcgModel, data: ptbxl.PtbXl, signals: np.ndarray) -> None:
        self.model, self.data, self.signals = model, data, signals
        self.index = {int(e): i for i, e in enumerate(data.ecg_id)}
        self._kept: dict[int | str, EcgFeatures] = {}

    def of(self, names: list[int | str]) -> EcgFeatures:
        """Features [b, ...] of ECG ids, "noise" or "flat"."""
        missing = [n for n in dict.fromkeys(names) if n not in self._kept]
        for start in range(0, len(missing), 64):
            part = missing[start : start + 64]
            signal = np.stack([self.signal(n) for n in part]).astype(np.float32)
            with torch.no_grad():
                features = self.model.encode(torch.from_numpy(signal))
            for i, name in enumerate(part):
                self._kept[name] = EcgFeatures(*(v[i : i + 1] for v in features))
        rows = [self._kept[n] for n in names]
        return EcgFeatures(*(torch.cat(values) for values in zip(*rows, strict=True)))

    def given(
        self, names: tuple[int | str, ...] | None
    ) -> tuple[EcgFeatures | None, EcgFeatures | None]:
        """Features of one ECG each: the first and the second, None where there is none."""
        first, second, *_ = [*(self.of([name]) for name in names or ()), None, None]
        return first, second

    def signal(self, name: int | str) -> np.ndarray:
        """Model input [12, 1000] of an ECG id, of "flat" or of "noise ID"."""
        if name == "flat":
            return flat_signal()
        if isinstance(name, str):  # "noise 17": noise as loud as ECG 17
            like = np.asarray(self.signals[self.index[int(name.split()[1])]], np.float32)
            return noise_signal(like, int(name.split()[1]))
        return np.asarray(self.signals[self.index[name]])


def stand_ins(
    asked: list[Question], control: str, data: ptbxl.PtbXl, seed: int = 0
) -> list[tuple[int | str, ...] | None]:
    """The ECGs given to the model for each question under a control; None: no ECG.

    shuffled, severity: those of another question, none of them its own; two tracings of one patient
    are exchanged for two of another.
    """
    own = [q.ecg_id for q in asked]
    if control == "true":
        return list(own)
    if control == "blind":
        return [None] * len(own)
    if control == "flat":
        return [tuple("flat" for _ in ids) for ids in own]
    if control == "noise":
        return [tuple(f"noise {i}" for i in ids) for ids in own]
    index = {int(e): i for i, e in enumerate(data.ecg_id)}
    alike, cells = defaultdict(list), defaultdict(list)
    for k, question in enumerate(asked):
        ids = question.ecg_id
        sort = len(ids), TEMPLATES[question.template_id].consecutive
        strata = tuple(int(data.severity[index[i]]) for i in ids) if control == "severity" else ()
        alike[sort].append(k)
        cells[sort, strata].append(k)
    rng = np.random.default_rng(seed)
    out: list[tuple[int | str, ...] | None] = [None] * len(own)
    for (sort, _), members in cells.items():
        order = [int(k) for k in rng.permutation(members)]
        rest = [int(k) for k in rng.permutation(alike[sort])]  # where a cell has nobody else
        for place, k in enumerate(order):
            others = (*order[place + 1 :], *order[:place], *rest)
            out[k] = next((own[o] for o in others if not set(own[o]) & set(own[k])), None)
    return out


Answers = dict[int, tuple[tuple[str, ...], float]]  # number of a question: answer, P(yes) or NaN


class Row(NamedTuple):
    """One yes/no question for the language model: which question it belongs to, its text, its kind
    for `decide` or of calibration, and the option that it asks about (None: it is the question)."""

    k: int
    text: str
    kind: str
    option: str | None = None


def rows_of(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
) -> list[Row]:
    """The yes/no questions that `asked` are answered with.

    Lists as `ecgqa.answer.options` answers them: what the question asks is read from its words, the
    evidence proposes, the language model is asked of what it proposes.
    """
    out: list[Row] = []
    opens: dict[bool, list[int]] = defaultdict(list)
    for k, question in enumerate(asked):
        template = TEMPLATES[question.template_id]
        if template.kind == "verify":
            out.append(Row(k, question.question, "verify" if template.ecgs == 1 else "compare"))
        else:
            opens[template.ecgs == 2].append(k)
    for two, these in opens.items():
        for start in range(0, len(these), 32):
            part = these[start : start + 32]
            about = understand(model, [asked[k].question for k in part], two)
            for k, what in zip(part, about, strict=True):
                options = [o for o in asked[k].valid_answers if o != NONE]
                texts = option_questions(model, what, options)
                first, second = encoded.given(given[k])
                template = TEMPLATES[asked[k].template_id]
                kind = template.group if template.kind == "query" else f"choose {template.group}"
                for i in likeliest(model, texts, first, second):
                    out.append(Row(k, texts[i], kind, options[i]))
    return out


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


def batches(
    encoded: Encoded, texts: list[str], given: list[tuple[int | str, ...] | None], size: int
) -> Iterator[tuple[list[int], EcgFeatures | None, EcgFeatures | None]]:
    """(numbers of texts, features of their first and of their second ECGs) of batches in which all
    have as many ECGs and about the same length; like texts lie together, so that each is read once.
    """
    jobs: dict[int, list[int]] = defaultdict(list)
    for i, names in enumerate(given):
        jobs[len(names or ())].append(i)
    for count, members in jobs.items():
        members = sorted(members, key=lambda i: (len(texts[i]), texts[i]))
        for start in range(0, len(members), size):
            part = members[start : start + size]
            ecgs = [encoded.of([(given[i] or ())[e] for i in part]) for e in range(count)]
            first, second, *_ = [*ecgs, None, None]
            yield part, first, second


def margins_of(
    model: EcgModel,
    encoded: Encoded,
    rows: list[Row],
    given: list[tuple[int | str, ...] | None],
) -> list[float]:
    """Log odds of "yes" per row; what is asked of the same ECGs in the same words is asked once."""
    asked = list(dict.fromkeys((row.text, given[row.k]) for row in rows))
    texts = [text for text, _ in asked]
    found: dict[tuple[str, tuple[int | str, ...] | None], float] = {}
    for part, first, second in batches(encoded, texts, [ecgs for _, ecgs in asked], 48):
        margins = model.yes_margin([texts[i] for i in part], first, second).tolist()
        found.update(zip((asked[i] for i in part), margins, strict=True))
    return [found[row.text, given[row.k]] for row in rows]


def predict(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
) -> list[tuple[tuple[str, ...], float]]:
    """(answer, P(yes) or NaN) per question, given these ECGs."""
    rows = rows_of(model, encoded, asked, given)
    out: list[tuple[tuple[str, ...], float]] = [((), np.nan)] * len(asked)
    found: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    margins = margins_of(model, encoded, rows, given)
    for row, margin in zip(rows, margins, strict=True):
        if row.option is None:
            chance = float(model.calibrated(torch.tensor(margin), row.kind))
            out[row.k] = (("yes",) if chance >= 0.5 else ("no",), chance)
        else:
            found[row.k, row.kind][row.option] = margin
    for (k, kind), of_options in found.items():
        out[k] = (decide(model, kind, of_options).options, np.nan)
    return out


def generate(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
) -> list[tuple[tuple[str, ...], float]]:
    """(answer, NaN) per question by free generation, given these ECGs."""
    out: list[tuple[tuple[str, ...], float]] = [((), np.nan)] * len(asked)
    texts = [question.question for question in asked]
    for part, first, second in batches(encoded, texts, given, 32):
        found = model.generate([texts[k] for k in part], first, second)
        for k, text in zip(part, found, strict=True):
            out[k] = (tuple(t.strip() for t in text.split(SEPARATOR.strip())), np.nan)
    return out


def summary(
    asked: list[Question],
    predicted: list[tuple[tuple[str, ...], float]],
    cautious: float = 0.5,
    severity: dict[int, int] | None = None,
) -> dict:
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


def tables(results: dict[str, dict]) -> str:
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
        members = set.intersection(*(set(said[name]) for name in names))
        members = sorted(k for k in members if asked[k].question_type == kind)
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


def _cell(entry: dict, figure: str, interval_of: str, scale: int) -> str:
    if figure not in entry:
        return ""
    digits = 1 if scale == 100 else 3
    value, (low, high) = entry[figure] * scale, (v * scale for v in entry[interval_of])
    n = f", n {entry['n']}" if entry.get("part") else ""
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f}){n}"


def some_questions(path: Path, kinds: Collection[str], limit: int) -> list[Question]:
    """The questions of these kinds in a file or folder; at most `limit` (0: all), at random."""
    asked = [q for q in questions.read_questions(path) if TEMPLATES[q.template_id].kind in kinds]
    if not limit or limit >= len(asked):
        return asked
    return [asked[i] for i in some(len(asked), limit)]


def some(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` numbers, at random but always the same ones, in order."""
    chosen = np.random.default_rng(0).choice(count, min(limit, count), replace=False)
    return sorted(int(i) for i in chosen)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--ecgqa", help="ECG-QA folder, for control text")
    parser.add_argument("--intervals", help="CSV of training.intervals, for text and perfect")
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
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--llm")
    parser.add_argument("--cache", default=".work/cache")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", type=Path, help="what a run on other --kinds wrote, to add to it")
    parser.add_argument("--readme", type=Path, help="put the tables between this file's marks")
    args = parser.parse_args()
    asked = some_questions(args.questions, args.kinds, args.limit)
    data = ptbxl.load(args.ptbxl)
    model = EcgModel.load(args.checkpoint, args.llm)
    encoded = Encoded(model, data, ptbxl.signals(data, args.cache))
    facts = Facts(data, args.intervals) if set(args.control) & set(NO_MODEL) else None
    severity = {int(e): int(s) for e, s in zip(data.ecg_id, data.severity, strict=True)}
    few = list(range(len(asked)))
    if args.few:
        few = some(len(asked), args.few)
    members = {c: list(range(len(asked))) if c in ("true", *NO_MODEL) else few
               for c in args.control}  # fmt: skip
    given = {
        c: stand_ins([asked[k] for k in members[c]], NO_MODEL.get(str(c), str(c)), data, args.seed)
        for c in args.control
    }
    runs = [(c, k) for c in args.control if c not in NO_MODEL for k in members[c]]
    answer = generate if args.free else predict
    # All controls at once: the same question about other ECGs is read once.
    found = answer(
        model,
        encoded,
        [asked[k] for _, k in runs],
        [ecgs for c in args.control if c not in NO_MODEL for ecgs in given[c]],
    )
    said: dict[str, Answers] = {c: {} for c in args.control}
    for (control, k), reply in zip(runs, found, strict=True):
        said[control][k] = reply
    if {"text", "commonest"} & set(said):
        rows = ptbxl.splits(data, args.ecgqa)["train"]
        made = blind.train_questions(cast(Facts, facts), rows, args.ecgqa)
        for name, by in (("text", blind.answers), ("commonest", blind.commonest)):
            if name in said:
                said[name] = dict(enumerate(by(made, asked)))
    for control in {"perfect", "perfect-severity"} & set(said):
        perfect = read_perfectly(asked, given[control], cast(Facts, facts))
        said[control] = {k: reply for k, reply in enumerate(perfect) if reply[0]}
    results = {}
    for control, replies in said.items():
        part = summary(
            [asked[k] for k in replies],
            list(replies.values()),
            model.config.cautious_yes,
            severity,
        )
        if control in NO_MODEL:  # the model's thresholds say nothing here
            kept = ("n", "exact_match", "interval", "macro")
            kept += ("auc", "auc_interval") if control in ("text", "commonest") else ()
            part = {name: {k: entry[k] for k in kept if k in entry} for name, entry in part.items()}
        if len(replies) < len(asked):
            part = {name: entry | {"part": True} for name, entry in part.items()}
        results[control] = part
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


def together(record: dict, other: dict) -> dict:
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


def report(record: dict) -> str:
    """Markdown of what `main` wrote: the tables, and the lines of the controls."""
    lines = table([Control(**c) for c in record["contrasts"]])
    return f"{tables(record['results'])}\n\n{lines}"


if __name__ == "__main__":
    main()
