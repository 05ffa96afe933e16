import sys
from pathlib import Path

import pytest
import torch

from nst_lightning.memory import (
    _left_to_container,
    forget_peak,
    free_bytes,
    held_bytes,
    is_plenty,
    keep_freed_memory,
    peak_bytes,
)

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from Linux's /proc")


@LINUX
def test_the_peak_is_that_since_it_was_forgotten() -> None:
    forget_peak()
    before = held_bytes()
    values = torch.ones(50_000_000)
    peak = peak_bytes()
    assert before is not None
    assert peak is not None
    assert peak >= before + 0.9 * values.nbytes
    assert peak < before + 1.5 * values.nbytes


def test_memory_is_plenty_where_three_runs_would_fit() -> None:
    assert is_plenty(10, 30)
    assert not is_plenty(10, 29)
    assert is_plenty(10, None)


@LINUX
def test_what_is_free_is_less_where_something_is_held() -> None:
    free = free_bytes(torch.device("cpu"))
    assert free is not None
    assert 0 < free < 1e15
    assert free_bytes(torch.device("meta")) is None


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    assert _left_to_container(tmp_path) is None
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_to_container(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert _left_to_container(tmp_path) == 700


@LINUX
def test_freed_memory_can_be_kept() -> None:
    if not keep_freed_memory():
        pytest.skip("this C library has no such setting")
    values = torch.ones(20_000_000)
    held = held_bytes()
    size = values.nbytes
    del values
    after = held_bytes()
    assert held is not None
    assert after is not None
    assert after > held - size / 2
