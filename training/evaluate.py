"""Score a checkpoint on ECG-QA questions, with the controls that show whether it looks at the ECG.

    python -m training.evaluate --ptbxl DIR --questions FILE_OR_DIR [--control NAME ...] \
        [--limit N] [--checkpoint DIR] [--out FILE.json]

A questions file is ECG-QA's own JSON; `training.questions` writes regenerated ones in that form.
Exact match as ECG-QA defines it: only the template's valid answers count, and all must be right.
Verify questions compare P(yes) with P(no); choose questions put each of the two options to the
model on its own; query questions are answered by free generation (set equality), or with
`--queries options` by putting every valid answer to the model (slow).

Controls: `true` the question's own ECG; `blind` no ECG; `noise`, `flat` a stand-in without an ECG;
`shuffled` another question's ECG; `severity` another question's ECG of the same severity. `perfect`
asks no model: it answers from the labels of the shuffled ECGs (give `--intervals`), which is what a
flawless reader scores when it is handed the wrong ECG. It falls below blind, so a model that looks
must fall below blind as well.

Verify questions are scored twice: "yes" from P(yes) 0.5 on, and, as `cautious`, from the P(yes) on
that one in twenty validation questions reaches with another patient's ECG.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from ecgqa.answer import CHECKPOINT, option_question
from ecgqa.features import EcgFeatures
from ecgqa.grounding import flat_signal, noise_signal
from ecgqa.model import SEPARATOR, EcgModel
from training import ptbxl, questions
from training.questions import NONE, TEMPLATES, Facts, Question

CONTROLS = ("true", "blind", "shuffled", "severity", "noise", "flat", "perfect")
KINDS = ("verify", "choose", "query")
EXCLUSIVE = {"axis", "ranges_of_feature"}  # groups of which exactly one option is right
MARKS = ("<!-- evaluation -->", "<!-- end of evaluation -->")


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
    """The ECGs given to the model for each question under a control; None: no ECG."""
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
    cells = defaultdict(list)
    for k, ids in enumerate(own):
        strata = tuple(int(data.severity[index[i]]) for i in ids) if control == "severity" else ()
        cells[len(ids), strata].append(k)
    rng = np.random.default_rng(seed)
    out: list[tuple[int | str, ...] | None] = list(own)
    for members in cells.values():
        for k, other in zip(members, rng.permutation(members), strict=True):
            out[k] = own[other]
    return out


def put(question: Question, whole: bool) -> list[tuple[str, str, str | None]]:
    """What the model is asked: (text, kind of calibration, option) as it is, or per option."""
    if whole:
        kind = "verify" if TEMPLATES[question.template_id].ecgs == 1 else "compare"
        return [(question.question, kind, None)]
    options = [a for a in question.valid_answers if a != NONE]
    return [(*option_question(question.question, o), o) for o in options]


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


def predict(
    model: EcgModel,
    encoded: Encoded,
    asked: list[Question],
    given: list[tuple[int | str, ...] | None],
    queries: str = "generate",
    batch: int = 24,
) -> list[tuple[tuple[str, ...], float]]:
    """(answer, P(yes) or NaN) per question, given these ECGs."""
    jobs: dict[tuple[str, int], list[int]] = defaultdict(list)
    for k, question in enumerate(asked):
        kind = TEMPLATES[question.template_id].kind
        how = "generate" if kind == "query" and queries == "generate" else kind
        jobs[how, len(given[k] or ())].append(k)
    out: list[tuple[tuple[str, ...], float]] = [((), np.nan)] * len(asked)
    for (how, count), members in jobs.items():
        members = sorted(members, key=lambda k: len(asked[k].question))
        rows: list[tuple[int, str, str, str | None]] = []  # question, text, calibration, option
        for k in members:
            rows += [(k, *put_) for put_ in put(asked[k], how in ("verify", "generate"))]
        found: dict[int, dict[str, float]] = defaultdict(dict)
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            texts = [text for _, text, _, _ in part]
            ecgs = [encoded.of([(given[k] or ())[i] for k, *_ in part]) for i in range(count)]
            first, second = (*ecgs, None, None)[:2]
            if how == "generate":
                for (k, *_), text in zip(part, model.generate(texts, first, second), strict=True):
                    out[k] = (tuple(t.strip() for t in text.split(SEPARATOR.strip())), np.nan)
                continue
            margins = model.yes_margin(texts, first, second).tolist()
            for (k, _, kind, option), margin in zip(part, margins, strict=True):
                scale, shift = model.config.calibration.get(kind, (1.0, 0.0))
                chance = 1 / (1 + math.exp(-(scale * margin + shift)))
                if option is None:
                    out[k] = (("yes",) if chance >= 0.5 else ("no",), chance)
                else:
                    found[k][option] = chance
        for k, chances in found.items():
            if TEMPLATES[asked[k].template_id].group in EXCLUSIVE and how == "query":
                out[k] = ((max(chances, key=chances.__getitem__),), np.nan)
            else:
                out[k] = (tuple(o for o, c in chances.items() if c >= 0.5) or (NONE,), np.nan)
    return out


def interval(values: np.ndarray, statistic=np.mean, draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over rows."""
    rng = np.random.default_rng(0)
    n = len(values)
    each = [statistic(values[rng.integers(0, n, n)]) for _ in range(draws)]
    return float(np.nanquantile(each, 0.025)), float(np.nanquantile(each, 0.975))


def summary(
    asked: list[Question], predicted: list[tuple[tuple[str, ...], float]], cautious: float = 0.5
) -> dict:
    """Exact match by question type; for verify questions also AUC of P(yes) and the exact match
    where "yes" needs P(yes) of `cautious`. Intervals are 95 %."""
    groups: dict[str, list[int]] = defaultdict(list)
    for k, question in enumerate(asked):
        groups[question.question_type].append(k)
        if TEMPLATES[question.template_id].ecgs == 2 and question.question_type.endswith("verify"):
            groups["two ECGs, verify"].append(k)
        groups[f"{question.question_type} / {question.attribute_type}"].append(k)
    out = {}
    for name, members in sorted(groups.items()):
        right = np.array([set(predicted[k][0]) == set(asked[k].answer) for k in members], float)
        entry = {"n": len(members), "exact_match": float(right.mean()), "interval": interval(right)}
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
            entry["auc"] = _auc(pairs)
            entry["auc_interval"] = interval(pairs, _auc, 300)
        out[name] = entry
    return out


def _auc(pairs: np.ndarray) -> float:
    truth = pairs[:, 0]
    return (
        float(roc_auc_score(truth, pairs[:, 1])) if 0 < truth.sum() < len(truth) else float("nan")
    )


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
    return "\n\n".join(out)


def show(results: dict[str, dict], readme: Path) -> None:
    """Replace what stands between the marks of a Markdown file by the tables."""
    before, mark, rest = readme.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise ValueError(f"{readme} has no marks {MARKS}")
    readme.write_text(f"{before}{mark}\n\n{tables(results)}\n\n{end}{after}")


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
    chosen = np.random.default_rng(0).choice(len(asked), limit, replace=False)
    return [asked[i] for i in sorted(chosen)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--questions", required=True, type=Path)
    parser.add_argument("--intervals", help="CSV of training.intervals, for control perfect")
    parser.add_argument("--control", nargs="+", choices=CONTROLS, default=["true"])
    parser.add_argument("--queries", choices=("generate", "options"), default="generate")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="leave out the others"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the shuffles")
    parser.add_argument("--limit", type=int, default=0, help="a random so many of the questions")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--llm")
    parser.add_argument("--cache", default=".work/cache")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", action="store_true", help="keep the other types already in --out")
    parser.add_argument("--readme", type=Path, help="put the tables between this file's marks")
    args = parser.parse_args()
    asked = some_questions(args.questions, args.kinds, args.limit)
    data = ptbxl.load(args.ptbxl)
    model = EcgModel.load(args.checkpoint, args.llm)
    encoded = Encoded(model, data, ptbxl.signals(data, args.cache))
    results = {}
    for control in args.control:
        if control == "perfect":
            facts = Facts(data, args.intervals)
            given = stand_ins(asked, "shuffled", data, args.seed)
            predicted = read_perfectly(asked, given, facts)
            known = [k for k, (answer, _) in enumerate(predicted) if answer]
            found = summary([asked[k] for k in known], [predicted[k] for k in known])
            results[control] = {
                name: {k: entry[k] for k in ("n", "exact_match", "interval")} | {"part": True}
                for name, entry in found.items()
            }
        else:
            given = stand_ins(asked, control, data, args.seed)
            predicted = predict(model, encoded, asked, given, args.queries)
            results[control] = summary(asked, predicted, model.config.cautious_yes)
        print(f"{control}: done, {len(asked)} questions", flush=True)
    print(tables(results))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        if args.add and args.out.exists():
            for control, found in json.loads(args.out.read_text())["results"].items():
                results[control] = found | results.get(control, {})
        record = {"questions": args.questions.name, "results": results}
        args.out.write_text(json.dumps(record, indent=1) + "\n")
    if args.readme:
        show(results, args.readme)


if __name__ == "__main__":
    main()
