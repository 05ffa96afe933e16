"""The `app` command: options, messages, and its end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nst_lightning.__main__ import main
from nst_lightning.app import command, run_process
from nst_lightning.app.history import list_runs
from nst_lightning.app.records import read_record
from nst_lightning.app.security import AUTH_VARIABLE, Credentials
from tests.app.conftest import start_server
from tests.helpers import ENVIRONMENT, ROOT


def test_missing_gradio_is_one_line_that_names_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['gradio'] = None; from nst_lightning.__main__ import main;"
        f"sys.exit(main(['app', '--no_browser', '--runs', {str(tmp_path / 'runs')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr == (
        'error: Expected Gradio for the app, but it is not installed: pip install "nst_lightning[app]".\n'
    )


def test_other_machines_need_auth(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["app", "--host", "0.0.0.0", "--runs", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--auth" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [None, "ann", ":x"])
def test_auth_needs_a_user_and_a_password(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(AUTH_VARIABLE, value)
    assert main(["app", "--auth", "--runs", str(tmp_path)]) == 2
    assert AUTH_VARIABLE in capsys.readouterr().err


def test_password_is_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--auth", "ann:word"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_password_is_asked_for_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "ann")
    monkeypatch.setattr("getpass.getpass", lambda prompt: "word")
    assert command.read_credentials() == Credentials.parse("ann:word")


def test_taken_port_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason='needs the extra "app"')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "tests.app.fake_server", f"--port={port}", f"--runs={tmp_path / 'runs'}"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: Expected a free port, but 127.0.0.1:{port} cannot be used (Address already in use): "
        "give another --port."
    ]
    assert not (tmp_path / "runs" / "server.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_ends_without_a_process_left_and_the_next_one_continues(tmp_path: Path, number: int) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "submit").touch()
    started = start_server(runs)
    server = psutil.Process(started.process.pid)
    while not server.children():
        time.sleep(0.05)
    (child,) = server.children()
    while not list(runs.glob("r-*/live.json")):
        time.sleep(0.05)
    assert started.end(number) == 0
    assert not child.is_running()
    (view,) = list_runs(runs)
    assert view.state == "painting"
    (runs / "submit").unlink()
    again = start_server(runs)
    try:
        folder = runs / view.id
        while len((folder / "starts.txt").read_text().splitlines()) < 2:
            time.sleep(0.05)
        assert (folder / "starts.txt").read_text().splitlines()[1] == str(folder / "checkpoints" / "last.ckpt")
    finally:
        assert again.end() == 0
    mark = read_record(folder).process
    assert mark is not None
    assert mark.find() is None


def test_process_of_a_run_does_not_get_the_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(AUTH_VARIABLE, "ann:word")
    environments: list[dict[str, str]] = []

    def record(arguments: list[str], **options: object) -> None:
        assert isinstance(options["env"], dict)
        assert "shell" not in options
        assert arguments[:4] == [sys.executable, "-m", "nst_lightning", "fit"]
        environments.append(options["env"])

    monkeypatch.setattr("subprocess.Popen", record)
    with (tmp_path / "log").open("wb") as log:
        run_process.start_fit(["--x=1"], log)
    assert AUTH_VARIABLE not in environments[0]
    assert environments[0]["PATH"] == os.environ["PATH"]
