"""The README's examples, run word for word: command line, `gradio_client` and `curl`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_app import served, write_wfdb

from ecgqa.gallery.simulate import simulate

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:7860"


def example(language: str, word: str) -> str:
    """The block of code in the README that has this word."""
    blocks = re.findall(rf"```{language}\n(.+?)\n```", README, re.S)
    (found,) = (block for block in blocks if word in block)
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the files that the examples name."""
    write_wfdb(tmp_path, "a", simulate("normal").ecg.signal_mv)
    (tmp_path / "questions.txt").write_text("Is it sinus rhythm?\nWhat is the heart rate?\n")
    archive = tmp_path / "FOLDER"
    archive.mkdir()
    write_wfdb(archive, "b", simulate("left ventricular hypertrophy").ecg.signal_mv)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command of the README in a process of its own, with this interpreter as `python`."""
    words = [sys.executable if word == "python" else word for word in command]
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.trained
def test_each_command_does_what_it_says_and_keeps_quiet(here):
    asked, measured, archive = map(shlex.split, example("", "ecgqa ask").splitlines())
    done = run(*asked)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2 and all(answer["text"] for answer in answers)
    assert all("beats" not in answer["measurements"] for answer in answers)
    assert done.stderr == ""
    done = run(*measured)
    found = json.loads(done.stdout)["measurements"]
    assert len(found["beats"]) >= 8 and found["rate_bpm"] and done.stderr == ""
    run(*archive)
    assert (here / "table.parquet").stat().st_size > 1000


def test_the_python_client_of_the_readme_gets_an_answer(here, capsys):
    with served() as url:
        exec(example("py", "gradio_client").replace(ADDRESS, url.rstrip("/")), {})
    assert "asked: Is it regular?" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_of_the_readme_gets_the_measurements(here):
    with served() as url:
        done = run("bash", "-ec", example("sh", "curl").replace(ADDRESS, url.rstrip("/")))
    (line,) = re.findall(r"event: complete\ndata: (.+)", done.stdout)
    (answer,) = json.loads(line)
    assert answer["ecg"]["rate_bpm"] == pytest.approx(70, abs=15)
