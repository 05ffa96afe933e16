import io
import json
import os
import subprocess
import sys

import pytest

from nst_lightning.benchmark import worker
from nst_lightning.system.huge_pages import SWITCH, request_huge_pages

COMMAND = """
import sys
from nst_lightning.__main__ import _command
_command(sys.argv[1])
import torch
large = [torch.empty(2**20 + 1000 * number) for number in range(8)]
print(all(tensor.data_ptr() % 4096 == 0 for tensor in large))
"""


def has_pages_of_its_own(command: str, **settings: str) -> bool:
    """Whether large tensors begin where a page does, as torch has them where it asks for huge ones."""
    environment = {name: value for name, value in os.environ.items() if name != SWITCH} | settings
    code = [sys.executable, "-c", COMMAND, command]
    said = subprocess.run(code, env=environment, capture_output=True, text=True, check=True)
    return said.stdout.strip() == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")
def test_pictures_are_painted_in_huge_pages() -> None:
    assert has_pages_of_its_own("fit")
    assert not has_pages_of_its_own("benchmark")  # whose plain loop has what torch gives it
    assert not has_pages_of_its_own("fit", **{SWITCH: "0"})


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")
    request_huge_pages()
    assert os.environ[SWITCH] == "0"
    monkeypatch.delenv(SWITCH)
    request_huge_pages()
    assert os.environ[SWITCH] == "1"


@pytest.mark.parametrize("task", ["step", "reference"])
def test_of_a_benchmarks_steps_ours_ask_for_them(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "")
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(worker, "_steps", lambda: {task: lambda: None})
    monkeypatch.setattr(sys, "argv", ["worker", json.dumps({"task": task, "options": {}})])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    worker.main()
    assert (SWITCH in os.environ) is (task == "step")
