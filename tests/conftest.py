"""Fixtures that several test files share."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
# Several processes test side by side: one core for each, said before torch is imported.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["OMP_NUM_THREADS"] = "1"
    # The same file uploaded to two servers would lie at one place, and the first takes it away.
    worker = os.environ["PYTEST_XDIST_WORKER"]
    os.environ["GRADIO_TEMP_DIR"] = str(Path(tempfile.gettempdir(), f"ecgqa-tests-{worker}"))


@pytest.fixture
def temp_folder(tmp_path_factory, monkeypatch) -> Iterator[Path]:
    """A temporary folder of its own, which the test must leave empty."""
    folder = tmp_path_factory.mktemp("temp")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a made-up PTB-XL and its ECG-QA splits."""
    from tiny_ptbxl import write_ptbxl  # brings torch, see above

    folder = tmp_path_factory.mktemp("made")
    write_ptbxl(folder)
    return folder


@pytest.fixture(scope="session")
def ecg_data() -> Path:
    """Folder with the unpacked real recordings: $ECGQA_DATA, else unpacked from ../shared."""
    given = os.environ.get("ECGQA_DATA")
    if given:
        return Path(given)
    unpack = ROOT.parent / "shared" / "unpack.py"
    if not unpack.exists():
        pytest.skip("real recordings are not here: set ECGQA_DATA to the folder that holds them")
    dest = Path.home() / ".cache" / "ecgqa-test-data"
    dest.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{dest}.lock"):  # one process unpacks, the others wait
        subprocess.run([sys.executable, str(unpack), "--dest", str(dest)], check=True)
    return dest
