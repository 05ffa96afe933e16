"""Timing."""

import gc
import time
from collections.abc import Callable
from statistics import mean, median

import torch


def finish(device: str) -> None:
    """Waits for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def durations(action: Callable[[], object], count: int, device: str, warm_up: int = 1) -> list[float]:
    """Seconds that each of ``count`` runs of an action takes, after others that are not counted."""
    for _ in range(warm_up):
        action()
    gc.collect()
    return [duration(action, device) for _ in range(count)]


def duration(action: Callable[[], object], device: str) -> float:
    """Seconds that an action takes."""
    finish(device)
    began = time.perf_counter()
    action()
    finish(device)
    return time.perf_counter() - began


def summary(seconds: list[float]) -> dict[str, float]:
    """Least, median and mean."""
    return {"least": min(seconds), "median": median(seconds), "mean": mean(seconds)}
