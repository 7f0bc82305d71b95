"""`python -m ecgqa batch`: every recording a row, whoever computed it, and none twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dask.distributed import LocalCluster
from test_app import write_wfdb

from ecgqa import EcgFileError
from ecgqa.__main__ import main
from ecgqa.archive import batch as batch_module
from ecgqa.archive.columns import Plan
from ecgqa.archive.recordings import recordings
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


def test_the_command_line_starts_without_the_model_and_the_engine():
    code = "import sys, app, ecgqa.__main__; print({'torch', 'gradio', 'dask'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
