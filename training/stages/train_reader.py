"""Stage reading: teach the reader what a question asks, from text alone.

    python -m training.stages.train_reader --ptbxl DIR --ecgqa DIR [--steps 6000] \
        [--out .work/reader]

Texts come from `training/data/reading_texts.py`; none of them is one of the wordings to develop
(`reading_dev.json`) or to test with. Run the same command again to resume.
"""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from ecgqa.answer.options import FATES
from ecgqa.model.reader import Reader, ReaderConfig
from ecgqa.question import reading
from ecgqa.question.kinds import FOLLOW_UP, LANGUAGE, NEW_KINDS
from training.data import ptbxl, questions
from training.data.reading_texts import DEV, Example, Texts
from training.data.wordings import WORDINGS
from training.stages.config import ReaderStage, parse
from training.stages.resume import Resume

HELD_BACK = (
    WORDINGS.with_name("wordings_plain.json"),
    Path(__file__).parents[2] / "tests" / "clinic_questions.json",
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

    def collect(value: object) -> None:
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
        kinds=(*kinds, *NEW_KINDS),
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


def dev_kind(row: dict[str, Any]) -> str:
    """The kind of a row of the development set, as the reader calls it."""
    return {
        "yes_no": "yes or no", "range": "yes or no", "choose": "one of two",
        "follow_up": FOLLOW_UP, "language": LANGUAGE,
    }.get(row["kind"], str(row["kind"]))  # fmt: skip


@torch.no_grad()
def watch(reader: Reader, rows: list[dict[str, Any]]) -> dict[str, float]:
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


class ReaderTraining:
    """Reader, texts and how far the stage is."""

    def __init__(self, config: ReaderStage) -> None:
        self.config, self.step, self.out = config, 0, Path(config.out)
        torch.manual_seed(config.seed)
        self.out.mkdir(parents=True, exist_ok=True)
        facts = questions.Facts(ptbxl.load(config.ptbxl), config.intervals or None)
        self.texts = Texts(facts, config.ecgqa)
        kinds = ("yes or no", "one of two", *questions.vocabulary())
        self.reader = Reader.fresh(fresh_config(self.texts, kinds)).train()
        self.learned = [p for p in self.reader.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.learned, lr=config.rate, weight_decay=config.weight_decay
        )
        self.unseen = held_back()
        self.drawn: list[list[Example]] = []
        self.resume = Resume(self.out, config.save_minutes, self.texts.rng)

    def begin(self) -> None:
        """Go on where this training was, else afresh."""
        state = self.resume.load()
        if state is None:
            return
        self.reader.load_state_dict(state["reader"], strict=False)
        if state["optimiser"] is not None:
            self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        print(f"resumed at step {self.step} of {self.config.steps}")

    def save(self) -> None:
        """The state to resume from, and the reader."""
        own = {k: v for k, v in self.reader.state_dict().items()
               if k.split(".")[0] != "encoder" or "lora_" in k}  # fmt: skip
        self.resume.save(
            {"reader": own, "optimiser": self.optimiser.state_dict(), "step": self.step}
        )
        self.reader.save(self.out / "reader")

    def pace(self) -> float:
        """Share of the peak learning rate: a short rise, then down a cosine."""
        down = (1 + math.cos(math.pi * min(1, self.step / self.config.steps))) / 2
        return min(1, (self.step + 1) / 100) * (0.02 + 0.98 * down)

    def batch(self) -> list[Example]:
        """Examples of about one length: a batch is as long as its longest."""
        if not self.drawn:
            size = self.config.batch
            drawn = (self.texts.draw() for _ in range(16 * size))
            some = [example for example in drawn if plain(example.text) not in self.unseen]
            some.sort(key=lambda example: len(example.text))
            self.drawn = [some[i : i + size] for i in range(0, len(some), size)]
            self.texts.rng.shuffle(self.drawn)
        return self.drawn.pop()

    def learn(self) -> float:
        """One step; its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate * self.pace()
        loss = loss_of(self.reader, self.batch())
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learned, 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item()

    def run(self) -> None:
        """All steps that are left."""
        self.begin()
        config, rows = self.config, json.loads(DEV.read_text())
        begun, first = time.monotonic(), self.step
        while self.step < config.steps:
            loss = self.learn()
            if self.step % 50 == 0:
                each = (time.monotonic() - begun) / (self.step - first)
                print(f"step {self.step} loss {loss:.3f} {each:.2f} s a step", flush=True)
            if self.step % config.watch_every == 0 or self.step == config.steps:
                print("development", json.dumps(watch(self.reader, rows)), flush=True)
            if self.resume.due() or self.step == config.steps:
                self.save()


def main() -> None:
    """Command line."""
    ReaderTraining(parse(ReaderStage)).run()


if __name__ == "__main__":
    main()
