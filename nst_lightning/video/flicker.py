"""Flicker of a film as a number: the warping error of Lai et al. 2018."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nst_lightning.functional.pixels import warping_error
from nst_lightning.video.lookahead import Lookahead, Motion
from nst_lightning.video.warp import warp


class WarpingError(Metric):
    """Root mean square difference between each frame and the previous frame warped to it; Lai et al. 2018.

    Only pixels that are visible in both frames count. 0 means that the paint follows the motion of the source exactly;
    a film that alternates between black and white has 1.
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

    def update(self, image: Tensor, previous: Tensor, flow: Tensor, mask: Tensor) -> None:
        """Adds a frame.

        Args:
            image: ``(batch, 3, height, width)`` in [0, 1].
            previous: previous frame, same size.
            flow: ``(batch, 2, height, width)`` in px, from each pixel to its place in the previous frame.
            mask: reliability of the flow, ``(batch, 1, height, width)`` in [0, 1].
        """
        squares, pixels = warping_error(image.double(), warp(previous, flow).double(), mask.double())
        self.squares += squares
        self.pixels += pixels

    def compute(self) -> Tensor:
        """Computes the error over all frames; NaN if no pixel can be compared."""
        return (self.squares / self.pixels).sqrt()


@dataclass(frozen=True)
class Flicker:
    """The flicker of a film.

    Attributes:
        frames: warping error of each frame; None at the start of a shot.
        error: warping error over all frames.
    """

    frames: list[float | None]
    error: float


def measure_flicker(images: Iterable[Tensor], lookahead: Lookahead) -> Flicker:
    """Measures the flicker of a film along the motion of its source.

    Args:
        images: frames of the film, ``(1, 3, height, width)`` in [0, 1] each.
        lookahead: frames and motion of the source.
    """
    metric = WarpingError()
    errors: list[float | None] = []
    previous: Tensor | None = None
    for number, image in enumerate(images):
        motion = lookahead.get(number).measured_motion
        if motion is None or previous is None:
            errors.append(None)
        else:
            errors.append(measure_frame(metric, image, previous, motion)[0])
        previous = image
    return Flicker(errors, float(metric.compute()))


def measure_frame(metric: WarpingError, image: Tensor, previous: Tensor, motion: Motion) -> tuple[float | None, float]:
    """Measures the warping error of one frame and adds it to a metric.

    Args:
        metric: metric that accumulates over frames.
        image: ``(1, 3, height, width)`` in [0, 1].
        previous: previous frame, same size.
        motion: motion of the source from the previous frame.

    Returns:
        The error of this frame, or None if no pixel can be compared, and the share of pixels that are compared.
    """
    value, compared = float(metric(image, previous, motion.flow, motion.mask)), float(motion.mask.mean())
    return (value if compared else None), compared
