"""Attacks one run with signals at random moments until it is done, and checks what it leaves."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.helpers import ENVIRONMENT
from tests.soak.kinds import Kind, read_results

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP)

# Exit statuses that a signal may give a command: before its handlers are installed, the interpreter dies of it.
STATUSES = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {143, -signal.SIGTERM},
    signal.SIGINT: {130, -signal.SIGINT},
    signal.SIGSTOP: {0},
}

# Time in which a command has to end after a signal: the longer one of these seconds and this many times the undisturbed
# run.
MOST_SECONDS, MOST_TIMES = 120.0, 10.0


@dataclass
class Report:
    """What attacks on one kind of run have done.

    Attributes:
        runs: runs that were attacked until they were done.
        signals: number of signals by name.
        resumes: how often a run was started again.
        failures: what was wrong.
    """

    runs: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    failures: list[str] = field(default_factory=list)


def start(kind: Kind, resumes: bool) -> subprocess.Popen[str]:
    """Starts the command of a run in the current folder, in a session of its own."""
    command = [sys.executable, "-m", "nst_lightning", *kind.command, *(kind.resume if resumes else [])]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | {"SOAK": str(os.getpid())},
        start_new_session=True,
    )


def paint(kind: Kind) -> tuple[dict[str, str], float]:
    """Paints a run without any signal and returns its results and the seconds that it took."""
    begin = time.monotonic()
    process = start(kind, resumes=False)
    _, errors = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"The undisturbed run ends with status {process.returncode}: {errors}")
    return read_results(find_folder(kind), kind), time.monotonic() - begin


def find_folder(kind: Kind) -> Path:
    """Returns the folder of the files of a run, of which there is only one."""
    versions = sorted(Path(kind.folder).glob("version_*"))
    return versions[-1] if versions else Path(kind.folder)


def attack(
    kind: Kind, expected: dict[str, str], seconds: float, moments: random.Random, report: Report, most: int
) -> None:
    """Disturbs a run in the current, empty folder until it is done; compares it with the undisturbed one.

    Args:
        kind: kind of run.
        expected: results of the undisturbed run.
        seconds: that the undisturbed run takes.
        moments: generator of the moments and signals.
        report: updated in place.
        most: number of signals after which the run is left alone.
    """
    shutil.rmtree(kind.folder, ignore_errors=True)
    sent, before = 0, len(report.failures)
    while True:
        resumes = any(Path(kind.folder).rglob("last.ckpt"))
        process = start(kind, resumes)
        chosen = moments.choice(SIGNALS) if sent < most else None
        limit = max(MOST_SECONDS, MOST_TIMES * seconds)
        status, errors = _disturb(process, chosen, moments.uniform(0, 1.2 * seconds), limit)
        sent += 1
        if chosen is not None:
            report.signals[chosen.name] += 1
        _check_end(process, chosen, status, errors, report)
        if status == 0:
            break
        if len(report.failures) > before:
            return
        report.resumes += 1
    report.runs += 1
    _check_files(kind, expected, report)


def _disturb(
    process: "subprocess.Popen[str]", number: signal.Signals | None, delay: float, limit: float
) -> tuple[int, str]:
    """Sends a signal after a delay, unless the process has ended before, and returns its exit status and errors."""
    try:
        process.wait(timeout=delay if number is not None else limit)
    except subprocess.TimeoutExpired:
        if number is not None:
            process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(0.3)
                process.send_signal(signal.SIGCONT)
    try:
        _, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return -1000, "no end"
    return process.returncode, errors


def _check_end(
    process: "subprocess.Popen[str]", number: signal.Signals | None, status: int, errors: str, report: Report
) -> None:
    name = "no signal" if number is None else number.name
    permitted = {0} | (set() if number is None else STATUSES[number])
    if status not in permitted:
        report.failures.append(f"{name}: status {status}: {errors[-400:]!r}")
    # The interpreter itself reports Ctrl-C before the command begins.
    if "Traceback" in errors and status > 0:
        report.failures.append(f"{name}: a traceback: {errors[-400:]!r}")
    end = time.monotonic() + 30
    while (left := list_processes()) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        report.failures.append(f"{name}: {len(left)} processes are left")
        for other in left:
            other.kill()


def list_processes() -> list[psutil.Process]:
    """Lists the processes that a command of this test has left."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SOAK") == str(os.getpid()) and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return left


def _check_files(kind: Kind, expected: dict[str, str], report: Report) -> None:
    folder = find_folder(kind)
    actual = read_results(folder, kind)
    if actual != expected:
        wrong = sorted(name for name in {*actual, *expected} if actual.get(name) != expected.get(name))
        report.failures.append(f"other results: {', '.join(wrong)}")
    partial = [str(path) for path in folder.rglob("*") if path.name.endswith((".part", ".taken", ".tmp"))]
    if partial:
        report.failures.append(f"partial files: {', '.join(partial)}")
    if not (folder / "config.yaml").exists() and kind.resume:
        report.failures.append("the run has no configuration")
