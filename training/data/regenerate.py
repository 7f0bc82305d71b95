"""Write regenerated ECG-QA questions about one split as ECG-QA JSON.

    python -m training.data.regenerate --ptbxl DIR --ecgqa DIR --split test --wordings heldout \
        --intervals FILE.csv --per_template 50 --out FILE.json

The rules are ECG-QA's: verify yes:no = 1:2; choose A : B : both : none in equal parts; query spread
over the answers. Every ECG is drawn from the split that is named, and from no other.
"""

from __future__ import annotations

from collections import Counter

from training.data import ptbxl, questions
from training.data.arguments import command_line
from training.data.debias import Sampler, regenerate
from training.data.wordings import load_wordings, word


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa")
    parser.add_argument("--split", choices=("train", "valid", "test"), required=True)
    parser.add_argument("--wordings", choices=("train", "heldout", "test"), default="heldout")
    parser.add_argument("--intervals", help="CSV of training.data.intervals")
    parser.add_argument("--per_template", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    rows = ptbxl.splits(data, args.ecgqa)[args.split]
    wordings = load_wordings(args.wordings, args.ecgqa)
    sampler = Sampler(
        questions.Facts(data, args.intervals),
        rows,
        lambda key, rng: word(key, wordings, rng),
        arm="erm",
        seed=args.seed,
    )
    made = regenerate(sampler, args.per_template)
    questions.write_questions(made, args.out)
    for kind, count in sorted(Counter(q.question_type for q in made).items()):
        print(f"{kind}: {count}")
    print(f"{len(made)} questions over {len({q.template_id for q in made})} templates")


if __name__ == "__main__":
    main()
