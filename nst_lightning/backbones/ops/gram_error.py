"""How far the moments of a feature map are from those of a style, as one operation."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nst_lightning.functional.gram import apply_channel_matrix, sum_products, to_summable


class ChannelMap(NamedTuple):
    """``W x + b`` of the channels ``x`` of a feature map, of which products and not features are wanted.

    Attributes:
        weight: ``W``, ``(1 or batch, outputs, channels)``.
        offset: ``b``, ``(1 or batch, outputs, 1)``, or None for 0.
    """

    weight: Tensor
    offset: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "ChannelMap":
        """The same in another precision."""
        return ChannelMap(self.weight.to(dtype), None if self.offset is None else self.offset.to(dtype))

    def for_each(self, batch: int) -> "ChannelMap":
        """One for each picture of a batch."""
        return ChannelMap(*(None if part is None else part.expand(batch, -1, -1) for part in self))  # type: ignore[arg-type]

    @property
    def of_ones(self) -> "ChannelMap":
        """The same of channels of which the last one is multiplied by the offset."""
        return self if self.offset is None else ChannelMap(torch.cat(tuple(self), 2))  # type: ignore[arg-type]


def gram_squared_error(
    features: Tensor, target: Tensor, of: ChannelMap | None = None, share: Tensor | None = None, weight: float = 1.0
) -> Tensor:
    """Mean squared error of products of channels, in few operations.

    ``weight * mean((G - target)^2)`` with ``G`` the :func:`gram_matrix` or, if there is a map,
    means over positions of the products of what it makes of the channels, ``W S W^T + W s b^T + b s^T W^T + b b^T``
    with ``S`` the means of the channels' products and ``s`` those of the channels.

    Args:
        features: ``(batch, channels, height, width)``.
        target: ``(1 or batch, n, n)``, symmetric; no gradient.
        of: the map, to ``n`` channels; no gradient.
        share: how much each position counts, ``(batch, 1, height, width)``, float32 and 1 on average.
        weight: a factor.

    Returns:
        A scalar, float32 or float64.
    """
    positions = features.shape[2] * features.shape[3]
    divisor = positions if of is not None else features.shape[1] * positions
    if share is not None:
        root = share.sqrt().to(features.dtype)
        channels = [features * root] if of is None or of.offset is None else [features * root, root]
        features, of = torch.cat(channels, 1), of and of.of_ones
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = _SquaredError.apply(to_summable(features), target, of, divisor, weight)
    return result


class _SquaredError(torch.autograd.Function):
    """See :func:`squared_error`; what lies between features and the scalar is symmetric, and small."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, target: Tensor, of: ChannelMap | None, divisor: int, weight: float
    ) -> Tensor:
        products, sums = sum_products(features, of is not None and of.offset is not None)
        if of is not None:
            of = of.to(products.dtype) if of.weight.dtype != products.dtype else of
            of = of.for_each(len(products)) if len(of.weight) != len(products) else of
        missing = _missing(target.to(products.dtype), products, sums, of, divisor)
        ctx.of, ctx.factor = of, -4 * weight / missing.numel() / divisor
        ctx.save_for_backward(features, missing)
        result: Tensor = torch.linalg.vector_norm(missing).square() * (weight / missing.numel())
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        features, missing = ctx.saved_tensors
        matrices, offsets = missing * (gradients[0] * ctx.factor), None
        if ctx.of is not None:
            weight, offset = ctx.of
            half = torch.bmm(weight.mT, matrices)
            matrices, offsets = torch.bmm(half, weight), None if offset is None else torch.bmm(half, offset)
        return apply_channel_matrix(features, matrices, offsets), None, None, None, None


def _missing(target: Tensor, products: Tensor, sums: Tensor | None, of: ChannelMap | None, divisor: int) -> Tensor:
    """What a target has more than the mapped means.

    Args:
        target: ``(1 or batch, n, n)``.
        products: over all positions, ``(batch, channels, channels)``.
        sums: likewise, ``(batch, channels, 1)``, where there is an offset.
        of: the map, for each picture.
        divisor: of the products.
    """
    if of is None:
        # As the target was made: of the same features it has nothing more.
        return target - products / divisor
    share = -1 / divisor
    missing = torch.baddbmm(target, torch.bmm(of.weight, products), of.weight.mT, alpha=share)
    if sums is not None and of.offset is not None:
        # Half of the offset's own products with each side, for they are there once.
        half = torch.baddbmm(of.offset, of.weight, sums, beta=divisor / 2)
        missing.baddbmm_(half, of.offset.mT, alpha=share).baddbmm_(of.offset, half.mT, alpha=share)
    return missing
