"""A part of a network that is computed again for its gradient, of which its input alone is kept meanwhile."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Found = dict[Any, Tensor]
Part = Callable[[Tensor], tuple[Tensor | None, Found]]
"""Makes of a value the next one, or None at the end, and what was found on the way, by name."""


Look = Callable[[Tensor], Found]


class Following(Protocol):
    """A way on from a value."""

    def result(self, value: Tensor) -> Tensor:
        """What comes of the value."""

    def add_gradient(self, gradient: Tensor, value: Tensor, into: Tensor) -> None:
        """Adds to ``into``, of the value's shape, the gradient for the value that belongs to the result's."""


def again(part: Part, value: Tensor) -> tuple[Tensor | None, Found]:
    """``part(value)``, of which ``value`` alone is kept for the gradient.

    Args:
        part: to be called now and for each gradient; gradients of what it closes over are not taken.
        value: requires a gradient.
    """
    names: list[Any] = []
    following, *found = _Again.apply(part, names, value)
    return following, dict(zip(names, found, strict=True))


def seen(look: Look, value: Tensor, following: Following) -> tuple[Tensor, Found]:
    """``following(value)`` and ``look(value)``, whose gradients for ``value`` are added in one place.

    Torch makes the gradient of each way that a value goes before it adds them up; of a large map that is one too many.

    Args:
        look: takes what is to be found of the value, something with a gradient.
        value: requires a gradient.
        following: with a gradient that can be added to another.
    """
    names: list[Any] = []
    result, *found = _Seen.apply(look, names, value, following)
    return result, dict(zip(names, found, strict=True))


class _Seen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, look: Look, names: list[Any], value: Tensor, following: Following) -> tuple[Tensor, ...]:
        ctx.value = value.detach().requires_grad_()
        with torch.enable_grad():
            ctx.found = look(ctx.value)
        names.extend(ctx.found)
        ctx.following = following
        return (following.result(value), *(found.detach() for found in ctx.found.values()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor, None]:
        pairs = zip(ctx.found.values(), gradients[1:], strict=True)
        wanted = [(found, gradient) for found, gradient in pairs if found.requires_grad]
        (result,) = torch.autograd.grad([found for found, _ in wanted], ctx.value, [gradient for _, gradient in wanted])
        del pairs, wanted
        ctx.found = None
        ctx.following.add_gradient(gradients[0], ctx.value, result)
        ctx.value = None
        return None, None, result, None


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
