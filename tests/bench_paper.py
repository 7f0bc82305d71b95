"""How long the browser draws: 12 leads of 10 s at 1000 Hz, one ECG and two, in a real Chromium.

    python tests/bench_paper.py [--redraws 30]

The time is the page's own (grid, traces, letters of one render), medians over the redraws.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chromium import launched
from screen import STRIPS, pick, visit
from test_app import FakeGallery, served

from ecgqa.record import ECG


class FastGallery(FakeGallery):
    """Recordings at 1000 Hz."""

    def __init__(self) -> None:
        super().__init__()
        for name, ecg in list(self._ecgs.items()):
            fast = np.repeat(ecg.signal_mv[:, :5000], 2, axis=1)
            self._ecgs[name] = ECG(fast, 1000.0, name, ecg.sha256)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redraws", type=int, default=30)
    redraws = parser.parse_args().redraws
    with (
        served(gallery=FastGallery()) as url,
        launched() as browser,
        visit(browser, url, width=1600) as page,
    ):
        for ecgs in (1, 2):
            if ecgs == 2:
                pick(page, "other", "fast 100")
                page.locator(STRIPS).nth(1).wait_for()
            for layout in ("3x4", "6x2", "12x1"):
                times = page.evaluate(
                    """([layout, redraws, strips]) => {
                      const select = document.querySelector("#paper select[name=layout]");
                      return Array.from({length: redraws}, () => {
                        select.value = layout;
                        select.dispatchEvent(new Event("change"));
                        return [...document.querySelectorAll(strips)]
                          .reduce((sum, canvas) => sum + Number(canvas.dataset.drawMs), 0);
                      });
                    }""",
                    [layout, redraws, STRIPS],
                )
                print(
                    f"{ecgs} ECG(s), {layout}: median {median(times):.1f} ms, "
                    f"worst {max(times):.1f} ms, n {len(times)}"
                )


if __name__ == "__main__":
    main()
