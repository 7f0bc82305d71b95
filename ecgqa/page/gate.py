"""`Gate`: what a request must be before the screen library sees it.

Only the paths that the page and its endpoints need are open; the rest of the library's server
(files by path, proxy, component servers, run history, monitoring, ...) does not exist here. A
request must come from the page's own address, be of a bearable size and, where names and passwords
are asked for, from somebody who logged in. Whatever is refused is refused in plain words.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import time
from collections.abc import Callable, Collection, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecgqa.page.caps import Caps
from ecgqa.page.journal import note
from ecgqa.page.passwords import Doorman, TooManyTries
from ecgqa.page.uploads import claimed, is_upload, nowhere, take_in

API = "/gradio_api"
HERE = ("localhost", "127.0.0.1", "::1")
ENDPOINTS = "(v2/)?(read|measure|ask|random_ecg_test)"  # v2: arguments by name
# What anybody may see: the page that asks for a name, and what it is drawn with.
TO_ALL = re.compile(
    r"/|/login/?|/logout|/health|/favicon\.ico|/robots\.txt|/manifest\.json|/theme\.css"
    rf"|{API}/theme\.css|/(assets|static|svelte)/[\w./@+~-]+|{API}/startup-events|{API}/login_check/?"
)
TO_USERS = re.compile(
    rf"/config/?|{API}/(info/?|openapi\.json|upload|upload_progress|queue/(join|data)|cancel"
    r"|reset/?|app_id/?|heartbeat/\w+"
    rf"|call/{ENDPOINTS}(/\w+)?)"
)
POSTED = re.compile(rf"/login/?|{API}/(upload|queue/join|cancel|reset/?|call/{ENDPOINTS})")
# Headers by which a proxy could be imitated: the page would point to wherever they say.
UNTRUSTED = (b"x-forwarded-host", b"x-forwarded-server", b"x-gradio-server", b"x-direct-url")
# Whence the request comes that is being served: the screen library hands a log-in only the name.
ADDRESS: contextvars.ContextVar[str] = contextvars.ContextVar("address", default="")
NOTHING = "There is nothing at this address."
SAFE = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}  # fmt: skip


class Refusal(Exception):
    """A request that is not let through. status: of HTTP; args[0]: plain words."""

    def __init__(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(words)
        self.status, self.headers = status, headers

    def response(self, as_page: bool) -> Response:
        """The words as a page for people, or as JSON the way the screen library says errors."""
        if as_page:
            return PlainTextResponse(str(self), self.status, self.headers)
        return JSONResponse({"detail": str(self)}, self.status, self.headers)


class Gate:
    """ASGI middleware around the screen library's app.

    health: what `/health` answers, as (status, JSON). bound_to: the address listened at. names:
    hosts under which a proxy serves the page. doorman: who may come in; None: everybody.
    """

    def __init__(
        self,
        app: ASGIApp,
        health: Callable[[], tuple[int, dict[str, Any]]],
        caps: Caps,
        bound_to: str,
        names: Collection[str],
        doorman: Doorman | None,
    ) -> None:
        self.app, self.health, self.caps = app, health, caps
        self.proxied, self.doorman = {name.lower() for name in names}, doorman
        self.names = hosts(bound_to, self.proxied)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        send = _with_safe_headers(send)
        try:
            if scope["type"] != "http":
                raise Refusal(404, NOTHING)
            await self._serve(scope, receive, send)
        except Refusal as refusal:
            note("refused", status=refusal.status, path=_kind_of(scope["path"]))
            await refusal.response(scope["path"] == "/")(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, path = Request(scope, receive), scope["path"]
        ADDRESS.set(request.client.host if request.client else "")
        if path == "/health":  # asked under any name: it tells nothing of anybody
            status, words = self.health()
            await JSONResponse(words, status)(scope, receive, send)
            return
        self._check_address(request)
        if ".." in path:
            raise Refusal(404, NOTHING)
        if not TO_ALL.fullmatch(path):
            if not TO_USERS.fullmatch(path):
                raise Refusal(404, NOTHING)
            if self.doorman and not self._user(request):
                raise Refusal(401, "Please log in first: open the page and type name and password.")
        if path == "/" and self.doorman and not self._user(request):
            self._check_tries()
        if request.method == "POST" and POSTED.fullmatch(path):
            receive = await self._check_body(request, receive)
            if path == f"{API}/upload":
                await self._upload(Request(scope, receive), send)
                return
        elif request.method not in ("GET", "HEAD") or path == f"{API}/upload":
            raise Refusal(405, "This address takes no such request.")
        else:
            receive = _counted(receive, 0, "This address takes no content.", None)
        scope = {**scope, "headers": [h for h in scope["headers"] if h[0] not in UNTRUSTED]}
        await self.app(scope, receive, send)

    # Whence ---------------------------------------------------------------------------------------

    def _check_address(self, request: Request) -> None:
        """Refuse what another page sends in a visitor's name, and names that are not the page's."""
        host = _host(request.headers.get("host", ""))
        if self.names is not None and host[0] not in self.names:
            raise Refusal(
                421,
                "The page is not served under this name. Whoever runs it can add the name with "
                "--host-name.",
            )
        if (origin := request.headers.get("origin")) is None:
            return
        found = _host(urlsplit(origin).netloc)
        is_own = found == host or (found[0] in HERE and host[0] in HERE and found[1] == host[1])
        if not found[0] or not (is_own or found[0] in self.proxied):
            raise Refusal(403, "The page can only be used from its own address.")

    def _user(self, request: Request) -> str | None:
        """The name of who sent a request, if they logged in."""
        app = request.scope["app"]
        cookies = (
            request.cookies.get(f"access-token{kind}-{app.cookie_id}") for kind in ("", "-unsecure")
        )
        return next(filter(None, (app.tokens.get(cookie) for cookie in cookies if cookie)), None)

    def _check_tries(self) -> None:
        """Whoever must wait reads it instead of the page that asks for a name."""
        assert self.doorman
        try:
            self.doorman.check("", ADDRESS.get())
        except TooManyTries as error:
            raise Refusal(429, str(error), {"Retry-After": str(error.seconds)}) from None

    # How much -------------------------------------------------------------------------------------

    async def _check_body(self, request: Request, receive: Receive) -> Receive:
        """The body, cut off where it becomes too large; JSON with foreign paths taken out."""
        is_upload_ = request.url.path == f"{API}/upload"
        most = self.caps.upload_bytes if is_upload_ else self.caps.body_bytes
        words = (
            f"All files together may have up to {most // 2**20} MB."
            if is_upload_
            else "This request is too large."
        )
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise Refusal(413, words)
        if is_upload_:
            return _counted(receive, most, words, self.caps.upload_s)
        counted = _counted(receive, most, words, self.caps.upload_s)
        body = b""
        async for chunk in Request(request.scope, counted).stream():
            body += chunk
        if "json" in request.headers.get("content-type", ""):
            is_call = request.url.path.startswith(f"{API}/call/")
            blocks = request.scope["app"].get_blocks()
            body = _without_foreign_paths(body, blocks.upload_file_set if is_call else None)
        headers = MutableHeaders(scope=request.scope)
        headers["content-length"] = str(len(body))
        return _replayed(body, receive)

    async def _upload(self, request: Request, send: Send) -> None:
        blocks = request.scope["app"].get_blocks()
        response = await take_in(request, blocks.upload_file_set, self.caps)
        await response(request.scope, request.receive, send)


def _kind_of(path: str) -> str:
    """A path for the log, without what may be a file's name."""
    return path if TO_ALL.fullmatch(path) or POSTED.fullmatch(path) else "other"


def _host(netloc: str) -> tuple[str, str]:
    """Host and port of an address, the usual port left out."""
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", ""
    return host, "" if port in (None, 80, 443) else str(port)


def _counted(receive: Receive, most: int, words: str, seconds: float | None) -> Receive:
    """A body of which no more than `most` bytes are taken, and none after so many seconds."""
    seen, is_whole = 0, False
    until = None if seconds is None else time.monotonic() + seconds

    async def counting() -> Message:
        nonlocal seen, is_whole
        left = None if until is None or is_whole else max(0.0, until - time.monotonic())
        try:
            message = await asyncio.wait_for(receive(), left)
        except TimeoutError:
            raise Refusal(408, "This took too long to arrive. Please try again.") from None
        seen += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if seen > most:
            raise Refusal(413, words)
        return message

    return counting


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, and after it what else comes."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _without_foreign_paths(body: bytes, kept: set[str] | None) -> bytes:
    """JSON in which each file's path is that of an upload; an address is never fetched.

    kept: of a request that is alone, not one of a session, the files to delete at last. Each upload
    that it names is then its own under another path, see `claimed`.
    A path of anything else is replaced by one at which nothing is, so that the answer is the usual
    one: "this file is not here". Raises Refusal for what is no JSON.
    """
    try:
        found = json.loads(body)
        own: dict[str, str] = {}
        _mend(found, None if kept is None else own)
        if kept is not None:
            kept.update(own.values())
        return json.dumps(found).encode()
    except (ValueError, RecursionError):
        raise Refusal(400, "This request is not valid JSON.") from None


def _mend(value: Any, own: dict[str, str] | None) -> None:
    """own: path of an upload → the request's own one, filled here; None: none is made."""
    if isinstance(value, list):
        for item in value:
            _mend(item, own)
    if isinstance(value, MutableMapping):
        path = value.get("path")
        if isinstance(path, str) and not _may_be_upload(path):
            value.update(path=nowhere(), url=None)
        elif isinstance(path, str) and own is not None:
            if path not in own:
                own[path] = claimed(path)
            value["path"] = own[path]
        for item in value.values():
            _mend(item, own)


def _may_be_upload(path: str) -> bool:
    try:
        return Path(path).is_absolute() and is_upload(Path(path))
    except (OSError, ValueError):  # a zero byte, a name without end
        return False


def _with_safe_headers(send: Send) -> Send:
    """Answers are of the type that they say; a log-in's cookie stays on the page's own site."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAFE.items():
                headers[name] = value
            message["headers"] = [
                (name, _same_site(value) if name.lower() == b"set-cookie" else value)
                for name, value in message["headers"]
            ]
        await send(message)

    return sending


def _same_site(cookie: bytes) -> bytes:
    plain = re.sub(rb";\s*samesite=\w+", b"", cookie, flags=re.IGNORECASE)
    return plain + b"; SameSite=lax"


def hosts(bound_to: str, names: Collection[str]) -> set[str] | None:
    """Names under which a page that listens at `bound_to` may be reached; None: any.

    A page that only this computer reaches must not answer to the name of another site: that site
    could have its name point here (DNS rebinding).
    """
    if names or bound_to in HERE:
        return {*HERE, bound_to, *names}
    return None
