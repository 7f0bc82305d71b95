"""What the shipped encoder still sees where leads or seconds are missing.

    python -m training.judge.missing_leads --ptbxl DIR --ecgqa DIR [--ecgs 800] [--split valid]

The same ECGs of patients that no training saw, with less and less of them left, go the way of every
recording: `ecgqa.model.tensor.model_input`, then the encoder. Per row: the macro AUC over PTB-XL's
statements (95 % bootstrap interval) and over those of the rhythm, how many statements an ECG gets
with a probability above one half, and which share of these is false; then of the infarcts the AUC,
the share that is found, and the share that is called a normal ECG. The cardiologist judged all of
the ECG: what cannot be seen in the leads left counts as wrong, which is the question here. When
`ecgqa.answer.assistant` declines, and what it remarks on, was decided on this table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ecgqa.formats.leads import with_derived
from ecgqa.model.encoder import EncoderConfig, EncoderEnsemble, build_encoder
from ecgqa.model.tensor import model_input
from ecgqa.record import ECG, LEADS
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.stages.pretrain_encoder import macro_auc

INFARCT, NORMAL = "myocardial infarction", "normal ecg"
DRAWS = 50  # of the bootstrap
CHEST = LEADS[6:]
Change = Callable[[np.ndarray, float], np.ndarray]  # [12, n] mV, Hz → the same with NaN


def only(*kept: str) -> Change:
    """These leads alone, and the limb leads that follow from them."""

    def change(signal_mv: np.ndarray, rate_hz: float) -> np.ndarray:
        leads, _ = with_derived({lead: signal_mv[LEADS.index(lead)] for lead in kept})
        missing = np.full(signal_mv.shape[1], np.nan)
        return np.stack([leads.get(lead, missing) for lead in LEADS])

    return change


def without(*lost: str) -> Change:
    """All leads but these."""
    return lambda signal_mv, rate_hz: np.where(np.isin(LEADS, lost)[:, None], np.nan, signal_mv)


def first(seconds: float, repeated: bool = False) -> Change:
    """The beginning alone, as of a short recording; repeated to the old length."""

    def change(signal_mv: np.ndarray, rate_hz: float) -> np.ndarray:
        kept = signal_mv[:, : round(seconds * rate_hz)]
        return np.resize(kept.T, signal_mv.T.shape).T if repeated else kept

    return change


def printed(rows: int, rhythm: bool = True, repeated: bool = False) -> Change:
    """A page of `rows` rows: each lead only in its column's seconds, II whole below them."""
    columns = len(LEADS) // rows

    def change(signal_mv: np.ndarray, rate_hz: float) -> np.ndarray:
        wide = signal_mv.shape[1] // columns
        out = np.full_like(signal_mv, np.nan)
        for i in range(len(LEADS)):
            place = slice(i // rows * wide, (i // rows + 1) * wide)
            piece = signal_mv[i, place]
            if repeated:
                out[i] = np.resize(piece, signal_mv.shape[1])
            else:
                out[i, place] = piece
        if rhythm:
            out[LEADS.index("II")] = signal_mv[LEADS.index("II")]
        return out

    return change


CONDITIONS: dict[str, Change] = {
    "all twelve leads": lambda signal_mv, rate_hz: signal_mv,
    "I, II, V1-V6; the others calculated": only("I", "II", *CHEST),
    "V3 missing": without("V3"),
    "V1-V3 missing": without("V1", "V2", "V3"),
    "V4-V6 missing": without("V4", "V5", "V6"),
    "limb leads, V2, V5": only("I", "II", "V2", "V5"),
    "limb leads and V1": only("I", "II", "V1"),
    "six limb leads": only("I", "II"),
    "V1-V6": only(*CHEST),
    "II and V1": only("II", "V1"),
    "II alone": only("II"),
    "I alone": only("I"),
    "page of 6 rows, 5 s a lead": printed(6, rhythm=False),
    "page of 3 rows, 2.5 s a lead, II whole": printed(3),
    "page of 3 rows, repeated to 10 s, II whole": printed(3, repeated=True),
    "first 7.5 s": first(7.5),
    "first 5 s": first(5),
    "first 5 s, repeated to 10 s": first(5, repeated=True),
    "first 2.5 s": first(2.5),
    "first 2.5 s, repeated to 10 s": first(2.5, repeated=True),
}


def shipped_encoder(folder: Path) -> EncoderEnsemble:
    """The encoder of a checkpoint, without its language model."""
    raw = json.loads((folder / "config.json").read_text())["encoder"]
    encoder = build_encoder(EncoderConfig.from_json(raw))
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return encoder.eval()


@torch.no_grad()
def probabilities(encoder: EncoderEnsemble, ecgs: list[ECG], change: Change) -> np.ndarray:
    """[ecgs, statements] of the changed ECGs, as they are served."""
    inputs = np.stack(
        [model_input(ECG(change(e.signal_mv, e.rate_hz), e.rate_hz, e.name)) for e in ecgs]
    )
    batches = torch.from_numpy(inputs).split(100)
    return torch.cat([encoder(b).statement_logits.sigmoid() for b in batches]).numpy()


def main() -> None:
    """Command line: print the table."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "checkpoint")
    parser.add_argument("--split", default="valid", choices=("valid", "test"))
    parser.add_argument("--ecgs", type=int, default=800)
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    rows = ptbxl.splits(data, args.ecgqa)[args.split]
    rows = np.sort(np.random.default_rng(0).permutation(rows)[: args.ecgs])
    ecgs = [ptbxl.read_plain(data.folder / data.path[i]) for i in rows]
    truth, names = ptbxl.concept_targets(data)[rows], np.array(ptbxl.concept_names())
    statements = np.array(ptbxl.statement_columns())
    rhythm = np.flatnonzero(np.isin(names, list(ptbxl.RHYTHM.values())))
    infarct, normal = (int(np.flatnonzero(names == n)[0]) for n in (INFARCT, NORMAL))
    ill = truth[:, infarct] == 1
    encoder = shipped_encoder(args.checkpoint)

    print(f"{len(ecgs)} ECGs of split {args.split}, {ill.sum()} with an infarct\n")
    print(
        "| what is left | macro AUC | rhythm | said | false | infarct AUC, found, called normal |"
    )
    print("|---|---|---|---|---|---|")
    for name, change in CONDITIONS.items():
        found = probabilities(encoder, ecgs, change)[:, : len(names)]
        both = np.stack([found[:, statements], truth[:, statements]], axis=1)
        low, high = interval(both, lambda some: macro_auc(some[:, 0], some[:, 1])[0], DRAWS)
        said = (both[:, 0] > 0.5) & ~np.isnan(both[:, 1])
        print(
            f"| {name} | {macro_auc(both[:, 0], both[:, 1])[0]:.3f} ({low:.3f} to {high:.3f}) | "
            f"{macro_auc(found[:, rhythm], truth[:, rhythm])[0]:.3f} | "
            f"{said.sum(axis=1).mean():.2f} | {100 * np.mean(both[:, 1][said] == 0):.0f} % | "
            f"{macro_auc(found[:, [infarct]], truth[:, [infarct]])[0]:.3f}, "
            f"{100 * np.mean(found[ill, infarct] > 0.5):.0f} %, "
            f"{100 * np.mean(found[ill, normal] > 0.5):.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
