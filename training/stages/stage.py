"""The four stages that ask questions, side by side: what each trains, on what, how long, how fast.

`training.stages.train` goes through them from top to bottom.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from training.stages.config import QuestionStages


@dataclass(frozen=True)
class Stage:
    """One of them.

    trains: in words. steps; batch: questions a step, over all processes. *_rate: peak learning
    rate of the projector, of the adapter's reading layers and of its other layers; 0 leaves them.
    text_only: no ECG is looked at. through_llm: past the projector, through the language model.
    Data mix: yes_share, of yes/no questions those with a true yes; check_share, of choose and query
    questions those asked as option checks; shared, ECGs (or pairs) that a question is asked of.
    """

    name: str
    trains: str
    steps: int
    batch: int
    projector_rate: float
    reader_rate: float = 0.0
    adapter_rate: float = 0.0
    text_only: bool = False
    through_llm: bool = False
    yes_share: float = 0.5
    check_share: float = 0.5
    shared: int = 1


def stages_of(config: QuestionStages) -> tuple[Stage, ...]:
    """The table, filled from the flags."""

    def few(steps: int) -> int:
        return min(steps, config.steps) if config.steps else steps

    late = functools.partial(
        Stage, batch=config.batch, projector_rate=config.projector_rate,
        adapter_rate=config.adapter_rate, through_llm=True,
        check_share=config.late_check_share, shared=config.late_shared,
    )  # fmt: skip
    return (
        Stage(
            "read", "the reading layers and the projector's matching, from text alone",
            steps=few(config.read_steps), batch=config.read_batch, projector_rate=config.rate,
            reader_rate=config.reader_rate, text_only=True, check_share=config.check_share,
        ),
        Stage(
            "align", "the projector, against the language model's embeddings of the answers",
            steps=few(config.align_steps), batch=config.align_batch, projector_rate=config.rate,
            check_share=config.check_share, shared=config.shared,
        ),
        late("debias", "projector and adapter, through the language model",
             steps=few(config.debias_steps)),
        late("tune", "the same, with ECG-QA's proportion of yes to no",
             steps=few(config.tune_steps), yes_share=1 / 3),
    )  # fmt: skip
