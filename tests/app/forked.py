"""`fit` in forks of one process that has imported everything: the tests wait for paintings, not for imports.

`python -m tests.app.forked ARGUMENTS` runs the `app` command like this.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import BinaryIO, cast

from nst_lightning.__main__ import main
from nst_lightning.app import run_process

PRELOADED = ["nst_lightning.cli.fit", "nst_lightning.losses", "nst_lightning.callbacks", "tensorboard.summary.writer"]


class ForkedProcess:
    """The part of `subprocess.Popen` that a run of the app needs."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("fit", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self.pid is not None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


@cache
def open_context() -> ForkServerContext:
    """Starts the process that imports everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start_forked(arguments: list[str], log: BinaryIO) -> "subprocess.Popen[bytes]":
    """Replaces `start_fit`."""
    process = open_context().Process(target=run_fit, args=(arguments, log.name))
    process.start()
    return cast("subprocess.Popen[bytes]", ForkedProcess(process))


def run_fit(arguments: list[str], log: str) -> None:
    """Runs `fit` in a session of its own and exits with its status."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(["fit", *arguments]))


if __name__ == "__main__":
    run_process.start_fit = start_forked
    sys.exit(main(["app", *sys.argv[1:]]))
