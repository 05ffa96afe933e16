"""The mathematics, as pure functions of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Inner products of the channels of a feature map, divided by its number of values per picture.

    ``G = F F^T / (channels * height * width)`` with ``F`` of shape ``(channels, height * width)``: Gatys et al. 2016,
    eq. 3, in the normalization of the PyTorch tutorial. Each picture of a batch has a matrix of its own.

    The product is summed in float32 (float64 stays float64) whatever the precision of the features: in half precision
    the sum over a feature map overflows.

    Args:
        features: ``(batch, channels, height, width)``.

    Returns:
        ``(batch, channels, channels)``, symmetric and positive semi-definite.
    """
    batch, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        exact = features if features.dtype == torch.float64 else features.float()
        flat = exact.reshape(batch, channels, height * width)
        products: Tensor = _InnerProducts.apply(flat)
        return products / (channels * height * width)


class _InnerProducts(torch.autograd.Function):
    """``F F^T`` with one product for its gradient, ``(D + D^T) F``, where automatic differentiation makes two.

    The gradient has the features' order in memory, without which a channels-last network would have to turn it.
    """

    @staticmethod
    def forward(flat: Tensor) -> Tensor:
        return flat @ flat.transpose(1, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        flat: Tensor = ctx.saved_tensors[0]
        both = gradients[0] + gradients[0].transpose(1, 2)
        if flat.is_contiguous():
            return both @ flat
        return (flat.transpose(1, 2) @ both).transpose(1, 2)


def mean_squared_error(value: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences, taken in float32 (float64 stays float64).

    Args:
        value: any shape.
        target: the same shape.

    Returns:
        A scalar.
    """
    exact = torch.float64 if value.dtype == torch.float64 else torch.float32
    return (value.to(exact) - target.to(exact)).square().mean()


def total_variation(image: Tensor, exponent: float = 2.0) -> Tensor:
    """Mean of ``|difference|^exponent`` between neighbors, down the columns plus along the rows.

    A mean rather than the sum of Mahendran and Vedaldi 2015, so that a weight means the same at every size.

    Args:
        image: ``(batch, channels, height, width)``, at least 2 px each way.
        exponent: 2 smooths everything a little, 1 flattens noise and keeps edges.

    Returns:
        A scalar.
    """
    down = image[..., 1:, :] - image[..., :-1, :]
    along = image[..., :, 1:] - image[..., :, :-1]
    return down.abs().pow(exponent).mean() + along.abs().pow(exponent).mean()


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


def closest_first(masks: Sequence[Tensor]) -> list[Tensor]:
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
