"""3x3 convolutions with a quarter of the multiplications, for float32 on CPUs.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, arXiv 1509.09308, section 4.3): each tile of 4x4 outputs
is ``A^T [sum over channels of (G g G^T) * (B^T d B)] A``, with ``d`` its 6x6 inputs and ``g`` the kernel. The brackets
hold 36 matrix products. The transforms are sums over whole strips of rows, which stay in the caches. The plain
implementation is :func:`nst_lightning.backbones.ops.frozen_layers.plain_rectified_convolution`.
"""

import math
import platform
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Outputs of a tile in each direction, and the inputs that they depend on.
TILE_OUTPUTS, TILE_INPUTS = 4, 6

# The matrix G.
KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)

# A bias is added to this one of the 36 products: ``A^T E A`` is 1 everywhere if ``E`` is 1 there and 0 elsewhere.
BIAS_PRODUCT = TILE_INPUTS + 1

# Bytes per thread of the transformed inputs or outputs of a strip: few enough for caches, enough for matrix products.
STRIP_BYTES = 4 * 2**20

# With fewer channels or tiles the transforms take the time that the products save.
LEAST_CHANNELS, LEAST_TILES = 96, 64


def is_supported(weight: Tensor, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether these kernels apply and were measured to be faster on large maps: float32 on x86 processors.

    Args:
        weight: ``(outputs, channels, 3, 3)``, frozen.
        dtype: data type of the maps.
        device: device of the maps.
    """
    measured = device.type == "cpu" and dtype == torch.float32 and platform.machine() in ("x86_64", "AMD64")
    return measured and min(weight.shape[:2]) >= LEAST_CHANNELS


def is_faster(value: Tensor, weight: Tensor) -> bool:
    """Whether the convolution of this map is faster with these kernels.

    Args:
        value: ``(batch, channels, height, width)``.
        weight: ``(outputs, channels, 3, 3)``, frozen.
    """
    large = value.shape[2] * value.shape[3] >= LEAST_TILES * TILE_OUTPUTS**2
    return large and is_supported(weight, value.dtype, value.device)


def kernel_bytes(weight: Tensor) -> int:
    """Bytes of the :class:`Kernels` of a weight, in float32."""
    return len(KERNEL_TRANSFORMS) * 4 * TILE_INPUTS**2 * weight.shape[0] * weight.shape[1]


class Kernels(NamedTuple):
    """Transformed weights of a convolution and of its gradient, one for each of :data:`KERNEL_TRANSFORMS`."""

    forward: Tensor
    gradient: Tensor


def winograd_convolution(
    value: Tensor, kernels: Kernels, bias: Tensor, rectified: bool = False, periodic: bool = False
) -> Tensor:
    """Computes ``conv2d(relu(value), weight, bias, padding=1)`` with a gradient for ``value`` only.

    Args:
        value: ``(batch, channels, height, width)``, before the ReLU.
        kernels: the transformed weights.
        bias: ``(outputs,)``.
        rectified: whether the ReLU has been applied already.
        periodic: whether the padding is circular instead of zeros.
    """
    result: Tensor = _WinogradConvolution.apply(value, kernels, bias, rectified, periodic)
    return result


class _WinogradConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, kernels: Kernels, bias: Tensor, rectified: bool, periodic: bool) -> Tensor:
        ctx.save_for_backward(value)
        ctx.kernel, ctx.periodic = kernels.gradient, periodic
        return convolve(value, kernels.forward, bias, rectify=not rectified, periodic=periodic)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        value: Tensor = ctx.saved_tensors[0]
        result = convolve(gradient, ctx.kernel, periodic=ctx.periodic)
        torch.ops.aten.threshold_backward.grad_input(result, value, 0, grad_input=result)
        return result, None, None, None, None


def transform_kernel(weight: Tensor) -> Tensor:
    """Transforms kernels ``(outputs, channels, 3, 3)`` to ``G g G^T``, ``(36, outputs, channels)``."""
    transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64)
    transformed = transform @ weight.double() @ transform.mT
    return transformed.permute(2, 3, 0, 1).flatten(0, 1).to(weight.dtype).contiguous()


def transform_gradient_kernel(weight: Tensor) -> Tensor:
    """Transforms the kernels of the convolution that computes the input gradient, ``(36, channels, outputs)``."""
    return transform_kernel(weight.flip(2, 3).transpose(0, 1))


# They compute the two members of :class:`Kernels`.
KERNEL_TRANSFORMS = (transform_kernel, transform_gradient_kernel)


def convolve(
    value: Tensor, kernel: Tensor, bias: Tensor | None = None, rectify: bool = False, periodic: bool = False
) -> Tensor:
    """Computes ``conv2d(value, weight, bias, padding=1)`` without a gradient, optionally of ``relu(value)``.

    Args:
        value: ``(batch, channels, height, width)``.
        kernel: weights transformed by :func:`transform_kernel`.
        bias: ``(outputs,)``.
        rectify: whether to apply a ReLU first.
        periodic: whether the padding is circular instead of zeros.

    Returns:
        ``(batch, outputs, height, width)``, channels-last.
    """
    batch, _, height, width = value.shape
    shape = (batch, kernel.shape[1], height, width)
    # Not a view: a view could not be rectified in place.
    result = torch.empty(shape, dtype=value.dtype, device=value.device, memory_format=torch.channels_last)
    for rows, output in zip(value.permute(0, 2, 3, 1), result.permute(0, 2, 3, 1), strict=True):
        _convolve_picture(rows, kernel, bias, rectify, periodic, output)
    return result


class _Scratch:
    """Memory that the strips of a map share; the first strip is the largest.

    Args:
        like: a tensor with the data type and device of the memory.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._buffers: dict[str, Tensor] = {}

    def reuse(self, name: str, *shape: int) -> Tensor:
        """Returns the buffer of a name with its old contents, in a shape no larger than the first one."""
        size = math.prod(shape)
        if name not in self._buffers:
            self._buffers[name] = self._like.new_empty(size)
        return self._buffers[name][:size].view(shape)


def _convolve_picture(
    rows: Tensor, kernel: Tensor, bias: Tensor | None, rectify: bool, periodic: bool, result: Tensor
) -> None:
    """Convolves ``(height, width, channels)`` into ``result``, ``(height, width, outputs)``, strip by strip."""
    height, width, channels = rows.shape
    down, across = -(-height // TILE_OUTPUTS), -(-width // TILE_OUTPUTS)
    row_bytes = len(kernel) * across * max(kernel.shape[1:]) * rows.element_size()
    # As even strips as possible.
    strips = -(-down // max(STRIP_BYTES * torch.get_num_threads() // row_bytes, 1))
    tiles_per_strip = -(-down // strips)
    padded = rows.new_zeros(TILE_OUTPUTS * tiles_per_strip + 2, TILE_OUTPUTS * across + 2, channels)
    scratch = _Scratch(rows)
    for top in range(0, height, TILE_OUTPUTS * tiles_per_strip):
        count = min(tiles_per_strip, down - top // TILE_OUTPUTS)
        strip = padded[: TILE_OUTPUTS * count + 2]
        _copy_rows(rows, top, rectify, strip)
        if periodic:
            _wrap(rows, top, rectify, strip)
        products = scratch.reuse("products", len(kernel), count * across, kernel.shape[1])
        torch.bmm(_transform_tiles(strip, across, scratch), kernel.mT, out=products)
        if bias is not None:
            products[BIAS_PRODUCT] += bias
        _write_tiles(products.view(len(kernel), count, across, -1), result[top : top + TILE_OUTPUTS * count], scratch)


def _copy_rows(rows: Tensor, top: int, rectify: bool, strip: Tensor) -> None:
    """Copies rows, from the one above ``top`` on, into the zero-padded ``strip``."""
    first, end = max(top - 1, 0), min(top - 1 + len(strip), len(rows))
    start = first - top + 1
    within = strip[start : start + end - first, 1 : 1 + rows.shape[1]]
    if rectify:
        torch.clamp_min(rows[first:end], 0, out=within)
    else:
        within.copy_(rows[first:end])
    strip[:start].zero_()
    strip[start + end - first :].zero_()


def _wrap(rows: Tensor, top: int, rectify: bool, strip: Tensor) -> None:
    """Replaces the zeros next to the picture in a ``strip`` by the opposite edges of the picture."""
    width, below = rows.shape[1], len(rows) + 1 - top
    within = strip[:, 1 : 1 + width]
    if top == 0:
        within[0] = rows[-1].clamp_min(0) if rectify else rows[-1]
    if below < len(strip):
        within[below] = rows[0].clamp_min(0) if rectify else rows[0]
    strip[:, 0], strip[:, 1 + width] = within[:, -1], within[:, 0]


def _transform_tiles(strip: Tensor, across: int, scratch: _Scratch) -> Tensor:
    """Computes ``B^T d B`` of each tile, ``(36, tiles, channels)``."""
    count, channels = len(strip) // TILE_OUTPUTS, strip.shape[2]
    half = scratch.reuse("half", TILE_INPUTS, count, strip.shape[1], channels)
    _transform_inputs([strip[place::TILE_OUTPUTS][:count] for place in range(TILE_INPUTS)], half)
    whole = scratch.reuse("whole", TILE_INPUTS, TILE_INPUTS, count, across, channels)
    _transform_inputs(
        [half[:, :, place::TILE_OUTPUTS][:, :, :across] for place in range(TILE_INPUTS)], whole.transpose(0, 1)
    )
    return whole.view(TILE_INPUTS * TILE_INPUTS, count * across, channels)


def _write_tiles(products: Tensor, result: Tensor, scratch: _Scratch) -> None:
    """Writes ``A^T m A`` of each tile of ``(36, down, across, outputs)`` to ``(height, width, outputs)``."""
    _, down, across, outputs = products.shape
    half = scratch.reuse("output", TILE_OUTPUTS, TILE_INPUTS, down, across, outputs)
    _transform_outputs(products.view(TILE_INPUTS, TILE_INPUTS, down, across, outputs), half)
    whole = result.shape[:2] == (TILE_OUTPUTS * down, TILE_OUTPUTS * across)
    output = result if whole else result.new_empty(TILE_OUTPUTS * down, TILE_OUTPUTS * across, outputs)
    tiles = output.view(down, TILE_OUTPUTS, across, TILE_OUTPUTS, outputs)
    _transform_outputs(half.transpose(0, 1), tiles.permute(3, 1, 0, 2, 4))
    if not whole:
        result.copy_(output[: len(result), : result.shape[1]])


def _transform_inputs(d: Sequence[Tensor], result: Tensor) -> None:
    """Applies ``B^T`` to six neighbors in twelve sums."""
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
    """Applies ``A^T`` to six products in ten sums."""
    even, odd, twice_even, twice_odd = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    torch.add(m[0], even, out=result[0]).add_(twice_even)
    torch.add(odd, twice_odd, alpha=2, out=result[1])
    torch.add(even, twice_even, alpha=4, out=result[2])
    torch.add(odd, twice_odd, alpha=8, out=result[3]).add_(m[5])
