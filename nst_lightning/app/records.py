"""What the app keeps about each run in a file of its folder."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from nst_lightning.app.painting import Painting
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes

RunPhase = Literal["waiting", "painting", "finished", "stopped", "failed"]

# Name of the file in a run folder.
RECORD_NAME = "app.json"


@dataclass(frozen=True)
class ProcessMark:
    """A process that can be recognized later: the system uses the numbers of processes again.

    Attributes:
        pid: its number.
        started: when it started, in seconds since 1970.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "ProcessMark":
        """Marks a running process, or one that has just ended."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(pid, 0.0)

    def find(self) -> psutil.Process | None:
        """Returns the process if it still runs."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < 1
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


@dataclass(frozen=True)
class RunRecord:
    """A run as it is on the disk.

    Attributes:
        painting: what was asked for.
        created: when, in seconds since 1970.
        order: runs that wait are painted in ascending order.
        state: phase of the run; `painting` after the end of the server means that the next one continues it.
        error: one line if it failed.
        process: the process that paints or has painted it.
    """

    painting: Painting
    created: float
    order: float
    state: RunPhase = "waiting"
    error: str | None = None
    process: ProcessMark | None = None

    def write(self, folder: Path) -> None:
        """Writes the record into a run folder."""
        text = json.dumps(asdict(self), indent=1)
        write_bytes(folder / RECORD_NAME, f"{text}\n".encode())


def read_record(folder: Path) -> RunRecord:
    """Reads the record of a run folder.

    Raises:
        InputError: the folder has none.
    """
    try:
        values: dict[str, Any] = json.loads((folder / RECORD_NAME).read_text())
        mark = values.pop("process")
        painting = Painting.from_dict(values.pop("painting"))
        return RunRecord(**values, painting=painting, process=None if mark is None else ProcessMark(**mark))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("Expected a run of the app, but there is none with this name.") from error


def lock_folder(folder: Path) -> Path:
    """Marks a folder as used by this process and returns the file of the mark.

    Raises:
        InputError: another server uses it.
    """
    path = folder / "server.json"
    try:
        mark = ProcessMark(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        mark = None
    if mark is not None and mark.pid != os.getpid() and mark.find() is not None:
        raise InputError(
            f"Expected a folder of runs for this server only, but process {mark.pid} uses {folder}: "
            "end that one or give another --runs."
        )
    write_bytes(path, json.dumps(asdict(ProcessMark.of(os.getpid()))).encode())
    return path
