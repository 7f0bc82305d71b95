"""Many users at once: browser sessions that ask, and choose another ECG while the model is busy.

    python tests/bench_sessions.py [--sessions 8] [--questions 5]

Prints how many answers came and named the ECG of their own session, the time to paper while
questions are waiting (median, 95 %), and the server's memory after each round. The time to paper
runs in the page itself, from the press on the ECG's name to the frame after its paper was drawn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chromium import launched
from test_browser import STRIPS

from ecgqa.gallery.gallery import Gallery

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = (
    "Does this ECG show atrial fibrillation?",
    "Is there a complete left bundle branch block?",
    "Does this ECG show an old inferior infarct?",
    "Is the PR interval prolonged?",
    "Are there signs of left ventricular hypertrophy?",
)


def memory_mb(process: subprocess.Popen) -> float:
    """Resident memory of a process (Linux)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


WATCH = """() => {
    const now = () => performance.now();
    document.addEventListener("mousedown", () => { window.pressedAt = now(); }, true);
    new MutationObserver(() => requestAnimationFrame(() => { window.drawnAt = now(); })).observe(
        document.querySelector("#paper"),
        {subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label"]});
}"""


def choose(page: Page, name: str) -> float:
    """Choose an ECG of the gallery; seconds from the press on its name to its paper."""
    page.click("#this-pick input")
    page.get_by_role("option", name=name, exact=True).click()
    page.locator(f"{STRIPS}[aria-label*='{name},']").wait_for()
    page.wait_for_function("window.drawnAt > window.pressedAt")
    return page.evaluate("(window.drawnAt - window.pressedAt) / 1000")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--questions", type=int, default=5)
    parser.add_argument("--port", type=int, default=7998)
    args = parser.parse_args()
    names, url = list(Gallery().names()), f"http://127.0.0.1:{args.port}/"
    server = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(args.port)],
        cwd=ROOT,
    )
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).read()
                break
            except OSError:
                time.sleep(0.3)
        with launched() as browser:
            pages = [browser.new_context().new_page() for _ in range(args.sessions)]
            for page in pages:
                page.set_default_timeout(60_000)
                page.goto(url)
                page.locator("#status").get_by_text("Model ready").wait_for()
                page.wait_for_selector(f"{STRIPS}[data-geometry]")
                page.evaluate(WATCH)
            waits: list[float] = []
            answered = crossed = 0
            for turn in range(args.questions):
                own = [names[(7 * turn + i + 1) % len(names)] for i in range(len(pages))]
                for page, name in zip(pages, own, strict=True):
                    choose(page, name)
                started = time.perf_counter()
                for page in pages:
                    page.fill("#question textarea", QUESTIONS[turn % len(QUESTIONS)])
                    page.click("#ask")
                for i, page in enumerate(pages):  # the model is busy: another ECG meanwhile
                    waits.append(choose(page, names[(7 * turn + i + 6) % len(names)]))
                for page, name in zip(pages, own, strict=True):
                    line = page.locator("#answers .provenance").nth(turn)
                    line.wait_for()
                    answered += 1
                    crossed += name not in line.inner_text()
                print(
                    f"round {turn + 1}: {len(pages)} answers in {time.perf_counter() - started:.1f}"
                    f" s, server {memory_mb(server):.0f} MB",
                    flush=True,
                )
    finally:
        server.kill()
        server.wait()
    print(f"{answered} answers, {crossed} crossed")
    print(
        f"paper while the model is busy: median {np.median(waits):.2f} s, "
        f"95 % within {np.quantile(waits, 0.95):.2f} s, n {len(waits)}"
    )


if __name__ == "__main__":
    main()
