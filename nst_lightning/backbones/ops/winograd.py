"""Convolutions of three by three with a quarter of the multiplications, for float32 on CPUs.

Winograd's minimal filtering F(4x4, 3x3) as Lavin and Gray 2016 (arXiv 1509.09308, section 4.3) put it: each tile of 4x4
outputs is ``A^T [sum over channels of (G g G^T) * (B^T d B)] A`` of its 6x6 inputs ``d`` and the kernel ``g``. What is
in brackets is 36 matrix products. The transforms are sums of whole strips of rows, which stay in the caches meanwhile.
"""

import math
import platform
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE, REACH = 4, 6
"""Outputs of a tile each way, and the inputs that they depend on."""

KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""``G``."""

CONSTANT = REACH + 1
"""Which of the 36 products a bias is added to: ``A^T E A`` is 1 everywhere if ``E`` is 1 there and 0 elsewhere."""

STRIP = 4 * 2**20
"""Bytes for each thread of the transformed inputs or outputs of a strip: few enough for caches, enough for products."""

LEAST_CHANNELS, LEAST_TILES = 96, 64
"""From how many channels and tiles on it pays: with fewer the transforms take what the products save."""


def serves(weight: Tensor, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether convolutions of large maps are quicker so, as far as it was measured: float32 on x86 processors.

    Args:
        weight: ``(outputs, channels, 3, 3)``, frozen.
        dtype: of the maps.
        device: where they are.
    """
    measured = device.type == "cpu" and dtype == torch.float32 and platform.machine() in ("x86_64", "AMD64")
    return measured and min(weight.shape[:2]) >= LEAST_CHANNELS


def pays(value: Tensor, weight: Tensor) -> bool:
    """Whether the convolution of a map is quicker so.

    Args:
        value: ``(batch, channels, height, width)``.
        weight: ``(outputs, channels, 3, 3)``, frozen.
    """
    large = value.shape[2] * value.shape[3] >= LEAST_TILES * TILE**2
    return large and serves(weight, value.dtype, value.device)


def kernel_bytes(weight: Tensor) -> int:
    """Bytes of :class:`Kernels`, which are float32."""
    return len(MAKERS) * 4 * REACH**2 * weight.shape[0] * weight.shape[1]


class Kernels(NamedTuple):
    """Transformed weights of a convolution and of its gradient; see :data:`MAKERS`."""

    forward: Tensor
    gradient: Tensor


def rectified_convolution(value: Tensor, kernels: Kernels, bias: Tensor, rectified: bool = False) -> Tensor:
    """``conv2d(relu(value), weight, bias, padding=1)``, with a gradient for ``value`` alone.

    Args:
        value: ``(batch, channels, height, width)``, before its rectifier.
        kernels: what :data:`MAKERS` made of the weights.
        bias: ``(outputs,)``.
        rectified: whether ``value`` is already.
    """
    result: Tensor = _RectifiedConvolution.apply(value, kernels, bias, rectified)
    return result


class _RectifiedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, kernels: Kernels, bias: Tensor, rectified: bool) -> Tensor:
        ctx.save_for_backward(value)
        ctx.kernel = kernels.gradient
        return convolution(value, kernels.forward, bias, rectify=not rectified)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        value: Tensor = ctx.saved_tensors[0]
        before = convolution(gradient, ctx.kernel)
        torch.ops.aten.threshold_backward.grad_input(before, value, 0, grad_input=before)
        return before, None, None, None


def kernel_of(weight: Tensor) -> Tensor:
    """``G g G^T`` of each of ``(outputs, channels, 3, 3)``, as ``(36, outputs, channels)``."""
    transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64)
    found = transform @ weight.double() @ transform.mT
    return found.permute(2, 3, 0, 1).flatten(0, 1).to(weight.dtype).contiguous()


def kernel_of_gradient(weight: Tensor) -> Tensor:
    """The same of the convolution that is the gradient for the inputs, ``(36, channels, outputs)``."""
    return kernel_of(weight.flip(2, 3).transpose(0, 1))


MAKERS = (kernel_of, kernel_of_gradient)
"""What makes the two of :class:`Kernels` of ``(outputs, channels, 3, 3)``."""


def convolution(value: Tensor, kernel: Tensor, bias: Tensor | None = None, rectify: bool = False) -> Tensor:
    """``conv2d(value, weight, bias, padding=1)``, of ``relu(value)`` if it is to be rectified; no gradient.

    Args:
        value: ``(batch, channels, height, width)``.
        kernel: what :func:`kernel_of` made of the weights.
        bias: ``(outputs,)``.
        rectify: whether to take negative values for 0.

    Returns:
        ``(batch, outputs, height, width)``, channels-last.
    """
    batch, _, height, width = value.shape
    shape = (batch, kernel.shape[1], height, width)
    # Not a view, which could not be rectified in its place.
    result = torch.empty(shape, dtype=value.dtype, device=value.device, memory_format=torch.channels_last)
    for rows, found in zip(value.permute(0, 2, 3, 1), result.permute(0, 2, 3, 1), strict=True):
        _convolve(rows, kernel, bias, rectify, found)
    return result


class _Scratch:
    """Memory that the strips of a map use one after the other; the first one is the largest.

    Args:
        like: what the tensors in it are like.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._found: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor that holds what it held when it was taken last."""
        size = math.prod(shape)
        if name not in self._found:
            self._found[name] = self._like.new_empty(size)
        return self._found[name][:size].view(shape)


def _convolve(rows: Tensor, kernel: Tensor, bias: Tensor | None, rectify: bool, result: Tensor) -> None:
    """Of ``(height, width, channels)`` into ``(height, width, outputs)``, strip by strip."""
    height, width, channels = rows.shape
    down, across = -(-height // TILE), -(-width // TILE)
    at_once = _tiles_at_once(down, len(kernel) * across * max(kernel.shape[1:]) * rows.element_size())
    border, scratch = rows.new_zeros(TILE * at_once + 2, TILE * across + 2, channels), _Scratch(rows)
    for top in range(0, height, TILE * at_once):
        count = min(at_once, down - top // TILE)
        seen = border[: TILE * count + 2]
        _see(rows, top, rectify, seen)
        products = scratch.take("products", len(kernel), count * across, kernel.shape[1])
        torch.bmm(_transformed(seen, across, scratch), kernel.mT, out=products)
        if bias is not None:
            products[CONSTANT] += bias
        _put(products.view(len(kernel), count, across, -1), result[top : top + TILE * count], scratch)


def _tiles_at_once(down: int, each: int) -> int:
    """How many rows of tiles make a strip, of so many bytes each: as even as can be."""
    strips = -(-down // max(STRIP * torch.get_num_threads() // each, 1))
    return -(-down // strips)


def _see(rows: Tensor, top: int, rectify: bool, seen: Tensor) -> None:
    """Puts the rows from the one above ``top`` on into ``seen``, which has a border of zeros and ends with it."""
    first, end = max(top - 1, 0), min(top - 1 + len(seen), len(rows))
    start = first - top + 1
    within = seen[start : start + end - first, 1 : 1 + rows.shape[1]]
    if rectify:
        torch.clamp_min(rows[first:end], 0, out=within)
    else:
        within.copy_(rows[first:end])
    seen[:start].zero_()
    seen[start + end - first :].zero_()


def _transformed(seen: Tensor, across: int, scratch: _Scratch) -> Tensor:
    """``B^T d B`` of each tile, ``(36, tiles, channels)``."""
    count, channels = len(seen) // TILE, seen.shape[2]
    half = scratch.take("half", REACH, count, seen.shape[1], channels)
    _transform_inputs([seen[place::TILE][:count] for place in range(REACH)], half)
    whole = scratch.take("whole", REACH, REACH, count, across, channels)
    _transform_inputs([half[:, :, place::TILE][:, :, :across] for place in range(REACH)], whole.transpose(0, 1))
    return whole.view(REACH * REACH, count * across, channels)


def _put(products: Tensor, result: Tensor, scratch: _Scratch) -> None:
    """``A^T m A`` of each tile of ``(36, down, across, outputs)`` into ``(height, width, outputs)``."""
    _, down, across, outputs = products.shape
    half = scratch.take("found", TILE, REACH, down, across, outputs)
    _transform_outputs(products.view(REACH, REACH, down, across, outputs), half)
    whole = result.shape[:2] == (TILE * down, TILE * across)
    found = result if whole else result.new_empty(TILE * down, TILE * across, outputs)
    tiles = found.view(down, TILE, across, TILE, outputs)
    _transform_outputs(half.transpose(0, 1), tiles.permute(3, 1, 0, 2, 4))
    if not whole:
        result.copy_(found[: len(result), : result.shape[1]])


def _transform_inputs(d: Sequence[Tensor], result: Tensor) -> None:
    """``B^T`` of six neighbors, in twelve sums."""
    even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    torch.add(even, odd, out=result[1])
    torch.sub(even, odd, out=result[2])
    torch.sub(even, d[2], out=result[0]).add_(d[0], alpha=4)
    torch.sub(d[5], odd, out=result[5]).sub_(d[3], alpha=4)
    torch.sub(d[4], d[2], out=even)
    torch.sub(d[3], d[1], out=odd)
    torch.add(even, odd, alpha=2, out=result[3])
    torch.sub(even, odd, alpha=2, out=result[4])


def _transform_outputs(m: Tensor, result: Tensor) -> None:
    """``A^T`` of six products, in ten sums."""
    even, odd, twice_even, twice_odd = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    torch.add(m[0], even, out=result[0]).add_(twice_even)
    torch.add(odd, twice_odd, alpha=2, out=result[1])
    torch.add(even, twice_even, alpha=4, out=result[2])
    torch.add(odd, twice_odd, alpha=8, out=result[3]).add_(m[5])
