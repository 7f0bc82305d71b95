"""Many users at once: browser sessions that ask, and choose another ECG while the model is busy.

    python tests/bench_sessions.py [--sessions 8] [--questions 5] [--limit 600] [--stay]

Prints how many questions were answered, refused in plain words, left without either when the time
was over, and crossed (an answer that names an ECG of another session); the time from the press on
Ask to the answer and from the press on an ECG's name to its paper (median, 95 %); and the server's
memory after each round. Both times are taken in the page itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, TimeoutError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chromium import launched
from screen import STRIPS

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
    window.answerTimes = [];
    document.addEventListener("mousedown", (event) => {
        window.pressedAt = now();
        if (event.target.closest("#ask")) window.askedAt = now();
    }, true);
    const see = (where, what) => new MutationObserver(what).observe(
        document.querySelector(where),
        {subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label"]});
    see("#paper", () => requestAnimationFrame(() => { window.drawnAt = now(); }));
    // An answer about an ECG that is not on the page stands among the earlier ones.
    see("#said", () => {
        const said = document.querySelectorAll("#answers .provenance, #earlier dd.hint").length;
        if (said > window.answerTimes.length) window.answerTimes.push(now() - window.askedAt);
    });
}"""


def choose(page: Page, name: str) -> float:
    """Choose an ECG of the gallery; seconds from the press on its name to its paper."""
    page.click("#this-pick input")
    page.get_by_role("option", name=name, exact=True).click()
    page.locator(f"{STRIPS}[aria-label*='{name},']").wait_for()
    page.wait_for_function("window.drawnAt > window.pressedAt")
    return page.evaluate("(window.drawnAt - window.pressedAt) / 1000")


class Session:
    """One user: a page of its own, and what came of the questions asked on it."""

    def __init__(self, browser: Browser, url: str, names: list[str], number: int) -> None:
        self.names, self.number, self.about = names, number, []
        self.page = browser.new_context().new_page()
        self.page.set_default_timeout(120_000)
        self.page.goto(url)
        self.page.locator("#status").get_by_text("Model ready").wait_for()
        self.page.wait_for_selector(f"{STRIPS}[data-geometry]")
        self.page.evaluate(WATCH)

    def prepare(self, turn: int) -> None:
        """Choose an ECG that no other session asks about in this round, if there are enough."""
        name = self.names[(7 * turn + self.number + 1) % len(self.names)]
        choose(self.page, name)
        self.about.append(name)
        self.page.fill("#question textarea", QUESTIONS[turn % len(QUESTIONS)])

    def ask(self) -> None:
        """Press the button."""
        self.page.click("#ask")

    def look_at_another(self, turn: int) -> float:
        """Choose another ECG while the model is busy, and go back; seconds to the other's paper."""
        waited = choose(self.page, self.names[(7 * turn + self.number + 6) % len(self.names)])
        choose(self.page, self.about[-1])
        return waited

    def outcome(self, seconds: float) -> str:
        """ "answered", "crossed", "refused" or "nothing" for the last question."""
        name, count = self.about[-1], self.about.count(self.about[-1])
        lines = self.page.locator("#answers .provenance")
        refusal = self.page.locator(".toast-body.error")
        try:
            lines.nth(count - 1).or_(refusal).first.wait_for(timeout=max(1, 1000 * seconds))
        except TimeoutError:
            return "nothing"
        if refusal.count():
            print("refused:", " ".join(refusal.first.inner_text().split()))
            return "refused"
        return "answered" if all(name in line for line in lines.all_inner_texts()) else "crossed"

    def answer_s(self) -> list[float]:
        """Seconds from the press on Ask to each answer."""
        return [ms / 1000 for ms in self.page.evaluate("window.answerTimes")]


def spread(seconds: list[float]) -> str:
    """Median and 95 % quantile, in words."""
    if not seconds:
        return "none"
    return (
        f"median {np.median(seconds):.2f} s, p95 {np.quantile(seconds, 0.95):.2f} s, "
        f"n {len(seconds)}"
    )


def served(port: int) -> subprocess.Popen:
    """The server, once it answers."""
    server = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT)
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
            break
        except OSError:
            time.sleep(0.3)
    return server


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--questions", type=int, default=5)
    parser.add_argument("--limit", type=float, default=600, help="seconds for all the questions")
    parser.add_argument("--stay", action="store_true", help="look at no other ECG meanwhile")
    parser.add_argument("--port", type=int, default=7998)
    args = parser.parse_args()
    names, server = list(Gallery().names()), served(args.port)
    url, outcomes, waits, times = f"http://127.0.0.1:{args.port}/", Counter(), [], []
    try:
        with launched() as browser:
            sessions = [Session(browser, url, names, i) for i in range(args.sessions)]
            print(f"{len(sessions)} sessions are open", flush=True)
            until = time.monotonic() + args.limit
            for turn in range(args.questions):
                if time.monotonic() > until:
                    break
                started = time.perf_counter()
                for session in sessions:
                    session.prepare(turn)
                for session in sessions:  # as nearly at once as one hand can
                    session.ask()
                if not args.stay:
                    waits += [session.look_at_another(turn) for session in sessions]
                outcomes.update(session.outcome(until - time.monotonic()) for session in sessions)
                print(
                    f"round {turn + 1}: {time.perf_counter() - started:.1f} s, "
                    f"server {memory_mb(server):.0f} MB, {dict(outcomes)}",
                    flush=True,
                )
            times = [seconds for session in sessions for seconds in session.answer_s()]
    finally:
        server.terminate()
        server.wait(60)
    print(
        f"answered {outcomes['answered']}, refused {outcomes['refused']}, crossed "
        f"{outcomes['crossed']}, without an answer {outcomes['nothing']}; "
        f"the server ended with {server.returncode}"
    )
    print(f"from Ask to the answer: {spread(times)}")
    print(f"paper while the model is busy: {spread(waits)}")


if __name__ == "__main__":
    main()
