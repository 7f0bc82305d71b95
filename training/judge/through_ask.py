"""What the page answers to ECG-QA's questions: everything through `EcgAssistant.ask`.

    python -m training.judge.through_ask --ptbxl DIR --questions FILE [--per_type 100] \
        [--out FILE.json]

Nothing of a question is known but its words: which kind of answer it wants, which names and which
options are read from them. An answer is right when it is the same set as the true one. Beside it:
how many true ECG questions are turned away as being outside, untrained or advice.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np

from ecgqa import EcgAssistant
from ecgqa.question.kinds import kind_of
from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.bootstrap import interval, interval_over
from training.judge.tables import markdown


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "checkpoint")
    parser.add_argument("--questions", required=True, type=Path, nargs="+")
    parser.add_argument("--per_type", type=int, default=100, help="questions of each type")
    parser.add_argument("--only", nargs="*", help="types, e.g. single-choose; by default all")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--wrong", action="store_true", help="print what was answered wrongly")
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    index = {int(e): i for i, e in enumerate(data.ecg_id)}
    assistant = EcgAssistant.load(args.checkpoint)
    by_type: dict[str, list[questions.Question]] = defaultdict(list)
    for file in args.questions:
        for question in questions.read_questions(file):
            by_type[question.question_type].append(question)
    read = {q.question for group in by_type.values() for q in group}
    turned = [text for text in sorted(read) if not kind_of(assistant.read(text).kind).of_an_ecg]
    print(f"turned away: {len(turned)} of {len(read)} wordings "
          f"({100 * len(turned) / len(read):.1f} %): {turned[:20]}", flush=True)  # fmt: skip
    record = {}
    for kind, group in sorted(by_type.items()):
        if args.only and kind not in args.only:
            continue
        chosen = random.Random(3).sample(group, min(args.per_type, len(group)))
        hits, declined = [], []
        for question in chosen:
            ecgs = [ptbxl.read_plain(data.folder / data.path[index[e]]) for e in question.ecg_id]
            answer = assistant.ask(
                question.question, ecgs[-1], ecgs[0] if len(ecgs) == 2 else None, alone=True
            )
            hits.append(set(answer.answers) == set(question.answer))
            declined.append(answer.declined)
            if args.wrong and not hits[-1]:
                print(f"[{kind} {question.template_id}] {question.question!r} {question.answer} → "
                      f"{answer.kind} {answer.understood!r} {answer.answers} {answer.remarks}",
                      flush=True)  # fmt: skip
        right = np.array(hits, float)
        low, high = interval(right)
        worded = interval_over([q.question for q in chosen], right)
        record[kind] = {
            "n": len(right), "right": float(right.mean()), "low": low, "high": high,
            "over wordings": worded, "declined": float(np.mean(declined)),
        }  # fmt: skip
        print(kind, record[kind], flush=True)
    rows = [
        [k, v["n"], f"{100 * v['right']:.1f} ({100 * v['low']:.1f}-{100 * v['high']:.1f})",
         f"{100 * v['declined']:.1f}"]
        for k, v in record.items()
    ]  # fmt: skip
    print(markdown(["through `ask`", "n", "right, %", "declined, %"], rows))
    if args.out:
        whole = {"types": record, "turned away": len(turned), "wordings": len(read)}
        args.out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
