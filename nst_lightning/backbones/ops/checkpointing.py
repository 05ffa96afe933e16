"""Activation checkpointing of a part of a network and of the losses that are computed in it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Differentiable tensors by name.
Measurements = dict[Any, Tensor]

# Computes the next value, or None at the end of the network, and differentiable tensors by name.
Segment = Callable[[Tensor], tuple[Tensor | None, Measurements]]


def checkpoint(segment: Segment, value: Tensor) -> tuple[Tensor | None, Measurements]:
    """Computes ``segment(value)`` and keeps only ``value`` for the backward pass, which runs the segment again.

    The plain implementation is the call ``segment(value)``.

    Args:
        segment: has no gradients for anything but its argument.
        value: requires a gradient.
    """
    names: list[Any] = []
    following, *measured = _Checkpoint.apply(segment, names, value)
    return following, dict(zip(names, measured, strict=True))


class _Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, segment: Segment, names: list[Any], value: Tensor) -> tuple[Tensor | None, ...]:
        following, measured = segment(value)
        names.extend(measured)
        ctx.segment = segment
        # An output without a gradient must not cost a map of zeros.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(value)
        return (following, *measured.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, None, Tensor]:
        value = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            following, measured = ctx.segment(value)
        pairs = zip((following, *measured.values()), gradients, strict=True)
        used = [(output, gradient) for output, gradient in pairs if gradient is not None and output.requires_grad]
        # Frees each value as soon as its gradient is computed.
        del following, measured, pairs
        (result,) = torch.autograd.grad([output for output, _ in used], value, [gradient for _, gradient in used])
        return None, None, result
