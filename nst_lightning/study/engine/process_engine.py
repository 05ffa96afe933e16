"""The engine that paints in several processes at once, each with one thread."""

import os
import signal
import sys
import threading
from _thread import interrupt_main
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue

import torch

from nst_lightning.study.engine.backbone_cache import BackboneCache
from nst_lightning.study.engine.local_engine import JobResult, ReportSteps, paint_job
from nst_lightning.study.engine.paint import PaintJob
from nst_lightning.study.engine.run_records import read_status, write_failure
from nst_lightning.system.interrupts import InterruptHandler, announce_stop

# How often a job restarts, from its checkpoint, after its process died.
RESTARTS = 1

# How often Ctrl-C is looked for while no process reports anything.
POLL_SECONDS = 0.2


@dataclass
class Painter:
    """A process that paints jobs, as the process that started it sees it.

    Attributes:
        process: the process.
        connection: receives numbers of steps, and whether a job was interrupted; sends jobs, and None to stop.
        job: the job in progress.
        steps: steps of the job that are reported.
    """

    process: SpawnProcess
    connection: "Connection[PaintJob | None, int | bool]"
    job: PaintJob | None = None
    steps: int = 0


def run_in_processes(jobs: Sequence[PaintJob], report: ReportSteps, processes: int) -> Iterator[JobResult]:
    """Paints jobs in several processes and yields each job when it has ended.

    After Ctrl-C, every process stops after its step, and an interrupted job is yielded last. The job of a process that
    was killed resumes from its checkpoint in a new one; the second time its runs fail.

    Args:
        jobs: the jobs to paint.
        report: called with the number of steps since the last call, negative if a job restarts.
        processes: number of processes.
    """
    pool = PainterPool(jobs, report)
    interrupt = InterruptHandler(lambda: announce_stop(interrupt))
    try:
        with interrupt:
            while not interrupt.is_pressed and pool.has_jobs:
                pool.assign_jobs(processes)
                yield from pool.receive()
            if pool.has_jobs:
                pool.stop()
                while pool.is_busy:
                    yield from pool.receive()
                yield JobResult(jobs[-1], is_interrupted=True)
    finally:
        pool.kill()


class PainterPool:
    """Processes that paint jobs.

    Args:
        jobs: the jobs.
        report: called with the number of steps since the last call.
    """

    def __init__(self, jobs: Sequence[PaintJob], report: ReportSteps) -> None:
        self.report = report
        self._backbones = BackboneCache(run for job in jobs for run in job.runs)
        self._waiting = deque(jobs)
        self._deaths: Counter[PaintJob] = Counter()
        self._painters: list[Painter] = []
        self._is_stopping = False

    @property
    def is_busy(self) -> bool:
        """Whether a job is in progress."""
        return any(painter.job is not None for painter in self._painters)

    @property
    def has_jobs(self) -> bool:
        """Whether a job waits or is in progress."""
        return bool(self._waiting) or self.is_busy

    def assign_jobs(self, processes: int) -> None:
        """Gives a job to each idle process and starts missing ones.

        Args:
            processes: the largest number of processes.
        """
        idle = [painter for painter in self._painters if painter.job is None]
        while self._waiting and (idle or len(self._painters) < processes):
            painter = idle.pop() if idle else self._start_painter()
            painter.job, painter.steps = self._waiting.popleft(), 0
            # Of a process that has just been killed, the next `receive` learns.
            with suppress(OSError):
                painter.connection.send(painter.job)

    def receive(self) -> Iterator[JobResult]:
        """Waits for reports, for a short time, and yields the jobs that have ended."""
        for connection in wait([painter.connection for painter in self._painters], POLL_SECONDS):
            painter = next(painter for painter in self._painters if painter.connection is connection)
            try:
                message = painter.connection.recv()
            except (EOFError, OSError):
                yield from self._bury(painter)
                continue
            if isinstance(message, bool):
                job, painter.job = painter.job, None
                if job is not None and not message:
                    yield JobResult(job, is_interrupted=False)
            else:
                painter.steps += message
                self.report(message)

    def stop(self) -> None:
        """Makes every process stop after its step."""
        self._is_stopping = True
        for painter in self._painters:
            with suppress(OSError):
                painter.connection.send(None)

    def kill(self) -> None:
        """Ends all processes. Files are written completely or not at all, so that nothing is damaged."""
        for painter in self._painters:
            painter.process.kill()
        for painter in self._painters:
            painter.process.join()
            painter.connection.close()

    def _start_painter(self) -> Painter:
        context = get_context("spawn")
        connection, other_end = context.Pipe()
        process = context.Process(target=paint_jobs, args=(other_end, self._backbones), daemon=True)
        with _settings_of_painters():
            process.start()
        other_end.close()
        self._painters.append(Painter(process, connection))
        return self._painters[-1]

    def _bury(self, painter: Painter) -> Iterator[JobResult]:
        """Restarts the job of a process that has died, or yields it as failed."""
        self._painters.remove(painter)
        painter.process.join()
        job = painter.job
        if job is None or self._is_stopping:
            return
        self.report(-painter.steps)
        self._deaths[job] += 1
        if self._deaths[job] <= RESTARTS:
            self._waiting.appendleft(job)
            return
        status = painter.process.exitcode or 0
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        for run in job.runs:
            if read_status(run.folder(job.output)) != "done":
                write_failure(
                    run.folder(job.output),
                    f"Expected the process of this run to finish, but it ended with {reason}, for the second time: "
                    "if memory is short, --jobs 1 paints one run at a time.",
                )
        yield JobResult(job, is_interrupted=False)


@contextmanager
def _settings_of_painters() -> Iterator[None]:
    """Sets what a started process inherits: one thread, and no Ctrl-C or SIGTERM, which the parent passes on."""
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with _blocked_interrupts():
            yield
    finally:
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = threads


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Blocks Ctrl-C and SIGTERM in processes that start in the ``with`` block; this one receives them afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    # It would start with the first process and then unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In a started process


def paint_jobs(connection: "Connection[int | bool, PaintJob | None]", backbones: BackboneCache) -> None:
    """Paints the jobs that the parent sends, until it sends None or ends.

    Args:
        connection: receives jobs; sends numbers of steps and, at the end of each job, whether it was interrupted.
        backbones: cache of the backbones.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    jobs: SimpleQueue[PaintJob | None] = SimpleQueue()
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(connection, jobs, stopped), daemon=True).start()

    def send(message: int | bool) -> None:
        # If the parent has been killed, the other thread stops the run.
        with suppress(OSError):
            connection.send(message)

    try:
        while not stopped.is_set() and (job := jobs.get()) is not None:
            send(paint_job(job, backbones, send))
    except KeyboardInterrupt:
        send(True)


def _listen(
    connection: "Connection[int | bool, PaintJob | None]",
    jobs: "SimpleQueue[PaintJob | None]",
    stopped: threading.Event,
) -> None:
    """Passes jobs to the main thread. At None, or if the parent has ended, stops it as Ctrl-C does."""
    job: PaintJob | None
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            job = None
        if job is None:
            break
        jobs.put(job)
    stopped.set()
    jobs.put(None)
    # The parent announces the stop for all processes.
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    interrupt_main()
