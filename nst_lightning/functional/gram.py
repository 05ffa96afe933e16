"""Gram matrices and first and second moments of feature maps.

Precision: products of float32, float16 and float64 features are summed in float32, or in float64 if the features are
float64. Products of bfloat16 features with many positions are summed in parts: a matrix product of bfloat16 sums in
float32 but rounds its result to bfloat16. The rounded partial sums are added in float32, where their rounding errors
average out. With few parts they do not (at 192 px the objective after 300 steps was twice as high), so bfloat16
features with at most :data:`EXACT_POSITIONS` positions are converted to float32 first.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.functional.boxes import Box, clear_outside

# Up to this number of positions, products of bfloat16 features are summed in float32 without intermediate rounding.
EXACT_POSITIONS = 4096

# Beyond it: the smallest number of partial sums, and the largest number of positions in each.
MIN_PARTIAL_SUMS, MAX_POSITIONS_PER_SUM = 64, 1024

# CPUs compute the symmetric product in column blocks: their number, and the smallest number of channels in each.
COLUMN_BLOCKS, MIN_BLOCK_CHANNELS = 4, 64

# On CPUs, a float map whose rows are not adjacent in memory is copied for its products in strips of this many bytes.
COPIED_BYTES = 2 * 2**20


@dataclass(frozen=True)
class PositionWeights:
    """How much each position of a feature map counts in its statistics.

    Attributes:
        values: ``(1, 1, height, width)``, at least 0, float32 or float64; no gradient.
        total: their sum, positive.
        ones: number of leading positions that are known to have the weight 1, which need not be multiplied.
    """

    values: Tensor
    total: float
    ones: int = 0
    _roots: dict[torch.dtype, Tensor] = field(default_factory=dict, compare=False, repr=False)

    def roots(self, dtype: torch.dtype) -> Tensor:
        """Returns the roots of the weights of the positions after the leading ones, ``(positions, 1)``."""
        # Weights are the same in every step, and small images consist of many small operations.
        if dtype not in self._roots:
            self._roots[dtype] = self.values.flatten()[self.ones :, None].sqrt().to(dtype)
        return self._roots[dtype]


def gram_matrix(features: Tensor, weights: PositionWeights | None = None, is_rooted: bool = False) -> Tensor:
    """Computes the Gram matrix of a feature map, normalized by its number of values.

    ``G = F F^T / (channels * height * width)`` with ``F`` of shape ``(channels, height * width)``: Gatys et al. 2016,
    eq. 3, with the normalization of the PyTorch tutorial. Each image of a batch has its own matrix. With weights,
    ``G = sum_i w_i F_i F_i^T / (channels * sum_i w_i)`` over the positions ``i`` (guided Gram matrix of Gatys et al.
    2017, with a sum of weights of 1).

    Args:
        features: ``(batch, channels, height, width)``.
        weights: of the positions; equal by default.
        is_rooted: whether the features are already those of :func:`weight_positions`.

    Returns:
        ``(batch, channels, channels)``, symmetric and positive semi-definite, in float32 or float64.
    """
    positions = features.shape[2] * features.shape[3] if weights is None else weights.total
    rooted = features if is_rooted else weight_positions(features, weights)
    return _scaled_products(rooted, False, features.shape[1] * positions, None)


def moments(
    features: Tensor, weights: PositionWeights | None = None, is_rooted: bool = False, with_means: bool = True
) -> Tensor:
    """Computes the means of a feature map's channels and of their products, in one matrix.

    The matrix is ``M = E[x x^T]`` with ``x`` the channels at one position followed by a constant 1. The last row and
    the last column are therefore the channel means, and the last entry is 1. An affine map ``W x + b`` of the channels
    has the moments ``V M V^T`` with ``V = [[W, b], [0, 1]]``.

    Args:
        features: ``(batch, channels, height, width)``.
        weights: of the positions; equal by default.
        is_rooted: whether the features are already those of :func:`weight_positions`.
        with_means: whether to compute the last row and the last column; they are 0 otherwise, which takes less time.

    Returns:
        ``(batch, channels + 1, channels + 1)``, in float32 or float64.
    """
    positions = features.shape[2] * features.shape[3] if weights is None else weights.total
    rooted = features if is_rooted else weight_positions(features, weights)
    if not with_means:
        return functional.pad(_scaled_products(rooted, False, positions, None), (0, 1, 0, 1))
    return _scaled_products(rooted, True, positions, weights)


def weight_positions(features: Tensor, weights: PositionWeights | None) -> Tensor:
    """Multiplies the features at each position by the root of its weight, so that their products have the weight.

    Args:
        features: ``(batch, channels, height, width)``.
        weights: of the positions; None returns the features themselves.
    """
    return features if weights is None else features * weights.values.sqrt().to(features.dtype)


def pull_moments(
    features: Tensor,
    slope: Tensor,
    box: Box | None = None,
    weights: PositionWeights | None = None,
    with_means: bool = True,
) -> Tensor:
    """Returns 0 with the gradient of ``<slope, sum_i x_i x_i^T>``, without computing this sum; see :func:`moments`.

    If `slope` is the gradient of a function of the moments, divided by the number of positions, then the gradient of
    the result is that of the function.

    Args:
        features: ``(1, channels, height, width)``; times the roots of the weights if there are any.
        slope: ``(1, channels + 1, channels + 1)``.
        box: positions ``i`` that count: top, bottom, left, right; all by default.
        weights: of the positions; equal by default.
        with_means: False if the function does not depend on the means of channels: the slope in them is 0.
    """
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _PullMoments.apply(to_summable(features), slope, box, weights, with_means)
    return result


class _PullMoments(torch.autograd.Function):
    """See :func:`pull_moments`."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, slope: Tensor, box: Box | None, weights: PositionWeights | None, with_means: bool
    ) -> Tensor:
        ctx.box, ctx.weights, ctx.with_means = box, weights, with_means
        ctx.save_for_backward(features, slope)
        return slope.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        features, slope = ctx.saved_tensors
        matrices, channels = (slope + slope.mT) * gradients[0], features.shape[1]
        offsets = matrices[:, :channels, channels:] if ctx.with_means else None
        result = apply_channel_matrix(features, matrices[:, :channels, :channels], offsets, ctx.weights)
        if ctx.box is not None:
            # Cheaper than a copy of the positions that count, whose gradient would be copied back.
            clear_outside(result, ctx.box)
        return result, None, None, None, None


def mean_and_products(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Splits the matrix of :func:`moments` into channel means and means of products.

    Args:
        matrix: ``(batch, channels + 1, channels + 1)``.

    Returns:
        Means, ``(batch, channels)``, and means of products, ``(batch, channels, channels)``.
    """
    return matrix[:, -1, :-1], matrix[:, :-1, :-1]


def _scaled_products(features: Tensor, with_ones: bool, divisor: float, weights: PositionWeights | None) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _ScaledProducts.apply(to_summable(features), with_ones, divisor, weights)
    return result


class _ScaledProducts(torch.autograd.Function):
    """``F^T F / divisor`` with ``F`` of shape ``(positions, channels)``, optionally with a last channel of ones.

    The channel of ones is multiplied by the roots of weights, as the features are before. The gradient is a single
    product, ``F (D + D^T)``; automatic differentiation would compute two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, with_ones: bool, divisor: float, weights: PositionWeights | None) -> Tensor:
        ctx.with_ones, ctx.divisor, ctx.weights = with_ones, divisor, weights
        ctx.save_for_backward(features)
        products, sums = sum_products(features, with_ones, weights)
        if sums is not None:
            last_column = functional.pad(sums, (0, 0, 0, 1), value=divisor)
            products = torch.cat([torch.cat([products, sums.mT], 1), last_column], 2)
        return products / divisor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        features: Tensor = ctx.saved_tensors[0]
        matrices, channels = (gradients[0] + gradients[0].mT) / ctx.divisor, features.shape[1]
        offsets = matrices[:, :channels, channels:] if ctx.with_ones else None
        result = apply_channel_matrix(features, matrices[:, :channels, :channels], offsets, ctx.weights)
        return result, None, None, None


def sum_products(
    features: Tensor, with_sums: bool, weights: PositionWeights | None = None
) -> tuple[Tensor, Tensor | None]:
    """Sums the products of all pairs of channels over the positions of a feature map.

    ``F^T F`` with ``F`` of shape ``(positions, channels)``. The precision is described at the top of this file.

    Args:
        features: ``(batch, channels, height, width)``, in a precision that :func:`to_summable` returns.
        with_sums: whether to sum the channels themselves as well: the products with a channel of ones.
        weights: weights whose roots multiply the features; the channel of ones is multiplied by them too.

    Returns:
        Sums of products, ``(batch, channels, channels)``, and sums of channels, ``(batch, channels, 1)``, or None;
        in float32 or float64.
    """
    batch, channels, height, width = features.shape
    values = features.permute(0, 2, 3, 1)
    # In the core of a tile, rows are not adjacent. On a CPU, a copy of the whole core takes as long as the products.
    are_adjacent = values.stride(1) == width * values.stride(2)
    if not are_adjacent and values.device.type == "cpu" and weights is None and values.dtype != torch.bfloat16:
        return _sum_strips(values, with_sums)
    # No copy if the feature map is channels-last, as those of the networks are.
    rows = values.reshape(batch, height * width, channels)
    if rows.dtype != torch.bfloat16 or rows.shape[1] <= EXACT_POSITIONS:
        rows = rows.float() if rows.dtype == torch.bfloat16 else rows
        return _symmetric_product(rows), _sum_positions(rows, weights) if with_sums else None
    parts = _split_positions(rows)
    products = _add_partial_sums([_sum_rounded_products(part) for part in parts])
    if not with_sums:
        return products, None
    return products, _sum_positions(rows, weights)


def _sum_strips(values: Tensor, with_sums: bool) -> tuple[Tensor, Tensor | None]:
    """Computes :func:`sum_products` of ``(batch, height, width, channels)`` strip by strip."""
    batch, _, width, channels = values.shape
    products = values.new_zeros(batch, channels, channels)
    sums = values.new_zeros(batch, channels, 1)
    height = max(1, COPIED_BYTES // (batch * width * channels * values.element_size()))
    for strip in torch.split(values, height, dim=1):
        rows = strip.flatten(1, 2)
        products += _symmetric_product(rows)
        if with_sums:
            sums += _sum_positions(rows, None)
    return products, sums if with_sums else None


def _sum_positions(rows: Tensor, weights: PositionWeights | None) -> Tensor:
    """Sums ``(batch, positions, channels)`` over positions, times the roots of weights: ``(batch, channels, 1)``."""
    precision = torch.float32 if rows.dtype == torch.bfloat16 else rows.dtype
    ones = rows.shape[1] if weights is None else weights.ones
    sums = rows.new_zeros(rows.shape[0], rows.shape[2], dtype=precision)
    if ones:
        whole = rows[:, :ones]
        if rows.dtype == torch.bfloat16 and ones > EXACT_POSITIONS:
            sums = _add_partial_sums([part.sum(dim=2).sum(dim=1, dtype=precision) for part in _split_positions(whole)])
        else:
            sums = whole.sum(dim=1, dtype=precision)
    if weights is not None and ones < rows.shape[1]:
        sums = sums + (weights.roots(precision).mT @ rows[:, ones:].to(precision))[:, 0]
    return sums[..., None]


def apply_channel_matrix(
    features: Tensor, matrices: Tensor, offsets: Tensor | None, weights: PositionWeights | None = None
) -> Tensor:
    """Multiplies the channels at each position by a matrix and adds an offset: ``D x + d``.

    Args:
        features: ``(batch, channels, height, width)``.
        matrices: ``D``, symmetric, ``(batch, channels, channels)``.
        offsets: ``d``, ``(batch, channels, 1)``, or None for 0.
        weights: weights whose roots multiply the offset at each position.

    Returns:
        ``(batch, channels, height, width)``, in the precision of the features.
    """
    kernels = matrices.to(features.dtype)
    shifts = None if offsets is None else offsets.to(features.dtype)
    # A 1x1 convolution adds the shift while it multiplies; a separate addition would write the whole map again.
    biases = [None] * len(features) if shifts is None else shifts[..., 0]
    images = [features] if len(features) == 1 else torch.split(features, 1)
    results = [
        functional.conv2d(image, *own) for image, *own in zip(images, kernels[..., None, None], biases, strict=True)
    ]
    result = results[0] if len(results) == 1 else torch.cat(results)
    if weights is not None and shifts is not None:
        # The shift is correct where the weight is 1.
        rows = result.permute(0, 2, 3, 1).flatten(1, 2)
        rows[:, weights.ones :].addcmul_(weights.roots(features.dtype) - 1, shifts.mT)
    return result


def to_summable(features: Tensor) -> Tensor:
    """Converts features to a precision that :func:`sum_products` accepts.

    Args:
        features: any shape.

    Returns:
        float64 and bfloat16 features as they are, others in float32.
    """
    return features if features.dtype in (torch.float64, torch.bfloat16) else features.float()


def _split_positions(rows: Tensor) -> list[Tensor]:
    """Splits ``(batch, positions, channels)`` for partial sums: ``(batch, parts, positions per part, channels)``.

    The last entry holds the remaining positions, if there are any, as one shorter part.
    """
    batch, positions, channels = rows.shape
    length = min(MAX_POSITIONS_PER_SUM, positions // MIN_PARTIAL_SUMS)
    whole = positions // length * length
    parts = [rows[:, :whole].reshape(batch, -1, length, channels)]
    return parts if whole == positions else [*parts, rows[:, None, whole:]]


def _sum_rounded_products(parts: Tensor) -> Tensor:
    """Sums products over the positions of each part in bfloat16, and over the parts in float32."""
    products = _symmetric_product(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])  # type: ignore[no-untyped-call]
    result: Tensor = products.sum(dim=1, dtype=torch.float32)
    return result


def _symmetric_product(rows: Tensor) -> Tensor:
    """``F^T F`` of ``(batch, positions, channels)``; many channels in blocks, the lower ones copied from the upper."""
    step = rows.shape[2] // COLUMN_BLOCKS
    if rows.device.type != "cpu" or rows.dtype == torch.bfloat16 or step < MIN_BLOCK_CHANNELS:
        return torch.bmm(rows.mT, rows)
    result = rows.new_empty(rows.shape[0], rows.shape[2], rows.shape[2])
    for start, end in pairwise((*range(0, COLUMN_BLOCKS * step, step), rows.shape[2])):
        block = torch.bmm(rows[..., start:end].mT, rows[..., start:])
        result[:, start:end, start:] = block
        result[:, end:, start:end] = block[..., end - start :].mT
    return result


def _add_partial_sums(sums: list[Tensor]) -> Tensor:
    return sums[0] if len(sums) == 1 else torch.stack(sums).sum(dim=0)


@torch.no_grad()
def matrix_power(matrices: Tensor, exponent: float, floor: float) -> Tensor:
    """Raises symmetric matrices, divided by their largest eigenvalue, to a power.

    ``U max(e / e_max, floor)^exponent U^T`` with eigenvalues ``e`` and eigenvectors ``U``, computed in float64.

    Args:
        matrices: ``(batch, n, n)``, symmetric and positive semi-definite.
        exponent: any real number.
        floor: lower bound of the relative eigenvalues, in (0, 1].

    Returns:
        The same shape, dtype and device. The power of a zero matrix is the identity. No gradient.
    """
    exact = matrices.double().cpu()
    values, vectors = torch.linalg.eigh(exact)
    largest = values[:, -1:]
    relative = torch.where(largest > 0, values / largest, 1.0).clamp_min(floor)
    result: Tensor = ((vectors * relative.pow(exponent)[:, None]) @ vectors.mT).to(matrices)
    return result
