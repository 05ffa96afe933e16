"""Mean squared error between Gram matrices as one operation with a small gradient."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nst_lightning.functional.gram import (
    PositionWeights,
    apply_channel_matrix,
    sum_products,
    to_summable,
    weight_positions,
)


class ChannelMap(NamedTuple):
    """An affine map ``W x + b`` of the channels ``x`` of a feature map, applied to products instead of features.

    Attributes:
        weight: ``W``, ``(1 or batch, outputs, channels)``.
        offset: ``b``, ``(1 or batch, outputs, 1)``, or None for 0.
    """

    weight: Tensor
    offset: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "ChannelMap":
        """Returns the map in another data type."""
        return ChannelMap(self.weight.to(dtype), None if self.offset is None else self.offset.to(dtype))

    def expand(self, batch: int) -> "ChannelMap":
        """Returns one map for each picture of a batch."""
        offset = None if self.offset is None else self.offset.expand(batch, -1, -1)
        return ChannelMap(self.weight.expand(batch, -1, -1), offset)


def gram_squared_error(
    features: Tensor,
    target: Tensor,
    channel_map: ChannelMap | None = None,
    weights: PositionWeights | None = None,
    weight: float = 1.0,
    is_rooted: bool = False,
) -> Tensor:
    """Computes ``weight * mean((G - target)^2)`` in few operations.

    Without a map, ``G`` is :func:`nst_lightning.functional.gram.gram_matrix`. With a map, ``G`` holds the means over
    positions of the products of the mapped channels, ``W S W^T + W s b^T + b s^T W^T + b b^T``, with ``S`` the means of
    the channels' products and ``s`` the channels' means.

    Args:
        features: ``(batch, channels, height, width)``.
        target: ``(1 or batch, n, n)``, symmetric; receives no gradient.
        channel_map: the map to ``n`` channels; receives no gradient.
        weights: of the positions; equal by default.
        weight: a factor.
        is_rooted: whether the features are already those of :func:`nst_lightning.functional.gram.weight_positions`.

    Returns:
        A scalar, float32 or float64.
    """
    positions = features.shape[2] * features.shape[3] if weights is None else weights.total
    divisor = positions if channel_map is not None else features.shape[1] * positions
    features = features if is_rooted else weight_positions(features, weights)
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _GramSquaredError.apply(to_summable(features), target, channel_map, divisor, weight, weights)
    return result


def plain_gram_squared_error(
    features: Tensor,
    target: Tensor,
    channel_map: ChannelMap | None = None,
    weights: PositionWeights | None = None,
    weight: float = 1.0,
) -> Tensor:
    """Plain implementation of :func:`gram_squared_error`."""
    rows = features.flatten(2)
    positions = rows.shape[2] if weights is None else weights.total
    divisor = rows.shape[1] * positions
    if channel_map is not None:
        rows = channel_map.weight @ rows + (0 if channel_map.offset is None else channel_map.offset)
        divisor = positions
    weighted = rows if weights is None else rows * weights.values.flatten(2)
    return weight * (weighted @ rows.mT / divisor - target).square().mean()


class _GramSquaredError(torch.autograd.Function):
    """See :func:`gram_squared_error`; everything between the features and the scalar is symmetric and small."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        target: Tensor,
        channel_map: ChannelMap | None,
        divisor: float,
        weight: float,
        weights: PositionWeights | None,
    ) -> Tensor:
        products, sums = sum_products(features, channel_map is not None and channel_map.offset is not None, weights)
        if channel_map is not None:
            channel_map = channel_map.to(products.dtype) if channel_map.weight.dtype != products.dtype else channel_map
            channel_map = channel_map.expand(len(products)) if len(channel_map.weight) != len(products) else channel_map
        residual = _residual(target.to(products.dtype), products, sums, channel_map, divisor)
        ctx.channel_map, ctx.factor = channel_map, -4 * weight / residual.numel() / divisor
        ctx.weights = weights
        ctx.save_for_backward(features, residual)
        result: Tensor = torch.linalg.vector_norm(residual).square() * (weight / residual.numel())
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        features, residual = ctx.saved_tensors
        matrices, offsets = residual * (gradients[0] * ctx.factor), None
        if ctx.channel_map is not None:
            weight, offset = ctx.channel_map
            half = torch.bmm(weight.mT, matrices)
            matrices, offsets = torch.bmm(half, weight), None if offset is None else torch.bmm(half, offset)
        return apply_channel_matrix(features, matrices, offsets, ctx.weights), None, None, None, None, None


def _residual(
    target: Tensor, products: Tensor, sums: Tensor | None, channel_map: ChannelMap | None, divisor: float
) -> Tensor:
    """Computes target minus mapped means.

    Args:
        target: ``(1 or batch, n, n)``.
        products: sums of products over all positions, ``(batch, channels, channels)``.
        sums: sums over all positions, ``(batch, channels, 1)``, if the map has an offset.
        channel_map: one map for each picture.
        divisor: divisor of the products.
    """
    if channel_map is None:
        # Divided as the target was, so that the residual of equal features is exactly 0.
        return target - products / divisor
    scale = -1 / divisor
    residual = torch.baddbmm(target, torch.bmm(channel_map.weight, products), channel_map.weight.mT, alpha=scale)
    if sums is not None and channel_map.offset is not None:
        # Each of the two mixed terms takes half of the offset's product with itself, which occurs once.
        half = torch.baddbmm(channel_map.offset, channel_map.weight, sums, beta=divisor / 2)
        residual.baddbmm_(half, channel_map.offset.mT, alpha=scale)
        residual.baddbmm_(channel_map.offset, half.mT, alpha=scale)
    return residual
