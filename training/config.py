"""One dataclass per stage; every field is a flag of its script and its comment is the help."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import HfArgumentParser
from transformers.hf_argparser import DataClassType


def _flag(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass
class EncoderStage:
    """Stage 1, `training/pretrain_encoder.py`."""

    ptbxl: str = _flag("", "PTB-XL folder as PhysioNet ships it")
    ecgqa: str = _flag("", "ECG-QA folder that holds train_ecgs.tsv, valid_ecgs.tsv, test_ecgs.tsv")
    intervals: str = _flag("", "CSV of training.intervals; empty: no names for intervals")
    out: str = _flag(".work/encoder", "folder for the encoder and the state to resume from")
    start_from: str = _flag("", "state.pt of an earlier run to start from; empty: afresh")
    cache: str = _flag(".work/cache", "folder for the signals, read once")
    epochs: int = _flag(16, "passes over the ECGs of patients outside valid and test")
    batch: int = _flag(64, "ECGs a step, over all processes")
    learning_rate: float = _flag(2e-3, "peak of the one-cycle schedule")
    weight_decay: float = _flag(0.05, "of AdamW")
    statement_loss: float = _flag(4.0, "weight of the statements of the whole ECG")
    contrast: float = _flag(0.1, "weight of the ECG-report alignment (CMA)")
    views: float = _flag(0.02, "weight of the alignment of two dropout views (UMA)")
    lead_loss: float = _flag(0.5, "weight of the findings of single leads")
    lead_dropout: float = _flag(0.3, "chance that some leads of an ECG are blanked")
    temperature: float = _flag(0.07, "of both contrastive losses")
    ema: float = _flag(0.998, "decay of the averaged weights that are kept")
    limit: int = _flag(0, "use only so many ECGs (0: all), for a rehearsal")
    max_steps: int = _flag(0, "stop after so many steps (0: all), for a rehearsal")
    save_minutes: float = _flag(4.0, "minutes between two states to resume from")
    seed: int = _flag(1, "of weights, order and augmentation")


@dataclass
class DistilStage:
    """Stage 1 with all signals on one device, `training/distil.py`."""

    ptbxl: str = _flag("", "PTB-XL folder as PhysioNet ships it")
    ecgqa: str = _flag("", "ECG-QA folder that holds train_ecgs.tsv, valid_ecgs.tsv, test_ecgs.tsv")
    intervals: str = _flag("", "CSV of training.intervals; empty: no names for intervals")
    out: str = _flag(".work/encoder", "folder for the encoder")
    teachers: str = _flag("", "folders of teachers, with a comma between; empty: be a teacher")
    start_from: str = _flag("", "state.pt of a teacher to start from; empty: afresh")
    cache: str = _flag(".work/cache", "folder for the signals, read once")
    epochs: int = _flag(40, "passes over the ECGs of patients outside valid and test")
    minutes: float = _flag(0.0, "the schedule ends after so many minutes at the latest (0: never)")
    batch: int = _flag(128, "ECGs a step")
    learning_rate: float = _flag(2.5e-3, "peak")
    weight_decay: float = _flag(0.05, "of AdamW")
    statement_loss: float = _flag(4.0, "weight of the statements of the whole ECG")
    soft: float = _flag(0.8, "share of the teachers in it, where there are any")
    contrast: float = _flag(0.1, "weight of the ECG-report alignment (CMA)")
    views: float = _flag(0.02, "weight of the alignment of two dropout views (UMA)")
    lead_loss: float = _flag(0.5, "weight of the findings of single leads")
    temperature: float = _flag(0.07, "of both contrastive losses")
    ema: float = _flag(0.998, "decay of the averaged weights that are kept")
    limit: int = _flag(0, "use only so many ECGs (0: all), for a rehearsal")
    max_steps: int = _flag(0, "stop after so many steps (0: all), for a rehearsal")
    device: str = _flag("", "empty: a GPU where there is one")
    seed: int = _flag(1, "of weights, order and augmentation")


@dataclass
class QuestionStages:
    """Stages 2 and 3, `training/train.py`."""

    ptbxl: str = _flag("", "PTB-XL folder as PhysioNet ships it")
    ecgqa: str = _flag("", "ECG-QA folder: *_ecgs.tsv and train_paraphrases.csv")
    encoder: str = _flag(".work/encoder", "folders that stage 1 wrote, with a comma between")
    intervals: str = _flag("", "CSV of training.intervals; empty: no questions about intervals")
    llm: str = _flag("", "causal language model: folder or hub id; empty: the default")
    out: str = _flag(".work/model", "folder for the checkpoint and the state to resume from")
    cache: str = _flag(".work/cache", "folder for signals and features, made once")
    start_from: str = _flag("", "state.pt of an earlier run to start from; empty: afresh")
    texts_per_template: int = _flag(500, "ways in which a template's questions are put, and")
    texts_per_key: int = _flag(12, "at least so many for each way to fill its slots")
    read_texts: int = _flag(60000, "questions of stage read")
    read_steps: int = _flag(2400, "2a, text only: what a question is about")
    read_batch: int = _flag(32, "questions a step in 2a, over all processes")
    reader_rate: float = _flag(4e-4, "peak learning rate of the adapter's reading layers in 2a")
    align_steps: int = _flag(800, "2b: projector alone, evidence against the answers' embeddings")
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
    align_rate: float = _flag(1e-3, "peak learning rate of the projector in 2a and 2b")
    projector_rate: float = _flag(2e-4, "peak learning rate of the projector in 2c and 3")
    adapter_rate: float = _flag(6e-4, "peak learning rate of the adapter in 2c and 3")
    weight_decay: float = _flag(0.01, "of AdamW")
    without: str = _flag("", "findings and templates never asked about, with ; between: for T9")
    projector_width: int = _flag(256, "width of the projector")
    lora_rank: int = _flag(16, "rank of the adapter")
    reading_layers: int = _flag(12, "layers of the language model that read the question")
    limit: int = _flag(0, "use only so many train ECGs (0: all), for a rehearsal")
    watch_every: int = _flag(100, "steps between two looks at AUC on true and permuted ECGs")
    watch_questions: int = _flag(240, "questions in such a look")
    save_minutes: float = _flag(4.0, "minutes between two states to resume from")
    stage_minutes: float = _flag(0.0, "a stage ends after so many minutes at most (0: never)")
    seed: int = _flag(1, "of weights, questions and order")


def parse(stage: type):
    """The stage's dataclass, filled from the command line."""
    parser = HfArgumentParser(DataClassType(stage), description=stage.__doc__)
    return parser.parse_args_into_dataclasses()[0]


def resolved(config) -> dict:
    """The dataclass as a JSON-ready dict without paths of this machine."""
    paths = {
        "start_from", "teachers", "ptbxl", "ecgqa", "out", "cache", "encoder", "questions", "llm",
        "intervals",
    }  # fmt: skip
    return {
        k: Path(v).name if k in paths and isinstance(v, str) else v
        for k, v in asdict(config).items()
    }
