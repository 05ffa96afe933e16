"""The part of an image that counts, at the positions of its feature maps."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nst_lightning.functional.gram import PositionWeights

# Height and width.
Size = tuple[int, int]

# Layers with positions this many pixels apart, or more, are deep: their features describe much more than that.
DEEP_STEP = 3

# Parts that would keep fewer positions of a layer are not eroded in it.
LEAST_POSITIONS = 4.0


class PositionMask:
    """How much each pixel of an image counts, and from it how much each position of a feature map counts.

    The weight of a position is the mean over the pixels that its cell covers. With erosion, in deep layers it is the
    least of these means among the position and its eight neighbors. A position sees far beyond its cell: without
    erosion, features at a border describe a mixture of both sides, and each side is painted a little like the other.

    Args:
        mask: weight of each pixel, ``(1, 1, height, width)``, at least 0, not 0 everywhere.
        is_eroded: whether the part is eroded by one position in deep layers.

    Attributes:
        share: mean of the mask; if no weight exceeds 1, the share of the image that it covers.
    """

    def __init__(self, mask: Tensor, is_eroded: bool = False) -> None:
        self.mask = mask
        self.is_eroded = is_eroded
        self.share = _sum(mask) / mask.numel()
        # A number, because evaluations that wait for the device cannot be recorded.
        self._largest = float(mask.max())
        self._forget()

    def _forget(self) -> None:
        """Creates empty caches; the mask is the same in every step."""
        # By size of the feature map.
        self._index: dict[Size, Tensor | None] = {}
        self._weights: dict[Size, PositionWeights | None] = {}
        self._cumulative: tuple[Tensor, Tensor] | None = None
        self._products: list[tuple[PositionMask, PositionMask | None]] = []
        self._placed: list[tuple[Tensor, Tensor]] = []

    def to(self, device: torch.device) -> "PositionMask":
        """Returns this mask on a device."""
        if self.mask.device == device:
            return self
        moved = copy.copy(self)
        moved.mask = self.mask.to(device)
        moved._forget()
        return moved

    def times(self, other: "PositionMask") -> "PositionMask | None":
        """Returns the product with another mask of the image, the same object each time; None if it is 0 everywhere."""
        for known, product in self._products:
            if known is other:
                return product
        values = self.mask * other.mask
        product = PositionMask(values, self.is_eroded and other.is_eroded) if bool(values.any()) else None
        self._products.append((other, product))
        return product

    def count(self, size: Size) -> float:
        """Returns the sum of the weights at the positions of a feature map, divided by the largest weight of a pixel.

        Args:
            size: height and width of the feature map.
        """
        weights = self.weights(size)
        return size[0] * size[1] if weights is None else weights.total / self._largest

    def select(self, value: Tensor) -> Tensor:
        """Selects the features of the positions that count.

        Args:
            value: ``(1, channels, height, width)``.

        Returns:
            ``(1, channels, positions, 1)``, in the order of :meth:`weights`; the value itself if all positions count
            equally.
        """
        size = (value.shape[-2], value.shape[-1])
        if self.weights(size) is None:
            return value
        # Channels-last networks store positions in this order.
        rows = value.permute(0, 2, 3, 1).reshape(size[0] * size[1], -1)
        index = self._index[size]
        chosen: Tensor = rows if index is None else _SelectRows.apply(rows, index)
        return chosen.t()[None, :, :, None]

    def weights(self, size: Size) -> PositionWeights | None:
        """Returns the weights of those positions of a feature map that count; None if all have the weight 1.

        Args:
            size: height and width of the feature map.

        Returns:
            Weights of shape ``(1, 1, positions, 1)``.
        """
        if size not in self._weights:
            shares = self._shrink(size).flatten()
            index = shares.nonzero()[:, 0]
            self._index[size] = None if len(index) == len(shares) else index
            chosen = shares[index][None, None, :, None]
            is_one = len(index) == len(shares) and bool((shares == 1).all())
            self._weights[size] = None if is_one else PositionWeights(chosen, _sum(chosen))
        return self._weights[size]

    def _shrink(self, size: Size) -> Tensor:
        """Returns the weights of all positions of a feature map, ``(1, 1, height, width)``."""
        shares = functional.adaptive_avg_pool2d(self.mask, size)
        if not self.is_eroded or self.mask.shape[-2] < DEEP_STEP * size[0]:
            return shares
        eroded = -functional.max_pool2d(-shares, 3, stride=1, padding=1)
        # A part that would nearly vanish stays as it is.
        return eroded if float(eroded.sum()) >= LEAST_POSITIONS * float(shares.max()) else shares

    def place(self, positions: Tensor) -> Tensor:
        """Moves evenly spread positions so that their density is proportional to the mask.

        The map ``(u, v) -> (y, x)`` with ``F(y) = u`` and ``F(x | y) = v``, where ``F`` are the distributions of the
        mask over its rows and within a row. It keeps positions evenly spread, and is the identity for a mask of ones.

        Args:
            positions: ``(count, 2)``, vertical and horizontal, in [0, 1).

        Returns:
            The same shape, the same object each time for the same positions.
        """
        for known, placed in self._placed:
            if known is positions:
                return placed
        self._placed.append((positions, self._place(positions)))
        return self._placed[-1][1]

    def _place(self, positions: Tensor) -> Tensor:
        if self._cumulative is None:
            values = self.mask[0, 0].double().cpu()
            self._cumulative = _distribution(values.sum(1, keepdim=True).mT), _distribution(values)
        rows, columns = self._cumulative
        vertical, horizontal = positions.double().cpu().unbind(1)
        row, y = _invert(rows.expand(len(positions), -1), vertical)
        _, x = _invert(columns[row], horizontal)
        return torch.stack([y, x], dim=1).to(positions)


class _SelectRows(torch.autograd.Function):
    """Selects different rows; its gradient is written instead of summed, which is faster and the same in every run."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(rows)
        return rows.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        result = gradients[0].new_zeros(ctx.count, gradients[0].shape[1])
        return result.index_copy_(0, index, gradients[0]), None


def _sum(values: Tensor) -> float:
    # On the CPU, because some accelerators have no float64.
    return float(values.cpu().double().sum())


def _distribution(values: Tensor) -> Tensor:
    """Computes the distribution of the values of each row: 0, then the share of the first, the first two, ..., 1."""
    sums = functional.pad(values.cumsum(1), (1, 0))
    # A row without values is never chosen.
    return sums / sums[:, -1:].clamp_min(torch.finfo(sums.dtype).tiny)


def _invert(distributions: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Finds where in [0, 1] each distribution reaches a level, by linear interpolation.

    Args:
        distributions: ``(count, cells + 1)``.
        levels: ``(count,)`` in [0, 1).

    Returns:
        The cells, which are not empty, and the places in [0, 1], ``(count,)`` each.
    """
    cells = distributions.shape[1] - 1
    after = torch.searchsorted(distributions.contiguous(), levels[:, None].contiguous(), right=True).clamp(1, cells)
    low, high = (distributions.gather(1, index)[:, 0] for index in (after - 1, after))
    within = ((levels - low) / (high - low).clamp_min(torch.finfo(low.dtype).tiny)).clamp(0, 1)
    before = after[:, 0] - 1
    return before, (before + within) / cells
