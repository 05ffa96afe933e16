"""The number of threads that a run computes with on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from nst_lightning.errors import InputError
from nst_lightning.system.processor_load import LOAD_METER, total_cores

Threads = int | Literal["auto"]

# Share of a core that other processes may use in total without costing a thread. At 192 px on two cores, two threads
# make 20 steps per second on an idle machine and 3 next to a busy process, one thread makes 14: two are faster if the
# other process is busy for less than a third of the time.
TOLERATED_LOAD = 0.3


# Largest number of threads. A number far above it ends the process.
MAX_THREADS = 1024


@dataclass(frozen=True)
class ThreadChoice:
    """The threads of a run.

    Attributes:
        number: number of threads.
        message: sentence for the user, if the number may be unexpected.
    """

    number: int
    message: str | None = None


def choose_threads(
    threads: Threads, stored: int | None = None, is_resumed: bool = False, processes: int = 1
) -> ThreadChoice:
    """Chooses the number of threads of a run, or of each of its processes.

    The threads of an OpenMP program wait for each other after every operation. If another process takes the core of one
    of them, all wait, so that two threads on two cores are slower than one as soon as another process is busy.

    Args:
        threads: number of threads; ``auto`` takes as many as there are cores that other processes leave free, but never
            more than torch's current setting, which respects ``OMP_NUM_THREADS``.
        stored: number in the checkpoint to resume from. ``auto`` repeats it, so that the result has the same bits.
        is_resumed: whether there is a checkpoint. One without a number was made with torch's setting.
        processes: number of processes that share the cores.

    Raises:
        InputError: the number is far too large.
    """
    limit = max(1, thread_limit() // processes)
    # A number of the parser has a class of its own, which a checkpoint must not contain.
    given = None if threads == "auto" else int(threads)
    if given is not None and given > MAX_THREADS:
        raise InputError(f"Expected `threads` to be at most {MAX_THREADS}, but got {given}.")
    if not is_resumed:
        return _choose_free_cores(limit, processes) if given is None else ThreadChoice(given)
    wanted = torch.get_num_threads() if stored is None else stored
    number = min(wanted, limit) if given is None else given
    if stored is None or number == stored:
        return ThreadChoice(number)
    return ThreadChoice(
        number,
        f"The checkpoint was painted with {_count_threads(stored)}, this run continues with {number}: the result may "
        "differ in the last bits.",
    )


def thread_limit() -> int:
    """Returns the largest number of threads that ``auto`` takes: torch's setting, or the cores if they are fewer."""
    return int(min(torch.get_num_threads(), max(1.0, total_cores() + TOLERATED_LOAD)))


def whole_free_cores(limit: int, free: float) -> int:
    """Returns how many threads have a core each, from 1 to a limit.

    Args:
        limit: the largest number.
        free: cores that other processes leave free, as from :meth:`LoadMeter.free_cores`.
    """
    return max(1, min(limit, int(free + TOLERATED_LOAD)))


def paints_on_cpu(accelerator: str) -> bool:
    """Whether Lightning paints on the CPU.

    Args:
        accelerator: as Lightning's Trainer takes it: ``auto``, ``gpu``, ``cuda``, ``mps`` or ``cpu``.
    """
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return accelerator == "cpu" or (accelerator == "auto" and not has_gpu)


@contextmanager
def restore_threads() -> Iterator[None]:
    """Restores torch's number of threads at the end of the ``with`` block."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _choose_free_cores(limit: int, processes: int) -> ThreadChoice:
    # The measurement may take a moment.
    if limit == 1:
        return ThreadChoice(1)
    free, total = LOAD_METER.free_cores(), total_cores()
    number = whole_free_cores(limit, free / processes)
    if number == limit:
        return ThreadChoice(number)
    return ThreadChoice(
        number,
        f"Other processes use about {total - free:.1f} of {total:g} cores: painting with {_count_threads(number)}; "
        f"--threads {limit} uses all.",
    )


def _count_threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
