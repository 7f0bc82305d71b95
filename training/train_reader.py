"""Stage reading: teach the reader what a question asks, from text alone.

    python -m training.train_reader --ptbxl DIR --ecgqa DIR [--steps 6000] [--out .work/reader]

Texts come from `training/reading_texts.py`; none of them is one of the wordings to develop
(`reading_dev.json`) or to test with. Run the same command again to resume.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from ecgqa.answer.options import FATES
from ecgqa.model.reader import Reader, ReaderConfig
from ecgqa.question import reading
from training import ptbxl, questions
from training.reading_texts import DEV, Example, Texts

HELD_BACK = (
    Path(__file__).with_name("wordings_plain.json"),
    Path(__file__).parent.parent / "tests" / "clinic_questions.json",
    DEV,
)
NAMES_WEIGHT = (
    30.0  # of the names' cross-entropy, a mean over some 130 of which one or two are true
)


def plain(text: str) -> str:
    """Letters and digits only, to compare two wordings."""
    return re.sub(r"\W+", " ", text.lower()).strip()


def held_back() -> set[str]:
    """Every wording that is kept for developing and testing."""
    texts: set[str] = set()

    def collect(value) -> None:
        if isinstance(value, str):
            texts.add(plain(value))
        elif isinstance(value, dict):
            for one in value.values():
                collect(one)
        elif isinstance(value, list):
            for one in value:
                collect(one)

    for file in HELD_BACK:
        collect(json.loads(file.read_text()))
    # A bare name ("AF?") is everybody's wording.
    return {text for text in texts if len(text.split()) > 3}


def fresh_config(texts: Texts, kinds: tuple[str, ...]) -> ReaderConfig:
    """All that can be read."""
    return ReaderConfig(
        kinds=(*kinds, *reading.NEW_KINDS),
        findings=tuple(texts.findings),
        quantities=tuple(texts.quantities["quantities"]),
        fates=("", *FATES),
        sides=reading.SIDES,
    )


def loss_of(reader: Reader, examples: list[Example]) -> torch.Tensor:
    """Sum of the losses of all parts; what an example does not say is not learned from it."""
    config, read = reader.config, reader([e.text for e in examples])
    kinds = torch.tensor([config.kinds.index(e.kind) for e in examples])
    loss = F.cross_entropy(read.kind, kinds, label_smoothing=0.02)
    index = {name: i for i, name in enumerate(config.names)}
    target = torch.zeros_like(read.names)
    said = torch.zeros(len(examples), 1)
    for i, example in enumerate(examples):
        if example.names is not None:
            said[i] = 1
            for name in example.names:
                if name in index:
                    target[i, index[name]] = 1
    each = F.binary_cross_entropy_with_logits(read.names, target, reduction="none")
    loss = loss + NAMES_WEIGHT * (each * said).mean()
    for logits, values, known in (
        (read.fate, [e.fate for e in examples], config.fates),
        (read.side, [e.side for e in examples], config.sides),
    ):
        rows = [i for i, value in enumerate(values) if value is not None]
        wanted = torch.tensor([known.index(values[i] or "") for i in rows])
        loss = loss + 0.5 * F.cross_entropy(logits[rows], wanted)
    rows = [i for i, e in enumerate(examples) if e.absent is not None]
    wanted = torch.tensor([float(bool(examples[i].absent)) for i in rows])
    return loss + 0.5 * F.binary_cross_entropy_with_logits(read.absent[rows], wanted)


def dev_kind(row: dict) -> str:
    """The kind of a row of the development set, as the reader calls it."""
    return {
        "yes_no": "yes or no", "range": "yes or no", "choose": "one of two",
        "follow_up": reading.FOLLOW_UP, "language": reading.LANGUAGE,
    }.get(row["kind"], str(row["kind"]))  # fmt: skip


@torch.no_grad()
def watch(reader: Reader, rows: list[dict]) -> dict[str, float]:
    """Share of the development questions whose kind, names, side are read right."""
    reader.eval()
    config = reader.config
    kind, names, side, absent = [], [], [], []
    by_kind: dict[str, list[bool]] = {}
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        read = reader([row["question"] for row in part])
        for i, row in enumerate(part):
            said = config.kinds[int(read.kind[i].argmax())]
            kind.append(said == dev_kind(row))
            by_kind.setdefault(row["kind"], []).append(kind[-1])
            order = [config.names[k] for k in read.names[i].argsort(descending=True)[:2]]
            if row["kind"] in ("yes_no", "range", "number", "threshold"):
                wanted = row.get("finding") or row["quantity"]
                names.append(order[0] == wanted)
            if row["kind"] == "choose":
                names.append(set(order) == set(row["options"]))
            if row["kind"] in ("range", "threshold"):
                wanted = row.get("range") or row["side"]
                side.append(config.sides[int(read.side[i].argmax())] == wanted)
            if row["kind"] == "yes_no":
                absent.append((float(read.absent[i]) > 0) == bool(row.get("absent")))
    reader.train()
    share = lambda hits: round(sum(hits) / max(1, len(hits)), 3)  # noqa: E731
    found = {
        "kind": share(kind),
        "names": share(names),
        "side": share(side),
        "absent": share(absent),
    }
    return found | {f"kind {k}": share(v) for k, v in by_kind.items()}


def main() -> None:
    """Train, resume, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ptbxl", required=True)
    parser.add_argument("--ecgqa", required=True)
    parser.add_argument("--intervals", default="", help="CSV of training.intervals")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--out", type=Path, default=Path(".work/reader"))
    parser.add_argument("--save_minutes", type=float, default=4)
    parser.add_argument("--watch_every", type=int, default=300)
    args = parser.parse_args()
    torch.manual_seed(1)
    args.out.mkdir(parents=True, exist_ok=True)
    data = ptbxl.load(args.ptbxl)
    facts = questions.Facts(data, args.intervals or None)
    texts = Texts(facts, args.ecgqa)
    kinds = ("yes or no", "one of two", *questions.vocabulary())
    reader = Reader.fresh(fresh_config(texts, kinds)).train()
    learned = [p for p in reader.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=args.rate, weight_decay=0.01)

    def pace(step: int) -> float:
        """Share of the peak learning rate: a short rise, then down a cosine."""
        down = (1 + math.cos(math.pi * min(1, step / args.steps))) / 2
        return min(1, (step + 1) / 100) * (0.02 + 0.98 * down)

    step, state = 0, args.out / "state.pt"
    if state.exists():
        kept = torch.load(state, weights_only=True)
        reader.load_state_dict(kept["reader"], strict=False)
        if kept["optimiser"] is not None:
            optimiser.load_state_dict(kept["optimiser"])
        step = kept["step"]
        texts.rng.seed(step)
    rows, unseen = json.loads(DEV.read_text()), held_back()
    saved = begun = time.monotonic()
    first = step

    def save() -> None:
        own = {k: v for k, v in reader.state_dict().items() if k.split(".")[0] != "encoder"
               or "lora_" in k}  # fmt: skip
        torch.save({"reader": own, "optimiser": optimiser.state_dict(), "step": step}, state)
        reader.save(args.out / "reader")

    drawn: list[list[Example]] = []
    while step < args.steps:
        if not drawn:  # those of about one length together: a batch is as long as its longest
            some = [
                e for _ in range(16 * args.batch) if plain((e := texts.draw()).text) not in unseen
            ]
            some.sort(key=lambda e: len(e.text))
            drawn = [some[i : i + args.batch] for i in range(0, len(some), args.batch)]
            texts.rng.shuffle(drawn)
        batch = drawn.pop()
        for group in optimiser.param_groups:
            group["lr"] = args.rate * pace(step)
        loss = loss_of(reader, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            each = (time.monotonic() - begun) / (step - first)
            print(f"step {step} loss {float(loss):.3f} {each:.2f} s a step", flush=True)
        if step % args.watch_every == 0 or step == args.steps:
            print("development", json.dumps(watch(reader, rows)), flush=True)
        if time.monotonic() - saved > 60 * args.save_minutes or step == args.steps:
            save()
            saved = time.monotonic()


if __name__ == "__main__":
    main()
