"""The queue of runs: one process at a time."""

import secrets
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nst_lightning.app.history import RunView, append_point, iterate_records, queue_order, view_run
from nst_lightning.app.painting import LIMITS, RUN_NAME, START_NAME, Painting
from nst_lightning.app.records import RunRecord, lock_folder, read_record
from nst_lightning.app.run_process import RunProcess, describe_failure, end_leftover
from nst_lightning.app.uploads import UploadStore
from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT
from nst_lightning.callbacks.result import IMAGE_NAME
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import make_writable_folder, write_bytes
from nst_lightning.system.interrupts import INTERRUPTED_STATUS, TERMINATED_STATUS
from nst_lightning.system.threads import thread_limit
from nst_lightning.training.steering import Steering, read_live, write_control

# Runs that may wait at the same time.
MAX_WAITING = 100

# Seconds between two looks at the process that paints.
WATCH_SECONDS = 0.25

# Seconds after a failure of the queue itself, such as a full disk.
RETRY_SECONDS = 2.0


class RunQueue:
    """Paints one run at a time, each in a process of its own; its state is on the disk.

    All methods may be called from any thread.

    Args:
        runs: folder of all runs. Runs that an earlier server left are continued.
        files: the uploads.

    Raises:
        InputError: another server uses the folder.
    """

    def __init__(self, runs: Path, files: UploadStore) -> None:
        make_writable_folder(runs)
        self.runs = runs
        self.files = files
        self._lock_file = lock_folder(runs)
        self._changed = threading.Condition(threading.RLock())
        self._process: RunProcess | None = None
        self._is_closing = False
        records = [record for _, record in iterate_records(runs)]
        for record in records:
            if record.state == "painting":
                end_leftover(record.process)
        files.remove_unused({name for record in records for name in record.painting.sources})
        self._worker = threading.Thread(target=self._work, name="run queue", daemon=True)
        self._worker.start()

    def submit(self, painting: Painting) -> str:
        """Adds a run to the end of the queue and returns its id.

        Args:
            painting: what to paint. Without a number of threads it gets that of this machine, so that its command ends
                in the same bits.

        Raises:
            InputError: a value cannot be used, or too many runs wait.
        """
        painting = replace(painting, threads=painting.threads or thread_limit())
        name = f"r-{secrets.token_hex(8)}"
        folder = self.runs / name
        # Checks everything before the folder exists.
        painting.arguments(self.files, folder)
        source = painting.start or painting.enlarge
        start = None if source is None else (self.folder(source) / IMAGE_NAME).read_bytes()
        with self._changed:
            if len(queue_order(self.runs)) >= MAX_WAITING:
                raise InputError(f"Expected at most {MAX_WAITING} runs that wait: remove one of them.")
            folder.mkdir()
            if start is not None:
                # The other run may get more steps before this one begins.
                write_bytes(folder / START_NAME, start)
            now = time.time()
            RunRecord(painting, created=now, order=now).write(folder)
            self._changed.notify_all()
        return name

    def view(self, run: str) -> RunView:
        """Returns the state of a run.

        Raises:
            InputError: there is no such run.
        """
        folder = self.folder(run)
        with self._changed:
            record = read_record(folder)
            waiting = queue_order(self.runs) if record.state == "waiting" else []
        return view_run(folder, record, waiting)

    def folder(self, run: str) -> Path:
        """Returns the folder of a run.

        Raises:
            InputError: there is no such run.
        """
        folder = self.runs / run if isinstance(run, str) and RUN_NAME.fullmatch(run) else None
        if folder is None or not folder.is_dir():
            raise InputError("Expected a run of the app, but there is none with this name.")
        return folder

    def stop(self, run: str) -> None:
        """Ends a run and keeps its picture; a run that waits leaves the queue.

        The current step is finished first. A second call ends it without.

        Raises:
            InputError: there is no such run.
        """
        folder = self.folder(run)
        with self._changed:
            record = read_record(folder)
            if record.state == "waiting":
                replace(record, state="stopped").write(folder)
            elif self._paints(run) and self._process is not None:
                self._process.stop()

    def steer(self, run: str, change: Steering) -> None:
        """Changes a run while it paints.

        Raises:
            InputError: it does not paint now, or a value cannot be used.
        """
        folder = self.folder(run)
        with self._changed:
            if not self._paints(run):
                raise InputError("Expected a run that paints now, but this one does not.")
            write_control(folder, Steering.parse(change.to_dict()))

    def more_steps(self, run: str, steps: int) -> None:
        """Adds steps to a run; one that has ended is continued from its checkpoint after the runs that wait.

        Args:
            run: its id.
            steps: further steps at the last size; 0 continues a stopped run.

        Raises:
            InputError: the run has no checkpoint, or the number cannot be used.
        """
        folder = self.folder(run)
        with self._changed:
            record = read_record(folder)
            if self._paints(run):
                self.steer(run, Steering(more_steps=steps))
                return
            if record.state in ("waiting", "painting") or not (folder / LAST_CHECKPOINT).is_file():
                raise InputError("Expected a run with a checkpoint that has ended, but this one has none.")
            if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= LIMITS["more_steps"][1]:
                raise InputError(f"Expected a number of steps from 0, but got {steps!r}.")
            painting = replace(record.painting, more_steps=record.painting.more_steps + steps)
            painting.check()
            replace(record, painting=painting, order=time.time(), state="waiting", error=None).write(folder)
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the process that paints after its current step; the next server continues the run."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._worker.join()
        self._lock_file.unlink(missing_ok=True)

    def _paints(self, run: str) -> bool:
        return self._process is not None and self._process.folder.name == run

    def _work(self) -> None:
        """Paints the runs one after the other, in a thread of its own."""
        while True:
            try:
                if not self._paint_next():
                    return
            except (InputError, OSError) as error:
                # Such as a full disk: the server stays, and the run is tried again.
                print(f"warning: {error}", file=sys.stderr)
                time.sleep(RETRY_SECONDS)

    def _paint_next(self) -> bool:
        """Waits for a run and paints it; returns False when the server ends."""
        with self._changed:
            while not self._is_closing and (folder := self._find_next()) is None:
                self._changed.wait()
            if self._is_closing or folder is None:
                return False
            process = self._start(folder)
        if process is not None:
            try:
                status = self._watch(process)
            finally:
                process.end()
            with self._changed:
                self._process = None
                self._record_end(process, status)
        return True

    def _find_next(self) -> Path | None:
        """Returns the run that an earlier server left, or the next one that waits."""
        records = [
            (record.state != "painting", record.order, folder)
            for folder, record in iterate_records(self.runs)
            if record.state in ("waiting", "painting")
        ]
        return min(records)[2] if records else None

    def _start(self, folder: Path) -> RunProcess | None:
        record = read_record(folder)
        try:
            self._process = RunProcess(folder, record.painting.arguments(self.files, folder))
        except (InputError, OSError) as error:
            replace(record, state="failed", error=" ".join(str(error).split())).write(folder)
            return None
        replace(record, state="painting", error=None, process=self._process.mark).write(folder)
        return self._process

    def _watch(self, process: RunProcess) -> int:
        """Waits for the end of a process and collects its loss curves meanwhile; returns the exit status."""
        step: Any = None
        while (status := process.wait(WATCH_SECONDS)) is None:
            if self._is_closing:
                return process.end()
            live = read_live(process.folder)
            if live is not None and live.get("pid") == process.mark.pid and live.get("step") not in (None, step):
                step = live["step"]
                append_point(process.folder, live)
        return status

    def _record_end(self, process: RunProcess, status: int) -> None:
        record = read_record(process.folder)
        live = read_live(process.folder) or {}
        if status == 0:
            record = replace(record, state="stopped" if live.get("state") == "stopped" else "finished")
        elif self._is_closing and not process.is_stopping:
            return
        elif process.is_stopping or status in (INTERRUPTED_STATUS, TERMINATED_STATUS):
            record = replace(record, state="stopped")
        else:
            record = replace(record, state="failed", error=describe_failure(process.folder, status))
        record.write(process.folder)
