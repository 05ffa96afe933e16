"""The queue of runs: one process at a time."""

from pathlib import Path
from typing import Any

from nst_lightning.app.history import RunView
from nst_lightning.app.painting import Painting
from nst_lightning.app.uploads import UploadStore

Steering = Any


class RunQueue:
    """Paints one run at a time, each in a process of its own; its state is on the disk.

    Args:
        runs: folder of all runs. Runs that an earlier server left are continued.
        files: the uploads.
    """

    def __init__(self, runs: Path, files: UploadStore) -> None:
        self.runs = runs
        self.files = files

    def submit(self, painting: Painting) -> str:
        """Adds a run to the end of the queue and returns its id.

        Raises:
            InputError: a value cannot be used.
        """
        raise NotImplementedError

    def view(self, run: str) -> RunView:
        """Returns the state of a run.

        Raises:
            InputError: there is no such run.
        """
        raise NotImplementedError

    def folder(self, run: str) -> Path:
        """Returns the folder of a run.

        Raises:
            InputError: there is no such run.
        """
        raise NotImplementedError

    def stop(self, run: str) -> None:
        """Ends a run and keeps its picture; a run that waits leaves the queue."""
        raise NotImplementedError

    def steer(self, run: str, change: Steering) -> None:
        """Changes a run while it paints."""
        raise NotImplementedError

    def more_steps(self, run: str, steps: int) -> None:
        """Adds steps to a run; one that has ended is continued from its checkpoint."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the process that paints; the run is continued by the next server."""
        raise NotImplementedError
