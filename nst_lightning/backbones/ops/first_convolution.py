"""The first convolution of a frozen network, from three channels to many."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# CPUs compute the gradient of five neighboring columns at a time: five times three channels fill a vector register.
COLUMNS_AT_A_TIME = 5


def first_convolution(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Computes ``conv2d(image, weight, bias)`` with a gradient for the image only.

    Args:
        image: ``(batch, 3, height, width)``, padded.
        weight: ``(outputs, 3, 3, 3)``.
        bias: ``(outputs,)``.
    """
    if image.device.type != "cpu":
        return plain_first_convolution(image, weight, bias)
    result: Tensor = _FirstConvolution.apply(image, weight, bias)
    return result


def plain_first_convolution(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Plain implementation of :func:`first_convolution`, also with gradients for weight and bias."""
    return functional.conv2d(image, weight, bias)


class _FirstConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return functional.conv2d(image, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _image_gradient(gradient, ctx.saved_tensors[0]), None, None


def _image_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Computes the transposed convolution as a strided convolution with a wider kernel and several columns of output.

    CPU kernels compute sixteen output channels for the price of three, so that more than twice as many operations take
    two thirds of the time (measured at 512 px, bfloat16 and float32).
    """
    batch, _, height, width = gradient.shape
    channels, rows, columns = weight.shape[1:]
    kernel = weight.flip(2, 3).transpose(0, 1)
    shifted = [functional.pad(kernel, (shift, COLUMNS_AT_A_TIME - 1 - shift)) for shift in range(COLUMNS_AT_A_TIME)]
    # One group of columns more on the left than needed, so that there are enough on the right.
    padding = (rows - 1, columns - 1 + COLUMNS_AT_A_TIME)
    result = functional.conv2d(gradient, torch.cat(shifted), stride=(1, COLUMNS_AT_A_TIME), padding=padding)
    result = result.permute(0, 2, 3, 1).reshape(batch, height + rows - 1, -1, channels)
    return result[:, :, COLUMNS_AT_A_TIME : COLUMNS_AT_A_TIME + width + columns - 1].permute(0, 3, 1, 2)
