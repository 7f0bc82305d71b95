"""`Plan`: what is asked of every recording of an archive, and the columns that follow from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ecgqa.archive.codes import SCP_CODES
from ecgqa.formats.upload import stamp_of

OF_THE_FILE = ("recording", "error", "name", "sha256")
OF_THE_SIGNAL = ("missing_leads", "notes", "quality_reasons", "quality_leads")
MEASURED = (
    "rate_bpm", "rr_ms", "rr_spread_ms", "irregularity", "p_ms", "pr_ms", "qrs_ms", "qt_ms",
    "p_axis_deg", "qrs_axis_deg", "t_axis_deg", "sokolow_lyon_mv", "cornell_mv",
)  # fmt: skip
QTC = ("Bazett", "Fridericia", "Framingham", "Hodges")
DECIMALS = 4  # of probabilities and numbers: far below what repeats

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to do with each recording.

    measure: rate, intervals and axes. findings: a probability for each of `statements`, the names
    of the encoder's head. questions: each is asked by itself. checkpoint, llm: see
    `EcgAssistant.load`. version: of the weights, "" where no model is needed.
    """

    measure: bool = False
    findings: bool = False
    questions: tuple[str, ...] = ()
    checkpoint: str | None = None
    llm: str | None = None
    statements: tuple[str, ...] = ()
    version: str = ""

    @property
    def needs_model(self) -> bool:
        """Whether the model has to be loaded."""
        return self.findings or bool(self.questions)

    def schema(self) -> pa.Schema:
        """Names and types of the columns, the same for every archive."""
        text, number, truth = pa.string(), pa.float64(), pa.bool_()
        fields = [(name, text) for name in OF_THE_FILE]
        fields += [("rate_hz", number), ("seconds", number), ("readable", truth)]
        fields += [(name, text) for name in OF_THE_SIGNAL]
        if self.measure:
            fields += [(name, number) for name in MEASURED]
            fields += [(f"qtc_{name.lower()}_ms", number) for name in QTC]
            fields.append(("not_measurable", text))
        if self.findings:
            fields += [("findings", text), ("scp_codes", text)]
            fields += [(score_column(name), number) for name in self.statements]
        for place, _ in enumerate(self.questions, 1):
            fields += [(f"answer_{place}", text), (f"confidence_{place}", number)]
            fields += [(f"declined_{place}", truth), (f"remarks_{place}", text)]
        named = {f"question_{i}": text for i, text in enumerate(self.questions, 1)}
        return pa.schema(fields, metadata=named)

    def digest(self, recordings: list[tuple[str, ...]]) -> str:
        """Hex digest of the plan and of the files, their sizes and times of change.

        A resumed run must have the same.
        """
        stamps = [stamp_of(Path(file)) for files in recordings for file in files]
        whole = json.dumps([asdict(self), recordings, stamps], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


def score_column(name: str) -> str:
    """The column of a statement's probability: its name, and its SCP code where it has one."""
    return f"P {name} [{SCP_CODES[name]}]" if name in SCP_CODES else f"P {name}"


def rounded(value: float | None) -> float | None:
    """A number as a table holds it."""
    return None if value is None else round(float(value), DECIMALS)
