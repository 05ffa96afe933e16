"""Addresses, origins and passwords, without a server."""

import base64
import hmac
import os
import socket
from pathlib import Path

import psutil
import pytest

from nst_lightning.app import security
from nst_lightning.app.payloads import find_problem, find_served_file, make_room
from nst_lightning.app.security import Credentials, check_address, is_own_request, list_hosts
from nst_lightning.errors import InputError

HOSTS = list_hosts("127.0.0.1", 7860)


def encode(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_credentials_accept_the_user_and_the_password_only() -> None:
    credentials = Credentials.parse("ann:pass:wörd")
    assert credentials.accepts(encode("ann:pass:wörd"))
    assert credentials.accepts(encode("ann:pass:wörd").replace("Basic", "basic"))
    wrong = ["", "ann", "ann:", "ann:pass", "Ann:pass:wörd", "bob:pass:wörd", ":", "ann:pass:wörd "]
    headers = [*map(encode, wrong), None, "", "Basic", "Basic !", "Basic /w==", encode("ann:pass:wörd")[6:]]
    headers.append(encode("ann:pass:wörd").replace("Basic", "Bearer"))
    assert not any(credentials.accepts(header) for header in headers)


def test_password_is_compared_in_constant_time_and_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((len(first), len(second)))
        return hmac.compare_digest(first, second)

    monkeypatch.setattr(security, "hmac", type("Comparison", (), {"compare_digest": staticmethod(compare)}))
    credentials = Credentials.parse("ann:password")
    for text in ("x:y", "ann:y", "ann:password", "", "x" * 1000):
        credentials.accepts(encode(text))
    assert compared == [(32, 32)] * 10


@pytest.mark.parametrize("text", ["", "ann", ":password", "ann:"])
def test_empty_user_or_password_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Credentials.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "128.0.0.1", ""])
def test_other_machines_need_a_password(host: str) -> None:
    with pytest.raises(InputError, match="--auth"):
        check_address(host, has_auth=False)
    check_address(host, has_auth=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_own_machine_needs_no_password(host: str) -> None:
    check_address(host, has_auth=False)


def test_hosts_are_the_bound_address() -> None:
    assert {"127.0.0.1:7860", "localhost:7860", "[::1]:7860"} == HOSTS
    assert list_hosts("192.168.1.4", 80) == {"192.168.1.4:80", "192.168.1.4"}
    wildcard = list_hosts("0.0.0.0", 7860)
    addresses = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries]
    assert {f"{address}:7860" for address in addresses if "." in address} <= wildcard
    assert f"{socket.gethostname().lower()}:7860" in wildcard
    assert "example.org:7860" not in wildcard


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.example:7860"},
        {"host": "127.0.0.1.evil.example:7860"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:7861"},
        {"host": "localhost.:7860"},
        {"host": "0.0.0.0:7860"},
        {"host": "127.0.0.1:7860", "origin": "http://evil.example"},
        {"host": "127.0.0.1:7860", "origin": "null"},
        {"host": "127.0.0.1:7860", "origin": "https://127.0.0.1:7860"},
        {"host": "127.0.0.1:7860", "origin": "http://localhost:3000"},
        {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860.evil.example"},
        {"host": "127.0.0.1:7860", "origin": "http://user@127.0.0.1:7860"},
        {"host": "127.0.0.1:7860", "sec-fetch-site": "cross-site"},
        {"host": "127.0.0.1:7860", "sec-fetch-site": "same-site"},
        {"host": "127.0.0.1:7860", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
    ids=str,
)
def test_request_of_another_site_is_refused(headers: dict[str, str]) -> None:
    assert not is_own_request(headers, HOSTS, is_page=False)


def test_own_requests_and_links_to_the_page_are_accepted() -> None:
    own = {"host": "localhost:7860"}
    assert is_own_request(own, HOSTS, is_page=False)
    assert is_own_request(own | {"origin": "http://localhost:7860"}, HOSTS, is_page=False)
    assert is_own_request(own | {"sec-fetch-site": "same-origin"}, HOSTS, is_page=False)
    link = own | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert is_own_request(link, HOSTS, is_page=True)
    assert not is_own_request(link | {"sec-fetch-mode": "no-cors"}, HOSTS, is_page=True)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = (tmp_path / "cache").resolve()
    (folder / "a").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("a/ok.png", "a/page.html", "a/drawing.svg", "a/weights.ckpt", "a/.x.png", ".hidden/x.png"):
        (folder / name).write_bytes(b"content")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "a" / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    (tmp_path / "cache2").mkdir()
    (tmp_path / "cache2" / "x.png").write_bytes(b"secret")
    return folder


def test_file_of_the_cache_is_served(cache: Path) -> None:
    assert find_served_file(f"{cache}/a/ok.png", (cache,)) == cache / "a" / "ok.png"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/ok.png",
        "/etc/passwd",
        "{cache}",
        "{cache}/a",
        "{cache}/a/page.html",
        "{cache}/a/drawing.svg",
        "{cache}/a/weights.ckpt",
        "{cache}/a/.x.png",
        "{cache}/.hidden/x.png",
        "{cache}/a/link.png",
        "{cache}/linked/secret.png",
        "{cache}/../secret.png",
        "{cache}/a/../a/ok.png",
        "{cache}2/x.png",
        "{cache}/a/%6fk.png",
        "{cache}/a/ok.png\0.png",
        "file://{cache}/a/ok.png",
        "http://127.0.0.1/ok.png",
        "//host/share/ok.png",
        "\\\\host\\share\\ok.png",
        "{cache}/a/missing.png",
    ],
)
def test_other_file_is_not_served(cache: Path, text: str) -> None:
    assert find_served_file(text.format(cache=cache), (cache,)) is None


@pytest.mark.parametrize(
    "value",
    [
        '{"path": "/etc/passwd"}',
        '{"data": [{"path": "http://127.0.0.1:22/x.png"}]}',
        '{"data": [[{"x": {"path": "HTTP://169.254.169.254/latest"}}]]}',
        '{"path": "file:///etc/passwd"}',
        '{"path": "ftp://host/x"}',
        '{"path": "//host/x"}',
        '{"path": " https://host/x"}',
        '{"path": "data:image/svg+xml,x"}',
        '{"path": "x.png"}',
        '{"path": "CACHE/../secret.png"}',
        '{"path": "CACHE/a/link.png"}',
        '{"path": "CACHE/linked/secret.png"}',
        '{"path": "CACHE2/x.png"}',
        '{"path": "CACHE/a/ok.png", "url": "http://evil.example/x.png"}',
        '{"path": "CACHE/a/ok.png", "url": "//evil.example/x.png"}',
        '{"path": null, "url": "http://127.0.0.1:7861/x.png"}',
        '{"url": "http://127.0.0.1:7860@evil.example/x.png"}',
        '{"url": "javascript:alert(1)"}',
        '{"path": "CACHE/a/ok.png", "is_stream": true}',
        "[" * 100 + "]" * 100,
        "[" * 100_000,
        "not json",
        "\udcff",
    ],
    ids=lambda value: value[:60].encode(errors="replace").decode(),
)
def test_reference_to_another_file_or_address_is_refused(cache: Path, value: str) -> None:
    body = value.replace("CACHE", str(cache)).encode(errors="surrogateescape")
    assert find_problem(body, cache, HOSTS) is not None


def test_references_of_the_own_page_are_accepted(cache: Path) -> None:
    file = f'{{"path": "{cache}/a/ok.png", "url": "http://localhost:7860/gradio_api/file={cache}/a/ok.png"}}'
    for body in (b"", b'{"data": [1, null, "http://text.example"]}', f'{{"data": [{file}]}}'.encode()):
        assert find_problem(body, cache, HOSTS) is None


def test_oldest_files_of_the_cache_make_room(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / str(number) / "x.png"
        path.parent.mkdir()
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    make_room(tmp_path, 250)
    assert sorted(path.parent.name for path in tmp_path.rglob("*.png")) == ["3", "4"]
