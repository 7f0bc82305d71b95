"""What has been published against the screen library, tried on this app, one test for each kind.

A test is named by what it is about and lists the advisories (CVE, GHSA) that it tries. Whatever
the library itself has mended, the app must hold by its own gate as well: most of these ask for
paths that are not open here at all.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import socket
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client
from test_app import ROOT, FakeGallery, beats_mv, served_site, write_wfdb
from test_serving import call, file_data

from ecgqa.measure import measure
from ecgqa.page.export import measurements_csv
from ecgqa.page.gate import hosts
from ecgqa.page.passwords import Doorman, Hashed, Tries
from ecgqa.record import ECG

API = "gradio_api"
NOT_HERE = "not here any more"


@pytest.fixture(scope="module")
def open_site():
    """The page without names and passwords."""
    with served_site() as (site, url):
        yield site, url


@pytest.fixture(scope="module")
def url(open_site):
    return open_site[1]


@pytest.fixture(scope="module")
def closed():
    """The page that asks for a name; anna's password is "right"."""
    doorman = Doorman({"anna": Hashed.of("right")}, Tries(3, 600), Tries(6, 600))
    with served_site(doorman=doorman) as (site, address):
        yield site, address, doorman


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret.csv"
    path.write_text("secret: the key of the safe is 4711\n")
    return path


def raw(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body of a request whose path is sent as it stands; clients would tidy it up."""
    at = httpx.URL(url)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {at.netloc.decode()}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((at.host, at.port), 20) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")
    return int(answer.split(" ", 2)[1]), answer


@contextmanager
def somebody_else():
    """Another server of this machine, which must not be asked: its address, its visits."""
    visits: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"inner secret 4711")

        do_HEAD = do_POST = do_GET

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", visits
    server.shutdown()


# ------------------------------------------------------------------------------ files of the server

WAYS = (
    "{path}", "/{path}", "..{path}", "../../../../../../..{path}", "%2e%2e/%2e%2e{path}",
    "..%2f..%2f..{path}", "..\\..\\..\\{path}", "C:{path}", "C:\\{path}::$DATA", "file://{path}",
    "%2F{path}", "{upload}/../../..{path}", "{upload}/..%5C..{path}", "{PATH}",
)  # fmt: skip
ROUTES = (
    f"/{API}/file=", f"/{API}/file/", "/file=", "/file/", "/static/", "/static//", "/assets/",
    f"/{API}/custom_component/1/client/component/", "/svelte/", f"/{API}/stream/", "/pwa_icon/",
)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_no_path_opens_a_file_of_the_server(url, secret, route):
    """CVE-2021-43831, CVE-2023-34239, CVE-2023-51449, CVE-2024-12217, CVE-2024-47164,
    CVE-2024-47166 (GHSA-37qc-qgx6-9xjv), CVE-2025-23042, CVE-2026-28414 (GHSA-39mp-8hj3-5c49)."""
    for way in WAYS:
        given = way.format(path=secret, PATH=str(secret).upper(), upload=get_upload_folder())
        for method in ("GET", "HEAD"):
            status, body = raw(url, route + given.replace(" ", "%20"), method)
            assert status in (400, 403, 404, 405), (way, status)
            assert "4711" not in body


@pytest.mark.parametrize("endpoint", ["read", "measure", "ask", "random_ecg_test"])
def test_no_call_opens_copies_or_deletes_a_file_of_the_server(url, secret, endpoint):
    """CVE-2024-0964, CVE-2024-1728, CVE-2024-4941 (GHSA-6v6g-j5fq-hpvw), CVE-2024-47868,
    CVE-2024-51751, CVE-2025-48889 (GHSA-8jw3-6x8j-v96g): a path in a file's data."""
    upload, before = get_upload_folder(), set(Path(get_upload_folder()).rglob("*"))
    ways = [way.format(path=secret, PATH=secret, upload=upload) for way in WAYS]
    meta = {"meta": {"_type": "gradio.FileData"}}
    tricks = (meta, {**meta, "is_stream": True}, {})
    rest = {"read": [None] * 3, "measure": [None, None, None, 0, None]}.get(endpoint)
    if rest is None:
        rest = ["Is it?", None, None, None, 0, *([None] if endpoint == "ask" else []), None]
    for way in ways[:6] + ways[11:12]:
        for trick in tricks:
            given = {"path": way, "url": f"/{API}/file={way}", "orig_name": "a.csv", **trick}
            event, said = call(url, endpoint, [given], *rest)
            assert event == "error" and NOT_HERE in (said["error"] or ""), (way, trick)
    assert secret.read_text().endswith("4711\n")
    assert not new_files(before), "nothing was copied"


def new_files(before: set[Path]) -> list[Path]:
    """Files among the uploads that were not there before."""
    now = set(Path(get_upload_folder()).rglob("*"))
    return [path for path in now - before if path.is_file()]


def page_event(site, url: str, name: str, *data) -> list[dict]:
    """An event of the page itself, begun by hand; what the page is told until it is over."""
    number = next(n for n, fn in site.page.fns.items() if fn.name == name)
    begun = httpx.post(
        f"{url}{API}/queue/join",
        json={"data": list(data), "fn_index": number, "session_hash": "byhand"},
    )
    assert begun.status_code == 200, begun.text
    told = []
    with httpx.stream("GET", f"{url}{API}/queue/data?session_hash=byhand", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line[6:]))
                if told[-1]["msg"] in ("process_completed", "close_stream"):
                    break
    return told


def test_the_upload_box_of_the_page_opens_no_file_of_the_server(open_site, secret):
    """CVE-2024-1728 (GHSA-m842-4qm8-7gpq), CVE-2024-51751 (GHSA-rhm9-gp5p-5248)."""
    site, url = open_site
    before = set(Path(get_upload_folder()).rglob("*"))
    for path in (str(secret), f"{get_upload_folder()}/../../../..{secret}", f"file://{secret}"):
        told = page_event(site, url, "upload", [file_data(path)], None)
        assert told[-1]["msg"] == "process_completed"
        assert "4711" not in json.dumps(told) and "secret.csv" not in json.dumps(told)
    assert secret.exists()
    assert not [path for path in new_files(before) if path.stat().st_size]


def test_a_name_with_a_path_in_it_stays_in_its_folder(url, tmp_path):
    """CVE-2024-1561, and uploads that would be written elsewhere."""
    target = tmp_path / "written"
    names = (
        f"../../../../../../../..{target}",
        str(target),
        "..\\..\\written",
        "..",
        ".",
        "a\x00b",
    )
    for name in names:
        answer = httpx.post(f"{url}{API}/upload", files={"files": (name, b"x")})
        assert answer.status_code in (200, 400), (name, answer.text)
        for path in answer.json() if answer.status_code == 200 else []:
            assert Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    assert not target.exists() and not Path("written").exists()


# ------------------------------------------------------------------------------ other servers


@pytest.mark.parametrize(
    "route", [f"/{API}/proxy=", f"/{API}/file=", "/proxy=", "/file=", f"/{API}/stream/"]
)
def test_the_server_asks_no_other_server_and_sends_nobody_there(url, route):
    """CVE-2023-34239, CVE-2024-1183, CVE-2024-2206 (GHSA-r364-m2j9-mf4h), CVE-2024-4940,
    CVE-2024-8021, CVE-2026-28416 (GHSA-jmh7-g254-2cq9), CVE-2026-48545 (GHSA-7hp7-4p35-3cx2),
    CVE-2026-59806."""
    with somebody_else() as (other, visits):
        for given in (
            other,
            f"{other}/x.hf.space",
            other.replace("://", "%3A%2F%2F"),
            "http:/evil.a",
        ):
            for method in ("GET", "HEAD"):
                status, answer = raw(url, route + given, method)
                assert status == 404 and "location:" not in answer.lower()
                assert "4711" not in answer
        assert visits == []


def test_a_file_with_an_address_is_not_fetched(open_site):
    """CVE-2024-4325 (GHSA-973g-55hp-3frw), CVE-2024-47167 (GHSA-576c-3j53-r9jj), CVE-2024-48052."""
    site, url = open_site
    with somebody_else() as (other, visits):
        for address in (
            f"{other}/a.csv",
            "http://169.254.169.254/latest",
            "http://192.0.2.1/a.csv",
        ):
            event, said = call(url, "read", [file_data(address)], None, None, None)
            assert event == "error" and NOT_HERE in said["error"]
            given = {**file_data(address), "url": address}
            told = page_event(site, url, "upload", [given], None)
            assert "4711" not in json.dumps(told)
        assert visits == []


# ------------------------------------------------------------------------------ other pages


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.js", "a.xml", "a.htm", "a.png"])
def test_nothing_that_was_uploaded_is_handed_out_again(url, name):
    """CVE-2024-47872 (GHSA-gvv6-33j7-884g): HTML, SVG or script among the uploads."""
    content = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    (path,) = httpx.post(f"{url}{API}/upload", files={"files": (name, content)}).json()
    for route in (f"/{API}/file=", "/file="):
        status, body = raw(url, f"{route}{path}")
        assert status == 404 and "alert" not in body
        assert "x-content-type-options: nosniff" in body.lower()


FOREIGN = (
    "null", "http://evil.example", "http://localhost.evil.example", "http://127.0.0.1:1", "file://",
    "https://evil.example:443", "http://[::1]:1", "http://127.0.0.1@evil.example",
)  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_page_can_neither_read_nor_write_in_a_visitors_name(url, origin):
    """CVE-2024-1727 (GHSA-48cq-79qq-6f7x), CVE-2024-47084 (GHSA-3c67-5hwx-f6wx),
    CVE-2024-47165 (GHSA-89v2-pqfv-c5r9), CVE-2025-5320; with and without a cookie."""
    before = set(Path(get_upload_folder()).glob("*"))
    for cookie in ({}, {"Cookie": "access-token-unsecure-x=y"}):
        sent = {"Origin": origin, **cookie}
        for path in (
            f"{API}/queue/join",
            f"{API}/call/read",
            f"{API}/cancel",
            f"{API}/upload",
            "login",
        ):
            answer = httpx.post(f"{url}{path}", json={"data": []}, headers=sent)
            assert answer.status_code == 403, path
            assert "own address" in answer.json()["detail"]
        answer = httpx.get(f"{url}config", headers=sent)
        assert answer.status_code == 403 and "components" not in answer.text
    files = {"files": ("a.csv", b"x")}
    assert (
        httpx.post(f"{url}{API}/upload", files=files, headers={"Origin": origin}).status_code == 403
    )
    assert set(Path(get_upload_folder()).glob("*")) == before


def test_the_page_itself_may(url):
    own = url.rstrip("/")
    for origin in (own, own.replace("127.0.0.1", "localhost")):
        assert httpx.get(f"{url}config", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_the_page_is_not_served_under_the_name_of_another_site(url, name):
    """A site whose name is made to point to this computer (DNS rebinding)."""
    answer = httpx.get(url, headers={"Host": name})
    assert answer.status_code in (400, 421) and "gradio_config" not in answer.text


def test_under_which_names_a_page_may_be_reached():
    assert hosts("127.0.0.1", ()) == {"localhost", "127.0.0.1", "::1"}
    assert "ecg.example" in (hosts("127.0.0.1", ("ecg.example",)) or ())
    assert hosts("0.0.0.0", ()) is None
    assert "evil.example" not in (hosts("0.0.0.0", ("ecg.example",)) or ())


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Gradio-Server", "X-Forwarded-Server"])
def test_no_header_makes_the_page_point_elsewhere(url, header):
    """CVE-2024-47870 (GHSA-xh2x-3mrm-fwqm): the root of the page must not follow a visitor."""
    for path in ("", "config", "logout"):
        answer = httpx.get(f"{url}{path}", headers={header: "https://evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        "/login?_target_url=https://evil.example", "//evil.example/login", "/%2f%2fevil.example",
        "/logout?_target_url=//evil.example", "/login/callback?_target_url=//evil.example",
        "/login/huggingface?_target_url=https://evil.example", "/\\evil.example",
    ],
)  # fmt: skip
def test_a_log_in_sends_nobody_to_another_site(closed, url, path):
    """CVE-2024-4940, CVE-2024-8021, CVE-2026-28415 (GHSA-pfjf-5gxr-995x)."""
    for address in (url, closed[1]):
        for method in ("GET", "POST"):
            _, answer = raw(address, path, method, **{"Content-Length": "0"})
            head = answer.partition("\r\n\r\n")[0].lower()
            assert "evil.example" not in head


# ------------------------------------------------------------------------------ doors not needed

UNUSED = (
    "monitoring", "monitoring/summary", "monitoring/x", "runs", "config/../monitoring", "pwa_icon",
    f"{API}/component_server", f"{API}/process_recording", f"{API}/dev/reload", f"{API}/vibe-code",
    f"{API}/vibe-edit", f"{API}/token", f"{API}/user", f"{API}/deep_link", f"{API}/run/ask",
    f"{API}/api/ask", f"{API}/run-history/connect", f"{API}/run-history/buckets", "docs", "redoc",
    f"{API}/run-history/records", f"{API}/mcp", f"{API}/mcp/sse", f"{API}/profiling/traces",
    f"{API}/queue/status", "openapi.json",
)  # fmt: skip


@pytest.mark.parametrize("path", UNUSED)
def test_what_the_page_does_not_need_is_not_there(url, path):
    """CVE-2023-6572, CVE-2024-1561 (GHSA-g9cj-cfpp-4g2x), CVE-2024-47168 (GHSA-hm3c-93pg-4cxw),
    CVE-2024-47869 (GHSA-j757-pf57-f8r4), CVE-2026-49119, CVE-2026-134825 (a forged Host)."""
    for method in ("GET", "POST"):
        for host in (None, "localhost"):
            named = {"Host": f"{host}:{httpx.URL(url).port}"} if host else {}
            answer = httpx.request(method, f"{url}{path}", headers=named)
            assert answer.status_code in (404, 405), answer.status_code


def test_component_servers_and_direct_calls_cannot_be_reached(url):
    """CVE-2024-1561: a method of a component called by its name."""
    body = {"component_id": "1", "data": "/etc/passwd", "fn_name": "move_resource_to_block_cache"}
    answer = httpx.post(f"{url}{API}/component_server", json={**body, "session_hash": "x"})
    assert answer.status_code == 404


def test_the_settings_of_the_page_tell_nothing_of_the_server(url, closed):
    """What `/config` leaks: paths, tokens, who else is here."""
    for text in (httpx.get(f"{url}config").text, httpx.get(url).text, httpx.get(closed[1]).text):
        for leak in ("/root/", "/home/", str(Path.cwd()), get_upload_folder(), "scrypt$", "anna"):
            assert leak not in text, leak


def test_a_private_event_cannot_be_called_by_name(url):
    """An event of the page is not an endpoint; the names are those that are documented."""
    for name in ("upload", "converse", "draw", "prove", "put"):
        answer = httpx.post(f"{url}{API}/call/{name}", json={"data": [[]]})
        assert answer.status_code == 404, name


def test_a_choice_must_be_one_of_the_gallerys(open_site, secret):
    """GHSA-26jh-r8g2-6fpr: a value that a list of choices does not offer."""
    site, url = open_site
    told = page_event(site, url, "choose", str(secret), None)
    assert told[-1]["success"] is False and "4711" not in json.dumps(told)


# ------------------------------------------------------------------------------ too much


def test_an_upload_that_never_comes_to_its_point_is_refused(url):
    """CVE-2024-8966 (GHSA-5cpq-9538-jm2j), CVE-2025-0187: endless boundaries and names."""
    before = set(Path(get_upload_folder()).rglob("*"))
    boundary = "x" * 60
    long_name = f'Content-Disposition: form-data; name="files"; filename="{"a" * 200_000}"'
    bodies = [
        f"--{boundary}\r\n{long_name}\r\n\r\nx\r\n--{boundary}--\r\n",
        f"--{boundary}{'-' * 500_000}\r\n\r\n",
        "-" * 500_000,
    ]
    for body in bodies:
        answer = httpx.post(
            f"{url}{API}/upload", content=body, timeout=60,
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )  # fmt: skip
        if answer.status_code == 200:
            assert answer.json() == []  # all of it was boundary
        else:
            assert answer.status_code == 400 and "please try again" in answer.text
    assert set(Path(get_upload_folder()).rglob("*")) == before


def test_a_zip_bomb_is_refused(url, tmp_path):
    """CVE-2024-10569: a small archive of 1 GB of nothing."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w", force_zip64=True) as member,
    ):
        for _ in range(1024):
            member.write(bytes(2**20))
    (path,) = httpx.post(f"{url}{API}/upload", files={"files": ("a.zip", packed.getvalue())}).json()
    event, said = call(url, "read", [file_data(path)], 500, "mV", None)
    assert event == "error" and "unfold to far more" in said["error"]


HOSTILE = """
from ecgqa.answer.askable import one_line
from ecgqa.question.reading import formula_in, leads_in, limit_in
from ecgqa.question.wording import compares, negates
for piece in ("a", "new ", "second ECG ", "the ", "-", "1.", "(", "and in V", "not ", "over 1 "):
    text = one_line("x" + (piece * 2000)[:1990])
    for read in (compares, negates, leads_in, limit_in, formula_in):
        read(text)
"""


def test_no_wording_keeps_the_server_busy():
    """CVE-2024-10624: text that a pattern cannot be done with (ReDoS)."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0


def test_no_json_makes_the_server_fail(url):
    """Nesting without end, and what is no JSON at all."""
    for body in ("[" * 20_000 + "]" * 20_000, "{", "\x00", '{"data": ' + "[" * 9000):
        answer = httpx.post(
            f"{url}{API}/call/read", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422)
    assert httpx.get(f"{url}health").status_code == 200


def test_a_cell_of_the_table_that_is_handed_out_is_no_formula():
    """CVE-2022-24770 (GHSA-f8xq-q7px-wg8c): names that a spreadsheet would run."""
    for name in ("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"):
        table = measurements_csv(
            [ECG(beats_mv(), 500, name, "a" * 64)], [measure(FakeGallery().open("steady 75"))]
        )
        cells = [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]
        assert any(name.strip() in cell for cell in cells), "the name is there"
        assert not [cell for cell in cells if cell.strip()[:1] in ("=", "+", "@")]


# ------------------------------------------------------------------------------ names and passwords


def test_without_a_log_in_nothing_is_open(closed):
    """Endpoints that the library leaves open where names are asked for: /cancel, /heartbeat, ..."""
    url = closed[1]
    read = ("info", "upload_progress?upload_id=1", "heartbeat/x", "queue/data?session_hash=x")
    for path in ("../config", *read, "app_id", "openapi.json", "call/read/x"):
        assert httpx.get(f"{url}{API}/{path}").status_code == 401, path
    for path in ("upload", "queue/join", "cancel", "reset", "call/read", "call/ask"):
        answer = httpx.post(f"{url}{API}/{path}", json={"data": []})
        assert answer.status_code == 401 and "log in" in answer.json()["detail"]
    forged = {"Cookie": "access-token-x=y; access-token-unsecure-=z"}
    assert httpx.get(f"{url}config", headers=forged).status_code == 401
    page = httpx.get(url)
    assert page.status_code == 200 and "steady 75" not in page.text, "not even the gallery's names"
    assert httpx.get(f"{url}health").json()["model"] in ("loading", "ready")


def test_who_logged_in_is_served_and_the_cookie_stays_at_home(closed, tmp_path):
    """CVE-2024-47084: the cookie must not go along with what another site sends."""
    url, pair = closed[1], write_wfdb(tmp_path, "steady", beats_mv())
    with httpx.Client(base_url=url) as browser:
        answer = browser.post("/login", data={"username": "anna", "password": "right"})
        assert answer.status_code == 200
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2 and all("samesite=lax" in cookie.lower() for cookie in cookies)
        assert all("httponly" in cookie.lower() for cookie in cookies)
        assert browser.get("/config").json()["username"] == "anna"
        cookie = {"Cookie": "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar)}
    assert httpx.get(f"{url}config", headers={**cookie, "Origin": "null"}).status_code == 403
    files = [("files", (path.name, path.read_bytes())) for path in pair]
    paths = httpx.post(f"{url}{API}/upload", files=files, headers=cookie).json()
    given = [file_data(path) for path in paths]
    assert call(url, "read", given, None, None, None, headers=cookie)[0] == "complete"
    client = Client(url, auth=("anna", "right"), verbose=False)
    assert "/read" in client.view_api(return_format="dict")["named_endpoints"]


def test_guesses_at_a_password_are_soon_not_looked_at(closed, monkeypatch):
    """CVE-2024-1729 (GHSA-hmx6-r76c-85g9): neither time nor number of tries helps to guess."""
    _, url, doorman = closed
    monkeypatch.setattr(doorman, "by_name", Tries(3, 600))
    monkeypatch.setattr(doorman, "by_address", Tries(5, 600))

    def log_in(name, password):
        return httpx.post(f"{url}login", data={"username": name, "password": password})

    for password in ("wrong", "", "x" * 5000):
        refused = log_in("anna", password)
        assert refused.status_code in (400, 422) and "right" not in refused.text
    doorman.by_name.failed("anna")  # an empty one is not even looked at
    waits = log_in("anna", "right")
    assert waits.status_code == 429 and "Please wait" in waits.json()["detail"]
    assert 0 < int(waits.headers["retry-after"]) <= 600
    while log_in("nobody", "x").status_code != 429:
        pass
    page = httpx.get(url)
    assert page.status_code == 429 and "Please wait" in page.text, "the page says so too"


def test_an_unknown_name_costs_what_a_known_one_does(monkeypatch):
    """CVE-2024-1729: each try derives one key, whether there is such a name or not."""
    doorman, derived = Doorman({"anna": Hashed.of("right")}), []
    matches = Hashed.matches
    monkeypatch.setattr(
        Hashed, "matches", lambda self, given: derived.append(self.cost) or matches(self, given)
    )
    with ThreadPoolExecutor(1) as thread:
        for name in ("anna", "nobody"):
            thread.submit(asyncio.run, doorman.lets_in(name, "wrong", "here")).result()
    assert len(derived) == 2 and derived[0] == derived[1]


def test_words_of_a_refusal_are_in_the_type_that_is_said(url):
    answer = httpx.get(f"{url}{API}/file=/etc/passwd")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"detail": "There is nothing at this address."}
