"""Measurements in processes of their own, whose peak of memory is theirs, and which nothing before is in the way of."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from nst_lightning.errors import InputError
from nst_lightning.system.huge_pages import request_huge_pages

MARK = "measured: "

OURS = {"step", "lightning"}
"""Tasks that measure what `fit` does, with the memory that it has; plain loops have what torch gives them."""


def measure(task: str, **options: Any) -> Any:
    """Runs a task in a new process and returns what it found.

    Raises:
        InputError: it failed, with its last line.
    """
    with served(task, **options) as process:
        return process.answer()


@contextmanager
def served(task: str, **options: Any) -> "Iterator[Served]":
    """A task in a process of its own, until the ``with`` block ends."""
    command = [sys.executable, "-m", "nst_lightning.benchmark.worker", json.dumps({"task": task, "options": options})]
    pipe, name = subprocess.PIPE, f"{task} of {options}"
    with (
        # A file, since a pipe that nobody reads is full one day.
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            yield Served(name, process, errors)
        finally:
            process.kill()


class Served:
    """A task that can be asked to go on.

    Args:
        name: of the task, for messages.
        process: that it runs in.
        errors: what it writes of its errors.
    """

    def __init__(self, name: str, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self.name, self._process, self._errors = name, process, errors

    def ask(self, question: str) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> Any:
        """The next thing it says.

        Raises:
            InputError: it failed before it said one.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip() or "no message").splitlines()[-1]
        raise InputError(
            f"Expected {self.name} to be measured, but it failed with status {self._process.returncode}: {last}"
        )


def _tasks() -> Mapping[str, Callable[..., Any]]:
    from nst_lightning.benchmark.ceiling import ceiling
    from nst_lightning.benchmark.lightning import measure_lightning
    from nst_lightning.benchmark.quality import measure_quality

    return {"ceiling": ceiling, "lightning": measure_lightning, "quality": measure_quality}


def _steps() -> Mapping[str, Callable[..., Any]]:
    from nst_lightning.benchmark.steps import our_steps, plain_steps

    return {"step": our_steps, "reference": plain_steps}


def main() -> None:
    """Runs the task that stands in the command line, or makes a step for each line that says so."""
    request = json.loads(sys.argv[1])
    task, options = request["task"], request["options"]
    if task in OURS:
        request_huge_pages()
    if task not in _steps():
        _say(_tasks()[task](**options))
        return
    steps = _steps()[task](**options)
    _say("ready")
    for line in sys.stdin:
        _say(steps.seconds() if line.strip() == "step" else steps.found())


def _say(what: Any) -> None:
    print(MARK + json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
