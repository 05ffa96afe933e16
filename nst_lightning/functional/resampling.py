"""Resampling of feature maps, and of parts of them with the result of the whole map."""

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.functional.boxes import Box
from nst_lightning.functional.periodic import interpolate_periodic


def resample(value: Tensor, height: int, width: int, is_periodic: bool = False) -> Tensor:
    """Resamples a map: values are averaged where the map shrinks and interpolated linearly where it grows.

    Args:
        value: ``(batch, channels, any, any)``.
        height: number of rows.
        width: number of columns.
        is_periodic: whether the map repeats beyond its edges.

    Returns:
        ``(batch, channels, height, width)``.
    """
    inputs = (value.shape[-2], value.shape[-1])
    if _is_linear(inputs, (height, width)) and is_periodic:
        return interpolate_periodic(value, height, width, "bilinear")
    if _is_linear(inputs, (height, width)):
        return functional.interpolate(value, size=(height, width), mode="bilinear", align_corners=False)
    block = _block(inputs, (height, width))
    if block is not None:
        # The same as adaptive pooling but for a remainder at the end, and several times as fast.
        return functional.avg_pool2d(value, block)
    return functional.adaptive_avg_pool2d(value, (height, width))


def _is_linear(inputs: tuple[int, int], outputs: tuple[int, int]) -> bool:
    return any(length < wanted for length, wanted in zip(inputs, outputs, strict=True))


def _block(inputs: tuple[int, int], outputs: tuple[int, int]) -> tuple[int, int] | None:
    """Returns height and width of equal blocks whose averages are the result, or None if blocks would overlap."""
    rows, columns = inputs[0] // outputs[0], inputs[1] // outputs[1]
    return (rows, columns) if (inputs[0] // rows, inputs[1] // columns) == outputs else None


def resample_box(
    value: Tensor, origin: tuple[int, int], inputs: tuple[int, int], outputs: tuple[int, int], box: Box
) -> Tensor:
    """Computes a part of the result of :func:`resample` from a part of the map.

    Args:
        value: the part of the map, ``(batch, channels, any, any)``; it contains all that the result is computed from.
        origin: row and column of the map at which the part begins.
        inputs: height and width of the whole map.
        outputs: height and width of the whole result.
        box: the part of the result.

    Returns:
        ``(batch, channels, rows, columns)`` of the box.
    """
    is_linear = _is_linear(inputs, outputs)
    block = None if is_linear else _block(inputs, outputs)
    ranges = (range(*box[:2]), range(*box[2:]))
    if block is not None:
        for axis, (length, chosen) in enumerate(zip(block, ranges, strict=True)):
            value = value.narrow(axis - 2, length * chosen.start - origin[axis], length * len(chosen))
        return value if block == (1, 1) else functional.avg_pool2d(value, block)
    exact = value if value.dtype == torch.float64 else value.float()
    with torch.autocast(value.device.type, enabled=False):
        for axis, chosen in enumerate(ranges):
            first, matrix = resampling_matrix(inputs[axis], outputs[axis], chosen, is_linear)
            assert first >= origin[axis], "the part contains what the result is computed from"
            exact = exact.narrow(axis - 2, first - origin[axis], matrix.shape[1])
            matrix = matrix.to(exact)
            exact = matrix @ exact if axis == 0 else exact @ matrix.mT
    return exact.to(value.dtype)


def resampling_matrix(inputs: int, outputs: int, chosen: range, is_linear: bool) -> tuple[int, Tensor]:
    """Returns some rows of the matrix that resamples a line of values.

    A result is the average of the values ``floor(i n / m)`` to ``ceil((i + 1) n / m) - 1``, as in adaptive pooling, or
    the linear interpolation at ``(i + 1/2) n / m - 1/2``.

    Args:
        inputs: ``n``, number of values.
        outputs: ``m``, number of results.
        chosen: the results ``i`` that are wanted, at least one.
        is_linear: whether to interpolate.

    Returns:
        Number of the first value that is used, and the weights, ``(results, values)``, float64.
    """
    if is_linear:
        source = ((torch.tensor(chosen, dtype=torch.float64) + 0.5) * inputs / outputs - 0.5).clamp(0, inputs - 1)
        cells = torch.arange(int(source[0]), min(inputs, int(source[-1]) + 2))
        return int(cells[0]), (1 - (cells - source[:, None]).abs()).clamp_min(0)
    starts = torch.tensor([i * inputs // outputs for i in chosen])[:, None]
    ends = torch.tensor([-(-(i + 1) * inputs // outputs) for i in chosen])[:, None]
    cells = torch.arange(int(starts[0]), int(ends[-1]))
    return int(cells[0]), ((cells >= starts) & (cells < ends)) / (ends - starts).double()
