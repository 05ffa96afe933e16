"""Moments of feature maps: Gram matrices, and means beside them.

Of bfloat16 features with many positions the products are summed in float32 over a part of them at a time; such a sum is
rounded to bfloat16, for that is what matrix products of bfloat16 return, and the sums are added in float32: roundings
average out over so many parts. Over few positions they would not, and the objective would end at their level (a
painting of 192 px had twice the objective after 300 steps), so there, and of all other features, the sums are float32
or, if the features are, float64.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

EXACT_POSITIONS = 4096
"""Up to how many positions the Gram matrix of a bfloat16 feature map is summed in float32."""

LEAST_PARTS, AT_ONCE = 64, 1024
"""In how many parts a larger one is summed at least, and over how many positions at most, before it is rounded."""

BLOCKS, LEAST_BLOCK = 4, 64
"""In how many blocks of columns CPUs make the product of float32, and how many channels one has at least."""


def gram_matrix(features: Tensor) -> Tensor:
    """Inner products of the channels of a feature map, divided by its number of values per picture.

    ``G = F F^T / (channels * height * width)`` with ``F`` of shape ``(channels, height * width)``: Gatys et al. 2016,
    eq. 3, in the normalization of the PyTorch tutorial. Each picture of a batch has a matrix of its own.

    Args:
        features: ``(batch, channels, height, width)``.

    Returns:
        ``(batch, channels, channels)``, symmetric and positive semi-definite, in float32 or float64.
    """
    return _products(features, False, features[0].numel())


def moments(features: Tensor) -> Tensor:
    """Means of products of the channels of a feature map and a channel of ones, which comes last.

    So the last row and the last column are the channels' means, and the last entry is 1. Of a linear map with an
    offset, ``W x + b``, the same is ``V M V^T`` with ``V = [[W, b], [0, 1]]``.

    Args:
        features: ``(batch, channels, height, width)``.

    Returns:
        ``(batch, channels + 1, channels + 1)``, in float32 or float64.
    """
    return _products(features, True, features.shape[2] * features.shape[3])


def mean_and_products(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Out of :func:`moments` those of the channels, ``(batch, channels)`` and ``(batch, channels, channels)``."""
    return matrix[:, -1, :-1], matrix[:, :-1, :-1]


def squared_error(features: Tensor, target: Tensor, left: Tensor | None = None, share: Tensor | None = None) -> Tensor:
    """Mean squared error of a Gram matrix, or of a linear map of moments, in few operations.

    ``mean((G - target)^2)`` with ``G`` the :func:`gram_matrix` or, if there is a map, ``L M L^T`` with ``M`` the
    :func:`moments`; without their last row and column where the map has none for them.

    Args:
        features: ``(batch, channels, height, width)``.
        target: ``(1 or batch, n, n)``, symmetric; no gradient.
        left: ``L``, ``(n, channels + 1)`` or ``(n, channels)``, or the same for each picture; no gradient.
        share: how much each position counts, ``(batch, 1, height, width)``, float32 and 1 on average.

    Returns:
        A scalar, float32 or float64.
    """
    channels, positions = features.shape[1], features.shape[2] * features.shape[3]
    ones = left is not None and left.shape[-1] > channels
    if share is not None:
        features, ones = _weighted(features, share, ones), False
    divisor = channels * positions if left is None else positions
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _SquaredError.apply(_exact_enough(features), target, left, ones, divisor)
    return result


def _weighted(features: Tensor, share: Tensor, ones: bool) -> Tensor:
    """Features, and ones if there are to be, times the roots of what they count."""
    root = share.sqrt().to(features.dtype)
    return torch.cat([features * root, root], 1) if ones else features * root


def _products(features: Tensor, ones: bool, divisor: int) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _Products.apply(_exact_enough(features), ones, divisor)
    return result


class _Products(torch.autograd.Function):
    """``F^T F / divisor`` of the rows ``F`` of a feature map, each with a 1 after its channels if there are to be ones.

    Its gradient is one product, ``F (D + D^T)``, where automatic differentiation makes two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, ones: bool, divisor: int) -> Tensor:
        ctx.ones, ctx.divisor = ones, divisor
        ctx.save_for_backward(features)
        return _summed(features, ones) / divisor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        features: Tensor = ctx.saved_tensors[0]
        return _moved(features, (gradients[0] + gradients[0].mT) / ctx.divisor, ctx.ones), None, None


class _SquaredError(torch.autograd.Function):
    """See :func:`squared_error`; what lies between features and the scalar is symmetric, and small."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor, left: Tensor | None, ones: bool, divisor: int) -> Tensor:
        matrix = _summed(features, ones) / divisor
        left = None if left is None else left.to(matrix.dtype)
        difference = (matrix if left is None else left @ matrix @ left.mT) - target
        ctx.ones, ctx.divisor = ones, divisor
        ctx.save_for_backward(features, difference, left)
        result: Tensor = torch.linalg.vector_norm(difference).square() / difference.numel()
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        features, difference, left = ctx.saved_tensors
        both = difference * (gradients[0] * (4 / difference.numel() / ctx.divisor))
        both = both if left is None else left.mT @ both @ left
        return _moved(features, both, ctx.ones), None, None, None, None


def _summed(features: Tensor, ones: bool) -> Tensor:
    """``F^T F``; see :class:`_Products`."""
    parts = _parts(_rows(features))
    products = _total([_product(part) for part in parts])
    if not ones:
        return products
    sums = _total([part.sum(dim=2).sum(dim=1, dtype=_exact(part)) for part in parts])
    last = functional.pad(sums, (0, 1), value=features.shape[2] * features.shape[3])
    return torch.cat([torch.cat([products, sums[:, None]], 1), last[:, :, None]], 2)


def _moved(features: Tensor, matrices: Tensor, ones: bool) -> Tensor:
    """The rows, each with a 1 after its channels if there are ones, times symmetric matrices; channels alone."""
    # Convolutions of one position add while they multiply; other ways to add write a map once more.
    matrices, channels = matrices.to(features.dtype), features.shape[1]
    found = [
        functional.conv2d(item, matrix[:channels, :channels, None, None], matrix[:channels, channels] if ones else None)
        for item, matrix in zip(torch.split(features, 1), matrices, strict=True)
    ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _exact_enough(features: Tensor) -> Tensor:
    return features if features.dtype in (torch.float64, torch.bfloat16) else features.float()


def _exact(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def _rows(features: Tensor) -> Tensor:
    """``(batch, positions, channels)``: a channels-last network has them in that order, and no other layout is made."""
    batch, channels, height, width = features.shape
    return features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)


def _parts(rows: Tensor) -> list[Tensor]:
    """Rows as they are summed, ``(batch, parts, positions, channels)``: each part is, before it is added in float32.

    Few rows of bfloat16 are in float32 and in one part, as those of other precisions are.
    """
    batch, positions, channels = rows.shape
    if rows.dtype != torch.bfloat16 or positions <= EXACT_POSITIONS:
        return [(rows.float() if rows.dtype == torch.bfloat16 else rows)[:, None]]
    at_once = min(AT_ONCE, positions // LEAST_PARTS)
    whole = positions // at_once * at_once
    parts = [rows[:, :whole].reshape(batch, -1, at_once, channels)]
    return parts if whole == positions else [*parts, rows[:, None, whole:]]


def _product(part: Tensor) -> Tensor:
    products = _symmetric(part.flatten(0, 1)).unflatten(0, part.shape[:2])  # type: ignore[no-untyped-call]
    result: Tensor = products.sum(dim=1, dtype=_exact(part))
    return result


def _symmetric(rows: Tensor) -> Tensor:
    """``F^T F`` of ``(batch, positions, channels)``; if many, in blocks, of which the lower ones are mirrored."""
    step = rows.shape[2] // BLOCKS
    if rows.device.type != "cpu" or rows.dtype == torch.bfloat16 or step < LEAST_BLOCK:
        return torch.bmm(rows.mT, rows)
    result = rows.new_empty(rows.shape[0], rows.shape[2], rows.shape[2])
    for start, end in pairwise((*range(0, BLOCKS * step, step), rows.shape[2])):
        block = torch.bmm(rows[..., start:end].mT, rows[..., start:])
        result[:, start:end, start:] = block
        result[:, end:, start:end] = block[..., end - start :].mT
    return result


def _total(found: list[Tensor]) -> Tensor:
    return found[0] if len(found) == 1 else torch.stack(found).sum(dim=0)
