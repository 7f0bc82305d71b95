"""The door: `python app.py` opens the page on which an ECG is read, compared and asked about."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import ecgqa
from ecgqa.formats import supported_suffixes
from ecgqa.gallery.gallery import Gallery
from ecgqa.page.address import check_free
from ecgqa.page.passwords import Doorman, known_users
from ecgqa.record import EcgFileError

if TYPE_CHECKING:
    from ecgqa.model.language import Progress


def main(argv: list[str] | None = None) -> None:
    """Serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description="Read, compare and ask about ECGs in the browser.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on")
    parser.add_argument(
        "--host-name", action="append", default=[],
        help="name under which the page is reached, say by way of a proxy; may be given repeatedly",
    )  # fmt: skip
    parser.add_argument("--gallery", type=Path, help="folder with recordings of your own")
    parser.add_argument(
        "--checkpoint", help="folder of a trained model, instead of the bundled one"
    )
    parser.add_argument("--llm", help="path or hub id of the base language model")
    parser.add_argument(
        "--auth-file", type=Path,
        help="let in only whom it names; `python -m ecgqa password NAME` prints a line of it",
    )  # fmt: skip
    args = parser.parse_args(argv)
    try:
        gallery = Gallery(args.gallery)
        doorman = Doorman(known_users(args.auth_file)) if args.auth_file else None
        check_free(args.host, args.port)
    except (EcgFileError, ValueError, OSError) as error:
        parser.error(str(error))

    # These take seconds, which who made a mistake or asked for help need not wait.
    import torch

    from ecgqa.page.journal import open_journal
    from ecgqa.page.serve import build, launch_settings

    def load(progress: Progress) -> ecgqa.EcgAssistant:
        return ecgqa.EcgAssistant.load(checkpoint=args.checkpoint, llm=args.llm, progress=progress)

    # Paper must not wait for the model: one core stays free for the page, and so does the
    # interpreter, often. Eight sessions are then also answered in half the time.
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    sys.setswitchinterval(0.0005)
    told_to_stop = threading.Event()
    for sent in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sent, lambda *_: told_to_stop.set())
    open_journal()
    site = build(load, gallery)
    try:
        url = site.open(args.host, args.port, launch_settings(), doorman, args.host_name)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(2)  # the model is being loaded, which cannot be ended either
    print(f"Open {url}. Accepted files: {', '.join(supported_suffixes())}", flush=True)
    told_to_stop.wait()
    site.stop()
    sys.stdout.flush()
    os._exit(0)  # a calculation that takes too long cannot be ended, and would be waited for


if __name__ == "__main__":
    main()
