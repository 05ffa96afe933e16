"""Our step in a bare loop: what it takes, counts and keeps."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.utils.flop_counter import FlopCounterMode

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.benchmark.clock import duration, durations
from nst_lightning.benchmark.reference import PlainLoop
from nst_lightning.data.transfer import StagePictures
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.losses import ContentLoss, GramLoss, Loss
from nst_lightning.losses.base import total
from nst_lightning.samples import sample_path
from nst_lightning.system.memory import forget_peak, held_bytes, keep_freed_memory, peak_bytes, return_freed_memory
from nst_lightning.training.module import StyleTransfer, lbfgs

LAYERS = [f"conv_{number}" for number in range(1, 11)]

WARM_UP = 3
"""Steps before those that are timed."""


def pictures(size: int, device: str) -> tuple[Tensor, Tensor]:
    """A content and a style of our own, square."""
    content, style = (resize(read_image(sample_path(name)).image, size, size) for name in ("harbour", "swirl"))
    return content.to(device), style.to(device)


def network(name: str, weights: str | None, checkpointing: bool = False) -> Backbone:
    """SlimVGG19, or VGG-19 with weights of a file or, as speed does not depend on them, random ones."""
    if name == "SlimVGG19":
        return SlimVGG19(checkpointing=checkpointing)
    return VGG19(weights=weights or "random", checkpointing=checkpointing)


class Loop:
    """The steps of `fit` without Lightning.

    Args:
        name: of the network.
        size: of the square image in px.
        precision: ``32-true`` or ``bf16-mixed``.
        optimizer: ``L-BFGS`` or ``Adam``.
        layers: of the style term.
        term: the style term itself, in place of the plain Gram loss of the reference.
        checkpointing: whether blocks are computed again for the gradient.
    """

    def __init__(
        self,
        name: str,
        size: int,
        device: str,
        precision: str,
        optimizer: str = "L-BFGS",
        weights: str | None = None,
        layers: list[str] = LAYERS,
        term: Loss | None = None,
        checkpointing: bool = False,
    ) -> None:
        self.device, self.precision = device, precision
        content, style = pictures(size, device)
        terms = {"content": ContentLoss(["conv_3"]), "style": term or GramLoss(layers, weight=1e6)}
        self.module = StyleTransfer(network(name, weights, checkpointing), terms).to(device)
        with self.computing():
            self.module.set_targets(StagePictures(content, [style], [1.0]))
        self.module.set_image(content)
        self.optimizer: Optimizer = lbfgs([self.module.image]) if optimizer == "L-BFGS" else _adam(self.module.image)

    def computing(self) -> AbstractContextManager[Any]:
        """The precision of the network."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def evaluate(self) -> Tensor:
        """The objective and its gradient."""
        self.module.image.grad = None
        with self.computing():
            objective = total(self.module.criterion(self.module.image))
        objective.backward()  # type: ignore[no-untyped-call]
        return objective

    def step(self) -> None:
        """One evaluation and one update."""
        evaluate: Callable[[], Any] = self.evaluate
        self.optimizer.step(evaluate)


def _adam(image: Tensor) -> Adam:
    return Adam([image], lr=0.02)


class TimedSteps:
    """Steps of a loop that are made one at a time, turn by turn with another's; for a process of its own.

    Args:
        step: makes one.
        device: cpu or cuda.
        found: says what else was measured.
    """

    def __init__(self, step: Callable[[], object], device: str, found: Callable[[], dict[str, Any]]) -> None:
        self.found = found
        self._step, self._device = step, device
        durations(step, WARM_UP, device, warm_up=0)

    def seconds(self) -> float:
        """Makes a step and says how long it took."""
        return duration(self._step, self._device)


def plain_steps(size: int, device: str, history: int) -> TimedSteps:
    """Steps of the plain loop, and bytes a pixel of the first ones.

    Args:
        size: in px.
        device: cpu or cuda.
        history: pairs that L-BFGS keeps.
    """
    backbone = VGG19(weights="random")
    backbone.build(LAYERS)
    # What the first step of a process loads and sets up is no matter of pixels.
    PlainLoop(backbone.to(device), *pictures(64, device), history).step()
    loop = PlainLoop(backbone, *pictures(size, device), history)
    before = _held(device)
    durations(loop.step, 2, device, warm_up=0)
    found = {"bytes_per_pixel": (_peak(device, before) - before) / size**2}
    return TimedSteps(loop.step, device, lambda: found)


def our_steps(size: int, device: str, checkpointing: bool = False, **options: Any) -> TimedSteps:
    """Steps of ours, bytes of the first ones, and operations of one.

    Args:
        size: in px.
        device: cpu or cuda.
        checkpointing: whether blocks are computed again for the gradient.
        options: of the :class:`Loop`.
    """
    # Memory that is kept for speed is held before and used again: it would hide what a step takes.
    return_freed_memory()
    make = partial(Loop, device=device, checkpointing=checkpointing, **options)
    make(size=64).step()
    loop = make(size=size)
    before = _held(device)
    durations(loop.step, 2, device, warm_up=0)
    peak = _peak(device, before)
    if not checkpointing:
        keep_freed_memory()

    def found() -> dict[str, Any]:
        with FlopCounterMode(display=False) as counter:
            loop.evaluate()
        operations = int(counter.get_total_flops())
        return {"peak_bytes": peak, "bytes_per_pixel": (peak - before) / size**2, "operations": operations}

    return TimedSteps(loop.step, device, found)


def _held(device: str) -> int:
    """What is held now; what was held before is forgotten."""
    forget_peak()
    return torch.cuda.memory_allocated() if device == "cuda" else held_bytes() or 0


def _peak(device: str, before: int) -> int:
    """The most that was held since ``before`` was; kernels add up late what threads hold, and may say less."""
    return max(torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes() or 0, before)
