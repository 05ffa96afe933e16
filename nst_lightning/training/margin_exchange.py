"""Margins of feature maps that processes take from each other instead of computing them."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nst_lightning.backbones.image_tiles import ImageTile, TileGrid
from nst_lightning.functional.gram import Box
from nst_lightning.training.ranks import Ranks


class MarginExchange:
    """Replaces the margins of maps after poolings by the cores of other tiles; a `trim` of :meth:`Backbone.stream`.

    Each process evaluates one tile, and all of them call the exchange for the same maps in the same order. The backward
    pass sends the gradients of the margins back.

    Args:
        grid: the tiles, one for each process; see :meth:`TileGrid.renewed`.
        ranks: the processes.

    Attributes:
        anchors: scalars of 0, one for each replaced map. Each process must add them to what it differentiates, so that
            its backward pass exchanges gradients also where its own tile has none.
    """

    def __init__(self, grid: TileGrid, ranks: Ranks) -> None:
        self.grid, self.ranks = grid, ranks
        self.anchors: list[Tensor] = []

    @property
    def tile(self) -> ImageTile:
        """The tile of this process."""
        return self.grid.tiles[self.ranks.number]

    def __call__(self, value: Tensor, step: int) -> Tensor:
        """Returns a map with its next margin.

        Args:
            value: the map after a pooling, ``(1, channels, any, any)``.
            step: distance in px between two of its positions.
        """
        if step not in self.grid.margins:
            return value
        parts = _Parts.of_map(self.grid, self.ranks, step)
        result: Tensor
        result, anchor = _ReplaceMargin.apply(value, parts, self.ranks)
        self.anchors.append(anchor)
        return result


class _Parts:
    """The parts of a map that processes exchange.

    Attributes:
        size: rows and columns of the map with its next margin.
        before: the core in the map with the margin that it was computed with.
        after: the core in the map with its next margin.
        needed: what other processes have, in the map with its next margin, by their numbers.
        given: what other processes need, in the map with the margin that it was computed with, by their numbers.
    """

    def __init__(self, size: tuple[int, int], before: Box, after: Box) -> None:
        self.size, self.before, self.after = size, before, after
        self.needed: dict[int, Box] = {}
        self.given: dict[int, Box] = {}

    @classmethod
    def of_map(cls, grid: TileGrid, ranks: Ranks, step: int) -> "_Parts":
        """Returns the parts of the map with this distance in px between two positions."""
        own = grid.tiles[ranks.number]
        core, read = grid.positions(own, step), grid.read_positions(own, step)
        # The map before the pooling has a smaller step.
        top, _, left, _ = grid.crop(own, step - 1)
        computed = top // step, left // step
        parts = cls((read[1] - read[0], read[3] - read[2]), _shift(core, computed), _shift(core, (read[0], read[2])))
        for number, tile in enumerate(grid.tiles):
            if number != ranks.number:
                needed = _intersect(read, grid.positions(tile, step))
                given = _intersect(core, grid.read_positions(tile, step))
                if needed is not None:
                    parts.needed[number] = _shift(needed, (read[0], read[2]))
                if given is not None:
                    parts.given[number] = _shift(given, computed)
        return parts


class _ReplaceMargin(torch.autograd.Function):
    """See :class:`MarginExchange`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, parts: _Parts, ranks: Ranks) -> tuple[Tensor, Tensor]:
        ctx.parts, ctx.ranks, ctx.shape = parts, ranks, value.shape
        result = _empty_map(value, (*value.shape[:2], *parts.size))
        _cut(result, parts.after).copy_(_cut(value, parts.before))
        received = _swap(ranks, value, parts.given, parts.needed)
        for number, box in parts.needed.items():
            _cut(result, box).copy_(received[number])
        return result, value.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient, parts = gradients[0], ctx.parts
        # Its old margin has no further use.
        result = _empty_map(gradient, ctx.shape).zero_()
        _cut(result, parts.before).copy_(_cut(gradient, parts.after))
        received = _swap(ctx.ranks, gradient, parts.needed, parts.given)
        for number, box in parts.given.items():
            _cut(result, box).add_(received[number])
        return result, None, None


def _swap(ranks: Ranks, value: Tensor, sent: dict[int, Box], expected: dict[int, Box]) -> dict[int, Tensor]:
    """Sends parts of a map, and returns what comes for others, by the number of the process."""
    received = {
        number: value.new_empty(*value.shape[:2], bottom - top, right - left)
        for number, (top, bottom, left, right) in expected.items()
    }
    ranks.swap({number: _cut(value, box).contiguous() for number, box in sent.items()}, received)
    return received


def _empty_map(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _cut(value: Tensor, box: Box) -> Tensor:
    top, bottom, left, right = box
    return value[..., top:bottom, left:right]


def _shift(box: Box, origin: tuple[int, int]) -> Box:
    top, bottom, left, right = box
    row, column = origin
    return top - row, bottom - row, left - column, right - column


def _intersect(first: Box, second: Box) -> Box | None:
    """Returns what two boxes have in common, or None."""
    top, left = max(first[0], second[0]), max(first[2], second[2])
    bottom, right = min(first[1], second[1]), min(first[3], second[3])
    return (top, bottom, left, right) if top < bottom and left < right else None
