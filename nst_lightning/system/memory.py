"""Memory: what of it is kept, what there is, what a run needs."""

import ctypes
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch

# Numbers of glibc's mallopt.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4

LARGE = 4 * 2**20
"""Bytes from which a block is given back at once where memory is to be given back."""


def keep_freed_memory() -> bool:
    """Has the process keep the memory that tensors leave, for those of the next step; says whether it can.

    glibc gives blocks above 32 MB back to the kernel, which clears each page anew when the next step asks for it: at
    512 px that takes a tenth of a step of VGG-19. But blocks of other sizes find no place among those that were left,
    so that a run may hold up to twice as much: see :func:`is_plenty`.
    """
    return _set({MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1})


def return_freed_memory() -> bool:
    """Has the process give back what large tensors leave; says whether it can. It undoes :func:`keep_freed_memory`.

    Of itself glibc does so above a size that it raises, up to 32 MB, with each block that it has given back: at 1024 px
    it held 75 MB that nobody used, a sixth of a step of VGG-19 that checkpoints.
    """
    return _set({MMAP_MAX: 2**16, MMAP_THRESHOLD: LARGE, TRIM_THRESHOLD: LARGE})


def _set(values: Mapping[int, int]) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    return mallopt is not None and all(mallopt(name, value) for name, value in values.items())


def is_plenty(needed: int, free: int | None) -> bool:
    """Whether there is so much memory that a run need not give back what it may use again."""
    return free is None or 3 * needed <= free


def free_bytes(device: torch.device) -> int | None:
    """How much memory a device has left, or None where that is not known.

    Of the CPU it is what the kernel says is available, or what is left to the container if that is less.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    table = Path("/proc/meminfo")
    if device.type != "cpu" or not table.exists():
        return None
    lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    left = _left_to_container()
    return available if left is None else min(available, left)


def _left_to_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    limit, used = root / "memory.max", root / "memory.current"
    if not limit.exists() or not used.exists() or not limit.read_text().strip().isdigit():
        return None
    return int(limit.read_text()) - int(used.read_text())


def forget_peak() -> None:
    """Has :func:`peak_bytes` begin anew with what the process holds now, where the kernel allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """The most memory that this process held, or None where that is not known."""
    return _status("VmHWM")


def held_bytes() -> int | None:
    """The memory that this process holds, or None where that is not known."""
    return _status("VmRSS")


def _status(name: str) -> int | None:
    table = Path("/proc/self/status")
    if not table.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in table.read_text().splitlines() if line.startswith(f"{name}:"))
