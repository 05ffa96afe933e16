"""Memory of the process and of its devices: free, in use, and whether freed blocks are kept."""

import ctypes
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import torch

# Parameter numbers of glibc's mallopt.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4

# Where freed memory is returned, blocks from this size are returned at once.
RETURNED_BLOCK_BYTES = 4 * 2**20


def keep_freed_memory() -> bool:
    """Makes the process keep the memory of freed tensors for the next step.

    By default glibc returns blocks above 32 MB to the kernel, which has to clear every page again when the next step
    asks for it; at 512 px that takes a tenth of a step of VGG-19. The price: blocks of other sizes do not fit into the
    gaps, so a run may hold up to twice as much memory. See :func:`is_plenty`.

    Returns:
        Whether the setting took effect; it needs Linux and glibc.
    """
    # -1 is the largest threshold; any other value is at most 2 GiB, which a step at 2048 px frees at once.
    return _set_malloc_options({MMAP_MAX: 0, TRIM_THRESHOLD: -1})


def return_freed_memory() -> bool:
    """Makes the process return the memory of large freed tensors at once; undoes :func:`keep_freed_memory`.

    By default glibc does so only above a threshold, which it raises up to 32 MB with each block that it returns: at
    1024 px it held 75 MB that nothing used, a sixth of a step of VGG-19 with activation checkpointing.

    Returns:
        Whether the setting took effect; it needs Linux and glibc.
    """
    return _set_malloc_options(
        {MMAP_MAX: 2**16, MMAP_THRESHOLD: RETURNED_BLOCK_BYTES, TRIM_THRESHOLD: RETURNED_BLOCK_BYTES}
    )


def _set_malloc_options(values: Mapping[int, int]) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    return mallopt is not None and all(mallopt(name, value) for name, value in values.items())


def is_plenty(needed: int, free: int | None) -> bool:
    """Whether there is enough memory to keep freed blocks: twice what a run needs, or an unknown amount.

    With freed blocks, the runs that were measured took at most 1.6 times as much.

    Args:
        needed: estimated bytes of the run.
        free: as from :func:`free_bytes`.
    """
    return free is None or 2 * needed <= free


def free_bytes(device: torch.device) -> int | None:
    """Returns how many bytes are free on a device.

    Args:
        device: for a CPU, memory that can be given to processes without swapping counts as free, up to the limit of
            the container; for a GPU, memory that torch has reserved but does not use counts as well.

    Returns:
        The number of bytes, or None for other devices.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if device.type != "cpu":
        return None
    available: int = psutil.virtual_memory().available
    in_container = _free_bytes_of_container()
    return available if in_container is None else min(available, in_container)


def _free_bytes_of_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Returns the bytes left by the memory limit of the control group (version 2), or None without a limit."""
    limit, used = root / "memory.max", root / "memory.current"
    if not limit.exists() or not used.exists() or not limit.read_text().strip().isdigit():
        return None
    return int(limit.read_text()) - int(used.read_text())


def reset_peak() -> None:
    """Restarts the measurement of :func:`peak_bytes` at the current memory of the process, if the kernel allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """Returns the largest resident memory of this process since :func:`reset_peak`, or None if unknown.

    Read from the kernel directly: psutil does not report the peak on Linux, and that of ``resource.getrusage`` cannot
    be reset.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else None


def resident_bytes() -> int:
    """Returns the resident memory of this process in bytes."""
    held: int = psutil.Process().memory_info().rss
    return held
