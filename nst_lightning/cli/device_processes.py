"""The processes of a run on several devices: one for each device of this machine."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO

from lightning.fabric.plugins.environments.lightning import find_free_network_port

from nst_lightning.errors import InputError
from nst_lightning.system.interrupts import INTERRUPTED_STATUS, TERMINATED_STATUS, InterruptHandler
from nst_lightning.system.processes import PARENT_PIPE
from nst_lightning.training.memory_estimate import MemoryChoice

# The environment variable that tells a process its number among those of this machine, for Lightning too.
LOCAL_RANK = "LOCAL_RANK"

# The environment variable with the use of memory that the process that started this one has chosen.
MEMORY_CHOICE = "NST_LIGHTNING_MEMORY"

# Exit status of a process that lost the connection to another one.
LOST_CONNECTION = 75

# Exit statuses after which the first process may take as long as it needs: running, done, and stopped by a signal.
ORDERLY_STATUSES = (None, 0, INTERRUPTED_STATUS, TERMINATED_STATUS)

# Seconds that the other processes have to end after one has ended with an error, or the first one by a signal.
SECONDS_TO_END = 10.0

CHECK_SECONDS = 0.05


def is_device_process() -> bool:
    """Whether this process works for one of several devices, started by :func:`run_processes` or by a cluster."""
    return LOCAL_RANK in os.environ


def read_memory_choice() -> MemoryChoice | None:
    """Returns the choice of the process that started this one, or None if none has."""
    text = os.environ.get(MEMORY_CHOICE)
    return None if text is None else MemoryChoice(**json.loads(text))


@dataclass
class _DeviceProcess:
    """A process of a device.

    Attributes:
        process: the process.
        errors: what it wrote to stderr; None for the first process, which writes to the terminal.
    """

    process: "subprocess.Popen[bytes]"
    errors: IO[bytes] | None

    def end(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()
        if self.errors is not None:
            self.errors.close()


def run_processes(args: Sequence[str], count: int, nodes: int, choice: MemoryChoice) -> int:
    """Runs `fit` in one process for each device of this machine and returns the exit status.

    Ctrl-C and SIGTERM reach the first process as Ctrl-C, which ends the run in all of them. If a process ends with an
    error, all others are ended too. If this process ends, they end.

    Args:
        args: arguments of `fit`.
        count: number of devices of this machine.
        nodes: number of machines. With more than one, the environment variables MASTER_ADDR, MASTER_PORT and NODE_RANK
            are set, as Lightning describes.
        choice: how they use memory.

    Raises:
        InputError: a process has died.
    """
    reader, writer = os.pipe()
    environment = {
        "MASTER_ADDR": "127.0.0.1",
        "NODE_RANK": "0",
        **({"MASTER_PORT": str(find_free_network_port())} if nodes == 1 else {}),
        **os.environ,
        "WORLD_SIZE": str(count * nodes),
        # Its message has been printed.
        MEMORY_CHOICE: json.dumps(asdict(replace(choice, message=None))),
        PARENT_PIPE: str(reader),
    }
    processes: list[_DeviceProcess] = []

    def forward() -> None:
        if processes:
            processes[0].process.send_signal(signal.SIGINT)

    try:
        with InterruptHandler(forward):
            for number in range(count):
                processes.append(_start(args, environment | {LOCAL_RANK: str(number)}, number, reader))
            try:
                return _wait(processes)
            except KeyboardInterrupt:
                forward()
                return _wait(processes)
    finally:
        for device in processes:
            device.end()
        os.close(reader)
        os.close(writer)


def _start(args: Sequence[str], environment: dict[str, str], number: int, reader: int) -> _DeviceProcess:
    is_first = number == 0
    errors = None if is_first else tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "nst_lightning", "fit", *args],
        env=environment,
        stdout=None if is_first else subprocess.DEVNULL,
        stderr=errors,
        pass_fds=[reader],
        # Ctrl-C in the terminal does not reach it.
        start_new_session=True,
    )
    return _DeviceProcess(process, errors)


def _wait(devices: Sequence[_DeviceProcess]) -> int:
    """Waits for the end of all processes, and ends them if one has died."""
    deadline = float("inf")
    while any(device.process.poll() is None for device in devices) and time.monotonic() < deadline:
        if deadline == float("inf") and _is_ending(devices):
            deadline = time.monotonic() + SECONDS_TO_END
        time.sleep(CHECK_SECONDS)
    ends = [(number, device, device.process.poll()) for number, device in enumerate(devices)]
    failed = [(number, device, status) for number, device, status in ends if status not in (None, 0, LOST_CONNECTION)]
    if not failed:
        if any(status != 0 for _, _, status in ends):
            raise InputError(explain_end("the connection to another machine was lost"))
        return 0
    number, device, status = failed[0]
    assert status is not None
    # The first process has written its error to the terminal, or was stopped by Ctrl-C, possibly before it could react.
    if number == 0 and (status > 0 or status == -signal.SIGINT):
        return status if status > 0 else INTERRUPTED_STATUS
    message = _last_line(device)
    if message is not None and status in (1, 2):
        raise InputError(message.removeprefix("error: "))
    end = f"signal {-status}" if status < 0 else f"status {status}"
    raise InputError(explain_end(f"process {number + 1} of {len(devices)} ended with {end}", message))


def _is_ending(devices: Sequence[_DeviceProcess]) -> bool:
    """Whether the processes that still run have to end soon."""
    statuses = [device.process.returncode for device in devices]
    # The first process writes the files. Stopped before they all have a connection, it leaves the others waiting.
    return statuses[0] not in (None, 0) or any(status not in ORDERLY_STATUSES for status in statuses)


def explain_end(what: str, message: str | None = None) -> str:
    """Returns the error of a run that a process has left.

    Args:
        what: what happened.
        message: the last line that the process wrote.
    """
    reason = "" if message is None else f" ({message})"
    return (
        f"Expected the processes of all devices to work until the end, but {what}{reason}: the same command with "
        "--ckpt_path last resumes from the last checkpoint."
    )


def _last_line(device: _DeviceProcess) -> str | None:
    if device.errors is None:
        return None
    device.errors.seek(0)
    lines = device.errors.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), None)
