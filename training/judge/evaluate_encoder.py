"""How good the encoder is on ECGs of patients that no training saw, before any question.

    python -m training.judge.evaluate_encoder --ptbxl DIR --ecgqa DIR [--encoder DIR,DIR] \
        [--split test]

Macro AUC over PTB-XL's statements of (i) the encoder's own heads, trained end to end, (ii) a linear
probe: logistic regression on its pooled features, fitted on the training ECGs; and the mean AUC
over the four abnormal super-classes and "normal ecg" of (iii) text prompts alone: how near the ECG
lies to a text, through the two projections of the contrastive objective (from state.pt of stage 1).
The prompts are the name of the class alone and before each of its statements' names; each one's
nearness is standardised over the ECGs, and the nearest counts. The text tower saw these names
beside the reports; no head is fitted to the classes.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import nn

from ecgqa.model.encoder import EcgEncoder
from training.data import ptbxl
from training.data.arguments import command_line
from training.data.bootstrap import interval
from training.stages.feature_bank import load_encoder
from training.stages.pretrain_encoder import Towers, macro_auc, report_vocabulary

PROBE = 4000  # training ECGs that each logistic regression is fitted on, for time's sake


@torch.no_grad()
def encode(
    encoder: nn.Module, signals: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Statement logits and pooled features of these rows."""
    logits, pooled = [], []
    for part in np.array_split(rows, max(1, len(rows) // 128)):
        features = encoder(torch.from_numpy(np.asarray(signals[part], np.float32)))
        logits.append(features.statement_logits.numpy())
        pooled.append(features.pooled.numpy())
    return np.concatenate(logits), np.concatenate(pooled)


def probe(fit: np.ndarray, truth: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Scores [n, statements] of one logistic regression per statement; 0 where none occurs."""
    scale = StandardScaler().fit(fit)
    fit, features = np.asarray(scale.transform(fit)), np.asarray(scale.transform(features))
    out = np.zeros((len(features), truth.shape[1]))
    for k in range(truth.shape[1]):
        if 1 < truth[:, k].sum() < len(truth):
            model = LogisticRegression(C=0.01, max_iter=300, class_weight="balanced")
            out[:, k] = model.fit(fit, truth[:, k]).decision_function(features)
    return out


@torch.no_grad()
def by_prompt(
    folder: Path, pooled: np.ndarray, prompts: tuple[str, ...], number: dict[str, int]
) -> np.ndarray:
    """Cosine [n, prompts] of ECGs and texts, through one member's contrastive projections."""
    state = torch.load(folder / "state.pt", weights_only=True)["towers"]
    (member,) = load_encoder(str(folder)).members
    assert isinstance(member, EcgEncoder)
    towers = Towers(member, max(number.values()) + 1)
    towers.load_state_dict(state)
    towers.eval()
    bags = [[number[w] for w in re.findall(r"\w+", text) if w in number] for text in prompts]
    offsets = torch.tensor(np.cumsum([0, *(len(b) for b in bags[:-1])]))
    texts = towers.report(towers.words(torch.tensor([w for b in bags for w in b]), offsets))
    ecgs = towers.ecg(torch.from_numpy(pooled))
    unit = torch.nn.functional.normalize
    return (unit(ecgs, dim=-1) @ unit(texts, dim=-1).T).numpy()


def main() -> None:
    """Command line."""
    parser = command_line(__doc__, "ptbxl", "ecgqa", "cache")
    parser.add_argument("--encoder", default=".work/encoder")
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    args = parser.parse_args()
    data = ptbxl.load(args.ptbxl)
    split, signals = ptbxl.splits(data, args.ecgqa), ptbxl.signals(data, args.cache)
    rows, columns = split[args.split], ptbxl.statement_columns()
    truth = ptbxl.concept_targets(data)[:, columns]
    encoder = load_encoder(args.encoder)
    logits, pooled = encode(encoder, signals, rows)

    def show(name: str, scores: np.ndarray) -> None:
        value, count = macro_auc(scores, truth[rows])
        both = np.concatenate([scores, truth[rows]], axis=1)

        def statistic(some: np.ndarray) -> float:
            return macro_auc(some[:, : len(columns)], some[:, len(columns) :])[0]

        low, high = interval(both, statistic, 100)
        print(f"{name}: macro AUC {value:.4f} ({low:.4f}-{high:.4f}) over {count} statements")

    print(f"{len(rows)} ECGs of split {args.split}")
    show("trained end to end", logits[:, columns])
    for i, member in enumerate(encoder.members):
        assert isinstance(member, EcgEncoder)
        if len(encoder.members) > 1:
            show(f"  member {i + 1} alone", encode(member, signals, rows)[0][:, columns])
    some = np.random.default_rng(0).choice(
        split["pretrain"], min(PROBE, len(split["pretrain"])), replace=False
    )
    show(f"linear probe on {len(some)} ECGs", probe(encode(encoder, signals, some)[1], truth[some],
                                                pooled))  # fmt: skip

    number = report_vocabulary(data, split["pretrain"])
    super_of, width = ptbxl.superclass_of(args.ptbxl), encoder.config.width
    areas = {}
    for k, (code, name) in enumerate((*ptbxl.SUPERCLASSES.items(), ("NORM", "normal ecg"))):
        own = [f"{name} {text}" for c, text in ptbxl.DIAGNOSTIC.items() if super_of.get(c) == code]
        near = np.zeros((len(rows), 1 + len(own)))
        for i, folder in enumerate(args.encoder.split(",")):
            mine = pooled[:, i * width : (i + 1) * width]
            near += by_prompt(Path(folder), mine, (name, *own), number)
        near = ((near - near.mean(0)) / near.std(0)).max(1)
        group = data.facts["normal" if code == "NORM" else "superclass"]
        areas[name] = roc_auc_score(group[rows, 0 if code == "NORM" else k], near)
    each = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    print(f"text prompts: mean AUC {np.mean(list(areas.values())):.4f} ({each})")


if __name__ == "__main__":
    main()
