"""Margins of feature maps that processes take from each other instead of computing them: a halo exchange."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nst_lightning.backbones.image_tiles import ImageTile, TileGrid
from nst_lightning.functional.boxes import Box, intersect_boxes, shift_box, view_box
from nst_lightning.training.ranks import Ranks


class MarginExchange:
    """Replaces the margins of maps after poolings by the cores of other tiles; a `trim` of :meth:`Backbone.stream`.

    Each process evaluates one tile, and all of them call the exchange for the same maps in the same order. The backward
    pass sends the gradients of the margins back.

    Args:
        grid: the tiles, one for each process; see :meth:`TileGrid.exchanged`.
        ranks: the processes.

    Attributes:
        anchors: scalars of 0, one for each exchanged map. Each process must add them to what it differentiates, so that
            its backward pass exchanges gradients even if its own tile has none.
    """

    def __init__(self, grid: TileGrid, ranks: Ranks) -> None:
        self.grid, self.ranks = grid, ranks
        self.anchors: list[Tensor] = []

    @property
    def tile(self) -> ImageTile:
        """The tile of this process."""
        return self.grid.tiles[self.ranks.number]

    def __call__(self, value: Tensor, step: int) -> Tensor:
        """Returns a map with the margin that the layers after it need.

        Args:
            value: the map after a pooling, ``(1, channels, any, any)``.
            step: distance in px between two of its positions.
        """
        if step not in self.grid.margins:
            return value
        result: Tensor
        result, anchor = _ReplaceMargin.apply(value, _list_parts(self.grid, self.ranks, step), self.ranks)
        self.anchors.append(anchor)
        return result


@dataclass(frozen=True)
class _Parts:
    """The parts of a map that processes exchange.

    Attributes:
        size: rows and columns of the map after the exchange.
        old_core: the core in the map before the exchange.
        core: the core in the map after the exchange.
        received: what other processes send, in the map after the exchange, by their numbers.
        sent: what other processes need, in the map before the exchange, by their numbers.
    """

    size: tuple[int, int]
    old_core: Box
    core: Box
    received: dict[int, Box]
    sent: dict[int, Box]


def _list_parts(grid: TileGrid, ranks: Ranks, step: int) -> _Parts:
    """Lists the parts of the map with this distance in px between two positions."""
    own = grid.tiles[ranks.number]
    core, read = grid.positions(own, step), grid.read_positions(own, step)
    old_origin, origin = grid.pooled_origin(own, step), grid.origin(own, step)
    received, sent = {}, {}
    for number, tile in enumerate(grid.tiles):
        if number != ranks.number:
            needed = intersect_boxes(read, grid.positions(tile, step))
            if needed is not None:
                received[number] = shift_box(needed, origin)
            given = intersect_boxes(core, grid.read_positions(tile, step))
            if given is not None:
                sent[number] = shift_box(given, old_origin)
    top, bottom, left, right = read
    return _Parts((bottom - top, right - left), shift_box(core, old_origin), shift_box(core, origin), received, sent)


class _ReplaceMargin(torch.autograd.Function):
    """See :class:`MarginExchange`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, parts: _Parts, ranks: Ranks) -> tuple[Tensor, Tensor]:
        ctx.parts, ctx.ranks, ctx.shape = parts, ranks, value.shape
        result = _empty_map(value, (*value.shape[:2], *parts.size))
        view_box(result, parts.core).copy_(view_box(value, parts.old_core))
        for box, received in _swap(ranks, value, parts.sent, parts.received):
            view_box(result, box).copy_(received)
        return result, value.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient, parts = gradients[0], ctx.parts
        # The margin that was replaced has no gradient.
        result = _empty_map(gradient, ctx.shape).zero_()
        view_box(result, parts.old_core).copy_(view_box(gradient, parts.core))
        for box, received in _swap(ctx.ranks, gradient, parts.received, parts.sent):
            view_box(result, box).add_(received)
        return result, None, None


def _swap(ranks: Ranks, value: Tensor, sent: dict[int, Box], received: dict[int, Box]) -> list[tuple[Box, Tensor]]:
    """Sends boxes of a map to other processes, and returns the boxes that they send with their values."""
    values = {
        number: value.new_empty(*value.shape[:2], bottom - top, right - left)
        for number, (top, bottom, left, right) in received.items()
    }
    ranks.swap({number: view_box(value, box).contiguous() for number, box in sent.items()}, values)
    return [(box, values[number]) for number, box in received.items()]


def _empty_map(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
