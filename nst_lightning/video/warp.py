"""Warping of images along optical flow."""

from typing import Literal

import torch
from torch import Tensor


def warp(image: Tensor, flow: Tensor, kernel: Literal["linear", "cubic"] = "cubic") -> Tensor:
    """Samples an image where a flow points: ``result(p) = image(p + flow(p))``.

    With the backward flow of a frame, which leads from each of its pixels to the previous frame, this aligns the
    previous frame with the frame. A flow in whole pixels is exact. The image is mirrored at its edges.

    Args:
        image: ``(batch, channels, height, width)``.
        flow: ``(batch, 2, height, width)`` in px, horizontal component first, as in .flo files.
        kernel: interpolation between pixels: ``linear`` (Ruder et al. 2016), or ``cubic`` (Catmull-Rom), which keeps
            the detail of pictures that are warped again in every frame.

    Returns:
        ``(batch, channels, height, width)``.
    """
    height, width = image.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    weights, offsets = (_linear_weights, (0, 1)) if kernel == "linear" else (_cubic_weights, (-1, 0, 1, 2))
    result = torch.zeros_like(image)
    for row, row_weight in zip(_neighbors(rows, offsets, height), weights(rows - rows.floor()), strict=True):
        for column, column_weight in zip(
            _neighbors(columns, offsets, width), weights(columns - columns.floor()), strict=True
        ):
            result += _gather_pixels(image, row, column) * (row_weight * column_weight)[:, None]
    return result


def point_inside(flow: Tensor) -> Tensor:
    """Shortens a flow so that it points inside of the picture: :func:`warp` then repeats the edges.

    Args:
        flow: ``(batch, 2, height, width)`` in px.

    Returns:
        ``(batch, 2, height, width)`` in px.
    """
    height, width = flow.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    return torch.stack(
        [
            (columns + flow[:, 0]).clamp(0, width - 1) - columns,
            (rows + flow[:, 1]).clamp(0, height - 1) - rows,
        ],
        dim=1,
    )


def find_inside(flow: Tensor) -> Tensor:
    """Finds pixels whose flow points inside of the picture.

    Args:
        flow: ``(batch, 2, height, width)`` in px.

    Returns:
        1 inside and 0 outside, ``(batch, 1, height, width)``.
    """
    height, width = flow.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    within = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    return within[:, None].to(flow.dtype)


def _neighbors(position: Tensor, offsets: tuple[int, ...], length: int) -> list[Tensor]:
    """Returns the indices of the pixels around a position in one dimension, mirrored at the edges."""
    base = position.floor().long()
    last = max(1, length - 1)
    return [(last - ((base + offset) % (2 * last) - last).abs()).clamp(max=length - 1) for offset in offsets]


def _gather_pixels(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    batch, channels, height, width = image.shape
    indices = (rows * width + columns).reshape(batch, 1, -1).expand(-1, channels, -1)
    return image.reshape(batch, channels, -1).gather(2, indices).reshape(batch, channels, height, width)


def _linear_weights(t: Tensor) -> list[Tensor]:
    return [1 - t, t]


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Returns the weights of the four neighbors: Keys 1981 with a = -1/2."""
    return [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]
