"""Fixtures that several test files share."""

from __future__ import annotations

import atexit
import os
import shutil
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
# A folder of uploads for each process: a test can say what is left in it.
UPLOADS = Path(tempfile.gettempdir(), f"ecgqa-tests-{os.getpid()}")
os.environ["GRADIO_TEMP_DIR"] = str(UPLOADS)
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)


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


@pytest.fixture(scope="module")
def browser():
    """Chromium, for tests marked `needs_browser`."""
    from chromium import launched

    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The page's address, served with a made-up gallery and assistant."""
    from test_app import served  # brings torch, see above

    with served() as address:
        yield address


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
