"""The part of an image that counts, at the positions of its feature maps."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nst_lightning.functional.boxes import Box
from nst_lightning.functional.gram import PositionWeights

# Height and width.
Size = tuple[int, int]

# Layers with positions this many pixels apart, or more, are deep: their features describe much more than that.
DEEP_STEP = 3

# Weights this near to 0 or 1 are 0 or 1.
ROUNDING = 1e-4

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
        self._index: dict[Size, Tensor] = {}
        self._weights: dict[Size, PositionWeights | None] = {}
        self._cumulative: tuple[Tensor, Tensor] | None = None
        self._alone: Partition | None = None
        self._maps: dict[Size, Tensor] = {}
        self._windows: dict[tuple[Size, Box], PositionMask | None] = {}
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

    def select(self, value: Tensor, is_rooted: bool = False) -> Tensor:
        """Selects the features of the positions that count; see :meth:`Partition.select`."""
        if self._alone is None:
            self._alone = Partition([self])
        return self._alone.select(value, is_rooted)[0]

    def weights(self, size: Size) -> PositionWeights | None:
        """Returns the weights of those positions of a feature map that count; None if all have the weight 1.

        Args:
            size: height and width of the feature map.

        Returns:
            Weights of shape ``(1, 1, positions, 1)``. Positions with the weight 1 come first.
        """
        self._find_positions(size)
        return self._weights[size]

    def index(self, size: Size) -> Tensor:
        """Returns the numbers of the positions of a feature map that count, in the order of :meth:`weights`."""
        self._find_positions(size)
        return self._index[size]

    def window(self, size: Size, box: Box) -> "PositionMask | None":
        """Returns the mask of some positions of a feature map, the same object each time.

        Args:
            size: height and width of the feature map.
            box: the positions.

        Returns:
            A mask with one pixel for each position, or None if it is 0 everywhere.
        """
        if (size, box) not in self._windows:
            if size not in self._maps:
                self._maps[size] = self._shrink(size)
            top, bottom, left, right = box
            part = self._maps[size][..., top:bottom, left:right]
            self._windows[size, box] = PositionMask(part) if bool(part.any()) else None
        return self._windows[size, box]

    def _find_positions(self, size: Size) -> None:
        if size in self._index:
            return
        shares = self._shrink(size).flatten()
        whole, partial = (shares == 1).nonzero()[:, 0], ((shares != 1) & (shares != 0)).nonzero()[:, 0]
        self._index[size] = torch.cat([whole, partial])
        if len(whole) == len(shares):
            self._weights[size] = None
        else:
            chosen = shares[self._index[size]]
            self._weights[size] = PositionWeights(chosen[None, None, :, None], _sum(chosen), len(whole))

    def _shrink(self, size: Size) -> Tensor:
        """Returns the weights of all positions of a feature map, ``(1, 1, height, width)``."""
        shares = functional.adaptive_avg_pool2d(self.mask, size)
        # Resized masks are 0 and 1 up to rounding; what counts fully need not be multiplied by a weight.
        shares = torch.where((shares - shares.round()).abs() < ROUNDING, shares.round(), shares)
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


class Partition:
    """Several masks of one image, whose positions are selected together.

    A network's features are read once and their gradient is written once, however many masks there are.

    Args:
        masks: the masks; they may overlap and leave positions out.
    """

    def __init__(self, masks: Sequence[PositionMask]) -> None:
        self.masks = list(masks)
        self._plans: dict[Size, _SelectionPlan] = {}

    def select(self, value: Tensor, is_rooted: bool = False) -> list[Tensor]:
        """Selects the features of the positions that count, for each mask.

        Args:
            value: ``(1, channels, height, width)``.
            is_rooted: whether to multiply them by the roots of their weights, as
                :func:`nst_lightning.functional.gram.weight_positions` does.

        Returns:
            ``(1, channels, positions, 1)`` for each mask, channels-last, in the order of :meth:`PositionMask.weights`.
            If all positions have the weight 1 in all masks, the value itself.
        """
        size = (value.shape[-2], value.shape[-1])
        weights = [mask.weights(size) for mask in self.masks]
        if all(own is None for own in weights):
            return [value] * len(weights)
        if size not in self._plans:
            self._plans[size] = _SelectionPlan.create(self.masks, size)
        # Channels-last networks store positions in this order.
        rows = value.permute(0, 2, 3, 1).reshape(size[0] * size[1], -1)
        parts: tuple[Tensor, ...] = _SelectRows.apply(rows, self._plans[size], weights if is_rooted else None)
        # Not `part.T[None, ..., None]`, whose strides torch does not recognize as channels-last.
        return [part.view(1, len(part), 1, part.shape[1]).permute(0, 3, 1, 2) for part in parts]


@dataclass(frozen=True)
class _SelectionPlan:
    """Which rows of a matrix are selected, and where their gradients go.

    Attributes:
        index: numbers of the selected rows, one part after the other.
        counts: number of rows of each part.
        source: for each row of the matrix, one of the selected rows that it became; the number of all if none.
        more: for each further part, rows of the matrix that an earlier part contains too, and the selected rows that
            they became in this part.
    """

    index: Tensor
    counts: list[int]
    source: Tensor
    more: list[tuple[Tensor, Tensor]]

    @classmethod
    def create(cls, masks: Sequence[PositionMask], size: Size) -> "_SelectionPlan":
        """Creates the plan for a feature map of this size."""
        parts = [mask.index(size) for mask in masks]
        index = torch.cat(parts)
        count, places = len(index), torch.arange(len(index), device=index.device)
        source = index.new_full((size[0] * size[1],), count)
        more = []
        for part, place in zip(parts, places.split_with_sizes([len(part) for part in parts]), strict=True):
            is_new = source[part] == count
            source[part[is_new]] = place[is_new]
            if not bool(is_new.all()):
                more.append((part[~is_new], place[~is_new]))
        return cls(index, [len(part) for part in parts], source, more)


class _SelectRows(torch.autograd.Function):
    """Selects rows in parts, optionally times the roots of weights.

    Its gradient reads each row once instead of adding matrices of zeros, which is faster and the same in every run.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, plan: _SelectionPlan, weights: Sequence[PositionWeights | None] | None
    ) -> tuple[Tensor, ...]:
        ctx.plan, ctx.weights = plan, weights
        return tuple(_multiply_by_roots(rows.index_select(0, plan.index).split_with_sizes(plan.counts), weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        plan: _SelectionPlan = ctx.plan
        # The last row is for rows of the matrix that no part contains.
        selected = torch.cat([*gradients, gradients[0].new_zeros(1, gradients[0].shape[1])])
        _multiply_by_roots(selected[:-1].split_with_sizes(plan.counts), ctx.weights)
        result = selected.index_select(0, plan.source)
        for targets, more in plan.more:
            # `index_add_` takes ten times as long; the targets are different rows.
            result[targets] = result.index_select(0, targets) + selected.index_select(0, more)
        return result, None, None


def _multiply_by_roots(parts: Sequence[Tensor], weights: Sequence[PositionWeights | None] | None) -> Sequence[Tensor]:
    """Multiplies rows by the roots of their weights, in place; the leading rows of each part have the weight 1."""
    for part, own in zip(parts, weights or [None] * len(parts), strict=True):
        if own is not None and own.ones < len(part):
            part[own.ones :] *= own.roots(part.dtype)
    return parts


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
