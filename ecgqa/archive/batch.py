"""`batch`: an archive → one table, by Dask; what was done before a stop is not done again.

The recordings are cut into parts of `PART`, whatever the number of workers, and each part is kept
beside the table until all are there. So the table does not depend on who computed what, or when.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from dask.distributed import Client, Future, LocalCluster, as_completed
from dask.typing import Key
from distributed.scheduler import KilledWorker
from filelock import FileLock, Timeout
from tqdm import tqdm

from ecgqa.archive.columns import Plan, Row
from ecgqa.archive.recordings import written
from ecgqa.archive.rows import refused, rows

PART = 32  # recordings that a worker takes, and the encoder sees, at a time
AHEAD = 3  # parts that wait for each worker
SUFFIXES = (".parquet", ".csv")


def batch(
    recordings: Sequence[tuple[str, ...]],
    plan: Plan,
    out: Path,
    workers: int = 1,
    scheduler: str | None = None,
) -> int:
    """Write the table `out` (Parquet, or CSV by its suffix); returns the number of rows.

    recordings: see `ecgqa.archive.recordings`. workers: local processes. scheduler: address of a
    Dask cluster instead, whose workers must see the same files and have the same `ecgqa`.
    Raises ValueError for another suffix, OSError where it cannot be written or connected, or where
    another run writes it.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out.name} must end in .parquet or .csv.")
    with _alone(out):
        _fill(recordings, plan, out, workers, scheduler)
    return len(recordings)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """While no other run writes this table: they would take each other's parts away."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f".{out.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise OSError(
            f"Another run is writing {written(out.name)}. Please wait for its end, or give another "
            "--out."
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # where an open file cannot be deleted, it stays
            Path(lock.lock_file).unlink()
        lock.release()


def _fill(
    recordings: Sequence[tuple[str, ...]],
    plan: Plan,
    out: Path,
    workers: int,
    scheduler: str | None,
) -> None:
    schema = plan.schema()
    parts = [list(recordings[i : i + PART]) for i in range(0, len(recordings), PART)]
    kept = out.with_name(f"{out.name}.parts-{plan.digest(list(recordings))}")
    kept.mkdir(parents=True, exist_ok=True)
    files = [kept / f"{number:07d}.parquet" for number in range(len(parts))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    with tqdm(total=len(recordings), unit="ECG") as progress:
        progress.update(len(recordings) - sum(len(parts[number]) for number in missing))
        if missing:
            with _client(workers, scheduler) as client:
                for number, found in _computed(client, parts, missing, plan):
                    _write(pa.Table.from_pylist(found, schema), files[number])
                    progress.update(len(found))
    _join(files, schema, out)
    shutil.rmtree(kept)


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    if scheduler:
        with Client(scheduler) as client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True,
            dashboard_address="127.0.0.1:0",  # any free port: two runs do not meet
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        yield client


def _computed(
    client: Client, parts: Sequence[Sequence[tuple[str, ...]]], missing: list[int], plan: Plan
) -> Iterator[tuple[int, list[Row]]]:
    """(number, rows) of each missing part as it is done; a few wait, so that memory stays flat."""
    waiting = iter(missing)
    numbers: dict[Key, int] = {}

    def submit(number: int) -> Future[list[Row]]:
        future = client.submit(rows, parts[number], plan, pure=False)
        numbers[future.key] = number
        return future

    many = AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    pending = as_completed([submit(number) for number in islice(waiting, many)])
    for future in pending:
        number = numbers.pop(future.key)
        try:
            found = future.result()
        except KilledWorker:
            fault = "The process died several times over this recording or one of its part."
            found = [refused(files, fault) for files in parts[number]]
        future.release()
        yield number, found
        for following in islice(waiting, 1):
            pending.add(submit(following))


def _write(table: pa.Table, file: Path) -> None:
    """Whole or not at all: a stop half-way leaves no half part."""
    half = file.with_suffix(".half")
    with half.open("wb") as stream:  # the library itself opens no name that is not UTF-8
        pq.write_table(table, stream)
    half.replace(file)


def _join(files: Sequence[Path], schema: pa.Schema, out: Path) -> None:
    """All parts in their order, one at a time."""
    half = out.with_name(f".{out.name}.half")
    is_csv = out.suffix.lower() == ".csv"
    kind = pa_csv.CSVWriter if is_csv else pq.ParquetWriter
    with half.open("wb") as stream, kind(stream, schema) as writer:
        for file in files:
            with file.open("rb") as part:
                writer.write_table(pq.read_table(part, schema=schema))
    half.replace(out)
