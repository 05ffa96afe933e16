"""Steps that a worker process makes and times one by one, and the memory and operations of a step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from nst_lightning.backbones import VGG19
from nst_lightning.benchmark.bare_loop import GRAM_LAYERS, BareLoop, load_images
from nst_lightning.benchmark.clock import WARM_UP_STEPS, time_call, time_calls
from nst_lightning.benchmark.reference import ReferenceLoop
from nst_lightning.system.memory import keep_freed_memory, peak_bytes, reset_peak, resident_bytes, return_freed_memory


class TimedSteps:
    """A loop that is advanced and timed one step at a time, after a warm-up.

    Args:
        step: makes one step.
        device: ``cpu`` or ``cuda``.
        details: returns what else was measured, under the names that ``--json`` writes.
    """

    def __init__(self, step: Callable[[], object], device: str, details: Callable[[], dict[str, Any]]) -> None:
        self.details = details
        self._step, self._device = step, device
        time_calls(step, WARM_UP_STEPS, device, warm_up=0)

    def time_step(self) -> float:
        """Makes a step and returns its duration in seconds."""
        return time_call(self._step, self._device)


def prepare_reference(size: int, device: str, history: int) -> TimedSteps:
    """Prepares the reference loop and measures the memory of its first steps.

    Args:
        size: edge of the square image in px.
        device: ``cpu`` or ``cuda``.
        history: number of pairs that L-BFGS stores.
    """
    backbone = VGG19(weights="random")
    backbone.build(GRAM_LAYERS)
    # The first step of a process also loads libraries; a small image keeps that out of the measurement.
    ReferenceLoop(backbone.to(device), *load_images(64, device), history).step()
    loop = ReferenceLoop(backbone, *load_images(size, device), history)
    before = _reset_peak(device)
    time_calls(loop.step, 2, device, warm_up=0)
    details = {"bytes_per_pixel": (_read_peak(device, before) - before) / size**2}
    return TimedSteps(loop.step, device, lambda: details)


def prepare_bare_loop(size: int, device: str, checkpointing: bool = False, **options: Any) -> TimedSteps:
    """Prepares a bare loop, measures the memory of its first steps and, on request, counts the operations of one.

    Args:
        size: edge of the square image in px.
        device: ``cpu`` or ``cuda``.
        checkpointing: whether to use activation checkpointing.
        options: further arguments of :class:`BareLoop`.
    """
    # Memory that the process keeps for reuse would hide what a step needs.
    return_freed_memory()
    create_loop = partial(BareLoop, device=device, checkpointing=checkpointing, **options)
    create_loop(size=64).step()
    loop = create_loop(size=size)
    before = _reset_peak(device)
    time_calls(loop.step, 2, device, warm_up=0)
    peak = _read_peak(device, before)
    if not checkpointing:
        keep_freed_memory()

    def details() -> dict[str, Any]:
        with FlopCounterMode(display=False) as counter:
            loop.evaluate()
        operations = int(counter.get_total_flops())
        return {"peak_bytes": peak, "bytes_per_pixel": (peak - before) / size**2, "operations": operations}

    return TimedSteps(loop.step, device, details)


def _reset_peak(device: str) -> int:
    """Starts a measurement of peak memory and returns the bytes that are held now."""
    reset_peak()
    return torch.cuda.memory_allocated() if device == "cuda" else resident_bytes()


def _read_peak(device: str, before: int) -> int:
    """Returns the peak memory since :func:`_reset_peak` returned ``before``.

    The kernel sums up the counters of threads with a delay, so its peak can be below what was held before.
    """
    return max(torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes() or 0, before)
