"""Voronoi cells: which site is nearest, and how far the border is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nst_lightning.samples.drawing.noise import Array

Index = NDArray[np.int32]


class Cells(NamedTuple):
    """Cells of a picture.

    Attributes:
        nearest: For each pixel, the number of its site.
        second: For each pixel, the number of the next nearest site.
        border: For each pixel, the distance to the border with the second site.
    """

    nearest: Index
    second: Index
    border: Array


def _measure(dx: Array, dy: Array, turn: Array | None) -> Array:
    if turn is None:
        return np.asarray(np.hypot(dx, dy), dtype=np.float32)
    cosine, sine = np.cos(turn), np.sin(turn)
    along, beside = dx * cosine + dy * sine, dy * cosine - dx * sine
    along, beside = along * along, beside * beside
    return np.asarray(np.sqrt(np.sqrt(along * along + beside * beside)), dtype=np.float32)


def cells(shape: tuple[int, int], sites: Array, angles: Array | None = None, block: int = 32) -> Cells:
    """Divide a picture among sites.

    Args:
        shape: Rows and columns of the picture.
        sites: Sites by two coordinates, x and y, in pixels.
        angles: The turn of each site, in radians: its cell is then nearly square. Round when None.
        block: Side of the blocks that share a list of candidates.

    Returns:
        The cells.
    """
    nearest, second = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    border = np.zeros(shape, dtype=np.float32)
    count = min(14, len(sites))
    for top in range(0, shape[0], block):
        for left in range(0, shape[1], block):
            y, x = np.mgrid[top : min(top + block, shape[0]), left : min(left + block, shape[1])].astype(np.float32)
            gap = np.maximum(np.abs(sites - (left + block / 2, top + block / 2)) - block / 2, 0)
            reach = np.hypot(gap[:, 0], gap[:, 1]) + 0.3 * np.hypot(*(sites - (left + block / 2, top + block / 2)).T)
            chosen = np.argpartition(reach, count - 1)[:count]
            offset = sites[chosen]
            turn = None if angles is None else angles[chosen][:, None, None]
            distances = _measure(x - offset[:, 0, None, None], y - offset[:, 1, None, None], turn)
            order = np.argpartition(distances, (0, 1), axis=0)[:2]
            here = (slice(top, top + x.shape[0]), slice(left, left + x.shape[1]))
            first, next_ = np.take_along_axis(distances, order, axis=0)
            nearest[here], second[here] = chosen[order[0]], chosen[order[1]]
            span = np.hypot(*(sites[nearest[here]] - sites[second[here]]).transpose(2, 0, 1)) + 1e-3
            exact = (next_**2 - first**2) / (2 * span)
            border[here] = exact if angles is None else (next_ - first) / 2
    return Cells(nearest, second, border)


def settle(shape: tuple[int, int], sites: Array, angle: Array, rounds: int) -> Array:
    """Move sites to the middles of their square cells, so that they spread evenly.

    Args:
        shape: Rows and columns of the picture.
        sites: Sites by two coordinates.
        angle: The direction at each pixel, to which the cells turn.
        rounds: How many times to move them.

    Returns:
        The moved sites.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    for _ in range(rounds):
        column = np.clip(sites[:, 0], 0, shape[1] - 1).astype(int)
        row = np.clip(sites[:, 1], 0, shape[0] - 1).astype(int)
        owner = cells(shape, sites, angle[row, column], 24).nearest.ravel()
        size = np.bincount(owner, minlength=len(sites))
        middle = np.stack([np.bincount(owner, axis.ravel(), len(sites)) for axis in (x, y)], axis=1)
        sites = np.where(size[:, None] > 0, middle / np.maximum(size, 1)[:, None], sites).astype(np.float32)
    return sites
