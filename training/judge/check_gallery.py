"""Ask the model about the simulated gallery: is each ECG's own finding found, and no other one?

    python -m training.judge.check_gallery [--checkpoint DIR] [--out FILE.json]

Every simulated ECG is asked the yes/no question about its own finding (right: yes), and about the
own finding of every other ECG that is not true of it (right: no).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ecgqa import EcgAssistant
from ecgqa.gallery.simulate import FINDINGS, simulate
from training.data.arguments import command_line

QUESTION = "Is {finding} present in this ECG?"


def own_finding(name: str, statements: tuple[str, ...]) -> str:
    """The statement that names the finding: the first that is not the rhythm it comes with."""
    if name == "normal":
        return "normal ecg"
    return next(s for s in statements if s != "sinus rhythm")


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "checkpoint")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    assistant = EcgAssistant.load(args.checkpoint)
    made = {name: simulate(name) for name in FINDINGS}
    own = {name: own_finding(name, ecg.statements) for name, ecg in made.items()}
    rows, others = [], []
    for name, simulated in made.items():
        for finding in dict.fromkeys(own.values()):
            question = QUESTION.format(finding=finding)
            yes = assistant.score(question, ["yes", "no"], simulated.ecg)["yes"]
            if finding == own[name]:
                rows.append({"ecg": name, "question": question, "p_yes": yes, "right": yes >= 0.5})
                print(f"{'right' if yes >= 0.5 else 'WRONG'}  {name}: {question} P(yes) {yes:.2f}")
            elif finding not in simulated.statements:
                others.append(yes < 0.5)
    right = sum(bool(row["right"]) for row in rows)
    print(f"own finding: {right} of {len(rows)} right ({right / len(rows):.0%})")
    print(f"findings of the others: {np.mean(others):.0%} of {len(others)} rightly denied")
    if args.out:
        args.out.write_text(json.dumps({"own": rows, "denied": float(np.mean(others))}, indent=1))


if __name__ == "__main__":
    main()
