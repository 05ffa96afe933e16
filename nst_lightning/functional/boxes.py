"""Boxes: rectangular parts of images and feature maps."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows and columns of a map: top, bottom, left, right; the ends do not belong to it.
Box = tuple[int, int, int, int]


def shift_box(box: Box, origin: tuple[int, int]) -> Box:
    """Returns a box relative to an origin, row and column."""
    top, bottom, left, right = box
    row, column = origin
    return top - row, bottom - row, left - column, right - column


def intersect_boxes(first: Box, second: Box) -> Box | None:
    """Returns what two boxes have in common, or None."""
    top, left = max(first[0], second[0]), max(first[2], second[2])
    bottom, right = min(first[1], second[1]), min(first[3], second[3])
    return (top, bottom, left, right) if top < bottom and left < right else None


def view_box(values: Tensor, box: Box) -> Tensor:
    """Returns the positions of a box in an image or a feature map, ``(..., height, width)``, as a view."""
    top, bottom, left, right = box
    return values[..., top:bottom, left:right]


def clear_outside(values: Tensor, box: Box) -> None:
    """Sets an image or a feature map, ``(..., height, width)``, to 0 outside of a box, in place."""
    top, bottom, left, right = box
    for rest in (values[..., :top, :], values[..., bottom:, :], values[..., :left], values[..., right:]):
        rest.zero_()


def cut_box(features: Tensor, box: Box) -> Tensor:
    """Cuts positions out of a feature map, ``(batch, channels, height, width)``, as a view.

    The gradient has the memory layout of the map. That of a slice is always contiguous, which takes longer to fill and
    to add to the other gradients of a channels-last map.
    """
    result: Tensor = _CutBox.apply(features, box)
    return result


class _CutBox(torch.autograd.Function):
    """See :func:`cut_box`."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, box: Box) -> Tensor:
        ctx.box, ctx.shape = box, features.shape
        ctx.is_channels_last = features.is_contiguous(memory_format=torch.channels_last)
        return view_box(features, box)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        layout = torch.channels_last if ctx.is_channels_last else torch.contiguous_format
        result = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout)
        view_box(result, ctx.box).copy_(gradient)
        clear_outside(result, ctx.box)
        return result, None
