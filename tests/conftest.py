import os
import signal
from pathlib import Path

import pytest
import torch

# The tests run in one process per core, so each process and those that it starts compute in one thread. Threads of
# several processes that wait for each other on the same cores are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Shells start background processes with Ctrl-C ignored; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
