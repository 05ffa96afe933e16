"""Layers whose weights are not trained; they keep as little as possible for the backward pass.

torch keeps each intermediate value for gradients of weights, also where these are never computed. These layers keep the
output of each convolution once and recompute the ReLU or the pooling after it, which takes half of the memory or less.
Each layer has a plain implementation with the same result.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nst_lightning.backbones.ops.checkpointing import Measurements

# Arguments of torch's convolution and pooling kernels.
STRIDE = [1, 1]
WINDOW = [2, 2]

# Number of maxima whose indices are computed at a time: an index takes eight bytes.
MAXIMA_PER_STRIP = 1 << 19

# What is known about the input of a layer; see :func:`rectified_convolution`.
InputState = Literal["shared", "rectified", "free"]


def rectified_convolution(value: Tensor, weight: Tensor, bias: Tensor, state: InputState = "shared") -> Tensor:
    """Computes ``conv2d(relu(value), weight, bias, padding=1)`` with a gradient for ``value`` only.

    Args:
        value: ``(batch, channels, height, width)``, before the ReLU.
        weight: ``(outputs, channels, 3, 3)``.
        bias: ``(outputs,)``.
        state: ``shared`` if others still need ``value`` as it is, ``rectified`` if the ReLU has been applied already,
            ``free`` if ``value`` may be overwritten: the ReLU is then applied in place.
    """
    result: Tensor = _RectifiedConvolution.apply(value, weight, bias, state)
    return result


def plain_rectified_convolution(value: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Plain implementation of :func:`rectified_convolution`, also with gradients for weight and bias."""
    return functional.conv2d(functional.relu(value), weight, bias, padding=1)


def max_pool(value: Tensor, may_overwrite: bool = False) -> Tensor:
    """Computes ``max_pool2d(value, 2)`` without keeping indices.

    The maximum of rectified values is the rectified maximum, so a ReLU can follow instead of preceding.

    Args:
        value: ``(batch, channels, height, width)``.
        may_overwrite: whether the backward pass may write the gradient over ``value``. It can then run only once.
    """
    result: Tensor = _MaxPool.apply(value, may_overwrite)
    return result


def plain_max_pool(value: Tensor) -> Tensor:
    """Plain implementation of :func:`max_pool`."""
    return functional.max_pool2d(value, 2)


def measure_and_max_pool(value: Tensor, measure: Callable[[Tensor], Measurements]) -> tuple[Tensor, Measurements]:
    """Computes ``max_pool(value)`` and ``measure(value)``, whose gradients are added strip by strip.

    The plain implementation, :func:`plain_measure_and_max_pool`, computes both gradients in full size before it adds
    them.

    Args:
        value: ``(batch, channels, height, width)``; requires a gradient.
        measure: computes differentiable tensors by name.
    """
    names: list[Any] = []
    result, *measured = _MeasureAndMaxPool.apply(value, measure, names)
    return result, dict(zip(names, measured, strict=True))


def plain_measure_and_max_pool(value: Tensor, measure: Callable[[Tensor], Measurements]) -> tuple[Tensor, Measurements]:
    """Plain implementation of :func:`measure_and_max_pool`."""
    return plain_max_pool(value), measure(value)


class _RectifiedConvolution(torch.autograd.Function):
    # The context is set up in `forward`: torch inspects the signature of a `setup_context` at each call, for 20 us.
    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor, bias: Tensor, state: InputState) -> Tensor:
        ctx.save_for_backward(value, weight)
        rectified = value if state == "rectified" else functional.relu(value, inplace=state == "free")
        return functional.conv2d(rectified, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        value, weight = ctx.saved_tensors
        # torch reads only the shape of the second argument if no gradient of the weights is requested.
        result = torch.ops.aten.convolution_backward(
            gradient, value, weight, None, STRIDE, STRIDE, STRIDE, False, [0, 0], 1, [True, False, False]
        )[0]
        torch.ops.aten.threshold_backward.grad_input(result, value, 0, grad_input=result)
        return result, None, None, None


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, may_overwrite: bool) -> Tensor:
        ctx.save_for_backward(value)
        ctx.may_overwrite = may_overwrite
        # Without indices, two maxima are several times faster than max_pool2d on CPUs.
        height, width = (length // 2 * 2 for length in value.shape[2:])
        rows = torch.maximum(value[:, :, 0:height:2], value[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        value: Tensor = ctx.saved_tensors[0]
        result = value if ctx.may_overwrite else torch.empty_like(value)
        for rows, strip in _strips(gradient):
            _write_max_pool_gradient(value[:, :, rows], strip, result[:, :, rows])
        return result, None


class _MeasureAndMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, value: Tensor, measure: Callable[[Tensor], Measurements], names: list[Any]
    ) -> tuple[Tensor, ...]:
        # A graph of its own, whose gradient `backward` computes before it adds that of the pooling.
        ctx.value = value.detach().requires_grad_()
        with torch.enable_grad():
            ctx.measured = measure(ctx.value)
        names.extend(ctx.measured)
        return (max_pool(value), *(tensor.detach() for tensor in ctx.measured.values()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        pairs = zip(ctx.measured.values(), gradients[1:], strict=True)
        used = [(tensor, gradient) for tensor, gradient in pairs if tensor.requires_grad]
        (result,) = torch.autograd.grad([tensor for tensor, _ in used], ctx.value, [gradient for _, gradient in used])
        del pairs, used
        for rows, strip in _strips(gradients[0]):
            pooled = torch.empty_like(ctx.value[:, :, rows])
            _write_max_pool_gradient(ctx.value[:, :, rows], strip, pooled)
            result[:, :, rows] += pooled
        ctx.value = ctx.measured = None
        return result, None, None


def _strips(gradient: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields rows of the pooled value's input and the gradient of their maxima."""
    rows = gradient.shape[2]
    folds = _folds(gradient)
    rows_per_strip = max(rows * MAXIMA_PER_STRIP // gradient.numel() // folds, 1) * folds
    for top in range(0, rows, rows_per_strip):
        end = top + rows_per_strip
        yield slice(2 * top, 2 * end if end < rows else None), gradient[:, :, top:end]


def _write_max_pool_gradient(value: Tensor, gradient: Tensor, result: Tensor) -> None:
    """Writes the gradient into ``result``, which may be ``value``: the second call reads only the shape of it."""
    folds = _folds(gradient)
    if gradient.shape[2] % folds == 0 and value.shape[2] == 2 * gradient.shape[2]:
        value, gradient, result = (_fold(tensor, folds) for tensor in (value, gradient, result))
    indices = torch.ops.aten.max_pool2d_with_indices(value, WINDOW)[1]
    torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
        gradient, value, WINDOW, WINDOW, [0, 0], STRIDE, False, indices, grad_input=result
    )


def _folds(gradient: Tensor) -> int:
    """Number of pictures to fold one into: the CPU kernel runs in parallel only over the pictures of a batch."""
    return torch.get_num_threads() if gradient.device.type == "cpu" and len(gradient) == 1 else 1


def _fold(tensor: Tensor, folds: int) -> Tensor:
    """Views bands of rows as pictures of a batch, ``(folds, channels, height / folds, width)``."""
    return tensor if folds == 1 else torch.unflatten(tensor[0], 1, (folds, -1)).transpose(0, 1)
