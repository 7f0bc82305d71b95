"""Encoders side by side: equal data, epochs and evaluation; one command for each row.

    python -m training.judge.encoder_table --ptbxl DIR --ecgqa DIR --row scalogram [--epochs 30]
    python -m training.judge.encoder_table --table     # Markdown of the rows there are
    python -m training.judge.encoder_table --ptbxl DIR --ecgqa DIR --row scalogram --time

Each row trains on the ECGs of patients outside ECG-QA's valid and test splits and is measured on
its test ECGs: macro AUC over PTB-XL's 71 statements with a bootstrap interval, AUC of atrial
fibrillation, accuracy among four rhythms, the same macro AUC of a linear probe on the pooled
features fitted with 1, 10 and 100 % of the labels, and with few leads. `--time` adds the time of
one ECG on one core, which must be taken on a quiet machine. A row that is there is not done again.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from ecgqa.record import LEADS
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.augment import augment
from training.data.bootstrap import interval
from training.judge.tables import markdown
from training.stages.encoders import ROWS
from training.stages.encoders.contract import MOST_PARAMETERS, Encoder, Shape
from training.stages.on_device import (
    Average,
    Schedule,
    batches,
    device_of,
    half,
    run,
    seed_all,
    train,
)
from training.stages.pretrain_encoder import known_bce, macro_auc

RHYTHMS = ("sinus rhythm", "atrial fibrillation", "sinus tachycardia", "sinus bradycardia")
FEW = {"I, II": ("I", "II"), "I, II, V2": ("I", "II", "V2")}
PROBES = (0.01, 0.1, 1.0)
RATE, WEIGHT_DECAY, DECAY = 2e-3, 0.05, 0.998


def build(row: str, statements: int) -> Encoder:
    """The row's encoder, untrained. Raises ValueError where it is larger than the table allows."""
    encoder = ROWS[row][1](Shape(statements))
    size = parameters(encoder)
    if size > MOST_PARAMETERS:
        raise ValueError(f"{row} has {size} parameters, more than {MOST_PARAMETERS}")
    return encoder


def parameters(encoder: Encoder) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in encoder.parameters() if p.requires_grad)


def fit(args, encoder: Encoder, signals, targets, rows: np.ndarray) -> dict[str, int]:
    """Pretext, then labels; leaves the averaged weights in `encoder`. Returns the steps of each."""
    device, policy = signals.device, ROWS[args.row][2]
    size = min(args.batch, len(rows))
    total = args.max_steps or args.epochs * (len(rows) // size)
    first = round(total * encoder.pretext_share)
    order = batches(torch.from_numpy(rows), size, args.seed, device)
    share = encoder.pretext_share
    done = {"pretext": 0, "labels": 0}

    def unlabelled(batch: torch.Tensor) -> torch.Tensor:
        signal, _ = augment(signals[batch].float(), policy)
        with half(device):
            return encoder.pretext(signal).float()

    def labelled(batch: torch.Tensor) -> torch.Tensor:
        signal, _ = augment(signals[batch].float(), policy)
        with half(device):
            logits = encoder(signal).statement_logits
        return known_bce(logits.float(), targets[batch])

    if first:
        plan = Schedule(first, args.minutes * share)
        done["pretext"] = train(
            encoder, unlabelled, order, plan, RATE / 2, WEIGHT_DECAY, say=f"{args.row} pretext"
        )
    average = Average(encoder, DECAY)
    plan = Schedule(total - first, args.minutes * (1 - share))
    rate = RATE / 2 if "transformer" in args.row else RATE
    done["labels"] = train(
        encoder, labelled, order, plan, rate, WEIGHT_DECAY, (average,), say=args.row
    )
    encoder.load_state_dict(average.state)
    return done


def probe(
    features: torch.Tensor, truth: torch.Tensor, ask: torch.Tensor, c: float = 0.01
) -> np.ndarray:
    """Logits [len(ask), statements] of L2-penalised logistic regressions, all at once (L-BFGS).

    features [n, d] and truth [n, statements] (NaN: not known) fit them; both sets are standardised
    by the first. c: inverse strength of the penalty, as in scikit-learn.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    x, z = (features - mean) / deviation, (ask - mean) / deviation
    weight = torch.zeros(x.shape[1], truth.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(truth.shape[1], device=x.device, requires_grad=True)
    known = ~truth.isnan()
    target = truth.nan_to_num()
    lbfgs = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        lbfgs.zero_grad()
        each = F.binary_cross_entropy_with_logits(x @ weight + bias, target, reduction="none")
        loss = (each * known).sum() + 0.5 / c * (weight**2).sum()
        loss = loss / len(x)
        loss.backward()
        return loss

    lbfgs.step(closure)  # type: ignore[arg-type]
    return (z @ weight + bias).detach().cpu().numpy()


def rhythm_accuracy(logits: np.ndarray, truth: np.ndarray, names: list[str]) -> tuple[float, int]:
    """Share of the ECGs with exactly one of `RHYTHMS` whose highest logit among them is right."""
    columns = [names.index(name) for name in RHYTHMS]
    real = truth[:, columns] > 0
    one = real.sum(1) == 1
    hits = logits[one][:, columns].argmax(1) == real[one].argmax(1)
    return float(hits.mean()), int(one.sum())


def evaluate(
    encoder: Encoder, signals, truth: np.ndarray, split: dict[str, Any], names: list[str]
) -> dict[str, Any]:
    """All columns of a row but the time. truth [n, statements] over all ECGs."""
    test, fitted = split["test"], split["pretrain"]
    logits, pooled = run(encoder, signals, test)
    real = truth[test]
    area, count = macro_auc(logits, real)
    both = np.concatenate([logits, real], axis=1)
    width = real.shape[1]
    low, high = interval(both, lambda some: macro_auc(some[:, :width], some[:, width:])[0], 100)
    af = names.index("atrial fibrillation")
    accuracy, n = rhythm_accuracy(logits, real, names)
    out = {
        "macro_auc": area, "low": low, "high": high, "statements": count, "n": len(test),
        "af_auc": float(roc_auc_score(real[:, af], logits[:, af])),
        "rhythm_accuracy": accuracy, "rhythm_n": n, "probe": {}, "few": {},
    }  # fmt: skip
    features = torch.from_numpy(run(encoder, signals, fitted)[1])
    shuffled = np.random.default_rng(0).permutation(len(fitted))
    for share in PROBES:
        some = shuffled[: max(50, round(share * len(fitted)))]
        place = signals.device
        scores = probe(
            features[some].to(place),
            torch.from_numpy(truth[fitted[some]]).to(place),
            torch.from_numpy(pooled).to(place),
        )
        out["probe"][f"{share:g}"] = macro_auc(scores, real)[0]
    for name, leads in FEW.items():
        keep = tuple(LEADS.index(lead) for lead in leads)
        out["few"][name] = macro_auc(run(encoder, signals, test, keep)[0], real)[0]
    return out


@torch.no_grad()
def milliseconds(encoder: Encoder, repeats: int = 50) -> float:
    """Median time of one ECG on one core."""
    torch.set_num_threads(1)
    encoder.cpu().eval()
    signal, times = torch.randn(1, 12, 1000), []
    for _ in range(repeats):
        started = time.perf_counter()
        encoder(signal)
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times))


def table(folder: Path) -> str:
    """Markdown of the rows that are there."""
    head = (
        "encoder", "macro AUC", "AF AUC", "4 rhythms, %", "probe 1 / 10 / 100 %", "I+II",
        "I+II+V2", "ms", "parameters, M",
    )  # fmt: skip
    rows = []
    for key, (name, _, _) in ROWS.items():
        file = folder / f"{key}.json"
        if not file.exists():
            continue
        r = json.loads(file.read_text())
        few = [f"{r['few'][k]:.3f}" for k in FEW]
        probes = " / ".join(f"{v:.3f}" for v in r["probe"].values())
        rows.append((
            name, f"{r['macro_auc']:.3f} ({r['low']:.3f}-{r['high']:.3f})", f"{r['af_auc']:.3f}",
            f"{100 * r['rhythm_accuracy']:.1f}", probes, *few,
            f"{r['ms']:.1f}" if "ms" in r else "", f"{r['parameters'] / 1e6:.2f}",
        ))  # fmt: skip
    return markdown(head, rows)


def one_row(args) -> dict[str, Any]:
    """Train and measure one row; writes its weights (float16) beside its numbers."""
    device = device_of(args.device)
    seed_all(args.seed, device)
    data = ptbxl.load(args.ptbxl)
    split = ptbxl.splits(data, args.ecgqa)
    split["pretrain"] = split["pretrain"][: args.limit or None]
    columns = ptbxl.statement_columns()
    names = [ptbxl.concept_names()[i] for i in columns]
    truth = ptbxl.concept_targets(data)[:, columns]
    signals = torch.from_numpy(np.array(ptbxl.signals(data, args.cache))).to(device)
    targets = torch.from_numpy(truth).to(device)
    encoder = build(args.row, len(columns)).to(device)
    started = time.monotonic()
    steps = fit(args, encoder, signals, targets, split["pretrain"])
    seconds = time.monotonic() - started
    weights = {k: v.half() if v.is_floating_point() else v for k, v in encoder.state_dict().items()}
    torch.save({k: v.cpu() for k, v in weights.items()}, args.out / f"{args.row}.pt")
    size = min(args.batch, len(split["pretrain"]))
    seen = {k: v * size / len(split["pretrain"]) for k, v in steps.items()}
    return evaluate(encoder, signals, truth, split, names) | {
        "parameters": parameters(encoder), "steps": steps, "epochs": seen, "batch": args.batch,
        "seed": args.seed, "train_seconds": seconds, "device": device.type,
        "policy": asdict(ROWS[args.row][2]),
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "cache")
    parser.add_argument("--ptbxl")
    parser.add_argument("--ecgqa")
    parser.add_argument("--row", choices=ROWS)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(".work/encoders"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=0.0, help="at most (0: no end)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--limit", type=int, default=0, help="so many ECGs, for a rehearsal")
    parser.add_argument("--max_steps", type=int, default=0, help="for a rehearsal")
    parser.add_argument("--device", default="")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.row:
        file = args.out / f"{args.row}.json"
        if not file.exists():
            file.write_text(json.dumps(one_row(args), indent=1) + "\n")
        if args.time:
            known = json.loads(file.read_text())
            ms = milliseconds(build(args.row, len(ptbxl.statement_columns())))
            file.write_text(json.dumps(known | {"ms": ms}, indent=1) + "\n")
    if args.table:
        print(table(args.out))


if __name__ == "__main__":
    main()
