"""The process that paints a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import psutil

from nst_lightning.app.records import ProcessMark
from nst_lightning.app.security import AUTH_VARIABLE
from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT

# What the process prints.
LOG_NAME = "log.txt"

# Seconds that a process has for its last step and its checkpoint before it is ended by force. The run continues from
# the checkpoint before then.
GRACE_SECONDS = 20.0

# Bytes of the end of the log that are searched for an error.
LOG_TAIL = 2**16


class RunProcess:
    """A `fit` command in a process of its own.

    Args:
        folder: run folder. The run continues if there is a checkpoint.
        arguments: arguments of `fit`; no shell reads them.

    Attributes:
        folder: run folder.
        is_stopping: whether a person ended the run.
        mark: the process, for a server that is started later.
    """

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder = folder
        self.is_stopping = False
        checkpoint = folder / LAST_CHECKPOINT
        if checkpoint.is_file():
            arguments = [*arguments, f"--ckpt_path={checkpoint.resolve()}"]
        with (folder / LOG_NAME).open("wb") as log:
            self._process = start_fit(arguments, log)
        self.mark = ProcessMark.of(self._process.pid)

    def wait(self, seconds: float) -> int | None:
        """Waits for the end and returns the exit status, or None if the process still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ends the run after its current step, or at once if it was asked to before."""
        self.is_stopping = True
        self._interrupt()

    def end(self) -> int:
        """Ends the process after its current step, by force if that takes too long, and returns the exit status."""
        self._interrupt()
        status = self.wait(GRACE_SECONDS)
        if status is None:
            self._process.kill()
            status = self._process.wait()
        return status

    def _interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)


def start_fit(arguments: list[str], log: BinaryIO) -> subprocess.Popen[bytes]:
    """Starts `fit` in a session of its own, which Ctrl-C in the terminal of the server does not reach.

    Args:
        arguments: arguments of `fit`.
        log: file for what it prints.
    """
    environment = {name: value for name, value in os.environ.items() if name != AUTH_VARIABLE}
    return subprocess.Popen(
        [sys.executable, "-m", "nst_lightning", "fit", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def end_leftover(mark: ProcessMark | None) -> None:
    """Ends a process that a server left which was killed."""
    process = None if mark is None else mark.find()
    if process is None:
        return
    try:
        process.send_signal(signal.SIGINT)
        process.wait(GRACE_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        _wait_until_gone(process)
    except psutil.NoSuchProcess:
        pass


def _wait_until_gone(process: psutil.Process, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.05)


def describe_failure(folder: Path, status: int) -> str:
    """Returns one line about a process that failed.

    Args:
        folder: run folder with its log.
        status: exit status, negative for a signal.
    """
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return f"The run was ended by {name}; if the memory did not suffice, choose a smaller size."
    try:
        with (folder / LOG_NAME).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    text = errors[-1] if errors else f"The run ended with status {status}: {lines[-1] if lines else 'no message'}"
    # A page shows names of files, but not where the folder of the runs is.
    return text.replace(f"{folder.resolve().parent}{os.sep}", "")
