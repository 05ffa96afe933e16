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


def _products(features: Tensor, ones: bool, divisor: int) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _Products.apply(to_summable(features), ones, divisor)
    return result


class _Products(torch.autograd.Function):
    """``F^T F / divisor`` of the rows ``F`` of a feature map, each with a 1 after its channels if there are to be ones.

    Its gradient is one product, ``F (D + D^T)``, where automatic differentiation makes two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, ones: bool, divisor: int) -> Tensor:
        ctx.ones, ctx.divisor = ones, divisor
        ctx.save_for_backward(features)
        products, sums = sum_products(features, ones)
        if sums is not None:
            positions = features.shape[2] * features.shape[3]
            last = functional.pad(sums, (0, 0, 0, 1), value=positions)
            products = torch.cat([torch.cat([products, sums.mT], 1), last], 2)
        return products / divisor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        features: Tensor = ctx.saved_tensors[0]
        matrices, channels = (gradients[0] + gradients[0].mT) / ctx.divisor, features.shape[1]
        offsets = matrices[:, :channels, channels:] if ctx.ones else None
        return apply_channel_matrix(features, matrices[:, :channels, :channels], offsets), None, None


def sum_products(features: Tensor, ones: bool) -> tuple[Tensor, Tensor | None]:
    """``F^T F`` of the rows ``F`` of a feature map, and their sums if there are to be.

    Args:
        features: ``(batch, channels, height, width)``, as :func:`exact_enough` leaves them.
        ones: whether the sums are wanted: what a channel of ones would add.

    Returns:
        ``(batch, channels, channels)`` and ``(batch, channels, 1)`` or None, in float32 or float64.
    """
    rows = _rows(features)
    if rows.dtype != torch.bfloat16 or rows.shape[1] <= EXACT_POSITIONS:
        rows = rows.float() if rows.dtype == torch.bfloat16 else rows
        return _symmetric(rows), rows.sum(dim=1)[..., None] if ones else None
    parts = _parts(rows)
    products = _total([_product(part) for part in parts])
    if not ones:
        return products, None
    return products, _total([part.sum(dim=2).sum(dim=1, dtype=torch.float32) for part in parts])[..., None]


def apply_channel_matrix(features: Tensor, matrices: Tensor, offsets: Tensor | None) -> Tensor:
    """``F D + d^T`` of the rows ``F`` of a feature map, in its precision.

    Args:
        features: ``(batch, channels, height, width)``.
        matrices: ``D``, symmetric, ``(batch, channels, channels)``.
        offsets: ``d``, ``(batch, channels, 1)``, or None for 0.
    """
    # Convolutions of one position add while they multiply; other ways to add write a map once more.
    weights = matrices.to(features.dtype)[..., None, None]
    biases = [None] * len(features) if offsets is None else offsets.to(features.dtype)[..., 0]
    items = [features] if len(features) == 1 else torch.split(features, 1)
    found = [functional.conv2d(item, *of_item) for item, *of_item in zip(items, weights, biases, strict=True)]
    return found[0] if len(found) == 1 else torch.cat(found)


def to_summable(features: Tensor) -> Tensor:
    """Features in a precision whose products are summed well: other than float64 and bfloat16 in float32."""
    return features if features.dtype in (torch.float64, torch.bfloat16) else features.float()


def _rows(features: Tensor) -> Tensor:
    """``(batch, positions, channels)``: a channels-last network has them in that order, and no other layout is made."""
    batch, channels, height, width = features.shape
    return features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)


def _parts(rows: Tensor) -> list[Tensor]:
    """Many rows of bfloat16 in the parts that are summed by themselves, ``(batch, parts, positions, channels)``."""
    batch, positions, channels = rows.shape
    at_once = min(AT_ONCE, positions // LEAST_PARTS)
    whole = positions // at_once * at_once
    parts = [rows[:, :whole].reshape(batch, -1, at_once, channels)]
    return parts if whole == positions else [*parts, rows[:, None, whole:]]


def _product(part: Tensor) -> Tensor:
    products = _symmetric(part.flatten(0, 1)).unflatten(0, part.shape[:2])  # type: ignore[no-untyped-call]
    result: Tensor = products.sum(dim=1, dtype=torch.float32)
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


@torch.no_grad()
def matrix_power(matrices: Tensor, exponent: float, floor: float) -> Tensor:
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
