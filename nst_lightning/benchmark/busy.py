"""Whole runs of `fit` on a busy machine, with given numbers of threads and with ``--threads auto``."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import yaml

from nst_lightning.callbacks.summary import SUMMARY_NAME
from nst_lightning.errors import InputError
from nst_lightning.system.processor_load import allowed_cores
from nst_lightning.training.run_folder import CONFIG_NAME

# Long edge in px and number of steps: small pictures, where waiting threads cost most.
BUSY_SIZE, BUSY_STEPS = 192, 150


@dataclass(frozen=True)
class Situation:
    """What the machine does.

    Attributes:
        label: name in the table.
        busy: number of processes that compute all the time.
        fits: number of `fit` commands that start together.
    """

    label: str
    busy: int = 0
    fits: int = 1


SITUATIONS = [
    Situation("idle"),
    Situation("one busy process", busy=1),
    Situation("two busy processes", busy=2),
    Situation("two fits", fits=2),
    Situation("three fits", fits=3),
]


@dataclass(frozen=True)
class TimedFit:
    """A finished `fit` command.

    Attributes:
        seconds: duration of the whole command.
        speed: steps per second, without the start.
        threads: number of threads that it used.
    """

    seconds: float
    speed: float
    threads: int


def measure_busy(size: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Measures runs in every situation, with 1 thread, with one for each core, and with ``auto``.

    Args:
        size: long edge of the pictures in px.
        steps: steps of each run.
        rounds: number of measurements of each kind, between which all others are made.

    Returns:
        Rows with ``situation`` and, by the value of ``--threads``, the median ``seconds`` of a command, the median
        ``speed`` in steps per second and the ``threads`` used; ``ratio`` and ``step_ratio`` are how much longer
        commands and steps take with ``auto`` than with the better given number.
    """
    choices = ["1", str(max(2, len(allowed_cores()))), "auto"]
    measured: dict[tuple[Situation, str], list[TimedFit]] = {}
    for number in range(rounds):
        for situation in SITUATIONS:
            for choice in choices:
                print(f"round {number + 1} of {rounds}: {situation.label}, --threads {choice}", flush=True)
                fits = _time_fits(situation, choice, size, steps)
                measured.setdefault((situation, choice), []).extend(fits)
    return [
        summarize_situation(situation, {choice: measured[situation, choice] for choice in choices})
        for situation in SITUATIONS
    ]


def summarize_situation(situation: Situation, fits: Mapping[str, list[TimedFit]]) -> dict[str, Any]:
    """Returns the row of a situation; see :func:`measure_busy`.

    Args:
        situation: the situation.
        fits: the finished commands by the value of ``--threads``.
    """
    seconds = {choice: median(fit.seconds for fit in timed) for choice, timed in fits.items()}
    speed = {choice: median(fit.speed for fit in timed) for choice, timed in fits.items()}
    fixed = [choice for choice in fits if choice != "auto"]
    return {
        "situation": situation.label,
        "seconds": seconds,
        "speed": speed,
        "threads": {choice: mean(fit.threads for fit in timed) for choice, timed in fits.items()},
        "ratio": seconds["auto"] / min(seconds[choice] for choice in fixed),
        "step_ratio": max(speed[choice] for choice in fixed) / speed["auto"],
    }


def _time_fits(situation: Situation, threads: str, size: int, steps: int) -> list[TimedFit]:
    with tempfile.TemporaryDirectory() as folder, _busy_processes(situation.busy), _KilledAtEnd() as commands:
        begin = time.monotonic()
        for number in range(situation.fits):
            commands.start(_fit_command(threads, size, steps, folder, f"run_{number}"), Path(folder, f"{number}.txt"))
        seconds = [0.0] * situation.fits
        while not all(seconds):
            time.sleep(0.02)
            for number, process in enumerate(commands.processes):
                if not seconds[number] and process.poll() is not None:
                    seconds[number] = time.monotonic() - begin
        return [_read_fit(Path(folder), number, seconds[number], steps) for number in range(situation.fits)]


class _KilledAtEnd:
    """Processes that end with the ``with`` block."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], errors: Path) -> None:
        """Starts a command with torch's default number of threads, and its errors in a file."""
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        with errors.open("wb") as file:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=environment)
        self.processes.append(process)

    def __enter__(self) -> "_KilledAtEnd":
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    with _KilledAtEnd() as processes:
        for _ in range(count):
            processes.start([sys.executable, "-c", "while True: pass"], Path(os.devnull))
        yield


def _fit_command(threads: str, size: int, steps: int, folder: str, version: str) -> list[str]:
    options = {
        "config": "transfer",
        "threads": threads,
        "data.plan.size": size,
        "data.plan.steps": steps,
        "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": "false",
        "trainer.logger.init_args.save_dir": folder,
        "trainer.logger.init_args.version": version,
    }
    return [sys.executable, "-m", "nst_lightning", "fit", *(f"--{name}={value}" for name, value in options.items())]


def _read_fit(folder: Path, number: int, seconds: float, steps: int) -> TimedFit:
    """Reads the files of a finished command.

    Raises:
        InputError: the command failed.
    """
    run = folder / "transfer" / f"run_{number}"
    if not (run / SUMMARY_NAME).exists():
        last = ((folder / f"{number}.txt").read_text().strip() or "no message").splitlines()[-1]
        raise InputError(f"Expected `fit` to be measured, but it failed: {last}")
    summary = json.loads((run / SUMMARY_NAME).read_text())
    threads = yaml.safe_load((run / CONFIG_NAME).read_text())["threads"]
    return TimedFit(seconds, steps / max(summary["seconds"], 0.01), threads)
