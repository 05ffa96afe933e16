import io
import json
import os
import subprocess
import sys

import pytest

from nst_lightning.benchmark import worker
from nst_lightning.system.huge_pages import HUGE_PAGES_VARIABLE, request_huge_pages

COMMAND = """
import sys
from nst_lightning.__main__ import import_command
import_command(sys.argv[1])
import torch
large = [torch.empty(2**20 + 1000 * number) for number in range(8)]
print(all(tensor.data_ptr() % 4096 == 0 for tensor in large))
"""


def has_huge_pages(command: str, **settings: str) -> bool:
    """Returns whether large tensors begin at a page boundary, as they do if torch requests huge pages."""
    environment = {name: value for name, value in os.environ.items() if name != HUGE_PAGES_VARIABLE} | settings
    code = [sys.executable, "-c", COMMAND, command]
    process = subprocess.run(code, env=environment, capture_output=True, text=True, check=True)
    return process.stdout.strip() == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")
def test_huge_pages_are_requested_for_fit() -> None:
    assert has_huge_pages("fit")
    assert not has_huge_pages("benchmark")  # the plain loop keeps torch's default
    assert not has_huge_pages("fit", **{HUGE_PAGES_VARIABLE: "0"})


def test_huge_pages_respect_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HUGE_PAGES_VARIABLE, "0")
    request_huge_pages()
    assert os.environ[HUGE_PAGES_VARIABLE] == "0"
    monkeypatch.delenv(HUGE_PAGES_VARIABLE)
    request_huge_pages()
    assert os.environ[HUGE_PAGES_VARIABLE] == "1"


@pytest.mark.parametrize("task", ["step", "reference"])
def test_huge_pages_are_requested_for_our_steps_of_the_benchmark(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HUGE_PAGES_VARIABLE, "")
    monkeypatch.delenv(HUGE_PAGES_VARIABLE)
    monkeypatch.setattr(worker, "_step_tasks", lambda: {task: lambda: None})
    monkeypatch.setattr(sys, "argv", ["worker", json.dumps({"task": task, "options": {}})])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    worker.main()
    assert (HUGE_PAGES_VARIABLE in os.environ) is (task == "step")
