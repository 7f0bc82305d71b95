"""The training scripts from the encoder to the evaluation, on a made-up PTB-XL and a tiny LLM."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from tiny import tiny_llm

from training.data import questions

# One process runs the scripts that it has imported already, to save their imports.
pytestmark = [
    pytest.mark.scripts,
    pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning"),
]
ROOT = Path(__file__).resolve().parent.parent


def run(script: str, *arguments: str, processes: int = 1) -> str:
    """What `python -m script arguments` prints; one process is this one, as it has all imported."""
    if processes == 1:
        printed = io.StringIO()
        with (
            mock.patch.dict(os.environ, {"ACCELERATE_USE_CPU": "true"}),
            mock.patch.object(sys, "argv", [script, *arguments]),
            contextlib.redirect_stdout(printed),
        ):
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        return printed.getvalue()
    # `accelerate launch --cpu --num_processes 2` starts a single one where there is no MPI.
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    result = subprocess.run(
        [sys.executable, *launch, "-m", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def encoder_folder(made):
    common = data_flags(made)
    out = made / "encoder"
    common += ["--intervals", str(made / "intervals.csv")]
    text = run("training.stages.pretrain_encoder", *common, "--out", str(out), "--epochs", "1",
               "--batch", "16", "--steps", "4")  # fmt: skip
    assert "step 4/" not in text and (out / "encoder.safetensors").exists()
    text = run("training.stages.pretrain_encoder", *common, "--out", str(out), "--epochs", "1",
               "--batch", "16", "--steps", "6")  # fmt: skip
    assert "resumed at step 4" in text
    return out


def data_flags(made) -> list[str]:
    return ["--ptbxl", str(made / "ptbxl"), "--ecgqa", str(made / "ecgqa"), "--cache",
            str(made / "cache")]  # fmt: skip


def train_flags(made, encoder_folder, out, *more) -> list[str]:
    llm = made / "llm"
    if not llm.exists():
        tiny_llm(llm)
    return [
        "training.stages.train", *data_flags(made), "--encoder", str(encoder_folder),
        "--llm", str(llm), "--intervals", str(made / "intervals.csv"), "--out", str(out),
        "--reading_layers", "1", "--projector_width", "32",
        "--lora_rank", "2", "--align_batch", "8", "--batch", "4", "--watch_every", "4",
        "--watch_questions", "8", "--read_texts", "300", "--read_steps", "4", "--read_batch", "8",
        *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model_folder(made, encoder_folder):
    out = made / "model"
    first = run(*train_flags(made, encoder_folder, out, "--align_steps", "4", "--debias_steps", "0",
                             "--tune_steps", "0"))  # fmt: skip
    assert "AUC true" in first
    return out


def test_three_stages_resume_and_evaluate(made, encoder_folder, model_folder):
    out = model_folder
    text = run(*train_flags(made, encoder_folder, out, "--align_steps", "4", "--debias_steps", "4",
                            "--tune_steps", "4"))  # fmt: skip
    assert "resumed in stage tune" in text and "watch (tune" in text
    config = json.loads((out / "checkpoint" / "config.json").read_text())
    assert str(made) not in json.dumps(config), "a checkpoint must not carry a path"
    held = made / "test.json"
    run("training.data.regenerate", *data_flags(made)[:4], "--split", "test", "--intervals",
        str(made / "intervals.csv"), "--per_template", "2", "--out", str(held))  # fmt: skip
    evaluate = ["training.judge.evaluate", "--ptbxl", str(made / "ptbxl"),
                "--cache", str(made / "cache"), "--questions", str(held),
                "--checkpoint", str(out / "checkpoint"),
                "--llm", str(made / "llm")]  # fmt: skip
    text = run("training.stages.calibrate", *evaluate[1:], "--limit", "40", "--verdicts", "6")
    assert "verify: scale" in text and "cautious: P(yes) of" in text
    assert "same recording: 95 % move less than" in text
    config = json.loads((out / "checkpoint" / "config.json").read_text())
    assert {"verify", "option"} <= set(config["calibration"])
    assert 0.5 <= config["cautious_yes"] <= 1
    assert config["least_move"] != 0.25
    controls = ["true", "blind", "text", "shuffled", "severity", "noise", "perfect",
                "perfect-severity"]  # fmt: skip
    text = run(*evaluate, "--control", *controls, "--limit", "24", "--out", str(made / "out.json"),
               "--intervals", str(made / "intervals.csv"), "--ecgqa",
               str(made / "ecgqa"))  # fmt: skip
    assert len(re.findall(r"\| T3 .+ \| (?:yes|no) \|$", text, re.M)) == 2, "model and labels"
    results = json.loads((made / "out.json").read_text())["results"]
    assert list(results) == controls
    assert sum(v["n"] for k, v in results["true"].items() if "/" not in k and "," not in k) == 24
    text = run("training.judge.controls", *data_flags(made),
               "--intervals", str(made / "intervals.csv"), "--checkpoint", str(out / "checkpoint"),
               "--llm", str(made / "llm"), "--questions", "6")  # fmt: skip
    assert len(re.findall(r"\| (?:yes|no) \|$", text, re.M)) == 14
    text = run(
        "training.judge.deletion", *evaluate[1:], "--limit", "4", "--out", str(made / "d.json")
    )
    assert "× that at random" in text and json.loads((made / "d.json").read_text())[0]["n"] == 4
    asked = questions.read_questions(held)
    assert {i for q in asked for i in q.ecg_id} <= set(range(273, 321)), "only test ECGs"


@pytest.mark.long
def test_the_arms_are_set_side_by_side(made, encoder_folder):
    folders = []
    for arm in ("erm", "adjusted"):
        out = made / f"arm_{arm}"
        run(*train_flags(made, encoder_folder, out, "--arm", arm, "--align_steps", "2",
                         "--debias_steps", "2", "--tune_steps", "0"))  # fmt: skip
        folders.append(f"{arm}={out / 'checkpoint'}")
        config = json.loads((out / "checkpoint" / "config.json").read_text())
        shares = config["severities"]
        assert len(shares) == (3 if arm == "adjusted" else 0)
        assert not shares or sum(shares) == pytest.approx(1)
    for more in ([], ["--alone"]):
        text = run(
            "training.judge.ablation", *data_flags(made),
            "--intervals", str(made / "intervals.csv"), "--llm", str(made / "llm"),
            "--questions", "12", *more, "--arm", *folders,
        )  # fmt: skip
        assert "| | n | erm | adjusted |" in text
        for line in ("right, true", "AUC, shuffled", "T3", "T4 swap: flips", "T5", "T8"):
            assert f"| {line}" in text


def test_the_encoder_is_evaluated_by_heads_probe_and_prompts(made, encoder_folder):
    text = run(
        "training.judge.evaluate_encoder", *data_flags(made), "--encoder", str(encoder_folder)
    )
    for line in ("trained end to end: macro AUC", "linear probe on", "text prompts: mean AUC"):
        assert line in text


def test_two_processes_train_like_one(made, encoder_folder):
    """Same global batch, same seed: the printed losses agree (dropout differs by process)."""
    losses = []
    for processes in (1, 2):
        out = made / f"model_{processes}"
        text = run(
            *train_flags(made, encoder_folder, out, "--align_steps", "20", "--debias_steps", "2",
                         "--tune_steps", "0", "--watch_every", "100"),
            processes=processes,
        )  # fmt: skip
        losses.append(float(re.search(r"align 20/20 loss (\S+)", text)[1]))
        notes = json.loads((out / "checkpoint" / "config.json").read_text())["training"]
        assert notes["questions"]["processes"] == processes
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_weights_that_are_saved_are_half_floats(model_folder):
    from safetensors.torch import load_file

    paths = list((model_folder / "checkpoint").rglob("*.safetensors"))
    assert len(paths) >= 3
    for path in paths:
        kinds = {v.dtype for v in load_file(path).values()}
        assert kinds <= {torch.float16, torch.int64}, path
