"""A measurement in a process of its own: its peak of memory is its own, and nothing before it is in its way."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from nst_lightning.errors import InputError

MARK = "measured: "


def measure(task: str, **options: Any) -> Any:
    """Runs a task in a new process and returns what it found.

    Raises:
        InputError: it failed, with its last line.
    """
    command = [sys.executable, "-m", "nst_lightning.benchmark.worker", json.dumps({"task": task, "options": options})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not found:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise InputError(
            f"Expected {task} of {options} to be measured, but it failed with status {done.returncode}: {last}"
        )
    return json.loads(found[-1])


def _tasks() -> Mapping[str, Callable[..., Any]]:
    from nst_lightning.benchmark.ceiling import ceiling
    from nst_lightning.benchmark.lightning import measure_lightning
    from nst_lightning.benchmark.quality import measure_quality
    from nst_lightning.benchmark.steps import measure_reference, measure_step

    return {
        "ceiling": ceiling,
        "step": measure_step,
        "reference": measure_reference,
        "lightning": measure_lightning,
        "quality": measure_quality,
    }


def main() -> None:
    """Runs the task that stands in the command line."""
    request = json.loads(sys.argv[1])
    print(MARK + json.dumps(_tasks()[request["task"]](**request["options"])))


if __name__ == "__main__":
    main()
