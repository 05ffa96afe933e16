"""Flicker as a number."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nst_lightning.functional.pixels import warping_error
from nst_lightning.video.lookahead import Lookahead, Motion
from nst_lightning.video.warp import warp


class WarpingError(Metric):
    """How much frames differ from those before them, moved to where things are now: the root of the mean square.

    Lai et al. 2018. Only pixels that the frame before shows count. 0 is a film that moves as its source does and never
    changes its paint; 1 one that turns from black to white and back.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    squares: Tensor
    pixels: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("squares", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pixels", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, image: Tensor, before: Tensor, flow: Tensor, mask: Tensor) -> None:
        """Adds a frame.

        Args:
            image: ``(batch, 3, height, width)`` in [0, 1].
            before: the frame before it.
            flow: ``(batch, 2, height, width)`` in px, from each pixel to where it was in the frame before.
            mask: ``(batch, 1, height, width)``: how far that can be relied on.
        """
        squares, pixels = warping_error(image.double(), warp(before, flow).double(), mask.double())
        self.squares += squares
        self.pixels += pixels

    def compute(self) -> Tensor:
        """The error of all frames together; NaN where there was no pixel to compare."""
        return (self.squares / self.pixels).sqrt()


@dataclass(frozen=True)
class Flicker:
    """How much a film flickers.

    Attributes:
        frames: the error of each frame to the one before; None at the beginning of a shot.
        error: of all of them together.
    """

    frames: list[float | None]
    error: float


def measure_flicker(images: Iterable[Tensor], lookahead: Lookahead) -> Flicker:
    """The flicker of a film.

    Args:
        images: its frames, ``(1, 3, height, width)`` in [0, 1].
        lookahead: knows how its source moves.
    """
    metric = WarpingError()
    frames = list(_errors(images, lookahead, metric))
    return Flicker(frames, float(metric.compute()))


def _errors(images: Iterable[Tensor], lookahead: Lookahead, metric: WarpingError) -> Iterator[float | None]:
    before: Tensor | None = None
    for number, image in enumerate(images):
        motion = lookahead.get(number).gauged
        yield None if motion is None or before is None else error_of(metric, image, before, motion)[0]
        before = image


def error_of(metric: WarpingError, image: Tensor, before: Tensor, motion: Motion) -> tuple[float | None, float]:
    """The error of one frame, which is added to a metric, and the share of its pixels that is compared.

    The error is None where that is none.
    """
    value, compared = float(metric(image, before, motion.flow, motion.mask)), float(motion.mask.mean())
    return (value if compared else None), compared
