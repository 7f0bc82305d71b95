"""One script goes from the data to a judged checkpoint, and does nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_llm
from tiny_ptbxl import write_ptbxl

ROOT = Path(__file__).resolve().parent.parent
RESULTS = {"clinic.json", "encoder.txt", "evaluation-choose.json", "evaluation-query.json",
           "evaluation-verify.json"}  # fmt: skip


def reproduce(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The script, on one core."""
    return subprocess.run(
        ["bash", str(ROOT / "training" / "reproduce.sh"), *map(str, arguments)],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
        },
        capture_output=True,
        text=True,
    )


def stages(text: str, mark: str) -> list[str]:
    """The stages behind a mark: + begun, = complete already."""
    return [line.split()[1] for line in text.splitlines() if line.startswith(f"{mark} ")]


@pytest.mark.scripts
@pytest.mark.long
def test_from_nothing_to_the_end_and_then_no_further(tmp_path):
    write_ptbxl(tmp_path / "data", patients=100)
    llm, out = tiny_llm(tmp_path / "llm"), tmp_path / "out"
    command = (tmp_path / "data", out, "--tiny", "--llm", llm)

    first = reproduce(*command)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    done = stages(first.stdout, "+")
    assert not stages(first.stdout, "=")
    assert {path.name for path in (out / "results").iterdir()} == RESULTS
    config = json.loads((out / "checkpoint" / "config.json").read_text())
    assert config["calibration"] and config["finding_limits"]
    assert (out / "checkpoint" / "reader" / "reader.json").exists()
    record = json.loads((out / "results" / "evaluation-verify.json").read_text())
    kinds = {name.split("-")[-1] for name in record["results"]["true"] if " " not in name}
    assert kinds == {"query", "choose", "verify"}, "what was judged before is added"

    second = reproduce(*command)
    assert second.returncode == 0, second.stderr[-3000:]
    assert stages(second.stdout, "=") == done and not stages(second.stdout, "+")

    other = reproduce(*command[:2])
    assert other.returncode == 1 and "give another OUT" in other.stderr


@pytest.mark.parametrize("arguments", [(), ("--tiny",), ("data", "out", "--fast"),
                                       ("data", "out", "--llm")])  # fmt: skip
def test_a_wrong_command_is_told_the_right_one(arguments):
    said = reproduce(*arguments)
    assert said.returncode == 2
    assert said.stderr.startswith("training/reproduce.sh DATA OUT")


def test_a_folder_without_the_data_is_named(tmp_path):
    said = reproduce(tmp_path, tmp_path / "out")
    assert said.returncode == 1
    assert said.stderr.startswith(f"There is no {tmp_path}/ptbxl/ptbxl_database.csv")
    assert not (tmp_path / "out").exists()
