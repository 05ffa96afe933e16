"""Measurements in separate processes: each has its own peak memory and is not affected by those before it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from nst_lightning.errors import InputError
from nst_lightning.system.huge_pages import request_huge_pages

# Lines of a worker's output that carry a result start with this; other lines are ignored.
RESULT_PREFIX = "measured: "

# Tasks that run this package's code as `fit` does, with huge pages. The reference gets torch's defaults.
TASKS_WITH_HUGE_PAGES = {"step", "lightning"}


class Worker:
    """A running worker process that answers requests.

    Args:
        description: description of the task, for error messages.
        process: the process.
        errors: the file of its error output.
    """

    def __init__(self, description: str, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._description, self._process, self._errors = description, process, errors

    def ask(self, request: str) -> Any:
        """Sends a request and returns its result.

        Args:
            request: ``step``, for the seconds of one more step, or ``details``, for what else was measured.

        Raises:
            InputError: the process failed.
        """
        assert self._process.stdin is not None
        print(request, file=self._process.stdin, flush=True)
        return self.read_result()

    def read_result(self) -> Any:
        """Waits for the next result and returns it.

        Raises:
            InputError: the process failed; the message ends with the last line of its error output.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(RESULT_PREFIX):
                return json.loads(line.removeprefix(RESULT_PREFIX))
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip() or "no message").splitlines()[-1]
        raise InputError(
            f"Expected {self._description} to be measured, but it failed with status {self._process.returncode}: {last}"
        )


@contextmanager
def start_worker(task: str, **options: Any) -> Iterator[Worker]:
    """Starts a task in a new process, which is killed at the end of the ``with`` block.

    Args:
        task: ``ceiling``, ``lightning`` or ``quality``, which measure and end; ``step`` or ``reference``, which get
            ready and then answer requests.
        options: arguments of the task.
    """
    command = [sys.executable, "-m", "nst_lightning.benchmark.worker", json.dumps({"task": task, "options": options})]
    pipe = subprocess.PIPE
    with (
        # A file: a pipe that nothing reads would block the process when it is full.
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            yield Worker(f"{task} of {options}", process, errors)
        finally:
            process.kill()


def measure(task: str, **options: Any) -> Any:
    """Runs a task in a new process and returns its first result.

    Args:
        task: as for :func:`start_worker`.
        options: arguments of the task.

    Raises:
        InputError: the process failed.
    """
    with start_worker(task, **options) as worker:
        return worker.read_result()


def _single_tasks() -> Mapping[str, Callable[..., Any]]:
    from nst_lightning.benchmark.ceiling import measure_ceiling
    from nst_lightning.benchmark.lightning import measure_lightning
    from nst_lightning.benchmark.quality import measure_quality

    return {"ceiling": measure_ceiling, "lightning": measure_lightning, "quality": measure_quality}


def _step_tasks() -> Mapping[str, Callable[..., Any]]:
    from nst_lightning.benchmark.timed_steps import prepare_bare_loop, prepare_reference

    return {"step": prepare_bare_loop, "reference": prepare_reference}


def main() -> None:
    """Runs the task of the command line; for a task of steps, answers each line of the standard input."""
    arguments = json.loads(sys.argv[1])
    task, options = arguments["task"], arguments["options"]
    # Before the imports of the tasks, which import torch.
    if task in TASKS_WITH_HUGE_PAGES:
        request_huge_pages()
    if task not in _step_tasks():
        _send(_single_tasks()[task](**options))
        return
    steps = _step_tasks()[task](**options)
    _send("ready")
    for line in sys.stdin:
        _send(steps.time_step() if line.strip() == "step" else steps.details())


def _send(result: Any) -> None:
    print(RESULT_PREFIX + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
