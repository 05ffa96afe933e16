"""The mathematics, as pure functions of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def mean_squared_error(value: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences, summed in float32 (float64 stays float64; of bfloat16 see ``_sum_of_squares``).

    Args:
        value: any shape.
        target: the same shape.

    Returns:
        A scalar.
    """
    result: Tensor = _MeanSquare.apply(value - target)
    return result


class _MeanSquare(torch.autograd.Function):
    """Mean of squares in float32, or float64, without a copy in that precision; the gradient has the values' own."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor) -> Tensor:
        ctx.save_for_backward(difference)
        return _sum_of_squares(difference) / difference.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        difference: Tensor = ctx.saved_tensors[0]
        result: Tensor = difference * (gradients[0] * 2 / difference.numel())
        return result


def _sum_of_squares(values: Tensor) -> Tensor:
    exact = torch.float64 if values.dtype == torch.float64 else torch.float32
    lengths = _lengths(values) if values.dtype == torch.bfloat16 else values
    result: Tensor = torch.linalg.vector_norm(lengths, dtype=exact).square()
    return result


AT_ONCE = 1024
"""Of how many squares of bfloat16 values the root of the sum is rounded: a copy in float32 takes much longer."""


def _lengths(values: Tensor) -> Tensor:
    last = values.is_contiguous(memory_format=torch.channels_last) if values.dim() == 4 else False
    flat = (values.permute(0, 2, 3, 1) if last else values).reshape(-1)
    whole = flat.numel() // AT_ONCE * AT_ONCE
    lengths = torch.linalg.vector_norm(flat[:whole].view(-1, AT_ONCE), dim=1)
    return torch.cat([lengths, torch.linalg.vector_norm(flat[whole:], dim=0, keepdim=True)])


def total_variation(image: Tensor, exponent: float = 2.0) -> Tensor:
    """Mean of ``|difference|^exponent`` between neighbors, down the columns plus along the rows.

    A mean rather than the sum of Mahendran and Vedaldi 2015, so that a weight means the same at every size.

    Args:
        image: ``(batch, channels, height, width)``, at least 2 px each way.
        exponent: 2 smooths everything a little, 1 flattens noise and keeps edges.

    Returns:
        A scalar.
    """
    if exponent == 2:
        result: Tensor = _SquaredVariation.apply(image)
        return result
    down, along = _slopes(image)
    return down.abs().pow(exponent).mean() + along.abs().pow(exponent).mean()


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbors, down the columns and along the rows."""
    return image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]


class _SquaredVariation(torch.autograd.Function):
    """Total variation of exponent 2, whose gradient is added up in one place: a third of the time on CPUs."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        down, along = _slopes(image)
        ctx.save_for_backward(down, along)
        return _sum_of_squares(down) / down.numel() + _sum_of_squares(along) / along.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        down, along = (slopes * (gradient * 2 / slopes.numel()) for slopes in ctx.saved_tensors)
        result = functional.pad(down, (0, 0, 1, 0))
        result[..., :-1, :] -= down
        result[..., 1:] += along
        result[..., :-1] -= along
        return result


def masked_squared_error(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Squared differences, each times its pixel's mask, summed and divided by the number of values of a picture.

    The temporal loss of Ruder, Dosovitskiy and Brox 2016, eq. 7. It is divided by all values and not by those that the
    mask leaves, so that a pixel counts the same however many others are masked. Pictures of a batch are summed.

    Args:
        value: ``(batch, channels, height, width)``.
        target: the same shape.
        mask: ``(batch, 1, height, width)`` in [0, 1].

    Returns:
        A scalar.
    """
    return (mask * (value - target).square()).flatten(1).mean(1).sum()


def mask_nearest_first(masks: Sequence[Tensor]) -> list[Tensor]:
    """Masks for several frames before, so that each pixel counts at most once and for the nearest frame that shows it.

    Ruder, Dosovitskiy and Brox 2016, eq. 9: each mask less those of all nearer frames, no less than 0.

    Args:
        masks: how far each pixel was seen in a frame before, in [0, 1], the nearest frame first.
    """
    chosen: list[Tensor] = []
    for mask in masks:
        left = mask
        for nearer in chosen:
            left = left - nearer
        chosen.append(left.clamp(min=0))
    return chosen


def warping_error(image: Tensor, warped: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """How much a picture differs from the one before, moved to where things are now, where that can be told.

    Args:
        image: ``(batch, channels, height, width)``.
        warped: the same shape.
        mask: ``(batch, 1, height, width)`` in [0, 1].

    Returns:
        The sum of squared differences, each times its mask and a mean over channels, and the sum of the mask. The root
        of their ratio is the error.
    """
    squares = (image - warped).square().mean(1, keepdim=True)
    return (mask * squares).sum(), mask.sum()
