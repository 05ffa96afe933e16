import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nst_lightning.app import run_process
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.uploads import UploadStore
from tests.app.fakes import open_queue, start_fake
from tests.helpers import ENVIRONMENT, ROOT

if TYPE_CHECKING:
    from tests.app.browser import Site


@dataclass
class AppServer:
    """A server in another process, with its address."""

    process: subprocess.Popen[str]
    url: str
    runs: Path

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def start_server(runs: Path, *options: str, **environment: str) -> AppServer:
    pytest.importorskip("gradio", reason='needs the extra "app"')
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.app.fake_server", "--port=0", f"--runs={runs}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT | environment,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("The app is at "):
        _, errors = process.communicate(timeout=60)
        raise AssertionError(line + errors)
    return AppServer(process, line.split()[4].rstrip("/"), runs)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server that accepts uploads of 200 kB, and that connects to no other machine."""
    folder = tmp_path_factory.mktemp("app")
    connections = folder / "connections.txt"
    started = start_server(folder / "runs", "--max_upload_mb=0.2", FOREIGN_CONNECTIONS=str(connections))
    yield started
    assert started.end() == 0
    assert not connections.exists(), connections.read_text()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Site"]:
    """A server and a browser; see :func:`tests.app.browser.open_site`."""
    # Tests without a browser do not need Playwright.
    from tests.app.browser import open_site

    with open_site(tmp_path_factory.mktemp("app") / "runs") as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> UploadStore:
    """Uploads of at most 1 MB and 10000 px."""
    return UploadStore(tmp_path / "uploads", 2**20, 10_000)


@pytest.fixture
def fake_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunQueue]:
    """A queue whose processes are fakes."""
    monkeypatch.setattr(run_process, "start_fit", start_fake)
    queue = open_queue(tmp_path / "runs")
    yield queue
    queue.close()
