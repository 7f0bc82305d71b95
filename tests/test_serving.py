"""Serving that holds: health, an end in order, limits, the line of those who wait, the log, who may
come in. The server is `python app.py` in a process of its own where its end matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium import needs_browser
from gradio.utils import get_upload_folder
from gradio_client import Client
from gradio_client.exceptions import AppError
from screen import ask, visit
from test_app import (
    ROOT,
    FakeAssistant,
    beats_mv,
    free_port,
    sent,
    served_site,
    write_wfdb,
)

import app as door
from ecgqa.__main__ import main as command_line
from ecgqa.model.language import ModelError
from ecgqa.page.caps import Caps, TooLong, Workbench
from ecgqa.page.desk import Desk
from ecgqa.page.journal import session_name
from ecgqa.page.line import place_in_words
from ecgqa.page.passwords import Doorman, Hashed, TooManyTries, Tries, known_users, line_for

API = "/gradio_api"
# `python app.py` with a model that is ready once the file "ready" is there, and answers a question
# once the file "go" is.
HELD = """
import sys, time
from pathlib import Path
folder = Path(sys.argv.pop(1))
sys.path.insert(0, "tests")
import app
from test_app import FakeAssistant

def until(name):
    while not (folder / name).exists():
        time.sleep(0.02)

class Held(FakeAssistant):
    @classmethod
    def load(cls, checkpoint=None, llm=None, progress=None):
        until("ready")
        return cls()

    def ask(self, *given, **named):
        (folder / "began").touch()
        until("go")
        return super().ask(*given, **named)

app.ecgqa.EcgAssistant = Held
app.main(sys.argv[1:])
"""


class Process:
    """The server in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, port = folder, free_port()
        self.url, self.uploads = f"http://127.0.0.1:{port}", folder / "uploads"
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "GRADIO_TEMP_DIR": str(self.uploads),
        }  # fmt: skip
        self.log = folder / "log"
        with self.log.open("w") as log, (folder / "out").open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HELD, str(folder), "--port", str(port), *arguments],
                cwd=ROOT, env=environment, stdout=out, stderr=log,
            )  # fmt: skip
        wait_for(lambda: self.health() is not None)

    def health(self) -> dict | None:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health").json()
        return None

    def lines(self) -> list[dict]:
        """The log; each line of it must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def wait_for(is_so, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.03)


def file_data(path: str) -> dict:
    """A file as the page and its clients name it to the server."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def call(url: str, endpoint: str, *data, **http) -> tuple[str, Any]:
    """A call by plain HTTP: how it ended ("complete", "error"), and what was said."""
    address = f"{url}gradio_api/call/{endpoint}"
    begun = httpx.post(address, json={"data": list(data)}, **http)
    assert begun.status_code == 200, begun.text
    told = httpx.get(f"{address}/{begun.json()['event_id']}", timeout=60, **http).text
    *_, event, said = [line.partition(": ")[2] for line in told.splitlines() if ": " in line]
    return event, json.loads(said)


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("127.0.0.1", "taken", "is in use"), ("127.0.0.1", "0", "There is no port"),
        ("127.0.0.1", "65536", "There is no port"),
        ("192.0.2.1", "7860", "at 192.0.2.1"),  # an address of nobody, RFC 5737
    ],
)  # fmt: skip
def test_where_nothing_can_be_served_is_said_before_anything_is_loaded(host, port, why, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        door.main(["--host", host, "--port", number])
    assert ended.value.code == 2 and why in capsys.readouterr().err


@pytest.fixture
def pair(tmp_path):
    return write_wfdb(tmp_path, "Meier", beats_mv())


@pytest.fixture(scope="module")
def limited():
    """A page with tight limits, whose answers take for ever when the question says so."""
    go = threading.Event()

    class Slow(FakeAssistant):
        def ask(self, question, ecg, comparison=None):
            if "slow" in question:
                go.wait(60)
            return super().ask(question, ecg, comparison)

    caps = Caps(
        file_bytes=200_000, upload_bytes=400_000, body_bytes=50_000, answer_s=0.5, stop_s=0.3,
        left_over=1, upload_s=0.5,
    )  # fmt: skip
    with served_site(lambda progress: Slow(), caps=caps) as (site, url):
        yield site, url
        go.set()


# ------------------------------------------------------------------------------ health, and the end


def test_a_server_tells_its_health_answers_what_it_began_and_ends_in_order(tmp_path, pair):
    server = Process(tmp_path)
    try:
        health = server.health()
        assert health["model"] == "loading" and health["queue"] == 0 and not health["stopping"]
        (tmp_path / "ready").touch()
        wait_for(lambda: server.health()["model"] == "ready")
        assert re.fullmatch(r"\d+\.\d+\.\d+", server.health()["version"])

        clients = [Client(server.url, verbose=False) for _ in range(3)]
        running = clients[0].submit(sent(pair), "Is Meier ill?", api_name="/ask")
        wait_for((tmp_path / "began").exists)
        again = write_wfdb(tmp_path, "Schmidt", beats_mv())
        waiting = clients[1].submit(sent(again), "Is Schmidt ill?", api_name="/ask")
        wait_for(lambda: server.health()["queue"] == 1)
        # The library prints what a call brought that has too few values.
        assert call(f"{server.url}/", "read", "Meier.hea")[0] == "error"
        leftover = httpx.post(f"{server.url}{API}/upload", files={"files": ("left.hea", b"x")})
        assert Path(leftover.json()[0]).is_relative_to(server.uploads)

        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: server.health()["stopping"])
        assert httpx.get(f"{server.url}/health").status_code == 503
        with pytest.raises(AppError, match="being stopped and takes no new questions"):
            clients[2].predict(sent(pair), api_name="/read")
        (tmp_path / "go").touch()
        assert running.result(120)["text"] == "asked: Is Meier ill?"
        with pytest.raises(AppError, match="being stopped"):
            waiting.result(120)
        assert server.process.wait(120) == 0
    finally:
        server.process.kill()
        server.process.wait()
    assert [path for path in server.uploads.rglob("*") if path.is_file()] == []
    log = server.log.read_text()
    for word in ("Meier", "Schmidt", "left.hea", "ill?", "asked:"):
        assert word not in log
    calls = [line for line in server.lines() if line["event"] == "call"]
    assert {(call["endpoint"], call["outcome"]) for call in calls} == {
        ("ask", "ok"), ("ask", "refused"), ("read", "refused")
    }  # fmt: skip
    assert all(call["ms"] >= 0 and len(call["session"]) == 12 for call in calls)
    assert {"ValueError"} == {e["error"] for e in server.lines() if e["event"] == "library"}
    assert server.lines()[-1]["event"] == "stopped" and server.lines()[-1]["outcome"] == "ok"


def test_a_model_that_cannot_load_is_no_health():
    def broken(progress):
        raise ModelError("The folder of Meier holds no model.")

    with served_site(broken) as (site, url):
        site.loader.wait(10)
        found = httpx.get(f"{url}health")
    assert found.status_code == 503 and found.json()["model"] == "error"
    assert "Meier" not in found.text


def test_what_takes_too_long_is_not_waited_for_and_desks_are_cleared(pair):
    began, go = threading.Event(), threading.Event()

    class Endless(FakeAssistant):
        def ask(self, question, ecg, comparison=None):
            began.set()
            go.wait(60)

    with served_site(lambda progress: Endless(), caps=Caps(stop_s=0.2)) as (site, url):
        client = Client(url, verbose=False)
        client.submit(sent(pair), "Is it?", api_name="/ask")
        assert began.wait(120)
        desk = site.desks["somebody"] = Desk()
        desk.refused = ["Meier", ""]
        assert site.stop() is False
        assert desk.refused == ["", ""]
        go.set()


# ------------------------------------------------------------------------------ who waits


def test_the_words_of_a_place_in_the_line():
    assert place_in_words(None) == ""
    assert place_in_words(0) == "You are next"
    assert place_in_words(2) == "2 before you"


@needs_browser
def test_a_question_that_waits_shows_how_many_come_before_it(browser, pair):
    go = threading.Event()

    class Held(FakeAssistant):
        def ask(self, question, ecg, comparison=None):
            go.wait(60)
            return super().ask(question, ecg, comparison)

    with served_site(lambda progress: Held()) as (site, url):
        client = Client(url, verbose=False)
        first = client.submit(sent(pair), "Is it?", api_name="/ask")
        wait_for(lambda: site.line.running == 1)
        with visit(browser, url) as page:
            answer = ask(page, "Is it regular?")
            page.locator("#line").get_by_text("1 before you").wait_for()
            go.set()
            answer.wait_for()
            page.locator("#line").wait_for(state="hidden")
        assert first.result(20)["text"] == "asked: Is it?"


# ------------------------------------------------------------------------------ how much


def upload(url: str, content: bytes, count: int = 1) -> httpx.Response:
    files = [("files", (f"{index}.dat", content)) for index in range(count)]
    return httpx.post(f"{url}gradio_api/upload", files=files)


def test_large_files_uploads_and_requests_are_refused_in_plain_words(limited):
    _, url = limited
    before = set(Path(get_upload_folder()).glob("*"))
    assert upload(url, bytes(200_000)).status_code == 200
    too_large = upload(url, bytes(200_001))
    assert too_large.status_code == 413 and "A file may have up to" in too_large.text
    too_many = upload(url, bytes(150_000), 3)
    assert too_many.status_code == 413 and "All files together" in too_many.json()["detail"]

    def unannounced():
        yield from (b"x" * 10_000 for _ in range(6))

    join = f"{url}gradio_api/queue/join"
    for content in (b"x" * 50_001, unannounced()):
        refused = httpx.post(join, content=content, headers={"content-type": "application/json"})
        assert refused.status_code == 413 and refused.json()["detail"]
    left = set(Path(get_upload_folder()).glob("*")) - before
    assert len(left) == 1, "of what was refused nothing stays"


def test_what_arrives_too_slowly_is_refused_in_plain_words(limited):
    _, url = limited
    at, before = httpx.URL(url), set(Path(get_upload_folder()).glob("*"))
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.dat"\r\n\r\nbegun'
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {at.netloc.decode()}\r\n"
        "Connection: close\r\nContent-Length: 9000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection((at.host, at.port), 30) as connection:
        connection.sendall(head.encode() + part)
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert " 408 " in answer.splitlines()[0] and "too long to arrive" in answer
    assert set(Path(get_upload_folder()).glob("*")) == before


def test_a_call_over_its_time_is_answered_in_plain_words_and_its_rest_is_counted(limited, pair):
    _, url = limited
    client = Client(url, verbose=False)
    with pytest.raises(AppError, match=r"longer than 0\.5 seconds and was given up"):
        client.predict(sent(pair), "slow?", api_name="/ask")
    again = write_wfdb(pair[0].parent, "again", beats_mv())
    with pytest.raises(AppError, match="still busy"):
        client.predict(sent(again), "Is it?", api_name="/ask")


def test_a_request_may_bring_few_texts_and_short_ones(tmp_path):
    with served_site() as (_, url):
        client = Client(url, verbose=False)

        def asked(**given):
            files = sent(write_wfdb(tmp_path, "a", beats_mv()))
            return client.predict(files, "Is it?", api_name="/ask", **given)

        assert asked(before=["Is it?"] * 20)["text"] == "asked: Is it?"
        with pytest.raises(AppError, match="up to 20 questions"):
            asked(before=["Is it?"] * 21)
        with pytest.raises(AppError, match="up to 2000 characters"):
            asked(leads="II," * 1000)


def test_work_in_time_gives_what_it_returns_or_raises():
    bench = Workbench(1)
    assert bench.within(20, lambda a, b: a + b, 1, b=2) == 3
    with pytest.raises(ZeroDivisionError):
        bench.within(20, lambda: 1 / 0)
    go = threading.Event()
    with pytest.raises(TooLong):
        bench.within(0.01, go.wait, 60)
    go.set()
    wait_for(lambda: not any(thread.is_alive() for thread in bench._left))
    assert bench.within(20, int, "3") == 3, "what has ended at last is forgotten"


def test_two_sessions_that_upload_the_same_file_each_keep_it(tmp_path):
    """At the same place the first to read it would take it away from the other."""
    with served_site() as (_, url):
        header, data = write_wfdb(tmp_path, "same", beats_mv())
        files = [("files", (file.name, file.read_bytes())) for file in (header, data)]
        uploads = [httpx.post(f"{url}gradio_api/upload", files=files).json() for _ in range(2)]
        assert not set(uploads[0]) & set(uploads[1])
        for paths in uploads:
            event, said = call(url, "read", [file_data(path) for path in paths], None, None, None)
            assert event == "complete" and said[0]["name"] == "same"
        left = [path for paths in uploads for path in Path(paths[0]).parents[1].glob("**/*")]
        assert left == [] and not any(Path(paths[0]).parents[1].exists() for paths in uploads)


# ------------------------------------------------------------------------------ the log


def test_a_session_has_a_name_in_the_log_that_tells_nothing():
    assert session_name("abc") == session_name("abc") != session_name("abd")
    assert "abc" not in session_name("abc") and session_name(None) is None


# ------------------------------------------------------------------------------ who may come in


def test_a_password_is_hashed_with_a_salt_and_known_again():
    one, other = Hashed.of("geheim ♥"), Hashed.of("geheim ♥")
    assert str(one) != str(other) and "geheim" not in str(one)
    assert Hashed.parse(str(one)) == one
    assert one.matches("geheim ♥") and not one.matches("geheim") and not one.matches("")


def test_an_auth_file_holds_hashed_passwords_and_nothing_else(tmp_path):
    file = tmp_path / "users"
    anna, bert = line_for("anna", "one:two"), line_for("bert", "three")
    file.write_text(f"{anna}\n\n{bert}\n")
    users = known_users(file)
    assert users["anna"].matches("one:two") and not users["bert"].matches("one:two")
    costly = anna.replace("$16384$", "$1073741824$")
    for bad in ("anna:one", "anna", f"{anna}\nbert:three", "anna:scrypt$1$2$3$x$y", costly):
        file.write_text(bad + "\n")
        with pytest.raises(ValueError, match="python -m ecgqa password NAME"):
            known_users(file)
    for bad in (f"{anna}\n{anna}", anna.replace("anna", "")):
        file.write_text(bad + "\n")
        with pytest.raises(ValueError, match="must name somebody"):
            known_users(file)
    file.write_text("\n")
    with pytest.raises(ValueError, match="names nobody"):
        known_users(file)


def test_the_command_line_prints_a_line_and_never_the_password(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", (tmp_path / "in").open("w+"))
    sys.stdin.write("geheim\n")
    sys.stdin.seek(0)
    assert command_line(["password", "anna"]) == 0
    line = capsys.readouterr().out
    (tmp_path / "users").write_text(line)
    assert "geheim" not in line and known_users(tmp_path / "users")["anna"].matches("geheim")
    assert command_line(["password", "a:b"]) == 2
    assert "no colon" in capsys.readouterr().err


def test_tries_are_counted_by_key_for_a_while():
    now = [0.0]
    tries = Tries(2, 60, lambda: now[0])
    for key, at in (("anna", 0.0), ("bert", 10.0), ("anna", 20.0)):
        now[0] = at
        tries.failed(key)
    assert tries.wait_s("anna") == 40 and tries.wait_s("bert") == 0
    now[0] = 61.0
    assert tries.wait_s("anna") == 0
    tries.failed("anna")
    assert tries.wait_s("anna") == 19
    tries.forget("anna")
    assert tries.wait_s("anna") == 0


def test_who_tries_too_often_must_wait_even_with_the_right_password():
    doorman = Doorman({"anna": Hashed.of("right")}, Tries(2, 60), Tries(3, 60))

    def knock(name, password, address="here"):
        with ThreadPoolExecutor(1) as thread:  # the browser's driver has a loop in this one
            return thread.submit(asyncio.run, doorman.lets_in(name, password, address)).result()

    assert knock("anna", "right") and not knock("anna", "wrong") and not knock("nobody", "x")
    assert knock("anna", "right"), "the right one forgets the wrong ones"
    assert not knock("anna", "wrong", "b") and not knock("anna", "wrong", "c")
    with pytest.raises(TooManyTries, match=r"Please wait \d+ seconds"):
        knock("anna", "right", "elsewhere")
    assert not knock("other", "x")
    with pytest.raises(TooManyTries):
        knock("yet another", "x")
