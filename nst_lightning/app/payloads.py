"""Files of the browser: which ones it may read and name, and how many it may leave."""

import json
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

# Files that are sent to the browser; neither HTML nor SVG, which can contain scripts.
SERVED_TYPES: dict[str, str] = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".yaml": "text/plain; charset=utf-8",
}

# Deepest nesting of lists and mappings in a request; pages need fewer than ten.
MAX_DEPTH = 32

_SCHEME = re.compile(r"^\s*([a-z][a-z0-9+.-]*:|//|\\\\)", re.IGNORECASE)


def find_served_file(text: str, folders: tuple[Path, ...]) -> Path | None:
    """Returns the file that a path in a URL names, or None if it must not be sent.

    Args:
        text: path as the browser sent it, decoded once.
        folders: resolved folders whose files may be sent. Symbolic links are followed before the comparison.
    """
    if "\0" in text or "\\" in text or _SCHEME.match(text):
        return None
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        return None
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    is_inside = any(resolved.is_relative_to(folder) for folder in folders)
    is_hidden = any(part.startswith(".") for folder in folders for part in _relative_parts(resolved, folder))
    if not is_inside or is_hidden or not resolved.is_file() or resolved.suffix.lower() not in SERVED_TYPES:
        return None
    return resolved


def make_room(folder: Path, limit: int) -> None:
    """Deletes the oldest files of a folder until the others have at most a number of bytes.

    Args:
        folder: the folder, with its folders.
        limit: number of bytes.
    """
    files = sorted(list_files(folder))
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size


def list_files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yields the time of the last change in seconds, the bytes, and the path of each file in a folder.

    Args:
        folder: the folder, with its folders. Files that are removed meanwhile are left out.
    """
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield status.st_mtime, status.st_size, path


def _relative_parts(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts if path.is_relative_to(folder) else ()


def find_problem(body: bytes, cache: Path, hosts: frozenset[str]) -> str | None:
    """Returns why a JSON request must be refused, or None.

    A reference to a file, `{"path": ...}`, names a file that this browser has uploaded before; it is no URL and no
    other file of the machine.

    Args:
        body: the body of the request.
        cache: resolved folder of the uploads of browsers.
        hosts: see :func:`nst_lightning.app.security.list_hosts`.
    """
    try:
        value = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return "the body is not JSON"
    return _find_problem(value, cache, hosts, 0)


def _find_problem(value: Any, cache: Path, hosts: frozenset[str], depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return "the body is nested too deeply"
    if isinstance(value, dict):
        problem = _check_reference(value, cache, hosts)
        children = list(value.values())
    else:
        problem, children = None, value if isinstance(value, list) else []
    for child in children:
        problem = problem or _find_problem(child, cache, hosts, depth + 1)
    return problem


def _check_reference(value: dict[str, Any], cache: Path, hosts: frozenset[str]) -> str | None:
    path, url = value.get("path"), value.get("url")
    if isinstance(path, str) and path and not _is_upload(path, cache):
        return "a file was not uploaded by this page"
    if isinstance(url, str) and url and not _is_own_url(url, hosts):
        return "a URL names another place"
    if value.get("is_stream"):
        return "streams are not used"
    return None


def _is_upload(text: str, cache: Path) -> bool:
    if "\0" in text or _SCHEME.match(text):
        return False
    path = Path(text)
    return path.is_absolute() and ".." not in path.parts and path.resolve().is_relative_to(cache)


def _is_own_url(url: str, hosts: frozenset[str]) -> bool:
    if url.startswith("/") and not url.startswith(("//", "/\\")):
        return True
    return any(url.lower().startswith(f"http://{host}/") for host in hosts)
