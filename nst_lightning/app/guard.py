"""The middleware around Gradio: it refuses every request that the page does not need."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.requests import ClientDisconnect

from nst_lightning.app.payloads import SERVED_TYPES, find_problem, find_served_file, make_room
from nst_lightning.app.security import SECURITY_HEADERS, Credentials, is_own_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"

# The requests of a page; everything else of Gradio (proxies, streams, recordings, monitoring, code of components, login
# pages, other interfaces for programs) does not exist here.
GET_ROUTES = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(static|assets|svelte)/[\w./@-]+"
    rf"|{API}/(startup-events|theme\.css|upload_progress|queue/data|heartbeat/\w+)/?"
)
JSON_ROUTES = re.compile(rf"{API}/(queue/join|run/\w+|cancel|reset)/?")
UPLOAD_ROUTES = re.compile(rf"{API}/(upload|component_server)/?")
FILE_ROUTE = f"{API}/file="

# Bytes of a JSON request, and the files that one request may upload.
MAX_JSON = 4 * 2**20
FILES_PER_UPLOAD = 8

# Size of Gradio's own files in uploads of the largest size; the oldest ones are deleted beyond it.
UPLOADS_IN_CACHE = 25

# Seconds before a wrong password is answered.
WRONG_PASSWORD_DELAY = 0.5

# Gradio copies the headers of a request for a part of a file into its answer.
REQUEST_HEADERS = (b"authorization", b"cookie", b"host", b"origin")

_EXTERNAL = re.compile(
    r"<(?:meta|link)\b[^>]*?(?:href|src|content)\s*=\s*[\"'](?:https?:)?//[^>]*>"
    r"|<script\b[^>]*?src\s*=\s*[\"'](?:https?:)?//[^>]*>\s*</script>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Policy:
    """What the server permits.

    Attributes:
        hosts: see :func:`nst_lightning.app.security.list_hosts`.
        cache: resolved folder of Gradio: uploads of the browser, and copies of results for it.
        max_bytes: largest uploaded file.
        samples: resolved folder of the sample pictures.
        credentials: user and password, or None without `--auth`.
    """

    hosts: frozenset[str]
    cache: Path
    max_bytes: int
    samples: Path
    credentials: Credentials | None = None

    @property
    def served(self) -> tuple[Path, Path]:
        """The folders whose pictures and films are sent to the browser."""
        return self.cache, self.samples


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: status of HTTP.
        reason: a few words.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """Checks each request before the application sees it, and adds headers to each answer.

    Args:
        application: the ASGI application.
        policy: what is permitted.
    """

    def __init__(self, application: Application, policy: Policy) -> None:
        self.application = application
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a connection."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
        elif scope["type"] == "websocket":
            # Gradio sends events over HTTP. The origin of a websocket is not checked by browsers.
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._handle(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        is_started = False

        async def send_started(message: MutableMapping[str, Any]) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._check_sender(scope, headers)
            receive = await self._check_content(scope, headers, receive)
            sender = _Sender(send_started, scope["path"])
            await self.application(_drop_encodings(scope), receive, sender.send)
        except RefusedError as refusal:
            if not is_started:
                await _refuse(send, refusal, scope["path"])
        except ClientDisconnect:
            # The page was closed before it had sent a file; nobody waits for an answer.
            pass

    async def _check_sender(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raises a refusal for another site, another name of this machine, or a wrong password."""
        for name in ("host", "origin", "authorization", "content-length"):
            if sum(key.lower() == name.encode() for key, _ in scope["headers"]) > 1:
                raise RefusedError(400, f"more than one {name}")
        is_page = scope["method"] in ("GET", "HEAD") and scope["path"] == "/"
        if not is_own_request(headers, self.policy.hosts, is_page):
            raise RefusedError(403, "another host or origin")
        credentials = self.policy.credentials
        if credentials is not None and not credentials.accepts(headers.get("authorization")):
            if "authorization" in headers:
                await asyncio.sleep(WRONG_PASSWORD_DELAY)
            raise RefusedError(401, "user and password are needed")

    async def _check_content(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """Raises a refusal for a request that the page does not make, and returns the function that reads the body."""
        method, path = scope["method"], scope["path"]
        if "deep_link" in parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True):
            raise RefusedError(403, "deep links are not used")
        if path.startswith(FILE_ROUTE):
            self._check_file(scope)
        elif method in ("GET", "HEAD"):
            if not GET_ROUTES.fullmatch(path) or ".." in path or unquote(path) != path:
                raise RefusedError(404, "not found")
        elif method == "POST" and JSON_ROUTES.fullmatch(path):
            return await self._check_json(headers, receive)
        elif method == "POST" and UPLOAD_ROUTES.fullmatch(path):
            return self._limit_upload(headers, receive)
        else:
            raise RefusedError(404, "not found")
        return _limit_body(headers, receive, MAX_JSON)

    def _check_file(self, scope: Scope) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise RefusedError(405, "files are read only")
        file = find_served_file(scope["path"].removeprefix(FILE_ROUTE), self.policy.served)
        if file is None:
            raise RefusedError(403, "no such file for a browser")

    async def _check_json(self, headers: dict[str, str], receive: Receive) -> Receive:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(415, "JSON is expected")
        body = await _read_body(_limit_body(headers, receive, MAX_JSON))
        problem = find_problem(body, self.policy.cache, self.policy.hosts)
        if problem is not None:
            raise RefusedError(400, problem)
        return _replay(body, receive)

    def _limit_upload(self, headers: dict[str, str], receive: Receive) -> Receive:
        # The editor of masks sends its layers as files. JSON would call other functions of components.
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
            raise RefusedError(415, "files are expected")
        make_room(self.policy.cache, UPLOADS_IN_CACHE * self.policy.max_bytes)
        return _limit_body(headers, receive, FILES_PER_UPLOAD * self.policy.max_bytes + MAX_JSON)


def _limit_body(headers: dict[str, str], receive: Receive, limit: int) -> Receive:
    """Returns a function that reads a body and raises a refusal beyond a number of bytes."""
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise RefusedError(413, "the request is too large")
    count = 0

    async def receive_limited() -> MutableMapping[str, Any]:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > limit:
            raise RefusedError(413, "the request is too large")
        return message

    return receive_limited


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the connection was closed")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a function that yields a body that was read, and then what follows it."""
    is_sent = False

    async def receive_replayed() -> MutableMapping[str, Any]:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_replayed


def _drop_encodings(scope: Scope) -> Scope:
    """Removes the permission to compress the page, so that its text can be changed."""
    if scope["path"] != "/":
        return scope
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
    return {**scope, "headers": headers}


async def _refuse(send: Send, refusal: RefusedError, path: str) -> None:
    body, kind = f"{refusal.reason}\n", "text/plain"
    if JSON_ROUTES.fullmatch(path):
        # The page shows this text.
        reason = f"The app refused this action: {refusal.reason}. Reload the page and try again."
        body, kind = json.dumps({"detail": reason}), "application/json"
    headers = {**SECURITY_HEADERS, "content-type": f"{kind}; charset=utf-8", "cache-control": "no-store"}
    if refusal.status == 401:
        headers["www-authenticate"] = 'Basic realm="nst_lightning", charset="UTF-8"'
    if refusal.status == 413:
        headers["connection"] = "close"
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body.encode()})


class _Sender:
    """Sends an answer with the headers of this server; removes links to other hosts from the page.

    Args:
        send: function of ASGI.
        path: path of the request.
    """

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._path = path
        self._start: MutableMapping[str, Any] | None = None
        self._parts: list[bytes] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Sends a message of ASGI; the page is sent when it is complete."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": self._headers(message.get("headers", []))}
            if self._path == "/":
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._send_page(self._start, b"".join(self._parts))
            return
        await self._send(message)

    async def _send_page(self, start: MutableMapping[str, Any], body: bytes) -> None:
        text = _EXTERNAL.sub("", body.decode()).encode() if body else body
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length" or not body]
        if body:
            headers.append((b"content-length", str(len(text)).encode()))
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": text})

    def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Replaces headers; pages of other origins get no permission to read an answer."""
        added = dict(SECURITY_HEADERS)
        if self._path.startswith(FILE_ROUTE):
            # By the ending, which was checked, and never by the content.
            added["content-type"] = SERVED_TYPES[Path(self._path).suffix.lower()]
        removed = {*(name.encode() for name in added), *REQUEST_HEADERS}
        kept = [
            (name, value)
            for name, value in headers
            if name.lower() not in removed and not name.lower().startswith(b"access-control-")
        ]
        return kept + [(name.encode(), value.encode()) for name, value in added.items()]
