import mmap
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nst_lightning.system.memory import (
    _free_bytes_of_container,
    free_bytes,
    is_plenty,
    peak_bytes,
    reset_peak,
    resident_bytes,
)

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from Linux's /proc")


@LINUX
def test_peak_bytes_counts_since_forget_peak() -> None:
    # Memory mapped directly: a tensor may lie in memory that the process has kept from earlier ones.
    size = 200_000_000
    allocate_pages(size)
    reset_peak()
    before = resident_bytes()
    assert (peak_bytes() or 0) < before + 0.5 * size
    allocate_pages(size)
    peak = peak_bytes()
    assert peak is not None
    assert before + 0.9 * size <= peak < before + 1.5 * size


def allocate_pages(size: int) -> None:
    with mmap.mmap(-1, size) as pages:
        for start in range(0, size, mmap.PAGESIZE):
            pages[start] = 1


def test_memory_is_plenty_if_two_runs_fit() -> None:
    assert is_plenty(10, 20)
    assert not is_plenty(10, 19)
    assert is_plenty(10, None)


def test_free_bytes_decrease_with_held_memory() -> None:
    free = free_bytes(torch.device("cpu"))
    assert free is not None
    assert 0 < free < 1e15
    assert free_bytes(torch.device("meta")) is None


def test_free_bytes_respect_the_limit_of_a_container(tmp_path: Path) -> None:
    assert _free_bytes_of_container(tmp_path) is None
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _free_bytes_of_container(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert _free_bytes_of_container(tmp_path) == 700


KEEPS = """
import torch
from nst_lightning.system.memory import resident_bytes, keep_freed_memory
kept = keep_freed_memory()
# More than 2 GiB, the largest other threshold.
values = torch.ones(540_000_000)
held, size = resident_bytes(), values.nbytes
del values
print(kept, resident_bytes() > held - size / 2)
"""


@LINUX
def test_freed_memory_can_be_kept() -> None:
    # In another process, since the setting applies to the whole process.
    process = subprocess.run([sys.executable, "-c", KEEPS], capture_output=True, text=True, check=True)
    kept, still_held = process.stdout.split()
    assert kept == still_held


RETURNS = """
import torch
from nst_lightning.system.memory import resident_bytes, keep_freed_memory, return_freed_memory
# After a block of 30 MB is freed, glibc keeps blocks up to that size, and later all blocks.
torch.ones(7_500_000)
kept = keep_freed_memory()
returned = return_freed_memory()
before = resident_bytes()
values = [torch.ones(6_000_000) for _ in range(4)]
last = torch.ones(1000)
held, size = resident_bytes() - before, 4 * values[0].nbytes
del values
print(kept and returned, held > 0.9 * size and resident_bytes() - before < 0.1 * size)
"""


@LINUX
def test_freed_memory_can_be_returned() -> None:
    process = subprocess.run([sys.executable, "-c", RETURNS], capture_output=True, text=True, check=True)
    set_so, given_back = process.stdout.split()
    assert set_so == given_back
