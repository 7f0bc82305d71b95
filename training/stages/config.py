"""One dataclass per training, all with the fields of `Run`; each is a flag, its text the help."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from transformers import HfArgumentParser
from transformers.hf_argparser import DataClassType


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class Run:
    """What every training is told: where the data lie, where to write, how long and how fast."""

    ptbxl: str = _flag("", "PTB-XL folder as PhysioNet ships it")
    ecgqa: str = _flag("", "ECG-QA folder: *_ecgs.tsv and, for questions, train_paraphrases.csv")
    intervals: str = _flag("", "CSV of training.data.intervals; empty: nothing about intervals")
    cache: str = _flag(".work/cache", "folder for signals and features, made once")
    out: str = _flag(".work/run", "folder for what is trained and the state to resume from")
    start_from: str = _flag("", "state.pt of an earlier run to start from; empty: afresh")
    steps: int = _flag(0, "stop after so many steps (0: all), for a rehearsal")
    batch: int = _flag(64, "ECGs or questions a step, over all processes")
    rate: float = _flag(1e-3, "peak learning rate")
    weight_decay: float = _flag(0.01, "of AdamW")
    limit: int = _flag(0, "use only so many train ECGs (0: all), for a rehearsal")
    save_minutes: float = _flag(4.0, "minutes between two states to resume from")
    seed: int = _flag(1, "of weights, order and draws")


@dataclass
class _Encoder(Run):
    """What both trainings of an encoder have."""

    out: str = _flag(".work/encoder", "folder for the encoder and the state to resume from")
    weight_decay: float = _flag(0.05, "of AdamW")
    statement_loss: float = _flag(4.0, "weight of the statements of the whole ECG")
    contrast: float = _flag(0.1, "weight of the ECG-report alignment (CMA)")
    views: float = _flag(0.02, "weight of the alignment of two dropout views (UMA)")
    lead_loss: float = _flag(0.5, "weight of the findings of single leads")
    temperature: float = _flag(0.07, "of both contrastive losses")
    ema: float = _flag(0.998, "decay of the averaged weights that are kept")


@dataclass
class EncoderStage(_Encoder):
    """Stage 1, `training/stages/pretrain_encoder.py`."""

    epochs: int = _flag(16, "passes over the ECGs of patients outside valid and test")
    rate: float = _flag(2e-3, "peak of the one-cycle schedule")
    lead_dropout: float = _flag(0.3, "chance that some leads of an ECG are blanked")


@dataclass
class DistilStage(_Encoder):
    """Stage 1 with all signals on one device, `training/stages/distil.py`."""

    out: str = _flag(".work/encoder", "folder for the encoder")
    teachers: str = _flag("", "folders of teachers, with a comma between; empty: be a teacher")
    epochs: int = _flag(40, "passes over the ECGs of patients outside valid and test")
    minutes: float = _flag(0.0, "the schedule ends after so many minutes at the latest (0: never)")
    batch: int = _flag(128, "ECGs a step")
    rate: float = _flag(2.5e-3, "peak")
    soft: float = _flag(0.8, "share of the teachers in it, where there are any")
    device: str = _flag("", "empty: a GPU where there is one")


@dataclass
class QuestionStages(Run):
    """Stages 2 and 3, `training/stages/train.py`."""

    encoder: str = _flag(".work/encoder", "folders that stage 1 wrote, with a comma between")
    llm: str = _flag("", "causal language model: folder or hub id; empty: the default")
    out: str = _flag(".work/model", "folder for the checkpoint and the state to resume from")
    steps: int = _flag(0, "at most so many steps of each stage (0: all), for a rehearsal")
    texts_per_template: int = _flag(500, "ways in which a template's questions are put, and")
    texts_per_key: int = _flag(12, "at least so many for each way to fill its slots")
    read_texts: int = _flag(60000, "questions of stage read")
    read_steps: int = _flag(2400, "2a, text only: what a question is about")
    read_batch: int = _flag(32, "questions a step in 2a, over all processes")
    reader_rate: float = _flag(4e-4, "peak learning rate of the adapter's reading layers in 2a")
    align_steps: int = _flag(800, "2b: projector alone, testimony against the answers' embeddings")
    debias_steps: int = _flag(100, "2c: projector and adapter through the language model")
    tune_steps: int = _flag(300, "3: the same, with ECG-QA's proportion of yes to no")
    align_batch: int = _flag(48, "questions a step in 2b, over all processes")
    batch: int = _flag(16, "questions a step in 2c and 3, over all processes")
    arm: str = _flag("counterfactual", "or erm, independent, balanced, adjusted: see train.py")
    margin_loss: float = _flag(0.3, "weight of the counterfactual margin")
    margin: float = _flag(2.0, "log odds between two ECGs that answer the same question otherwise")
    shared: int = _flag(2, "ECGs (or pairs) that a question is asked of at once in 2b,")
    late_shared: int = _flag(4, "and in 2c and 3, where reading it is dear")
    pair_share: float = _flag(0.35, "share of the steps that ask about two ECGs")
    check_share: float = _flag(0.5, "share of choose and query questions asked as option checks,")
    late_check_share: float = _flag(0.8, "and that share in 2c and 3, where long lists are dear")
    blank_share: float = _flag(0.05, "share of questions about noise, a flat line or no ECG")
    rate: float = _flag(1e-3, "peak learning rate of the projector in 2a and 2b")
    projector_rate: float = _flag(2e-4, "peak learning rate of the projector in 2c and 3")
    adapter_rate: float = _flag(6e-4, "peak learning rate of the adapter in 2c and 3")
    without: str = _flag("", "findings and templates never asked about, with ; between: for T9")
    projector_width: int = _flag(256, "width of the projector")
    lora_rank: int = _flag(16, "rank of the adapter")
    reading_layers: int = _flag(12, "layers of the language model that read the question")
    watch_every: int = _flag(100, "steps between two looks at AUC on true and permuted ECGs")
    watch_questions: int = _flag(240, "questions in such a look")
    stage_minutes: float = _flag(0.0, "a stage ends after so many minutes at most (0: never)")


@dataclass
class ReaderStage(Run):
    """Stage reading, `training/stages/train_reader.py`."""

    out: str = _flag(".work/reader", "folder for the reader and the state to resume from")
    steps: int = _flag(6000, "of the whole training")
    rate: float = _flag(8e-4, "peak learning rate")
    watch_every: int = _flag(300, "steps between two looks at the wordings to develop with")


Stages = TypeVar("Stages", bound=Run)


def parse(stage: type[Stages]) -> Stages:
    """The stage's dataclass, filled from the command line."""
    parser = HfArgumentParser(DataClassType(stage), description=stage.__doc__)
    config: Stages = parser.parse_args_into_dataclasses()[0]
    for flag in ("ptbxl", "ecgqa"):
        if not getattr(config, flag):
            parser.error(f"--{flag} is needed: {Run.__dataclass_fields__[flag].metadata['help']}")
    return config


def resolved(config: Run) -> dict[str, Any]:
    """The dataclass as a JSON-ready dict without paths of this machine."""
    paths = {
        "start_from", "teachers", "ptbxl", "ecgqa", "out", "cache", "encoder", "questions", "llm",
        "intervals",
    }  # fmt: skip
    return {
        k: Path(v).name if k in paths and isinstance(v, str) else v
        for k, v in asdict(config).items()
    }
