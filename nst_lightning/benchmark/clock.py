"""Timing of single calls.

``torch.utils.benchmark.Timer`` repeats its statement in blocks and adds at least two untimed calls to each. The steps
measured here change an image and alternate with those of another process, so every call is timed by itself.
"""

import gc
import time
from collections.abc import Callable
from statistics import mean, median

import torch

# Steps before the first one that is timed.
WARM_UP_STEPS = 3


def synchronize(device: str) -> None:
    """Waits until a device has finished its work.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    if device == "cuda":
        torch.cuda.synchronize()


def time_call(action: Callable[[], object], device: str) -> float:
    """Returns the seconds that a call takes, including its work on the device.

    Args:
        action: the function to call.
        device: ``cpu`` or ``cuda``.
    """
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def time_calls(action: Callable[[], object], count: int, device: str, warm_up: int = 1) -> list[float]:
    """Returns the seconds of each of several calls.

    Args:
        action: the function to call.
        count: number of timed calls.
        device: ``cpu`` or ``cuda``.
        warm_up: number of calls before them that are not timed.
    """
    for _ in range(warm_up):
        action()
    gc.collect()
    return [time_call(action, device) for _ in range(count)]


def summarize(seconds: list[float]) -> dict[str, float]:
    """Returns the minimum, median and mean of durations, under the names that ``--json`` writes."""
    return {"least": min(seconds), "median": median(seconds), "mean": mean(seconds)}
