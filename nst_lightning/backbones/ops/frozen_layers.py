"""Layers whose weights are not trained, with no more kept for the gradient than it needs.

torch keeps every value on the way for gradients of weights that nobody asks for. Here the output of each convolution is
all that is kept, once: what a rectifier or a pooling made of it is made again. It is half the memory or less.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nst_lightning.backbones.ops.checkpointing import Found

STRIDE = [1, 1]
WINDOW = [2, 2]

AT_ONCE = 1 << 19
"""Of how many maxima the indices are made at once: they take eight bytes each."""

State = Literal["wanted", "rectified", "spare"]
Look = Callable[[Tensor], Found]


def rectified_convolution(value: Tensor, weight: Tensor, bias: Tensor, state: State = "wanted") -> Tensor:
    """``conv2d(relu(value), weight, bias, padding=1)``, with a gradient for ``value`` alone.

    Args:
        value: ``(batch, channels, height, width)``, before its rectifier.
        weight: ``(outputs, channels, 3, 3)``.
        bias: ``(outputs,)``.
        state: whether ``value`` is ``wanted`` elsewhere as it is, ``rectified`` already, or ``spare``: then it is
            rectified in its place.
    """
    result: Tensor = _RectifiedConvolution.apply(value, weight, bias, state)
    return result


def maxima(value: Tensor, spare: bool = False) -> Tensor:
    """``max_pool2d(value, 2)``, which keeps no indices.

    Maxima of rectified values are rectified maxima, so that a rectifier may as well come after.

    Args:
        value: ``(batch, channels, height, width)``.
        spare: whether nobody else needs ``value``, which is then overwritten by its gradient; that can be taken once.
    """
    result: Tensor = _Maxima.apply(value, spare)
    return result


def seen_maxima(value: Tensor, look: Look) -> tuple[Tensor, Found]:
    """``maxima(value)`` and ``look(value)``, whose gradients for ``value`` are added a strip at a time.

    Torch would make both before it adds them: of a large map one too many.

    Args:
        value: requires a gradient.
        look: what is found of the value, something with a gradient.
    """
    names: list[Any] = []
    result, *found = _SeenMaxima.apply(value, look, names)
    return result, dict(zip(names, found, strict=True))


class _RectifiedConvolution(torch.autograd.Function):
    # Contexts are set up within `forward`: torch asks a `setup_context` for its signature each time, for 20 us.
    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor, bias: Tensor, state: State) -> Tensor:
        ctx.save_for_backward(value, weight)
        rectified = value if state == "rectified" else functional.relu(value, inplace=state == "spare")
        return functional.conv2d(rectified, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        value, weight = ctx.saved_tensors
        # Of its second argument torch reads the shape alone where a gradient of the weights is not wanted.
        before = torch.ops.aten.convolution_backward(
            gradient, value, weight, None, STRIDE, STRIDE, STRIDE, False, [0, 0], 1, [True, False, False]
        )[0]
        torch.ops.aten.threshold_backward.grad_input(before, value, 0, grad_input=before)
        return before, None, None, None


class _Maxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, spare: bool) -> Tensor:
        ctx.save_for_backward(value)
        ctx.spare = spare
        # Where no indices are wanted this is several times faster than max_pool2d on CPUs.
        height, width = (length // 2 * 2 for length in value.shape[2:])
        rows = torch.maximum(value[:, :, 0:height:2], value[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        value: Tensor = ctx.saved_tensors[0]
        result = value if ctx.spare else torch.empty_like(value)
        for strip, its_gradient in _strips(gradient):
            _gradient_of_maxima(value[:, :, strip], its_gradient, result[:, :, strip])
        return result, None


class _SeenMaxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, look: Look, names: list[Any]) -> tuple[Tensor, ...]:
        ctx.value = value.detach().requires_grad_()
        with torch.enable_grad():
            ctx.found = look(ctx.value)
        names.extend(ctx.found)
        return (maxima(value), *(found.detach() for found in ctx.found.values()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        pairs = zip(ctx.found.values(), gradients[1:], strict=True)
        wanted = [(found, gradient) for found, gradient in pairs if found.requires_grad]
        (result,) = torch.autograd.grad([found for found, _ in wanted], ctx.value, [gradient for _, gradient in wanted])
        del pairs, wanted
        for strip, its_gradient in _strips(gradients[0]):
            more = torch.empty_like(ctx.value[:, :, strip])
            _gradient_of_maxima(ctx.value[:, :, strip], its_gradient, more)
            result[:, :, strip] += more
        ctx.value = ctx.found = None
        return result, None, None


def _strips(gradient: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of a value, and the gradient of their maxima."""
    rows = gradient.shape[2]
    folds = _folds(gradient)
    at_once = max(rows * AT_ONCE // gradient.numel() // folds, 1) * folds
    for top in range(0, rows, at_once):
        end = top + at_once
        yield slice(2 * top, 2 * end if end < rows else None), gradient[:, :, top:end]


def _gradient_of_maxima(value: Tensor, gradient: Tensor, result: Tensor) -> None:
    """Puts the gradient of the maxima into ``result``, which may be ``value``: of that the shape alone is read then."""
    folds = _folds(gradient)
    if gradient.shape[2] % folds == 0 and value.shape[2] == 2 * gradient.shape[2]:
        value, gradient, result = (_folded(tensor, folds) for tensor in (value, gradient, result))
    indices = torch.ops.aten.max_pool2d_with_indices(value, WINDOW)[1]
    torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
        gradient, value, WINDOW, WINDOW, [0, 0], STRIDE, False, indices, grad_input=result
    )


def _folds(gradient: Tensor) -> int:
    """In how many pictures to fold one: those of a batch are all that the CPU kernel computes in parallel."""
    return torch.get_num_threads() if gradient.device.type == "cpu" and len(gradient) == 1 else 1


def _folded(tensor: Tensor, folds: int) -> Tensor:
    """The upper rows as one picture, those below as the next: ``(folds, channels, height / folds, width)``, a view."""
    return tensor if folds == 1 else torch.unflatten(tensor[0], 1, (folds, -1)).transpose(0, 1)
