"""Samples of a running process, and how much they drift from its start to its end."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import lightning.pytorch as pl
import psutil

# Name of the file with the number of steps of a run.
STEP_FILE = "step.txt"

# Parts of a run in steps: what is compared at its start, after a warm-up, and at its end.
START, END = (0.1, 0.2), (0.9, 1.0)

# Largest growth of the memory and of the time of a step, as a share.
MAX_MEMORY_GROWTH = 0.03
MAX_TIME_GROWTH = 0.15


@dataclass(frozen=True)
class Sample:
    """The state of a process at one moment.

    Attributes:
        step: steps that the run has made.
        seconds: time of the processor so far: that of the clock depends on other programs.
        memory: resident bytes.
        handles: number of open file descriptors.
    """

    step: int
    seconds: float
    memory: int
    handles: int


@dataclass(frozen=True)
class Drift:
    """What differs between the start and the end of a run.

    Attributes:
        memory: median resident bytes at the start and at the end.
        handles: largest number of open file descriptors at the start and at the end.
        seconds: median time of the processor for a step at the start and at the end.
    """

    memory: tuple[float, float]
    handles: tuple[int, int]
    seconds: tuple[float, float]

    @classmethod
    def measure(cls, samples: Sequence[Sample], steps: int) -> "Drift":
        """Compares the samples of the start with those of the end.

        Args:
            samples: of the whole run, in their order.
            steps: of the whole run.

        Raises:
            ValueError: there are too few samples.
        """
        first, last = (_select(samples, steps, *part) for part in (START, END))
        return cls(
            (median(sample.memory for sample in first), median(sample.memory for sample in last)),
            (max(sample.handles for sample in first), max(sample.handles for sample in last)),
            (_time_of_step(first), _time_of_step(last)),
        )

    @property
    def memory_growth(self) -> float:
        """Growth of the memory as a share."""
        return self.memory[1] / self.memory[0] - 1

    @property
    def time_growth(self) -> float:
        """Growth of the time of a step as a share."""
        return self.seconds[1] / self.seconds[0] - 1

    def list_failures(self) -> list[str]:
        """Lists what has grown more than it may."""
        failures = []
        if self.memory_growth > MAX_MEMORY_GROWTH:
            failures.append("memory")
        if self.handles[1] > self.handles[0]:
            failures.append("handles")
        if self.time_growth > MAX_TIME_GROWTH:
            failures.append("time")
        return failures


def _select(samples: Sequence[Sample], steps: int, begin: float, end: float) -> list[Sample]:
    selected = [sample for sample in samples if begin * steps <= sample.step <= end * steps]
    if len({sample.step for sample in selected}) < 3:
        raise ValueError(f"Expected samples at 3 or more steps from {begin:g} to {end:g} of the run: make it longer.")
    return selected


def _time_of_step(samples: Sequence[Sample]) -> float:
    return median(
        (later.seconds - earlier.seconds) / (later.step - earlier.step)
        for earlier, later in pairwise(samples)
        if later.step > earlier.step
    )


class StepCounter(pl.Callback):
    """Writes the number of steps after each one into a file of the current folder, which it keeps open."""

    def on_train_start(self, *unused: Any) -> None:
        self._file = os.open(STEP_FILE, os.O_WRONLY | os.O_CREAT)

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        os.pwrite(self._file, f"{trainer.global_step:9d}".encode(), 0)


def read_step() -> int:
    """Returns the number of steps of the run in the current folder, 0 before its first one."""
    path = Path(STEP_FILE)
    return int(path.read_text() or 0) if path.exists() else 0


def watch(process: "subprocess.Popen[str]", every_seconds: float) -> list[Sample]:
    """Samples a process until it ends.

    Args:
        process: the process, whose run has the callback :class:`StepCounter`.
        every_seconds: time between two samples.
    """
    watched, samples = psutil.Process(process.pid), list[Sample]()
    while process.poll() is None:
        try:
            step, times = read_step(), watched.cpu_times()
            sample = Sample(step, times.user + times.system, watched.memory_info().rss, watched.num_fds())
        except psutil.Error:
            break
        # A process that has ended and is not waited for has no memory.
        if sample.memory and step > 0 and (not samples or step > samples[-1].step):
            samples.append(sample)
        time.sleep(every_seconds)
    return samples
