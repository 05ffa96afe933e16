"""Errors of images and feature maps, value by value."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Squares of bfloat16 values are summed in groups of this size: the root of each sum is rounded to bfloat16, and the
# squared roots are added in float32. A float32 copy of all values takes much longer.
SQUARES_PER_ROOT = 1024


# Differences of this many pixels are in memory at a time.
DIFFERENCE_PIXELS = 2**22


def mean_squared_error(value: Tensor, target: Tensor) -> Tensor:
    """Computes the mean of squared differences, summed in float32 (float64 stays float64).

    Args:
        value: any shape.
        target: the same shape.

    Returns:
        A scalar, in float32 or float64.
    """
    result: Tensor = _MeanSquare.apply(value - target)
    return result


class _MeanSquare(torch.autograd.Function):
    """Mean of squares in float32 or float64 without a copy in that precision; the gradient keeps the input's."""

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
    precision = torch.float64 if values.dtype == torch.float64 else torch.float32
    roots = _partial_norms(values) if values.dtype == torch.bfloat16 else values
    result: Tensor = torch.linalg.vector_norm(roots, dtype=precision).square()
    return result


def _partial_norms(values: Tensor) -> Tensor:
    """Norms of successive groups of ``SQUARES_PER_ROOT`` values, in the order in which they lie in memory."""
    is_channels_last = values.is_contiguous(memory_format=torch.channels_last) if values.dim() == 4 else False
    flat = (values.permute(0, 2, 3, 1) if is_channels_last else values).reshape(-1)
    whole = flat.numel() // SQUARES_PER_ROOT * SQUARES_PER_ROOT
    norms = torch.linalg.vector_norm(flat[:whole].view(-1, SQUARES_PER_ROOT), dim=1)
    return torch.cat([norms, torch.linalg.vector_norm(flat[whole:], dim=0, keepdim=True)])


def total_variation(image: Tensor, exponent: float = 2.0, periodic: bool = False) -> Tensor:
    """Computes the total variation: the mean of ``|difference|^exponent`` between vertical, plus horizontal, neighbors.

    A mean, where Mahendran and Vedaldi 2015 take a sum, so that a weight means the same at every image size.

    Args:
        image: ``(batch, channels, height, width)``, at least 2 px high and wide.
        exponent: positive; 2 smooths everything a little, 1 flattens noise and keeps edges.
        periodic: whether the image repeats: the last row is a neighbor of the first, and so are the columns.

    Returns:
        A scalar.
    """
    if exponent == 2 and periodic:
        return mean_squared_error(image.roll(-1, 2), image) + mean_squared_error(image.roll(-1, 3), image)
    if exponent == 2:
        result: Tensor = _SquaredVariation.apply(image)
        return result
    vertical, horizontal = _neighbor_differences(image)
    if periodic:
        vertical, horizontal = image.roll(-1, 2) - image, image.roll(-1, 3) - image
    return vertical.abs().pow(exponent).mean() + horizontal.abs().pow(exponent).mean()


def _neighbor_differences(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between vertical neighbors and between horizontal neighbors."""
    return image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]


class _SquaredVariation(torch.autograd.Function):
    """Total variation with exponent 2. Its gradient is accumulated in one tensor: a third of the time on CPUs.

    Differences are computed again for the gradient, in bands of rows, so that only the image and the gradient are in
    memory.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        ctx.save_for_backward(image)
        sums = []
        for start, end, band in _bands(image):
            vertical, horizontal = _neighbor_differences(band)
            sums.append((_sum_of_squares(vertical), _sum_of_squares(horizontal[..., : end - start, :])))
        counts = [_count_differences(image, dim) for dim in (2, 3)]
        means = [torch.stack(parts).sum() / n for parts, n in zip(zip(*sums, strict=True), counts, strict=True)]
        return means[0] + means[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        image: Tensor = ctx.saved_tensors[0]
        result = torch.zeros_like(image)
        factors = [gradient * 2 / _count_differences(image, dim) for dim in (2, 3)]
        for start, end, band in _bands(image):
            vertical, horizontal = (
                values * factor for values, factor in zip(_neighbor_differences(band), factors, strict=True)
            )
            result[..., start + 1 : start + 1 + vertical.shape[-2], :] += vertical
            result[..., start : start + vertical.shape[-2], :] -= vertical
            own = horizontal[..., : end - start, :]
            result[..., start:end, 1:] += own
            result[..., start:end, :-1] -= own
        return result


def _bands(image: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Yields first row, end and content of bands of an image; each has the first row of the next band in addition."""
    height, width = image.shape[-2:]
    rows = max(1, DIFFERENCE_PIXELS // width)
    for start in range(0, height, rows):
        end = min(height, start + rows)
        yield start, end, image[..., start : end + 1, :]


def _count_differences(image: Tensor, dim: int) -> int:
    return image.numel() // image.shape[dim] * (image.shape[dim] - 1)


@torch.no_grad()
def measure_smoothness(image: Tensor) -> Tensor:
    """Measures how free of grain a picture is: 1 for large flat areas, 0 for grain or brushwork everywhere.

    ``1 / (1 + exp(1e4 m - 25))`` with ``m`` the median over pixels and channels of ``(dx^2 + dy^2) / 2``: Luan et al.
    2018 (Deep Painterly Harmonization), whose weight of the total variation is ten times this number. It is 1/2 if
    neighboring values typically differ by 0.05.

    Args:
        image: ``(batch, channels, height, width)`` in [0, 1], at least 2 px high and wide.

    Returns:
        A scalar in [0, 1]. No gradient.
    """
    vertical, horizontal = _neighbor_differences(image)
    squares = vertical[..., :-1].square() + horizontal[..., :-1, :].square()
    return torch.sigmoid(25 - 1e4 * squares.median() / 2)


def laplacian(image: Tensor, periodic: bool = False) -> Tensor:
    """Computes the Laplacian of an image, summed over channels: four times a value less its four neighbors.

    Args:
        image: ``(batch, channels, height, width)``.
        periodic: whether the image repeats beyond its edges; otherwise its edge values are repeated.

    Returns:
        ``(batch, 1, height, width)``.
    """
    summed, mode = image.sum(dim=1, keepdim=True), "circular" if periodic else "replicate"
    rows = functional.pad(summed, (0, 0, 1, 1), mode=mode)
    columns = functional.pad(summed, (1, 1, 0, 0), mode=mode)
    return 4 * summed - rows[..., :-2, :] - rows[..., 2:, :] - columns[..., :-2] - columns[..., 2:]


def average_pool(image: Tensor, length: int) -> Tensor:
    """Averages blocks of ``length`` x ``length`` pixels; blocks at the right and lower edges may be smaller.

    Args:
        image: ``(batch, channels, height, width)``.
        length: length of a block in px.
    """
    return functional.avg_pool2d(image, length, ceil_mode=True, count_include_pad=False)


def masked_squared_error(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Computes the sum of masked squared differences, divided by the number of values of an image.

    The temporal loss of Ruder, Dosovitskiy and Brox 2016, eq. 7. The divisor counts all values, masked or not, so the
    contribution of a pixel does not depend on how many others are masked. The images of a batch are summed.

    Args:
        value: ``(batch, channels, height, width)``.
        target: the same shape.
        mask: the weight of each pixel, ``(batch, 1, height, width)``, in [0, 1].

    Returns:
        A scalar.
    """
    return (mask * (value - target).square()).flatten(1).mean(1).sum()


def mask_nearest_first(masks: Sequence[Tensor]) -> list[Tensor]:
    """Reduces the masks of several previous frames so that the nearest frame that shows a pixel takes precedence.

    Ruder, Dosovitskiy and Brox 2016, eq. 9: from each mask those of all nearer frames are subtracted, clamped at 0.

    Args:
        masks: how visible each pixel is in a previous frame, in [0, 1], any equal shapes; the nearest frame first.

    Returns:
        As many masks of the same shapes, in the same order.
    """
    reduced: list[Tensor] = []
    for mask in masks:
        remaining = mask
        for nearer in reduced:
            remaining = remaining - nearer
        reduced.append(remaining.clamp(min=0))
    return reduced


def warping_error(image: Tensor, warped: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the parts of the warping error between a frame and the previous one, warped along the optical flow.

    The error is the root of the ratio of the two parts. They are returned separately so that several frames can be
    summed first.

    Args:
        image: ``(batch, channels, height, width)``.
        warped: the warped previous frame, the same shape.
        mask: where the flow is reliable, ``(batch, 1, height, width)``, in [0, 1].

    Returns:
        The sum over pixels of the masked squared difference, averaged over channels, and the sum of the mask.
    """
    squares = (image - warped).square().mean(1, keepdim=True)
    return (mask * squares).sum(), mask.sum()
