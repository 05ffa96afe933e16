"""The first convolution of a frozen network, from three channels to many."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

AT_ONCE = 5
"""Of how many neighbors CPUs make the gradient at once: with three channels each they fill the places of a register."""


def image_convolution(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``conv2d(image, weight, bias)`` with a gradient for the image alone.

    Args:
        image: ``(batch, 3, height, width)`` with its border.
        weight: ``(outputs, 3, 3, 3)``.
        bias: ``(outputs,)``.
    """
    if image.device.type != "cpu":
        return functional.conv2d(image, weight, bias)
    result: Tensor = _ImageConvolution.apply(image, weight, bias)
    return result


class _ImageConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return functional.conv2d(image, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _gradient_of_image(gradient, ctx.saved_tensors[0]), None, None


def _gradient_of_image(gradient: Tensor, weight: Tensor) -> Tensor:
    """The transposed convolution, as a convolution that makes some columns at each place of a wider kernel.

    Kernels of CPUs make sixteen outputs for the price of three, and so more than twice as many operations in two thirds
    of the time (measured at 512 px, bfloat16 and float32).
    """
    batch, _, height, width = gradient.shape
    channels, rows, columns = weight.shape[1:]
    kernel = weight.flip(2, 3).transpose(0, 1)
    wide = torch.cat([functional.pad(kernel, (place, AT_ONCE - 1 - place)) for place in range(AT_ONCE)])
    # One place more to the left than is wanted, so that there are enough to the right.
    padding = (rows - 1, columns - 1 + AT_ONCE)
    found = functional.conv2d(gradient, wide, stride=(1, AT_ONCE), padding=padding)
    found = found.permute(0, 2, 3, 1).reshape(batch, height + rows - 1, -1, channels)
    return found[:, :, AT_ONCE : AT_ONCE + width + columns - 1].permute(0, 3, 1, 2)
