"""A part of a network that is computed again for its gradient, of which its input alone is kept meanwhile."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Found = dict[Any, Tensor]
Part = Callable[[Tensor], tuple[Tensor | None, Found]]
"""Makes of a value the next one, or None at the end, and what was found on the way, by name."""


def again(part: Part, value: Tensor) -> tuple[Tensor | None, Found]:
    """``part(value)``, of which ``value`` alone is kept for the gradient.

    Args:
        part: to be called now and for each gradient; gradients of what it closes over are not taken.
        value: requires a gradient.
    """
    names: list[Any] = []
    following, *found = _Again.apply(part, names, value)
    return following, dict(zip(names, found, strict=True))


class _Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, names: list[Any], value: Tensor) -> tuple[Tensor | None, ...]:
        following, found = part(value)
        names.extend(found)
        ctx.part = part
        # A term that does not look at something must not cost a map of zeros.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(value)
        return (following, *found.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, None, Tensor]:
        value = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            following, found = ctx.part(value)
        pairs = zip((following, *found.values()), gradients, strict=True)
        wanted = [(output, gradient) for output, gradient in pairs if gradient is not None and output.requires_grad]
        del following, found, pairs
        (result,) = torch.autograd.grad([output for output, _ in wanted], value, [gradient for _, gradient in wanted])
        return None, None, result
