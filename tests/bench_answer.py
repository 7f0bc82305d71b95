"""How long the user waits: first token, whole answer, paper payload, start of the page.

    python tests/bench_answer.py [--runs 20]

Prints medians over the runs after the model is loaded, on the shipped checkpoint.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    from ecgqa import EcgAssistant
    from ecgqa.gallery.simulate import FINDINGS, simulate
    from ecgqa.paper import drawing as paper

    started = time.perf_counter()
    assistant = EcgAssistant.load()
    print(f"load with a warm cache: {time.perf_counter() - started:.2f} s")
    questions = (
        "Does this ECG show atrial fibrillation?",
        "Which rhythm does this ECG show?",
        "What are the diagnostic symptoms of this ECG?",
    )
    first, whole, drawn = [], [], []
    for i in range(runs):
        ecg = simulate(FINDINGS[i % len(FINDINGS)], seed=i).ecg
        started = time.perf_counter()
        paper.payload(ecg)
        drawn.append(time.perf_counter() - started)
        started = time.perf_counter()
        stream = assistant.stream_answer(questions[i % len(questions)], ecg)
        next(stream)
        first.append(time.perf_counter() - started)
        for _ in stream:
            pass
        whole.append(time.perf_counter() - started)
    lists = [i % len(questions) > 0 for i in range(runs)]
    for name, values in (
        ("yes or no, first token", [v for v, many in zip(first, lists, strict=True) if not many]),
        ("yes or no, whole answer", [v for v, many in zip(whole, lists, strict=True) if not many]),
        ("list, whole answer", [v for v, many in zip(whole, lists, strict=True) if many]),
        ("paper payload", drawn),
    ):
        print(f"{name}: median {median(values):.3f} s, worst {max(values):.3f} s, n {len(values)}")
    print(f"page start: {page_start():.1f} s")


if __name__ == "__main__":
    main()
