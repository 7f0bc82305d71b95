"""Ten clinical jobs on the page: how many actions and seconds each takes.

    python tests/bench_jobs.py [--url http://127.0.0.1:7860] [--width 1440] [--height 900]

With the real model, in Chromium. An action is a click, a drag, a key, a line that is typed, or a
turn of the wheel by one height of the window: what has to be read must stand in the window. The
seconds are those of the program (wall clock, no time to think or to aim). Without --url this
checkout's app is started; with it, another version's can be measured side by side.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Locator, Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chromium import launched
from test_formats import write_wfdb

from ecgqa.gallery.simulate import simulate

ROOT = Path(__file__).resolve().parent.parent
WAIT_MS = 60_000
READS_MS = 3000  # before each job, while a person reads; not counted
# How much of a thing lies outside the window, in windows; what stands over the page (a bar that
# stays at its edge) hides what is below it.
FAR = """
(what) => {
  const box = what.getBoundingClientRect();
  const bar = document.querySelector("#ask-bar");
  const low = bar && getComputedStyle(bar).position === "sticky" && !bar.contains(what)
    ? bar.getBoundingClientRect().top : innerHeight;
  const [from, to] = [box.top, Math.min(box.bottom, box.top + 60)];
  return from < 0 ? -from / innerHeight : to > low ? (to - low) / innerHeight : 0;
}
"""


class Hands:
    """A reader at the page, who counts."""

    def __init__(self, page: Page) -> None:
        self.page, self.actions = page, 0

    def look(self, what: Locator) -> None:
        """Wait until it is there and bring it into the window."""
        what.wait_for(state="visible", timeout=WAIT_MS)
        self.actions += math.ceil(what.evaluate(FAR))
        what.evaluate("(what) => what.scrollIntoView({block: 'center', behavior: 'instant'})")

    def click(self, what: Locator) -> None:
        """Press on it."""
        self.look(what)
        what.click(timeout=WAIT_MS)
        self.actions += 1

    def type(self, where: Locator, text: str) -> None:
        """Press into a box, type a line, and Enter."""
        self.click(where)
        where.fill(text)
        where.press("Enter")
        self.actions += 2

    def drag(self, what: Locator, by: tuple[float, float]) -> None:
        """Pull from its middle."""
        self.look(what)
        box = what.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 3, box["y"] + min(box["height"] / 3, 120)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + by[0], y + by[1], steps=4)
        self.page.mouse.up()
        self.actions += 1

    def choose(self, slot: str, name: str) -> None:
        """An ECG of the gallery."""
        self.click(self.page.locator(f"#{slot}-pick input"))
        self.click(self.page.get_by_role("option", name=name, exact=True))


def measured(page: Page, row: str) -> Locator:
    """The row of the table of measurements."""
    return page.locator("#measurements tr", has_text=row).first


def answer_to(page: Page, count: int) -> Locator:
    """The last line under the answer with this number."""
    return page.locator("#answers .provenance").nth(count - 1)


def jobs(folder: Path) -> dict[str, Callable[[Hands], None]]:
    """Ten jobs in the order of a reading; each goes on where the last one ended."""
    fibrillating = simulate("atrial fibrillation").ecg
    paths = write_wfdb(folder, fibrillating.signal_mv, rate_hz=round(fibrillating.rate_hz))
    files = [str(path) for path in paths]

    def upload(hands: Hands) -> None:
        box = hands.page.locator("#this-upload input[type=file]")
        hands.actions += 2  # press on the box, choose the files in the system's window
        box.set_input_files(files)
        hands.page.locator("#quality", has_text=paths[0].stem).wait_for(timeout=WAIT_MS)
        hands.look(hands.page.locator("#paper canvas.ecg-canvas").first)

    def layout(hands: Hands) -> None:
        hands.look(hands.page.locator("#paper select[name=layout]"))
        hands.page.select_option("#paper select[name=layout]", "12x1")
        hands.page.select_option("#paper select[name=speed]", "50")
        hands.actions += 4
        hands.look(hands.page.locator("#paper canvas.ecg-canvas").first)

    def ask(question: str, count: int) -> Callable[[Hands], None]:
        def do(hands: Hands) -> None:
            hands.type(hands.page.locator("#question textarea"), question)
            hands.look(answer_to(hands.page, count))

        return do

    def save(hands: Hands) -> None:
        with hands.page.expect_download(timeout=WAIT_MS):
            hands.click(hands.page.locator("#keep-pdf"))

    def compare(hands: Hands) -> None:
        hands.choose("other", "Simulated: sinus tachycardia")
        hands.look(hands.page.locator("#measurements", has_text="Changed, by the algorithm").first)
        hands.look(measured(hands.page, "Heart rate"))

    def test(hands: Hands) -> None:
        hands.click(hands.page.locator("#depends"))
        hands.look(hands.page.locator("#proof table"))

    return {
        "read rate and QTc of what lies there": lambda hands: hands.look(
            measured(hands.page, "QTc, Fridericia")
        ),
        "upload a recording, see it on paper": upload,
        "ask for a finding, read the answer": ask("Is atrial fibrillation present?", 1),
        "ask why, beside the paper": ask("why?", 2),
        "ask for a limit": ask("Is the QTc above 500 ms?", 3),
        "test whether the answer depends on the ECG": test,
        "measure a distance with the calipers": lambda hands: hands.drag(
            hands.page.locator("#paper canvas.ecg-caliper").first, (60, 30)
        ),
        "see all leads at 50 mm/s, one below the other": layout,
        "put an earlier ECG beside, see what changed": compare,
        "keep the page as PDF": save,
    }


@contextlib.contextmanager
def app(url: str | None) -> Iterator[str]:
    """The address of the app, started where none was given."""
    if url:
        yield url
        return
    url = "http://127.0.0.1:7931"
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", "7931"], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url, timeout=1).close()
                break
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", help="a running app; empty: this checkout's is started")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    given = parser.parse_args()
    with (
        app(given.url) as url,
        launched() as browser,
        tempfile.TemporaryDirectory() as folder,
    ):
        context = browser.new_context(viewport={"width": given.width, "height": given.height})
        page = context.new_page()
        page.goto(url)
        page.get_by_text("Model ready").wait_for(timeout=WAIT_MS)
        measured(page, "Heart rate").wait_for(timeout=WAIT_MS)
        print("| job | actions | seconds |\n|---|---|---|")
        total = 0
        for name, do in jobs(Path(folder)).items():
            page.wait_for_timeout(READS_MS)
            hands, begun = Hands(page), time.monotonic()
            do(hands)
            total += hands.actions
            print(f"| {name} | {hands.actions} | {time.monotonic() - begun:.1f} |", flush=True)
        print(f"| all | {total} | |")


if __name__ == "__main__":
    main()
