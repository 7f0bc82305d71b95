"""How long the user waits: first token, whole answer, dependence test, paper payload, page.

    python tests/bench_answer.py [--runs 20] [--against OTHER_CHECKOUT]

Medians over the runs after the model is loaded, on the shipped checkpoint, in seconds of one core
(CPU time: another program beside it counts little). --against: also of the code in another folder
(such as a `git worktree` of an earlier commit), run by turns with this one, and how many times as
fast this one is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
YES_NO = "Does this ECG show atrial fibrillation?"
LISTS = ("Which rhythm does this ECG show?", "What are the diagnostic symptoms of this ECG?")
TURNS = 3  # of each checkout, by turns
HERE = "--here"  # of a child process: measure the code of the working folder


def page_start(port: int = 7999) -> float:
    """Seconds from starting app.py to a page that answers."""
    started = time.perf_counter()
    server = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
                return time.perf_counter() - started
            except OSError:
                if server.poll() is not None:
                    raise
                time.sleep(0.1)
    finally:
        server.kill()
        server.wait()


def measured(runs: int) -> dict[str, list[float]]:
    """CPU seconds of every run, by what was done; with the package of the working folder."""
    sys.path.insert(0, str(Path.cwd()))
    import torch

    from ecgqa import EcgAssistant
    from ecgqa.gallery.simulate import FINDINGS, simulate
    from ecgqa.paper import drawing as paper

    torch.set_num_threads(1)
    assistant = EcgAssistant.load()
    times: dict[str, list[float]] = {}

    def timed(name: str, work) -> None:
        started = time.process_time()
        work()
        times.setdefault(name, []).append(time.process_time() - started)

    assistant.ask(YES_NO, simulate(FINDINGS[0], seed=0).ecg)
    for i in range(runs):
        ecg = simulate(FINDINGS[i % len(FINDINGS)], seed=i).ecg
        timed("paper payload", lambda ecg=ecg: paper.payload(ecg))
        for name, question in (("yes or no", YES_NO), ("list", LISTS[i % len(LISTS)])):
            stream = assistant.stream_answer(question, ecg)
            timed(f"{name}, first token", lambda stream=stream: next(stream))
            timed(f"{name}, the rest", lambda stream=stream: list(stream))
        if i % 4 == 0:
            timed("dependence test", lambda ecg=ecg: assistant.random_ecg_test(YES_NO, ecg))
    return times


def child(folder: Path, runs: int) -> dict[str, list[float]]:
    """`measured` of the code in a folder, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), HERE, "--runs", str(runs)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=alone, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    parser.add_argument(HERE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measured(given.runs)))
        return
    folders = [ROOT] + ([given.against] if given.against else [])
    found: list[dict[str, list[float]]] = [{} for _ in folders]
    turns = TURNS if given.against else 1
    for _ in range(turns):
        for times, folder in zip(found, folders, strict=True):
            for name, values in child(folder, max(1, given.runs // turns)).items():
                times.setdefault(name, []).extend(values)
    for name, values in found[0].items():
        line = f"{name}: median {median(values):.3f} s, worst {max(values):.3f} s, n {len(values)}"
        if given.against:
            before = median(found[1][name])
            line += f"; there {before:.3f} s: {before / median(values):.2f} times as fast"
        print(line)
    if not given.against:
        print(f"page start: {page_start():.1f} s")


if __name__ == "__main__":
    main()
