"""The server: Gradio's application inside of the guard, on one port."""

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from nst_lightning.app.event_stream import keep_streams_open
from nst_lightning.app.guard import Guard, Policy
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError

# Gradio reads these when it is imported: no statistics, no look for new versions, no hub, no other process, no history
# of calls, one folder for its own files (set in `use_gradio`).
GRADIO_SETTINGS: dict[str, str] = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}

# Seconds between two searches for old files in Gradio's folder, and their age.
CACHE_INTERVAL, CACHE_AGE = 600, 6 * 3600

# Seconds that open connections have when the server ends.
CLOSE_SECONDS = 2


def use_gradio(cache: Path) -> Any:
    """Imports Gradio without its connections to other hosts.

    Args:
        cache: folder for its own files, which is emptied.

    Raises:
        InputError: Gradio is not installed.
    """
    os.environ.update(GRADIO_SETTINGS)
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    try:
        gradio = import_module("gradio")
    except ImportError as error:
        raise InputError(
            'Expected Gradio for the app, but it is not installed: pip install "nst_lightning[app]".'
        ) from error
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    return gradio


def build_application(page: Any, policy: Policy, mount_options: dict[str, Any] | None = None) -> Guard:
    """Mounts a page of Gradio behind the guard.

    Args:
        page: the `gradio.Blocks`.
        policy: what the server permits.
        mount_options: further options of `gradio.mount_gradio_app`, such as the theme.
    """
    gradio = import_module("gradio")
    fastapi = import_module("fastapi")
    page.analytics_enabled = False
    page.delete_cache = (CACHE_INTERVAL, CACHE_AGE)
    page.queue(api_open=False)
    keep_streams_open(page._queue)
    root = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    options = {
        **(mount_options or {}),
        "path": "/",
        "allowed_paths": [str(folder) for folder in policy.served],
        "footer_links": [],
        "run_history": False,
        "show_error": False,
        "max_file_size": policy.max_bytes,
        "ssr_mode": False,
        "enable_monitoring": False,
        "pwa": False,
        "mcp_server": False,
    }
    gradio.mount_gradio_app(root, page, **options)
    # Gradio checks the paths of files only for pages that it has started by itself.
    page.has_launched = page.is_running = True
    return Guard(root, policy)


def serve(build: Callable[[int], Guard], host: str, port: int, on_start: Callable[[int], None]) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
        build: creates the application for a port, which the checks of addresses need.
        host: address to listen to.
        port: port to listen to; 0 for a free one.
        on_start: called with the port when the server listens.

    Raises:
        InputError: the port is taken.
    """
    uvicorn = import_module("uvicorn")
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            build(port),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            proxy_headers=False,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
        server = uvicorn.Server(config)
        with _end_at_signals(server):
            threading.Thread(target=_announce, args=(server, port, on_start), daemon=True).start()
            server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python adds the address to the text of some of these errors.
        reason = str(error) if error.errno is None else os.strerror(error.errno)
        raise InputError(
            f"Expected a free port, but {host}:{port} cannot be used ({reason}): give another --port."
        ) from error


def _announce(server: Any, port: int, on_start: Callable[[int], None]) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    on_start(port)


@contextmanager
def _end_at_signals(server: Any) -> Iterator[None]:
    """Ends the server at Ctrl-C and SIGTERM; the second one closes open connections at once.

    uvicorn raises a signal again after it has ended, which would end this process before the queue is closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        server.force_exit, server.should_exit = server.should_exit, True

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, handle) for number in numbers]
    server.capture_signals = _ignore_signals
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


@contextmanager
def _ignore_signals() -> Iterator[None]:
    yield


def open_store(runs: Path, max_bytes: int, max_pixels: int) -> UploadStore:
    """Opens the uploads in a folder of runs."""
    return UploadStore(runs / "uploads", max_bytes, max_pixels)


def build_interface(queue: RunQueue, files: UploadStore) -> tuple[Any, dict[str, Any]]:
    """Builds the page and the options of `mount_gradio_app` for its look."""
    # Not imported at the top: these modules import Gradio, which reads its settings then.
    layout = import_module("nst_lightning.app.ui.layout")
    appearance = import_module("nst_lightning.app.ui.appearance")
    return layout.build_page(queue, files), appearance.page_options(files.samples())
