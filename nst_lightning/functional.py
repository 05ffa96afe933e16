"""The mathematics, as pure functions of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def gram_matrix(features: Tensor) -> Tensor:
    """Inner products of the channels of a feature map, divided by its number of values per picture.

    ``G = F F^T / (channels * height * width)`` with ``F`` of shape ``(channels, height * width)``: Gatys et al. 2016,
    eq. 3, in the normalization of the PyTorch tutorial. Each picture of a batch has a matrix of its own.

    Of bfloat16 features with many positions the products are summed in float32 over a part of them at a time; such a
    sum is rounded to bfloat16, for that is what matrix products of bfloat16 return, and the sums are added in float32:
    roundings average out over so many parts. Over few positions they would not, and the objective would end at their
    level (a painting of 192 px had twice the objective after 300 steps), so there, and of all other features, the sums
    are float32 or, if the features are, float64.

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
        sums, products = _SumsAndProducts.apply(scaled(features, share))
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


EXACT_POSITIONS = 4096
"""Up to how many positions the Gram matrix of a bfloat16 feature map is summed in float32."""

LEAST_PARTS, AT_ONCE = 64, 1024
"""In how many parts a larger one is summed at least, and over how many positions at most, before it is rounded."""


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
        return _inner_products(_parts(rows))

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
    """``F^T 1`` and ``F^T F`` of ``F`` ``(batch, positions, channels)``, the rows of a feature map."""

    @staticmethod
    def forward(features: Tensor) -> tuple[Tensor, Tensor]:
        parts = _parts(_rows(features))
        return _sums(parts), _inner_products(parts)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        features: Tensor = ctx.saved_tensors[0]
        sums, both = (gradient.to(features.dtype) for gradient in (gradients[0], gradients[1] + gradients[1].mT))
        # Convolutions of one position add while they multiply; other ways to add write a map once more.
        items = zip(torch.split(features, 1), both, sums, strict=True)
        found = [functional.conv2d(item, matrix[:, :, None, None], offset) for item, matrix, offset in items]
        return found[0] if len(found) == 1 else torch.cat(found)


def _inner_products(parts: list[Tensor]) -> Tensor:
    return torch.stack([(part.mT @ part).sum(dim=1, dtype=_exact(part)) for part in parts]).sum(dim=0)


def _sums(parts: list[Tensor]) -> Tensor:
    return torch.stack([part.sum(dim=2).sum(dim=1, dtype=_exact(part)) for part in parts]).sum(dim=0)


def _exact(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


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
    def forward(difference: Tensor) -> Tensor:
        return _sum_of_squares(difference) / difference.numel()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        difference: Tensor = ctx.saved_tensors[0]
        result: Tensor = difference * (gradients[0] * 2 / difference.numel())
        return result


def _sum_of_squares(values: Tensor) -> Tensor:
    """Of bfloat16 each root of a sum over :data:`AT_ONCE` values is rounded: a copy in float32 takes much longer."""
    last = values.is_contiguous(memory_format=torch.channels_last) if values.dim() == 4 else False
    flat = (values.permute(0, 2, 3, 1) if last else values).reshape(-1)
    whole = flat.numel() // AT_ONCE * AT_ONCE if values.dtype == torch.bfloat16 else 0
    lengths = torch.linalg.vector_norm(flat[:whole].view(-1, AT_ONCE), dim=1).float()
    rest = torch.linalg.vector_norm(flat[whole:], dtype=_exact(values))
    result: Tensor = lengths.square().sum() + rest.square()
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
