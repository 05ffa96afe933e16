"""The server as a browser or an attacker sees it: real requests over HTTP to a server in another process."""

import base64
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

from nst_lightning.app.event_stream import IDLE_SECONDS, OPEN
from nst_lightning.samples import sample_path
from tests.app.conftest import AppServer, start_server

API = "/gradio_api"

# Events after which a page reads no more, or no more of a call.
ENDS = ("process_completed", "close_stream", "unexpected_error")


def send(
    server: AppServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Sends a request whose path is not changed by the client; returns status, headers and body."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def post_json(server: AppServer, path: str, value: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return send(server, "POST", path, json.dumps(value).encode(), content_type="application/json", **headers)


def upload(server: AppServer, name: str, content: bytes, **headers: str) -> tuple[int, bytes]:
    boundary = "boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    status, _, answer = send(server, "POST", f"{API}/upload", body, content_type=kind, **headers)
    return status, answer


def find_function(server: AppServer, name: str) -> int:
    config = json.loads(send(server, "GET", "/config")[2])
    return next(int(entry["id"]) for entry in config["dependencies"] if entry["api_name"] == name)


def call(server: AppServer, name: str, value: Any) -> dict[str, Any]:
    """Calls a function of the page as the browser does, and returns its last event."""
    body = {"fn_index": find_function(server, name), "data": value, "session_hash": "abc"}
    status, _, answer = post_json(server, f"{API}/queue/join", body)
    if status != 200:
        return {"status": status, "text": answer.decode()}
    events = send(server, "GET", f"{API}/queue/data?session_hash=abc")[2].decode()
    messages = [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")]
    return next(message for message in messages if message["msg"] == "process_completed")


# The page


def test_page_is_sent_with_headers_and_without_other_hosts(server: AppServer) -> None:
    status, headers, body = send(server, "GET", "/", accept_encoding="br, gzip")
    assert status == 200
    text = body.decode()
    assert "gradio_config" in text
    assert re.findall(r"<(?:script|link|meta|img|iframe)[^>]*=\s*[\"'](?:https?:)?//[^>]*>", text) == []
    policy = headers["content-security-policy"]
    assert "http" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not any(name.startswith("access-control-") for name in headers)
    assert int(headers["content-length"]) == len(body)


def test_configuration_has_no_analytics_and_no_share_link(server: AppServer) -> None:
    config = json.loads(send(server, "GET", "/config")[2])
    assert config["analytics_enabled"] is False
    assert not config.get("enable_queue_analytics")
    assert not config.get("show_api")
    assert config.get("footer_links", []) == []
    assert str(server.runs) not in json.dumps(config)


def test_files_of_the_page_come_from_this_server(server: AppServer) -> None:
    text = send(server, "GET", "/")[2].decode()
    sources = re.findall(r'(?:src|href)="\.?(/assets/[^"]+)"', text)
    assert sources
    for source in sources:
        assert send(server, "GET", source)[0] == 200
    style = send(server, "GET", "/theme.css")[2].decode()
    assert "url(http" not in style
    assert "@import" not in style


# Hosts and origins

FOREIGN = [
    {"host": "evil.example:7860"},
    {"host": "127.0.0.1"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"},
    {"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/config"),
        ("POST", f"{API}/queue/join"),
        ("GET", f"{API}/queue/data?session_hash=abc"),
        ("POST", f"{API}/upload"),
        ("GET", f"{API}/heartbeat/abc"),
        ("OPTIONS", f"{API}/queue/join"),
    ],
)
def test_other_hosts_and_origins_are_refused(
    server: AppServer, method: str, path: str, headers: dict[str, str]
) -> None:
    body = b"{}" if method == "POST" else None
    status, answered, _ = send(server, method, path, body, **headers)
    assert status == 403
    assert not any(name.startswith("access-control-") for name in answered)


def test_two_host_headers_are_refused(server: AppServer) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        host = f"Host: {address.netloc}\r\n"
        connection.sendall(f"GET / HTTP/1.1\r\n{host}{host}Connection: close\r\n\r\n".encode())
        assert connection.recv(1000).split()[1] == b"400"


def test_websocket_is_refused(server: AppServer) -> None:
    headers = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_key": "x" * 22 + "=="}
    for path in ("/", f"{API}/queue/join", "/queue/join"):
        status, _, _ = send(server, "GET", path, None, sec_websocket_version="13", **headers)
        assert status != 101


# Files


@pytest.fixture
def secret(server: AppServer) -> Path:
    """A picture in the folder of the runs, which is not served."""
    path = server.runs / "secret.png"
    Image.new("RGB", (8, 8), "red").save(path)
    return path


def test_uploaded_picture_is_served_as_a_picture(server: AppServer) -> None:
    content = sample_path("ink").read_bytes()
    status, answer = upload(server, "x.webp", content)
    assert status == 200
    (path,) = json.loads(answer)
    assert Path(path).is_relative_to(server.runs / "cache")
    status, headers, body = send(server, "GET", f"{API}/file={quote(path)}")
    assert (status, headers["content-type"], body) == (200, "image/webp", content)
    assert headers["x-content-type-options"] == "nosniff"
    part = send(server, "GET", f"{API}/file={quote(path)}", range="bytes=0-9", authorization="Basic c2VjcmV0")
    assert part[2] == content[:10]
    assert "authorization" not in part[1]


@pytest.mark.parametrize("prefix", [f"{API}/file=", f"{API}/file/", "/file=", "/file/", "/static/", "/assets/"])
@pytest.mark.parametrize(
    "form",
    [
        "{path}",
        "{encoded}",
        "{double}",
        "{cache}/../secret.png",
        "{cache}/%2e%2e/secret.png",
        "{cache}/..%2fsecret.png",
        "{cache}/%252e%252e/secret.png",
        "{cache}/link.png",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "../../../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/etc/passwd%00.png",
        "file:///etc/passwd",
        "http://127.0.0.1:9/x.png",
        "https%3A%2F%2Fevil.example%2Fx.png",
        "//etc/passwd",
        "/proc/self/environ",
        "{config}",
    ],
)
def test_other_files_are_not_served(server: AppServer, secret: Path, prefix: str, form: str) -> None:
    cache = server.runs / "cache"
    link = cache / "link.png"
    if not link.is_symlink():
        link.symlink_to(secret)
    values = {
        "path": secret,
        "encoded": quote(str(secret), safe=""),
        "double": quote(quote(str(secret), safe=""), safe=""),
        "cache": cache,
        "config": server.runs / "server.json",
    }
    status, _, body = send(server, "GET", prefix + form.format(**values))
    assert status in (400, 403, 404)
    assert secret.read_bytes() not in body
    assert b"root:" not in body


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.html", b"<script>alert(1)</script>"),
        ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("x.js", b"alert(1)"),
        ("x.xml", b"<x/>"),
        ("x", b"<script>alert(1)</script>"),
    ],
)
def test_uploaded_files_with_scripts_are_not_served(server: AppServer, name: str, content: bytes) -> None:
    status, answer = upload(server, name, content)
    assert status == 200
    status, _, body = send(server, "GET", f"{API}/file={quote(json.loads(answer)[0])}")
    assert status == 403
    assert b"alert" not in body


def test_html_with_the_name_of_a_picture_is_sent_as_a_picture(server: AppServer) -> None:
    _, answer = upload(server, "x.png", b"<script>alert(1)</script>")
    status, headers, _ = send(server, "GET", f"{API}/file={quote(json.loads(answer)[0])}")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["../../escaped.png", "..\\escaped.png", "/tmp/escaped.png", "%2e%2e/escaped.png", "a\0b"]
)
def test_name_of_an_upload_does_not_leave_the_cache(server: AppServer, name: str) -> None:
    status, answer = upload(server, name, b"content")
    if status == 200:
        assert Path(json.loads(answer)[0]).resolve().is_relative_to(server.runs / "cache")
    assert not list(server.runs.parent.rglob("escaped.png")) or status == 200
    assert not (server.runs / "escaped.png").exists()
    assert not (server.runs.parent / "escaped.png").exists()


# Sizes


def test_large_upload_is_refused(server: AppServer) -> None:
    assert upload(server, "x.png", bytes(300_000))[0] == 413
    assert upload(server, "x.png", bytes(100_000))[0] == 200


def test_declared_size_is_refused_before_the_body_is_sent(server: AppServer) -> None:
    headers = {"content_length": str(10**9), "content_type": "multipart/form-data; boundary=x"}
    assert send(server, "POST", f"{API}/upload", b"", **headers)[0] == 413
    headers["content_type"] = "application/json"
    assert send(server, "POST", f"{API}/queue/join", b"", **headers)[0] == 413


def test_body_without_a_declared_size_is_limited(server: AppServer) -> None:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    chunks = (b"[" + b"0," * 500_000 for _ in range(8))
    try:
        connection.request(
            "POST", f"{API}/queue/join", chunks, {"Content-Type": "application/json"}, encode_chunked=True
        )
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 413
    finally:
        connection.close()
    assert status == 413


def test_page_that_is_closed_during_an_upload_prints_no_traceback(tmp_path: Path) -> None:
    started = start_server(tmp_path / "runs")
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    address = urlsplit(started.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    connection.request(
        "POST",
        f"{API}/upload",
        head + bytes(1000),
        {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "100000"},
    )
    time.sleep(1)
    connection.close()
    # The server is still there.
    assert upload(started, "a.png", bytes(1000))[0] == 200
    time.sleep(1)
    started.process.terminate()
    _, errors = started.process.communicate(timeout=60)
    assert started.process.returncode == 0
    assert "Traceback" not in errors


# Calls


def join(server: AppServer, name: str, session: str) -> str:
    """Calls a function of the page and returns the number of the call."""
    body = {"fn_index": find_function(server, name), "data": [], "session_hash": session}
    number: str = json.loads(post_json(server, f"{API}/queue/join", body)[2])["event_id"]
    return number


@contextmanager
def read_events(server: AppServer, session: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Opens the stream of events of a page; the page is closed at the end."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    connection.request("GET", f"{API}/queue/data?session_hash={session}")
    answer = connection.getresponse()
    yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))
    answer.close()
    connection.close()


def test_stream_of_a_page_stays_open_between_its_calls(server: AppServer) -> None:
    # The page may send a call before it reads that its stream is closed, and does not open another one then.
    first = join(server, "wait", "between")
    with read_events(server, "between") as events:
        assert next(event for event in events if event["msg"] in ENDS)["event_id"] == first
        time.sleep(IDLE_SECONDS / 2)
        second = join(server, "wait", "between")
        assert next(event for event in events if event["msg"] in ENDS)["event_id"] == second
        # It ends when the page is idle, because a stream that breaks later would be noticed by nobody.
        start = time.monotonic()
        assert [event["msg"] for event in events if event.get("event_id") != OPEN][-1] == "close_stream"
        assert time.monotonic() - start > IDLE_SECONDS / 2
    # A call after it is answered in another stream.
    third = join(server, "wait", "between")
    with read_events(server, "between") as events:
        assert next(event for event in events if event["msg"] in ENDS)["event_id"] == third


def test_function_of_the_page_gets_an_uploaded_file(server: AppServer) -> None:
    (path,) = json.loads(upload(server, "x.webp", sample_path("ink").read_bytes())[1])
    event = call(server, "name", [{"path": path, "meta": {"_type": "gradio.FileData"}}])
    assert event["success"], event
    (text,) = event["output"]["data"]
    assert Path(text).is_relative_to(server.runs / "cache")


@pytest.mark.parametrize(
    "reference",
    [
        {"path": "/etc/passwd"},
        {"path": "http://127.0.0.1:9/x.png"},
        {"path": "https://evil.example/x.png"},
        {"path": "SECRET"},
        {"path": "CACHE/../secret.png"},
        {"path": "CACHE/x.png", "url": "http://169.254.169.254/latest/meta-data"},
        {"url": "http://127.0.0.1:9/x.png"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [f"{API}/queue/join", f"{API}/run/name", f"{API}/run/predict"])
def test_references_to_other_files_and_addresses_are_refused(
    server: AppServer, secret: Path, path: str, reference: dict[str, str]
) -> None:
    places = {"SECRET": str(secret), "CACHE": str(server.runs / "cache")}
    text = json.dumps(reference | {"meta": {"_type": "gradio.FileData"}})
    for name, place in places.items():
        text = text.replace(name, place)
    body = {"fn_index": find_function(server, "name"), "data": [json.loads(text)], "session_hash": "abc"}
    status, _, answer = post_json(server, path, body)
    assert status == 400
    assert b"root:" not in answer
    # The page shows this line.
    assert json.loads(answer)["detail"].startswith("The app refused this action: ")


def test_error_of_the_server_is_not_shown(server: AppServer) -> None:
    event = call(server, "fail", [])
    assert event["success"] is False
    assert "division" not in json.dumps(event)
    assert "Traceback" not in json.dumps(event)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_forms_of_other_sites_cannot_call_functions(server: AppServer, kind: str) -> None:
    assert send(server, "POST", f"{API}/queue/join", b"{}", content_type=kind)[0] == 415


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{API}/proxy=https://evil.example/x"),
        ("GET", f"{API}/proxy=http://127.0.0.1:9/x"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", f"{API}/runs"),
        ("GET", f"{API}/run-history/records"),
        ("POST", f"{API}/run-history/connect"),
        ("GET", f"{API}/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", f"{API}/dev/reload"),
        ("GET", f"{API}/token"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("GET", f"{API}/custom_component/1/client/component/index.js"),
        ("POST", f"{API}/process_recording"),
        ("POST", f"{API}/vibe-edit"),
        ("POST", f"{API}/vibe-code"),
        ("GET", f"{API}/vibe-code"),
        ("GET", f"{API}/profiling/traces"),
        ("POST", f"{API}/stream/abc"),
        ("GET", f"{API}/stream/a/b/1/playlist.m3u8"),
        ("POST", f"{API}/call/name"),
        ("POST", f"{API}/api/name"),
        ("GET", f"{API}/mcp/sse"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/pwa_icon/512"),
        ("GET", "/svelte/../routes.py"),
        ("GET", "/assets/../index.html"),
        ("GET", "/static/%2e%2e/index.html"),
        ("PUT", "/"),
        ("DELETE", "/config"),
        ("TRACE", "/"),
    ],
)
def test_everything_that_the_page_does_not_need_does_not_exist(server: AppServer, method: str, path: str) -> None:
    status, headers, _ = send(server, method, path, b"{}" if method == "POST" else None)
    assert status == 404
    assert "location" not in headers


def test_functions_of_components_are_called_with_files_only(server: AppServer) -> None:
    body = {"component_id": 1, "fn_name": "move_resource_to_block_cache", "data": "/etc/passwd", "session_hash": "abc"}
    assert post_json(server, f"{API}/component_server", body)[0] == 415


def test_state_cannot_be_loaded_from_a_link(server: AppServer) -> None:
    assert send(server, "GET", "/?deep_link=../../secret")[0] == 403
    assert send(server, "GET", "/?x=1&deep_link=")[0] == 403


def test_nothing_redirects(server: AppServer) -> None:
    for path in ("//evil.example", "/\\evil.example", "/?__theme=//evil.example", "/config//evil.example"):
        status, headers, _ = send(server, "GET", path)
        assert status in (200, 404)
        assert "location" not in headers


# Passwords


def test_server_for_other_machines_asks_for_the_password(tmp_path: Path) -> None:
    started = start_server(tmp_path / "runs", "--host=127.0.0.1", "--auth", NST_APP_AUTH="ann:word")
    try:
        for path in ("/", "/config", f"{API}/queue/data?session_hash=abc", f"{API}/file={sample_path('cat')}"):
            status, headers, body = send(started, "GET", path)
            assert (status, body) == (401, b"user and password are needed\n")
            assert headers["www-authenticate"].startswith("Basic ")
        for path in (f"{API}/queue/join", f"{API}/upload"):
            assert send(started, "POST", path, b"{}", content_type="application/json")[0] == 401
        wrong, right = (f"Basic {base64.b64encode(text).decode()}" for text in (b"ann:wrong", b"ann:word"))
        assert send(started, "GET", "/", authorization=wrong)[0] == 401
        assert send(started, "GET", "/", authorization=right)[0] == 200
        assert send(started, "GET", "/", authorization=right, host="evil.example")[0] == 403
        config = send(started, "GET", "/config", authorization=right)[2]
        assert b"word" not in config.replace(b"password", b"")
    finally:
        assert started.end() == 0
