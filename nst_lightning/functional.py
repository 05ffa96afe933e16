"""The mathematics, as pure functions of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Inner products of the channels of a feature map, divided by its number of values per picture.

    ``G = F F^T / (channels * height * width)`` with ``F`` of shape ``(channels, height * width)``: Gatys et al. 2016,
    eq. 3, in the normalization of the PyTorch tutorial. Each picture of a batch has a matrix of its own.

    Of bfloat16 features with many positions the products are summed in float32 over 1024 positions at a time; such a
    sum is rounded to bfloat16, for that is what matrix products of bfloat16 return, and the sums are added in float32:
    roundings average out over so many. Over few positions they would not, and the objective would end at their level (a
    painting of 192 px had twice the objective after 300 steps), so there, and of all other features, the sums are
    float32 or, if the features are, float64.

    Args:
        features: ``(batch, channels, height, width)``.

    Returns:
        ``(batch, channels, channels)``, symmetric and positive semi-definite, in float32 or float64.
    """
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        products: Tensor = _InnerProducts.apply(_rows(features))
        return products / (channels * height * width)


def moments(features: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Means of the channels of a feature map, and of their products; summed as :func:`gram_matrix` does.

    Args:
        features: ``(batch, channels, height, width)``.
        share: how much each position counts, ``(batch, 1, height, width)``, float32 and 1 on average; all alike unless
            given.

    Returns:
        ``(batch, channels)`` and ``(batch, channels, channels)``, in float32 or float64.
    """
    positions = features.shape[2] * features.shape[3]
    with torch.autocast(features.device.type, enabled=False):
        sums, products = _SumsAndProducts.apply(_rows(scaled(features, share)))
        if share is not None:
            sums = (features * share.to(features.dtype)).sum((2, 3), dtype=products.dtype)
        return sums / positions, products / positions


def scaled(features: Tensor, share: Tensor | None) -> Tensor:
    """Features whose Gram matrix is that in which each position has its share; see :func:`moments`."""
    if share is None:
        return features
    result: Tensor = features * share.sqrt().to(features.dtype)
    return result


@torch.no_grad()
def powered(matrices: Tensor, exponent: float, floor: float) -> Tensor:
    """Powers of symmetric matrices, relative to their largest eigenvalue: ``U max(e / e_max, floor)^exponent U^T``.

    Args:
        matrices: ``(batch, n, n)``, positive semi-definite.
        exponent: of the relative eigenvalues.
        floor: the least relative eigenvalue.

    Returns:
        The same shape, dtype and device; of a matrix of zeros the identity.
    """
    exact = matrices.double().cpu()
    values, vectors = torch.linalg.eigh(exact)
    largest = values[:, -1:]
    relative = torch.where(largest > 0, values / largest, 1.0).clamp_min(floor)
    result: Tensor = ((vectors * relative.pow(exponent)[:, None]) @ vectors.mT).to(matrices)
    return result


EXACT_POSITIONS = 16384
"""Up to how many positions the Gram matrix of a bfloat16 feature map is summed in float32."""

AT_ONCE = 1024
"""Over how many positions of a larger one a sum is made before it is rounded to bfloat16."""


def _rows(features: Tensor) -> Tensor:
    """``(batch, positions, channels)``: a channels-last network has them in that order, and no other layout is made."""
    exact = features if features.dtype in (torch.float64, torch.bfloat16) else features.float()
    batch, channels, height, width = features.shape
    return exact.permute(0, 2, 3, 1).reshape(batch, height * width, channels)


class _InnerProducts(torch.autograd.Function):
    """``F^T F`` of ``F`` ``(batch, positions, channels)`` with one product for its gradient, ``F (D + D^T)``.

    Automatic differentiation makes two.
    """

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        return _inner_products(rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        rows: Tensor = ctx.saved_tensors[0]
        both = (gradients[0] + gradients[0].transpose(1, 2)).to(rows.dtype)
        result: Tensor = rows @ both
        return result


class _SumsAndProducts(torch.autograd.Function):
    """``F^T 1`` and ``F^T F``."""

    @staticmethod
    def forward(rows: Tensor) -> tuple[Tensor, Tensor]:
        exact = torch.float64 if rows.dtype == torch.float64 else torch.float32
        return rows.sum(dim=1, dtype=exact), _inner_products(rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        rows: Tensor = ctx.saved_tensors[0]
        both = (gradients[1] + gradients[1].transpose(1, 2)).to(rows.dtype)
        return torch.baddbmm(gradients[0][:, None].to(rows.dtype), rows, both)


def _inner_products(rows: Tensor) -> Tensor:
    if rows.dtype != torch.bfloat16 or rows.shape[1] <= EXACT_POSITIONS:
        exact = rows.float() if rows.dtype == torch.bfloat16 else rows
        return exact.transpose(1, 2) @ exact
    whole = rows.shape[1] // AT_ONCE * AT_ONCE
    return _sum_of_products(rows[:, :whole], AT_ONCE) + _sum_of_products(rows[:, whole:], 0)


def _sum_of_products(rows: Tensor, at_once: int) -> Tensor:
    """``F^T F`` in float32 from products over ``at_once`` rows each, or over all of them if that is 0."""
    batch, positions, channels = rows.shape
    parts = rows.reshape(batch, -1, at_once or positions, channels) if positions else rows[:, None]
    return (parts.transpose(2, 3) @ parts).sum(dim=1, dtype=torch.float32)


def mean_squared_error(value: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences, summed in float32 (float64 stays float64).

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
    def forward(difference: Tensor) -> Tensor:
        exact = torch.float64 if difference.dtype == torch.float64 else torch.float32
        length: Tensor = torch.linalg.vector_norm(difference, dtype=exact)
        return length.square() / difference.numel()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        difference: Tensor = ctx.saved_tensors[0]
        result: Tensor = difference * (gradients[0] * 2 / difference.numel())
        return result


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
