"""Pictures moved by optical flow."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Kernel = Callable[[Tensor], list[Tensor]]


def warp(image: Tensor, flow: Tensor, kernel: Literal["linear", "cubic"] = "cubic") -> Tensor:
    """An image looked up where a flow points: ``result(p) = image(p + flow(p))``.

    With the backward flow of a frame, from each of its pixels to where that pixel was before, this moves the frame
    before to where things are now. A flow in whole pixels moves exactly. Beyond the edges the image is mirrored.

    Args:
        image: ``(batch, channels, height, width)``.
        flow: ``(batch, 2, height, width)`` in px, along the rows first, as in .flo files.
        kernel: between pixels ``linear`` (Ruder et al. 2016), or ``cubic`` (Catmull-Rom), which keeps the detail of
            pictures that are warped again in every frame.

    Returns:
        The size of the image.
    """
    height, width = image.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    weights, reach = (_linear, (0, 1)) if kernel == "linear" else (_cubic, (-1, 0, 1, 2))
    result = torch.zeros_like(image)
    for row, row_weight in zip(_around(rows, reach, height), weights(rows - rows.floor()), strict=True):
        for column, column_weight in zip(
            _around(columns, reach, width), weights(columns - columns.floor()), strict=True
        ):
            result += _picked(image, row, column) * (row_weight * column_weight)[:, None]
    return result


def inside(flow: Tensor) -> Tensor:
    """Where a flow points into the picture, as 0 and 1, ``(batch, 1, height, width)``."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    within = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    return within[:, None].to(flow.dtype)


def _around(position: Tensor, reach: tuple[int, ...], length: int) -> list[Tensor]:
    base = position.floor().long()
    last = max(1, length - 1)
    return [(last - ((base + offset) % (2 * last) - last).abs()).clamp(max=length - 1) for offset in reach]


def _picked(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    batch, channels, height, width = image.shape
    places = (rows * width + columns).reshape(batch, 1, -1).expand(-1, channels, -1)
    return image.reshape(batch, channels, -1).gather(2, places).reshape(batch, channels, height, width)


def _linear(t: Tensor) -> list[Tensor]:
    return [1 - t, t]


def _cubic(t: Tensor) -> list[Tensor]:
    """Weights of the four neighbors: Keys 1981 with a = -1/2."""
    return [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]
