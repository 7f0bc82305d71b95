"""Fixtures that several test files share."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from gate import Gate
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
# The same examples in every run, and no clock that a busy machine could lose against.
# `--hypothesis-profile search` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("same")
# Several processes test side by side: one core for each, said before torch is imported.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["OMP_NUM_THREADS"] = "1"
# A folder of uploads for each process: the same file uploaded to two servers would lie at one
# place, and the first takes it away.
UPLOADS = Path(tempfile.gettempdir(), f"ecgqa-tests-{os.getpid()}")
os.environ["GRADIO_TEMP_DIR"] = str(UPLOADS)
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)
# Files that take longest, which are begun first: at the end no process waits long for another.
LONGEST = (
    "test_training_scripts", "test_readme_examples", "test_serving", "test_checkpoint", "test_fuzz",
    "test_digitise", "test_app", "test_encoders", "test_batch", "test_advisories", "test_clinic",
)  # fmt: skip
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Keep how the last phase of a test ended: its fixtures are torn down after that."""
    report = yield
    item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def failed(request) -> Callable[[], bool]:
    """Tells, while fixtures are torn down, whether the test failed."""
    return lambda: request.node.stash[FAILED]


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a process for each core that this one may use, if there are 3 GB for each."""
    from joblib import cpu_count  # brings NumPy, whose threads are to be limited before

    return max(1, min(cpu_count(), psutil.virtual_memory().available // (3 * 2**30)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items) -> None:
    """Tell tests apart by what they need, so that CI can run each kind in its own stage."""
    items.sort(key=lambda item: (*LONGEST, item.path.stem).index(item.path.stem))
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker(pytest.mark.browser)
        elif "shipped_assistant" in item.fixturenames:
            item.add_marker(pytest.mark.trained)


@pytest.fixture(scope="session")
def shipped_assistant():
    """The shipped model, loaded once for all tests of a process."""
    from ecgqa import EcgAssistant

    return EcgAssistant.load()


@pytest.fixture
def temp_folder(tmp_path_factory, monkeypatch) -> Iterator[Path]:
    """A temporary folder of its own, which the test must leave empty."""
    folder = tmp_path_factory.mktemp("temp")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Where a stand-in waits for the test; open at the end of it."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture(scope="session")
def tiny_ptbxl_once(tmp_path_factory) -> Path:
    """A made-up PTB-XL and its ECG-QA splits, written once for all processes of a run."""
    from tiny_ptbxl import write_ptbxl  # brings torch, see above

    base = tmp_path_factory.getbasetemp()
    # Each process of pytest-xdist has a folder of its own in that of the run.
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "tiny-ptbxl"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            write_ptbxl(unfinished := folder.with_suffix(".part"))
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="module")
def made(tiny_ptbxl_once, tmp_path_factory) -> Path:
    """A folder to write into, in which a made-up PTB-XL and its ECG-QA splits stand."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("ptbxl", "ecgqa", "intervals.csv"):
        (folder / name).symlink_to(tiny_ptbxl_once / name)
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


@pytest.fixture(scope="module")
def desk(request, browser, url):
    """A page that the tests of a module use one after the other; its parameter: the settings."""
    from screen import SharedPage

    with contextlib.closing(SharedPage(browser, url, **getattr(request, "param", {}))) as shared:
        yield shared


@pytest.fixture
def lent(desk, failed):
    """The module's page as the test before left it."""
    yield desk.lend()
    desk.take_back(failed())


@pytest.fixture
def page(lent):
    """The module's page as it opens, but for what was answered."""
    from screen import as_it_opens

    as_it_opens(lent)
    return lent


@pytest.fixture(scope="session")
def ecg_data() -> Path:
    """Folder with the unpacked real recordings: $ECGQA_DATA, else unpacked from ../shared."""
    given = os.environ.get("ECGQA_DATA")
    if given:
        return Path(given)
    unpack = ROOT.parent / "shared" / "unpack.py"
    if not unpack.exists():
        pytest.skip("real recordings are not here: set ECGQA_DATA to the folder that holds them")
    version = sha256(unpack.read_bytes()).hexdigest()[:8]
    dest = Path.home() / ".cache" / f"ecgqa-test-data-{version}"
    dest.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{dest}.lock"):  # one process unpacks, the others wait
        if not dest.exists():
            unfinished = dest.with_suffix(".part")
            subprocess.run([sys.executable, str(unpack), "--dest", str(unfinished)], check=True)
            unfinished.rename(dest)
    return dest
