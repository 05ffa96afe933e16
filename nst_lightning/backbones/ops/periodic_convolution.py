"""Convolutions of feature maps that continue periodically beyond their edges, with frozen weights."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nst_lightning.backbones.ops.frozen_layers import STRIDE

# Argument of torch's convolution kernels.
NO_PADDING = [0, 0]


def periodic_convolution(value: Tensor, weight: Tensor, bias: Tensor, rectified: bool = False) -> Tensor:
    """Computes ``conv2d(pad(relu(value)), weight, bias)`` with circular padding and a gradient for ``value`` only.

    Args:
        value: ``(batch, channels, height, width)``, before the ReLU.
        weight: ``(outputs, channels, 3, 3)``.
        bias: ``(outputs,)``.
        rectified: whether the ReLU has been applied already.
    """
    result: Tensor = _PeriodicConvolution.apply(value, weight, bias, rectified)
    return result


def plain_padded_convolution(value: Tensor, weight: Tensor, bias: Tensor, padding: str = "circular") -> Tensor:
    """Plain implementation of :func:`periodic_convolution`, also with gradients for weight and bias.

    Args:
        value: ``(batch, channels, height, width)``, before the ReLU.
        weight: ``(outputs, channels, 3, 3)``.
        bias: ``(outputs,)``.
        padding: ``circular``, or ``replicate`` to repeat the values of the edge.
    """
    return functional.conv2d(functional.pad(functional.relu(value), (1, 1, 1, 1), mode=padding), weight, bias)


class _PeriodicConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor, bias: Tensor, rectified: bool) -> Tensor:
        ctx.save_for_backward(value, weight)
        # The ReLU writes into the padded map, so that padding costs no further copy.
        padded = _empty_padded(value)
        inner = padded[:, :, 1:-1, 1:-1]
        inner.copy_(value) if rectified else torch.clamp_min(value, 0, out=inner)
        padded[:, :, 0], padded[:, :, -1] = padded[:, :, -2], padded[:, :, 1]
        padded[..., 0], padded[..., -1] = padded[..., -2], padded[..., 1]
        return functional.conv2d(padded, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        value, weight = ctx.saved_tensors
        # torch reads only the shape of the second argument if no gradient of the weights is requested.
        padded = torch.ops.aten.convolution_backward(
            gradient,
            _empty_padded(value),
            weight,
            None,
            STRIDE,
            NO_PADDING,
            STRIDE,
            False,
            [0, 0],
            1,
            [True, False, False],
        )[0]
        padded[..., -2] += padded[..., 0]
        padded[..., 1] += padded[..., -1]
        padded[:, :, -2] += padded[:, :, 0]
        padded[:, :, 1] += padded[:, :, -1]
        return torch.ops.aten.threshold_backward(padded[:, :, 1:-1, 1:-1], value, 0), None, None, None


def _empty_padded(value: Tensor) -> Tensor:
    batch, channels, height, width = value.shape
    shape = (batch, channels, height + 2, width + 2)
    return torch.empty(shape, dtype=value.dtype, device=value.device, memory_format=torch.channels_last)
