"""Who may talk to the server: addresses, origins, passwords, and the headers of every answer."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from nst_lightning.errors import InputError, UsageError

# The environment variable with the user and the password of `--auth`.
AUTH_VARIABLE = "NST_APP_AUTH"

# Names of the own machine, as a browser writes them.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

# Scripts of the page are its own files, and short ones inside of it. Gradio compiles functions of a page in the
# browser, which needs `unsafe-eval`. Nothing is loaded from, sent to, or framed by another host.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'none'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS: dict[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Credentials:
    """The user and the password, as digests.

    Attributes:
        user: SHA-256 of the user's name.
        password: SHA-256 of the password.
    """

    user: bytes
    password: bytes

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Reads `user:password`.

        Raises:
            UsageError: one of them is empty.
        """
        user, _, password = text.partition(":")
        if not user or not password:
            raise UsageError(f"Expected {AUTH_VARIABLE} to be user:password, but a part of it is empty.")
        return cls(_digest(user), _digest(password))

    def accepts(self, header: str | None) -> bool:
        """Whether an `Authorization` header has this user and password; takes the same time for each wrong one.

        Args:
            header: value of the header, HTTP Basic.
        """
        scheme, _, encoded = (header or "").partition(" ")
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            text = ""
        user, _, password = text.partition(":")
        # Digests have one length, and both parts are always compared.
        is_user = hmac.compare_digest(_digest(user), self.user)
        is_password = hmac.compare_digest(_digest(password), self.password)
        return is_user & is_password & (scheme.lower() == "basic")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from the own machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, has_auth: bool) -> None:
    """Checks that only a server with a password listens to other machines.

    Raises:
        InputError: it would listen without.
    """
    if not has_auth and not is_loopback(host):
        raise InputError(
            f"Expected --auth with --host {host}, which other machines can reach, but got no --auth: add it, with "
            f"user:password in {AUTH_VARIABLE}."
        )


def list_hosts(host: str, port: int) -> frozenset[str]:
    """Lists the values of the `Host` header that name this server.

    A page of another site whose name was pointed to this machine (DNS rebinding) sends the name of that site.

    Args:
        host: address that the server listens to.
        port: its port.
    """
    names = {_bracket(host.lower())}
    if is_loopback(host):
        names |= set(LOOPBACK_NAMES)
    elif host in ("0.0.0.0", "::"):
        addresses = [address for entries in psutil.net_if_addrs().values() for address in entries]
        is_ip = (socket.AF_INET, socket.AF_INET6)
        names |= {_bracket(entry.address.partition("%")[0].lower()) for entry in addresses if entry.family in is_ip}
        names |= {*LOOPBACK_NAMES, socket.gethostname().lower()}
    # Browsers leave out the default port.
    return frozenset(f"{name}:{port}" for name in names) | (frozenset(names) if port == 80 else frozenset())


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_own_request(headers: Mapping[str, str], hosts: Iterable[str], is_page: bool) -> bool:
    """Whether a request names this server and comes from its own page or from no page at all.

    Args:
        headers: headers of the request, with lower-case names.
        hosts: see :func:`list_hosts`.
        is_page: whether the request opens the page in a tab, which a link on another page may do.
    """
    if headers.get("host", "").lower() not in hosts:
        return False
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() in {f"http://{host}" for host in hosts}
    site = headers.get("sec-fetch-site", "none")
    return site in ("same-origin", "none") or (is_page and headers.get("sec-fetch-mode") == "navigate")
