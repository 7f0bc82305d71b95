"""The app's endpoints over HTTP, with a stand-in model: files in, JSON or plain words out."""

from __future__ import annotations

import contextlib
import html
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gate import PATIENCE_S
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from ecgqa import INTENDED_USE
from ecgqa.answer.answer import Answer
from ecgqa.answer.askable import QuestionError
from ecgqa.answer.evidence import Evidence, Mark
from ecgqa.answer.grounding import GroundingResult, GroundingRow
from ecgqa.measure import Measurements
from ecgqa.model.language import ModelError
from ecgqa.page import asking, uploads
from ecgqa.page import html as report
from ecgqa.page.parts import API_DESCRIPTION
from ecgqa.page.passwords import Doorman
from ecgqa.page.proof import dependence_html
from ecgqa.page.serve import build, launch_settings
from ecgqa.page.site import Site
from ecgqa.page.spoken import in_plain_words
from ecgqa.record import ECG, LEADS, EcgFileError

ROOT = Path(__file__).resolve().parent.parent
RATE_HZ = 500
STARTS = 5  # of a server: its port may be taken, or it may not answer in gradio's five seconds


# ------------------------------------------------------------------------------ stand-ins


def beats_mv(seconds: float = 10.0, rr_s: float = 0.8, rate_hz: float = RATE_HZ) -> np.ndarray:
    """[12, n] mV: P, QRS and T as bell shapes, `rr_s` apart; limb leads obey Einthoven."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = (t % rr_s) - 0.3
    bell = lambda centre, width, high: high * np.exp(-(((phase - centre) / width) ** 2))  # noqa: E731
    beat = bell(-0.16, 0.025, 0.12) + bell(0, 0.012, 1.2) - bell(0.03, 0.012, 0.3)
    beat = beat + bell(0.25, 0.05, 0.3)
    one, two = 0.6 * beat, beat
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *(beat * weight for weight in (-0.4, 0.3, 0.8, 1.2, 1.1, 0.9))])


EVIL_NAME = '<img src=x onerror="window.hacked=1">${window.hacked=1}`{{this}}` *b* [a](http://a.b)'


class FakeGallery:
    """Four recordings of known shape; one of them is named by an attacker."""

    def __init__(self):
        eleven_mv = beats_mv()
        eleven_mv[LEADS.index("V3")] = np.nan
        self._ecgs = {
            "steady 75": ECG(beats_mv(), RATE_HZ, "steady 75", "a" * 64),
            "fast 100": ECG(beats_mv(rr_s=0.6), RATE_HZ, "fast 100", "b" * 64),
            "V3 missing": ECG(eleven_mv, RATE_HZ, "V3 missing", "c" * 64),
            "one minute": ECG(beats_mv(60), RATE_HZ, "one minute", "d" * 64),
            EVIL_NAME: ECG(beats_mv(), RATE_HZ, EVIL_NAME, "e" * 64),
        }

    def names(self):
        return list(self._ecgs)

    def open(self, name):
        return self._ecgs[name]

    def three_others(self, *ecgs):
        own = [ecg.sha256 for ecg in ecgs if ecg is not None]
        return [item for item in self._ecgs.items() if item[1].sha256 not in own][:3]


def fake_answer(text: str, ecg_names: tuple[str, ...]) -> Answer:
    return Answer(text, ("yes",), 0.82, "stand-in 1.0", "greedy", 0.1, ecg_names)


class FakeAssistant:
    """Answers with what it was given, so that a test can see which ECGs arrived."""

    def __init__(self, step: threading.Semaphore | None = None):
        self.step = step  # where given, each word takes one of it: a test can look in between

    def _check(self, question):
        if not question.strip():
            raise QuestionError("Please type a question.")
        if len(question) > 2000:
            raise QuestionError("The question is longer than 2000 characters: please shorten it.")

    def _answer(self, text, ecg, comparison):
        return fake_answer(text, tuple(one.title for one in (comparison, ecg) if one is not None))

    def ask(self, question, ecg, comparison=None):
        self._check(question)
        if "break" in question:
            raise RuntimeError("secret inner detail")
        return self._answer(f"asked: {question}", ecg, comparison)

    def talk(self, questions, ecg, comparison=None):
        return [self.ask(question, ecg, comparison) for question in questions]

    def stream_answer(self, question, ecg, comparison=None, alone=False, before=()):
        self.ask(question, ecg, comparison)
        text = ""
        for word in ("yes,", "this", "is", "an", "answer", EVIL_NAME):
            if self.step is not None:
                assert self.step.acquire(timeout=PATIENCE_S), "this word was never asked for"
            text = f"{text} {word}".strip()
            yield self._answer(text, ecg, comparison)

    def evidence(self, question, answer, ecg, comparison=None):
        """Lead II from 1 to 2 s and V1 from 6 s, of the later ECG, for a tachycardia."""
        which = int(comparison is not None)
        marks = (Mark(which, "II", 1.0, 1.0, 1.0), Mark(which, "V1", 6.0, 0.5, 0.5))
        leads = ((which, "II", 0.7), (which, "V1", 0.3))
        return Evidence(marks, leads, (("sinus tachycardia", True),))

    def random_ecg_test(
        self, question, ecg, comparison=None, others=(), progress=None, alone=False, before=()
    ):
        self._check(question)
        names = [("This ECG", 0.0), *((f"Random patient: {name}", -1.84) for name, _ in others)]
        names += [("Noise", -2.9), ("Flat line", -3.1), ("No ECG", -2.2)]
        rows = []
        for index, (name, change) in enumerate(names):
            if progress is not None:
                progress(f"Asking with {name}", index / len(names))
            rows.append(GroundingRow(name, "yes", change, 2 * change))
        return GroundingResult(tuple(rows), "It depends on this ECG.", True, 1.06)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(site: Site, doorman: Doorman | None = None) -> str:
    """Serve the page; returns its address. Another process may be quicker at a free port."""
    for _ in range(STARTS):
        try:
            return site.open("127.0.0.1", free_port(), launch_settings(), doorman)
        except OSError as error:
            refused = error
    raise refused


@contextlib.contextmanager
def served_site(
    assistant_factory=lambda progress: FakeAssistant(), gallery=None, caps=None, doorman=None
):
    """The page as `python app.py` would serve it, and its local address."""
    site = build(assistant_factory, gallery or FakeGallery(), caps)
    try:
        yield site, started(site, doorman)
    finally:
        site.page.close(verbose=False)


@contextlib.contextmanager
def served(assistant_factory=lambda progress: FakeAssistant(), gallery=None):
    """The page at a local address."""
    with served_site(assistant_factory, gallery) as (_, url):
        yield url


# ------------------------------------------------------------------------------ files


def write_wfdb(folder: Path, name: str, signal_mv: np.ndarray, leads=LEADS, rate_hz=RATE_HZ):
    """A WFDB record, written by hand: header and 16-bit data at 1000 steps per mV."""
    samples = np.rint(signal_mv * 1000).astype("<i2")
    lines = [f"{name} {len(leads)} {rate_hz:g} {samples.shape[1]}"]
    lines += [f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in leads]
    header, data = folder / f"{name}.hea", folder / f"{name}.dat"
    header.write_text("\n".join(lines) + "\n")
    data.write_bytes(samples.T.tobytes())
    return [header, data]


def sent(paths):
    return [handle_file(path) for path in paths]


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


@pytest.fixture
def pair(tmp_path):
    return write_wfdb(tmp_path, "steady", beats_mv())


# ------------------------------------------------------------------------------ what works


def test_only_the_four_documented_endpoints_are_open(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/read", "/measure", "/ask", "/random_ecg_test"}
    assert not client.view_api(return_format="dict")["unnamed_endpoints"]


def test_read_tells_what_the_file_holds(client, pair):
    found = client.predict(files=sent(pair), api_name="/read")
    assert (found["name"], found["rate_hz"], found["seconds"]) == ("steady", 500, 10)
    assert found["missing_leads"] == [] and len(found["sha256"]) == 64
    assert found["quality"]["readable"] and found["quality"]["leads"] == {}


def test_measure_of_one_and_of_two(client, tmp_path, pair):
    faster = write_wfdb(tmp_path, "faster", beats_mv(rr_s=0.6))
    found = client.predict(sent(pair), sent(faster), api_name="/measure")
    assert found["ecg"]["rate_bpm"] == pytest.approx(75, abs=1)
    assert found["comparison"]["rate_bpm"] == pytest.approx(100, abs=1)
    formulas = {"Bazett", "Fridericia", "Framingham", "Hodges"}
    assert set(found["ecg"]["qtc_ms"]) <= formulas
    alone = client.predict(sent(write_wfdb(tmp_path, "alone", beats_mv())), api_name="/measure")
    assert set(alone) == {"ecg"}


def test_ask_names_the_ecgs_in_order(client, tmp_path, pair):
    other = write_wfdb(tmp_path, "other", beats_mv(rr_s=1.0))
    answer = client.predict(sent(pair), "Is it regular?", sent(other), api_name="/ask")
    assert answer["text"] == "asked: Is it regular?"
    assert answer["ecg_names"] == ["other", "steady"]  # the comparison is the earlier one
    assert answer["confidence"] == 0.82 and answer["intended_use"] == INTENDED_USE


def test_ask_tells_what_the_answer_rests_on(client, pair):
    answer = client.predict(sent(pair), "Is it fast?", api_name="/ask")
    assert answer["evidence"]["marks"][0] == {
        "ecg": 0, "lead": "II", "start_s": 1.0, "seconds": 1.0, "strength": 1.0,
    }  # fmt: skip
    assert answer["evidence"]["leads"][1] == {"ecg": 0, "lead": "V1", "share": 0.3}
    assert answer["evidence"]["words"].startswith("Rests most on II 70%")
    (number,) = answer["criteria"]
    assert number["agrees"] is False and "75 per min speaks against sinus tach" in number["words"]
    assert {"understood", "kind"} <= set(answer)


def posted(url: str, path: str, **content) -> Any:
    """What the page answers to a request of plain HTTP."""
    return httpx.post(f"{url}gradio_api/{path}", timeout=PATIENCE_S, **content).json()


def upload_of(url: str, path: Path) -> dict[str, Any]:
    """One upload, as a request names it."""
    with path.open("rb") as stream:
        (place,) = posted(url, "upload", files={"files": stream})
    return {"path": place, "meta": {"_type": "gradio.FileData"}}


def outcome_of(url: str, name: str, call: dict[str, str]) -> Any:
    """The one result of a call, or what it was refused with."""
    told = httpx.get(f"{url}gradio_api/call/{name}/{call['event_id']}", timeout=PATIENCE_S).text
    found = json.loads(told.rpartition("data: ")[2])
    return found[0] if isinstance(found, list) else found


@pytest.fixture
def one_file(tmp_path):
    path = tmp_path / "both.csv"
    rows = [",".join(f"{lead} (mV)" for lead in LEADS)]
    rows += [",".join(f"{value:.3f}" for value in row) for row in beats_mv(rate_hz=250).T]
    path.write_text("\n".join(rows))
    return path


def test_one_upload_may_be_the_ecg_and_the_comparison(url, one_file):
    file = upload_of(url, one_file)
    call = posted(url, "call/measure", json={"data": [[file, file], [file], 250, None, 0, None]})
    found = outcome_of(url, "measure", call)
    assert found["ecg"] == found["comparison"] and found["ecg"]["rate_bpm"] == pytest.approx(75)
    file = upload_of(url, one_file)  # and so by name, as the page's own description has it
    named = {"files": [file], "comparison_files": [file], "question": "?", "rate_hz": 250}
    found = outcome_of(url, "ask", posted(url, "call/v2/ask", json=named))
    assert found["ecg_names"] == ["both", "both"]
    assert list(Path(get_upload_folder()).rglob("both*")) == []


def test_requests_that_name_one_upload_at_once_are_all_answered(url, one_file, gate, monkeypatch):
    read = uploads.read_ecg

    def waits(*args, **kwargs):
        gate.stop()
        return read(*args, **kwargs)

    monkeypatch.setattr(uploads, "read_ecg", waits)
    data = {"data": [[upload_of(url, one_file)], 250, None, None]}
    first = posted(url, "call/read", json=data)
    gate.reached()  # the first has taken its file
    second = posted(url, "call/read", json=data)
    gate.open()
    found = [outcome_of(url, "read", call) for call in (first, second)]
    assert [one["name"] for one in found] == ["both", "both"]
    assert list(Path(get_upload_folder()).rglob("both*")) == []
    late = outcome_of(url, "read", posted(url, "call/read", json=data))
    assert "not here any more" in late["error"]


def test_the_case_of_the_same_file_twice(url, client, ecg_data):
    path = ecg_data / "more_cases" / "http_same_file" / "ecg.csv"
    if not path.exists():
        pytest.skip("the cases are not here: set ECGQA_DATA to the folder that holds them")
    answer = client.predict(sent([path]), "Did the rate change?", sent([path]), api_name="/ask")
    assert answer["ecg_names"] == ["ecg", "ecg"]
    jobs = [Client(url, verbose=False).submit(sent([path]), api_name="/read") for _ in range(2)]
    assert [job.result(PATIENCE_S)["name"] for job in jobs] == ["ecg", "ecg"]


def test_the_page_links_to_a_description_of_the_endpoints(url):
    assert f'href=\\"{API_DESCRIPTION}\\"' in httpx.get(f"{url}config").text
    paths = httpx.get(url + API_DESCRIPTION).json()["paths"]
    assert "/gradio_api/call/v2/ask" in paths


def test_random_ecg_test_gives_rows_and_a_verdict(client, pair):
    result = client.predict(sent(pair), "Is it regular?", api_name="/random_ecg_test")
    assert result["rows"][0]["ecg"] == "This ECG"
    assert len(result["rows"]) == 7 and result["depends"] is True and result["verdict"]
    assert result["rows"][1]["log_odds_change"] == -3.68 and result["least_move"] == 1.06


def test_text_without_rate_and_unit_is_read_once_both_are_said(client, tmp_path):
    path = tmp_path / "columns.csv"
    rows = [",".join(LEADS), *(",".join(f"{v:.0f}" for v in row) for row in beats_mv().T * 1000)]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(AppError, match="rate"):
        client.predict(sent([path]), api_name="/read")
    found = client.predict(sent([path]), 500, "uV", api_name="/read")
    assert (found["rate_hz"], found["seconds"]) == (500, 10)


def test_uploads_are_deleted_right_after_reading(client, tmp_path):
    pair = write_wfdb(tmp_path, "private_record", beats_mv())
    client.predict(files=sent(pair), api_name="/read")
    left = list(Path(get_upload_folder()).rglob("private_record*"))
    assert left == []


def test_two_clients_at_once_each_get_their_own_ecg(client, tmp_path):
    jobs = []
    for index in range(6):
        folder = tmp_path / str(index)
        folder.mkdir()
        files = write_wfdb(folder, f"patient{index}", beats_mv(rr_s=0.6 + 0.1 * index))
        jobs.append((index, client.submit(sent(files), f"q{index}", api_name="/ask")))
    for index, job in jobs:
        answer = job.result(timeout=PATIENCE_S)
        assert answer["ecg_names"] == [f"patient{index}"] and answer["text"] == f"asked: q{index}"


# ------------------------------------------------------------------------------ what does not


def bad_files(folder: Path, case: str) -> list[Path]:
    """Files that cannot be read, one set per case of the acceptance list."""
    if case == "empty file":
        path = folder / "empty.csv"
        path.write_bytes(b"")
        return [path]
    if case == "text renamed .dat":
        header, data = write_wfdb(folder, "letter", beats_mv())
        data.write_text("Dear colleague, thank you for referring this patient.\n")
        return [header, data]
    if case == "header without its data":
        return write_wfdb(folder, "alone", beats_mv())[:1]
    if case == "header of 10^9 samples":
        header, data = write_wfdb(folder, "huge", beats_mv())
        header.write_text(header.read_text().replace(" 5000\n", " 1000000000\n", 1))
        return [header, data]
    if case == "half a second":
        return write_wfdb(folder, "short", beats_mv(0.5))
    if case == "no value at all":
        path = folder / "nothing.csv"
        path.write_text(",".join(LEADS) + "\n" + ("nan," * 11 + "nan\n") * 5000)
        return [path]
    if case == "a picture":
        path = folder / "scan.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
        return [path]
    if case == "emoji and HTML in the name":
        path = folder / "🫀<b onclick=alert(1)>.hea"
        path.write_text("not a header")
        return [path]
    raise AssertionError(case)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("empty file", "empty"),
        ("text renamed .dat", "letter"),
        ("header without its data", r"alone\.dat"),
        ("header of 10^9 samples", "huge"),
        ("half a second", "0.5 s"),
        ("no value at all", None),
        ("a picture", "scan"),
        ("emoji and HTML in the name", None),
    ],
)
def test_bad_files_get_plain_words_and_the_server_lives(client, tmp_path, pair, case, words):
    with pytest.raises(AppError, match=words) as caught:
        client.predict(
            sent(bad_files(tmp_path, case)),
            rate_hz=500,
            units="mV",
            api_name="/read",
        )
    message = str(caught.value)
    assert len(message) > 20 and "Traceback" not in message and "Sorry" not in message
    assert client.predict(sent(pair), api_name="/read")["name"] == "steady"


def test_odd_but_usable_recordings_are_read(client, tmp_path):
    one_lead = write_wfdb(tmp_path, "one", beats_mv()[1:2], leads=["II"])
    found = client.predict(sent(one_lead), api_name="/read")
    assert "V1" in found["missing_leads"] and "II" not in found["missing_leads"]
    day = write_wfdb(tmp_path, "day", np.tile(beats_mv(60, rate_hz=100)[1:2], 1440), ["II"], 100)
    found = client.predict(sent(day), api_name="/read")
    assert found["seconds"] <= 600 and found["notes"]


@pytest.mark.parametrize(
    ("question", "words"), [("", "type"), (" \n ", "type"), ("a" * 100_000, "2000")]
)
def test_bad_questions_get_plain_words(client, pair, question, words):
    with pytest.raises(AppError, match=words):
        client.predict(sent(pair), question, api_name="/ask")


@pytest.mark.parametrize("question", ["🫀 ok?", "<script>alert(1)</script>", "${1+1} {{x}} `"])
def test_odd_questions_are_only_text(client, pair, question):
    assert client.predict(sent(pair), question, api_name="/ask")["text"] == f"asked: {question}"


def test_a_bug_becomes_an_apology_with_a_log_id_and_no_detail(client, pair, caplog):
    with pytest.raises(AppError, match=r"Sorry.*log has it as [0-9a-f]{8}") as caught:
        client.predict(sent(pair), "break", api_name="/ask")
    assert "secret" not in str(caught.value)
    log_id = str(caught.value).split()[-1].strip(".'")
    assert log_id in caplog.text and "secret" not in caplog.text


def test_a_path_on_the_server_is_not_a_file_of_the_user(client, tmp_path):
    """Neither a bare path nor one dressed up as an upload opens a file that was not uploaded."""
    secret = write_wfdb(tmp_path, "secret", beats_mv())
    for given in ([str(path) for path in secret], [{"path": str(path)} for path in secret], None):
        with pytest.raises(AppError) as caught:
            client.predict(given, api_name="/read")
        assert "rate_hz" not in str(caught.value)
    assert all(path.exists() for path in secret)


# ------------------------------------------------------------------------------ words and numbers


def test_text_from_users_cannot_become_markup():
    shown = report.as_text(EVIL_NAME)
    assert html.unescape(shown) == EVIL_NAME
    assert not set("<>$`{}*[]()_!|\\\"'") & set(shown)


def test_the_table_shows_the_change_since_the_comparison_and_a_dash_where_unknown():
    numbers = {
        "sokolow_lyon_mv": 2.004,
        "not_measurable": {"pr_ms": "atrial <fibrillation>", "p_ms": "atrial <fibrillation>"},
    }
    first = Measurements(rate_bpm=82.4, qrs_ms=90.0, qrs_axis_deg=-170.0, **numbers)
    second = Measurements(rate_bpm=75.0, qrs_axis_deg=170.0, **numbers)
    table = report.measurement_html(first, second)
    assert "algorithm, not the language model" in table
    assert "<td>Heart rate (per min)</td><td>75</td><td>82</td><td>+7</td>" in table
    assert "<td>QRS duration (ms)</td><td>–</td><td>90</td><td>–</td>" in table
    assert "<td>Sokolow–Lyon (mV)</td><td>2.00</td><td>2.00</td><td>0.00</td>" in table
    assert table.count("Not measurable in this ECG: atrial &lt;fibrillation&gt;.") == 1
    assert "<td>QRS axis (°)</td><td>↑ 170</td><td>↓ −170</td><td>▲ +20</td>" in table
    assert "<b>Changed, by the algorithm:</b> QRS axis +20 °. ▲ ▼" in table, "a rate of +7 repeats"
    assert "nothing." in report.measurement_html(first, first)
    assert "Changed" not in report.measurement_html(first, None)


def test_a_comparison_needs_a_second_ecg_unless_the_user_wants_one_only():
    one, other = FakeGallery().open("steady 75"), FakeGallery().open("fast 100")
    new, rhythm = "Which findings are new in the second ECG?", "Which rhythm is it?"
    for which in (asking.BY_WORDING, asking.BOTH):
        assert asking.second_ecg(new, which, other) is other
        with pytest.raises(QuestionError, match="comparison ECG"):
            asking.second_ecg(new, which, None)
    assert (
        asking.second_ecg(new, asking.THIS_ONLY, None)
        is None
        is asking.second_ecg(rhythm, asking.BY_WORDING, one)
    )


def test_the_numbers_that_decide_are_shown_beside_the_verdict():
    """A sure "no" hardly changes its probability, and yet depends on the ECG."""
    far = [GroundingRow(f"patient {i}", "no", -0.009, -2.3) for i in range(3)]
    blank = [GroundingRow(name, "no", -0.01, 2.4) for name in ("Noise", "Flat line", "No ECG")]
    rows = (GroundingRow("this", "no", 0.0), *far, *blank)
    shown = dependence_html("Is it?", GroundingResult(rows, "It depends.", True, 1.06))
    assert "<td>patient 0</td><td>no</td><td>−0.01</td><td>−2.30</td>" in shown
    assert "2.30 for other patients and 2.40 for noise, a flat line and no ECG, on average" in shown
    assert "at least 1.06" in shown


def test_known_errors_keep_their_words_and_markup_in_them_is_escaped():
    def fails():
        raise EcgFileError("This header names <b>.dat, but that file was not uploaded.")

    with pytest.raises(gr.Error) as caught:
        in_plain_words(fails)()
    assert caught.value.message == (
        "This header names &lt;b&gt;.dat, but that file was not uploaded."
    )


def test_a_model_that_cannot_load_says_why(tmp_path):
    def broken(progress):
        raise ModelError("The folder holds no model.")

    with served(broken) as url:
        client = Client(url, verbose=False)
        with pytest.raises(AppError, match="The folder holds no model"):
            client.predict(sent(write_wfdb(tmp_path, "a", beats_mv())), "q?", api_name="/ask")
        found = client.predict(sent(write_wfdb(tmp_path, "b", beats_mv())), api_name="/read")
        assert found["name"] == "b"


# ------------------------------------------------------------------------------ the real thing

WATCHED = """
import sys
log = open(sys.argv.pop(1), "a", buffering=1)
HERE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")

def watch(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host is not None and host not in HERE:
        log.write(f"{event} {host}\\n")

sys.addaudithook(watch)
import app
app.main(sys.argv[1:])
"""


@contextlib.contextmanager
def command(log: Path, attempts: Path, port: int, arguments):
    """`python app.py` in a process of its own, its words and its look-ups written down."""
    line = [sys.executable, "-u", "-c", WATCHED, str(attempts), "--port", str(port), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log.open("w") as words:
        server = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=words, stderr=words)
    try:
        yield server
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def opens(server: subprocess.Popen, log: Path, port: int) -> bool:
    """Wait until it says that it serves; False: it found its port taken."""
    until = time.monotonic() + PATIENCE_S
    while True:
        ended, words = server.poll() is not None, log.read_text()
        if "\nOpen http" in words:
            return True
        if ended and f"Port {port} is in use" in words:
            return False
        assert not ended and time.monotonic() < until, words
        time.sleep(0.05)


@contextlib.contextmanager
def served_as_command(tmp_path, *arguments):
    """Address of `python app.py`, and the file of its every look-up outside this machine."""
    log, attempts = tmp_path / "server.log", tmp_path / "attempts.txt"
    attempts.touch()
    for _ in range(STARTS):
        port = free_port()
        with command(log, attempts, port, arguments) as server:
            if opens(server, log, port):
                yield f"http://127.0.0.1:{port}/", attempts
                return
    raise OSError(log.read_text())


@pytest.mark.trained
def test_the_trained_model_answers_end_to_end_and_looks_nothing_up(tmp_path, pair):
    """The audit hook sees the sockets of every library."""
    with served_as_command(tmp_path) as (url, attempts):
        client = Client(url, verbose=False)
        assert client.predict(sent(pair), api_name="/read")["name"] == "steady"
        first = write_wfdb(tmp_path, "first", beats_mv())
        assert client.predict(sent(first), api_name="/measure")["ecg"]["rate_bpm"]
        second = write_wfdb(tmp_path, "second", beats_mv())
        answer = client.predict(
            sent(second), "Does this ECG show atrial fibrillation?", api_name="/ask"
        )
        assert answer["text"] and 0 <= answer["confidence"] <= 1
        assert answer["ecg_names"] == ["second"]
        again = write_wfdb(tmp_path, "again", beats_mv())
        result = client.predict(
            sent(again), "Does this ECG show atrial fibrillation?", api_name="/random_ecg_test"
        )
        assert len(result["rows"]) >= 6 and result["verdict"]
    assert attempts.read_text() == "", "the package index is asked by a process of its own"
