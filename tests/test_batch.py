"""`python -m ecgqa batch`: every recording a row, whoever computed it, and none twice."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dask.distributed import LocalCluster
from test_app import write_wfdb

from ecgqa import EcgFileError
from ecgqa.__main__ import main
from ecgqa.archive import batch as batch_module
from ecgqa.archive import command
from ecgqa.archive.columns import Plan
from ecgqa.archive.recordings import recordings, written
from ecgqa.formats import read_ecg, text
from ecgqa.gallery.simulate import FINDINGS, simulate

PLAN = Plan(measure=True)


@pytest.fixture(scope="module")
def cluster():
    """Address of a running cluster of two workers."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        protocol="tcp",
    ) as running:
        yield running.scheduler_address


@pytest.fixture
def archive(tmp_path):
    """Six recordings in two folders, a file that is none, and a list of patients."""
    ecg = simulate(FINDINGS[0]).ecg
    signal, rate_hz = ecg.signal_mv, ecg.rate_hz
    for index in range(6):
        folder = tmp_path / "archive" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        write_wfdb(folder, f"r{index}", signal * (1 + index / 10), rate_hz=rate_hz)
    (tmp_path / "archive" / "broken.scp").write_bytes(b"no ECG at all")
    (tmp_path / "archive" / "patients.csv").write_text("name,age\nAnna,40\nBert,50\n")
    return tmp_path / "archive"


def test_files_are_grouped_into_recordings(archive):
    found = recordings(archive)
    assert len(found) == 7
    assert sorted(len(files) for files in found) == [1, 2, 2, 2, 2, 2, 2]
    (archive / "list.txt").write_text("0/r0.hea\n\n1/r1.hea\n0/r0.hea\n")
    assert [len(files) for files in recordings(archive / "list.txt")] == [2, 2]
    with pytest.raises(EcgFileError, match="not found"):
        recordings(archive / "nowhere")


def test_local_processes_and_a_cluster_give_the_same_bytes(archive, tmp_path, monkeypatch, cluster):
    monkeypatch.setattr(batch_module, "PART", 2)
    found = recordings(archive)
    outs = [tmp_path / f"{name}.parquet" for name in ("local", "cluster")]
    batch_module.batch(found, PLAN, outs[0], workers=1)
    batch_module.batch(found, PLAN, outs[1], scheduler=cluster)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    rows = pq.read_table(outs[0]).to_pylist()
    assert [row["recording"] for row in rows] == [files[0] for files in found]
    (bad,) = [row for row in rows if row["error"]]
    assert bad["recording"].endswith("broken.scp") and bad["rate_bpm"] is None
    assert all(30 < row["rate_bpm"] < 200 for row in rows if not row["error"])
    assert list(tmp_path.glob("*.parts-*")) == []


def test_what_was_done_before_a_stop_is_kept_and_not_done_again(
    archive, tmp_path, monkeypatch, cluster
):
    monkeypatch.setattr(batch_module, "PART", 2)
    found, out, whole = recordings(archive), tmp_path / "t.parquet", tmp_path / "whole.parquet"
    batch_module.batch(found, PLAN, whole, scheduler=cluster)
    write, written = batch_module._write, []

    def stop_at_third(table, file):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(file.name)
        write(table, file)

    monkeypatch.setattr(batch_module, "_write", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        batch_module.batch(found, PLAN, out, scheduler=cluster)
    assert not out.exists()
    resumed = []
    monkeypatch.setattr(
        batch_module, "_write", lambda table, file: (resumed.append(file.name), write(table, file))
    )
    batch_module.batch(found, PLAN, out, scheduler=cluster)
    assert len(resumed) == 2 and not set(resumed) & set(written)
    assert out.read_bytes() == whole.read_bytes()


def test_a_file_that_changed_after_a_stop_is_read_again(archive):
    (files, *_) = found = recordings(archive)
    before = PLAN.digest(found)
    assert PLAN.digest(found) == before
    path = Path(files[0])
    known = path.stat()
    try:
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns + 1_000_000_000))
        assert PLAN.digest(found) != before
    finally:
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))


def test_csv_by_its_suffix_and_plain_words_for_another(archive, tmp_path, capsys, cluster):
    out = tmp_path / "table.csv"
    assert main(["batch", str(archive), "--out", str(out), "--scheduler", cluster]) == 0
    assert len(out.read_text().splitlines()) == 8
    assert main(["batch", str(archive), "--out", str(tmp_path / "table.xls")]) == 2
    assert ".parquet or .csv" in capsys.readouterr().err


def in_latin_1(folder: Path, name: str) -> Path:
    """A path whose last part is no UTF-8. Skips where the system has no such names."""
    path = folder / os.fsdecode(name.encode("latin-1"))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    path.unlink()
    return path


def test_a_name_that_is_not_utf_8_is_a_row_like_any_other(archive, tmp_path, capsys, cluster):
    first, *_ = write_wfdb(tmp_path, "a", simulate(FINDINGS[0]).ecg.signal_mv)
    folder = in_latin_1(archive, "Müller")
    folder.mkdir()
    for file in (first, first.with_suffix(".dat")):
        file.rename(folder / file.name)
    (archive / "list.txt").write_bytes(b"0/r0.hea\nM\xfcller/a.hea\n" + b"x" * 400 + b".csv\n")
    for suffix in (".csv", ".parquet"):
        out = in_latin_1(tmp_path, f"tä{suffix}")
        wanted = ["batch", str(archive / "list.txt"), "--out", str(out), "--scheduler", cluster]
        assert main(wanted) == 0
        assert f"3 recordings: {tmp_path}/t\\xe4{suffix}" in capsys.readouterr().out
    with out.open("rb") as stream:
        good, odd, long = pq.read_table(stream).to_pylist()
    assert odd["recording"] == rf"{archive}/M\xfcller/a.hea" and odd["sha256"] and good["sha256"]
    assert "File name too long" in long["error"]


def test_the_case_of_a_latin_1_name(ecg_data, tmp_path, cluster):
    packed = ecg_data / "more_cases" / "batch_latin1_name" / "archive.tar.gz"
    if not packed.exists():
        pytest.skip("the cases are not here: set ECGQA_DATA to the folder that holds them")
    in_latin_1(tmp_path, "Müller")
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path, filter="data")
    out = tmp_path / "t.parquet"
    assert (
        main(["batch", str(tmp_path), "--out", str(out), "--measure", "--scheduler", cluster]) == 0
    )
    rows = pq.read_table(out).to_pylist()
    assert sum(row["rate_bpm"] is not None for row in rows) == 2
    assert sum("ller.csv" in row["recording"] for row in rows) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_ordinary_file_is_told_and_never_opened(archive, tmp_path, capsys, monkeypatch):
    """A pipe that is opened would be waited for without end."""
    for name in ("pipe.csv", "pipe.hea", "pipe.scp"):
        os.mkfifo(archive / name)
    (archive / "loop1.hea").symlink_to("loop2.hea")
    (archive / "loop2.hea").symlink_to("loop1.hea")
    (archive / "0" / "up").symlink_to("..")
    with contextlib.ExitStack() as sockets:
        monkeypatch.chdir(archive)  # the name of a socket has to be short
        sockets.enter_context(socket.socket(socket.AF_UNIX)).bind("s.dcm")
    long = archive / "long.hea"
    long.write_text("long 1 250 10\n" + "x" * 5000 + " 16\n")
    scandir = os.scandir
    (archive / "shut").mkdir()

    def shut(path="."):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", shut)
    told = []
    found = recordings(archive, lambda path, what: told.append(f"{path.name}: {what}"))
    assert len(found) == 8 and (str(long),) in found
    assert sorted(told) == [
        "loop1.hea: a link", "loop2.hea: a link", "pipe.csv: a named pipe",
        "pipe.hea: a named pipe", "pipe.scp: a named pipe", "s.dcm: a socket",
        "shut: a folder that cannot be opened: Permission denied", "up: a link",
    ]  # fmt: skip
    (archive / "list.txt").write_text("pipe.hea\nloop1.hea\n/dev/null\n0\n")
    listed = recordings(archive / "list.txt")
    words = ["a pipe, a socket or a device", "not found", "a pipe, a socket", "is a folder"]
    for files, said in zip(listed, words, strict=True):
        with pytest.raises(EcgFileError, match=said):
            read_ecg(files)
    for nothing in ("loop1.hea", "pipe.csv"):
        assert main(["batch", str(archive / nothing), "--out", str(tmp_path / "t.csv")]) == 2
        assert "was not found" in capsys.readouterr().err
    monkeypatch.setattr(command, "MOST_TOLD", 3)
    monkeypatch.setattr(command, "batch", lambda found, *rest: len(found))
    assert main(["batch", str(archive), "--out", str(tmp_path / "t.csv")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[3] == "Passed over: 5 more"


def test_a_file_that_may_not_be_opened_is_a_row_that_says_so(archive, monkeypatch):
    path, opened = archive / "shut.csv", Path.open
    path.write_text("I,II\n" + "0,0\n" * 9)

    def shut(self, *args, **kwargs):
        if self.name == path.name:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", shut)
    assert (str(path),) in recordings(archive)
    with pytest.raises(EcgFileError, match=r"shut\.csv could not be opened: Permission denied"):
        read_ecg(path)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "grows.csv"
    path.write_text("I (mV)\n" + "0.1\n0.2\n" * 1000)
    table_of = text.table_of

    def grows(upload):
        with path.open("a") as stream:
            stream.write("0.3\n")
        return table_of(upload)

    assert read_ecg(path, 250).seconds == 8
    monkeypatch.setattr(text, "table_of", grows)
    with pytest.raises(EcgFileError, match=r"grows\.csv was changed while it was read"):
        read_ecg(path, 250)


def test_two_runs_on_one_table_do_not_meet(archive, tmp_path, monkeypatch, cluster):
    found, out, refused = recordings(archive), tmp_path / "t.parquet", []
    write = batch_module._write

    def second_run(table, file):
        with pytest.raises(OSError, match=r"Another run is writing t\.parquet") as caught:
            batch_module.batch(found, PLAN, out, scheduler=cluster)
        refused.append(caught)
        write(table, file)

    monkeypatch.setattr(batch_module, "_write", second_run)
    assert batch_module.batch(found, PLAN, out, scheduler=cluster) == 7
    assert len(refused) == 1 and pq.read_metadata(out).num_rows == 7
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "t.parquet"}


def test_paths_are_written_so_that_everybody_can_read_them():
    assert written(os.fsdecode(b"/a/M\xfcller.csv")) == r"/a/M\xfcller.csv"
    assert written("/a/Müller.csv") == "/a/Müller.csv"


def test_the_command_line_starts_without_the_model_and_the_engine():
    code = "import sys, app, ecgqa.__main__; print({'torch', 'gradio', 'dask'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
