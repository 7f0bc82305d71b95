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
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecgqa.answer import CHECKPOINT, option_question
from ecgqa.features import EcgFeatures
from ecgqa.grounding import flat_signal, ground, move, noise_signal
from ecgqa.model import SEPARATOR, EcgModel
from ecgqa.record import ECG
from ecgqa.tensor import MODEL_RATE_HZ
from training import ptbxl, questions
from training.questions import NONE, TEMPLATES, Facts, Question

CONTROLS = ("true", "blind", "shuffled", "severity", "noise", "flat", "perfect")
KINDS = ("verify", "choose", "query")
EXCLUSIVE = {"axis", "ranges_of_feature"}  # groups of which exactly one option is right
MARKS = ("<!-- evaluation -->", "<!-- end of evaluation -->")
CAUTIOUS_YES = 0.05  # share of validation questions about another patient's ECG that get a "yes"


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
        return [(question.question, "verify", None)]
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
        if answer == ("not sure",):
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


def calibrate(model: EcgModel, encoded: Encoded, asked: list[Question], folder: Path) -> None:
    """Fit Platt scaling of P(yes) and the cautious P(yes); write them into the checkpoint."""
    margins: dict[str, list[float]] = defaultdict(list)
    truth: dict[str, list[bool]] = defaultdict(list)
    for question in asked:
        rows = put(question, TEMPLATES[question.template_id].kind == "verify")
        ecgs = [encoded.of([i] * len(rows)) for i in question.ecg_id]
        found = model.yes_margin([text for text, _, _ in rows], *ecgs).tolist()
        for (_, kind, option), margin in zip(rows, found, strict=True):
            margins[kind].append(margin)
            truth[kind].append((option or "yes") in question.answer)
    fitted = {}
    for kind in sorted(margins):
        fit = LogisticRegression(C=1e6).fit(np.array(margins[kind])[:, None], truth[kind])
        fitted[kind] = (round(float(fit.coef_[0, 0]), 4), round(float(fit.intercept_[0]), 4))
        print(f"{kind}: scale {fitted[kind][0]}, shift {fitted[kind][1]}, n {len(truth[kind])}")
    model.config = replace(model.config, calibration=fitted)
    verify = [q for q in asked if TEMPLATES[q.template_id].kind == "verify"]
    given = stand_ins(verify, "shuffled", encoded.data)
    chances = [chance for _, chance in predict(model, encoded, verify, given)]
    cautious = round(max(0.5, float(np.quantile(chances, 1 - CAUTIOUS_YES))), 3)
    print(f"cautious: P(yes) of {cautious} and more, n {len(chances)}")
    model.config = replace(model.config, cautious_yes=cautious)
    raw = json.loads((folder / "config.json").read_text())
    raw |= {"calibration": fitted, "cautious_yes": cautious}
    (folder / "config.json").write_text(json.dumps(raw, indent=1) + "\n")


def same_but_different(signal: np.ndarray, seed: int) -> np.ndarray:
    """The recording as another second of it would look: shifted by up to 1 s, 10 µV of noise."""
    rng = np.random.default_rng(seed)
    shifted = np.roll(np.asarray(signal, np.float32), int(rng.integers(-100, 101)), axis=1)
    return shifted + rng.normal(0, 0.01, shifted.shape).astype(np.float32)


def verdicts(model: EcgModel, encoded: Encoded, asked: list[Question], folder: Path) -> None:
    """Set the random-ECG test's threshold from what moves an answer that should not move.

    An answer may depend on which second of the recording was taken; it depends on the patient when
    other patients, and nothing at all, move it further than that does for 19 of 20 questions.
    """
    asked = [q for q in asked if len(q.ecg_id) == 1]
    pool = [i for q in asked for i in q.ecg_id]
    rng = np.random.default_rng(0)
    still, moved = [], []
    for k, question in enumerate(asked):
        own = np.asarray(encoded.signal(question.ecg_id[0]), np.float32)
        ecg = ECG(own, MODEL_RATE_HZ, "this")
        same = [ECG(same_but_different(own, 3 * k + i), MODEL_RATE_HZ, "same") for i in range(3)]
        strangers = [
            ECG(np.asarray(encoded.signal(int(i)), np.float32), MODEL_RATE_HZ, str(i))
            for i in rng.choice(pool, 3)
        ]
        rows = ground(model, question.question, ecg, None, [(e.name, e) for e in same]).rows
        still.append(float(np.mean([abs(row.log_odds_change) for row in rows[1:-3]])))
        result = ground(model, question.question, ecg, None, [(e.name, e) for e in strangers])
        moved.append(move(result.rows))
    least = round(float(np.quantile(still, 0.95)), 2)
    low, high = interval(np.array(moved) >= least)
    print(f"same recording: 95 % move less than {least} (median {np.median(still):.2f})")
    share = np.mean(np.array(moved) >= least)
    print(
        f"other patients and no ECG: {share:.2f} ({low:.2f}-{high:.2f}) move more, n {len(moved)}"
    )
    raw = json.loads((folder / "config.json").read_text()) | {"least_move": least}
    (folder / "config.json").write_text(json.dumps(raw, indent=1) + "\n")


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
    parser.add_argument("--limit", type=int, default=0, help="a random so many of the questions")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--llm")
    parser.add_argument("--cache", default=".work/cache")
    parser.add_argument("--calibrate", action="store_true", help="fit P(yes) on these instead")
    parser.add_argument("--verdict", action="store_true", help="set its threshold instead")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", action="store_true", help="keep the other types already in --out")
    parser.add_argument("--readme", type=Path, help="put the tables between this file's marks")
    args = parser.parse_args()
    asked = questions.read_questions(args.questions)
    asked = [q for q in asked if TEMPLATES[q.template_id].kind in args.kinds]
    if args.limit and args.limit < len(asked):
        chosen = np.random.default_rng(0).choice(len(asked), args.limit, replace=False)
        asked = [asked[i] for i in sorted(chosen)]
    data = ptbxl.load(args.ptbxl)
    model = EcgModel.load(args.checkpoint, args.llm)
    encoded = Encoded(model, data, ptbxl.signals(data, args.cache))
    if args.calibrate:
        calibrate(model, encoded, asked, args.checkpoint)
        return
    if args.verdict:
        verdicts(model, encoded, asked, args.checkpoint)
        return
    results = {}
    for control in args.control:
        if control == "perfect":
            facts = Facts(data, args.intervals)
            given = stand_ins(asked, "shuffled", data)
            predicted = read_perfectly(asked, given, facts)
            known = [k for k, (answer, _) in enumerate(predicted) if answer]
            found = summary([asked[k] for k in known], [predicted[k] for k in known])
            results[control] = {
                name: {k: entry[k] for k in ("n", "exact_match", "interval")} | {"part": True}
                for name, entry in found.items()
            }
        else:
            given = stand_ins(asked, control, data)
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
