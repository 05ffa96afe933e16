"""Moments of feature maps: Gram matrices, and means beside them.

Of bfloat16 features with many positions the products are summed in float32 over a part of them at a time; such a sum is
rounded to bfloat16, for that is what matrix products of bfloat16 return, and the sums are added in float32: roundings
average out over so many parts. Over few positions they would not, and the objective would end at their level (a
painting of 192 px had twice the objective after 300 steps), so there, and of all other features, the sums are float32
or, if the features are, float64.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

EXACT_POSITIONS = 4096
"""Up to how many positions the Gram matrix of a bfloat16 feature map is summed in float32."""

LEAST_PARTS, AT_ONCE = 64, 1024
"""In how many parts a larger one is summed at least, and over how many positions at most, before it is rounded."""


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


def weighted_moments(features: Tensor, share: Tensor) -> Tensor:
    """:func:`moments` in which not all positions count alike.

    Args:
        features: ``(batch, channels, height, width)``.
        share: how much each position counts, ``(batch, 1, height, width)``, float32 and 1 on average.

    Returns:
        ``(batch, channels + 1, channels + 1)``, in float32 or float64.
    """
    root = share.sqrt().to(features.dtype)
    return _products(torch.cat([features * root, root], 1), False, features.shape[2] * features.shape[3])


def mean_and_products(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Out of :func:`moments` those of the channels, ``(batch, channels)`` and ``(batch, channels, channels)``."""
    return matrix[:, -1, :-1], matrix[:, :-1, :-1]


def _products(features: Tensor, ones: bool, divisor: int) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _Products.apply(_exact_enough(features), ones, divisor)
    return result


class _Products(torch.autograd.Function):
    """``F^T F`` of the rows ``F`` of a feature map, each with a 1 after its channels if there are to be ones.

    Its gradient is one product, ``F (D + D^T)``, where automatic differentiation makes two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, ones: bool, divisor: int) -> Tensor:
        ctx.ones, ctx.divisor = ones, divisor
        ctx.save_for_backward(features)
        parts = _parts(_rows(features))
        products = _total([_product(part) for part in parts])
        if ones:
            sums = _total([part.sum(dim=2).sum(dim=1, dtype=_exact(part)) for part in parts])
            last = functional.pad(sums, (0, 1), value=features.shape[2] * features.shape[3])
            products = torch.cat([torch.cat([products, sums[:, None]], 1), last[:, :, None]], 2)
        return products / divisor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        features: Tensor = ctx.saved_tensors[0]
        both = ((gradients[0] + gradients[0].mT) / ctx.divisor).to(features.dtype)
        # Convolutions of one position add while they multiply; other ways to add write a map once more.
        found = [_moved(item, matrix, ctx.ones) for item, matrix in zip(torch.split(features, 1), both, strict=True)]
        return found[0] if len(found) == 1 else torch.cat(found), None, None


def _moved(features: Tensor, matrix: Tensor, ones: bool) -> Tensor:
    channels = features.shape[1]
    offset = matrix[:channels, channels] if ones else None
    return functional.conv2d(features, matrix[:channels, :channels, None, None], offset)


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
    flat = part.flatten(0, 1)
    products = torch.bmm(flat.mT, flat).unflatten(0, part.shape[:2])  # type: ignore[no-untyped-call]
    result: Tensor = products.sum(dim=1, dtype=_exact(part))
    return result


def _total(found: list[Tensor]) -> Tensor:
    return found[0] if len(found) == 1 else torch.stack(found).sum(dim=0)
