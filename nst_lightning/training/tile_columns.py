"""Features of a tile at the positions of a map that has the same positions for all tiles."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.backbones.image_tiles import ImageTile, TileGrid
from nst_lightning.backbones.position_mask import LEAST_POSITIONS, PositionMask, Size
from nst_lightning.functional.boxes import Box
from nst_lightning.functional.resampling import resample_box
from nst_lightning.losses.neighbor import NeighborLoss
from nst_lightning.training.tile_features import TiledNetwork, TileFeatures


def tile_positions(grid: TileGrid, tile: ImageTile, size: Size) -> Box:
    """Returns those positions of a map of the whole image that belong to a tile: their cells begin in its core.

    Args:
        grid: the tiles of the image.
        tile: the tile.
        size: height and width of the map.
    """
    top, bottom, left, right = tile.core
    (rows, columns), height, width = size, grid.height, grid.width
    return (
        -(-top * rows // height),
        -(-bottom * rows // height),
        -(-left * columns // width),
        -(-right * columns // width),
    )


def number_positions(size: Size, box: Box, mask: PositionMask | None, device: torch.device) -> Tensor:
    """Numbers the positions of a box in the map that it is part of, row by row.

    Args:
        size: height and width of the map.
        box: the box.
        mask: selects positions of the box; all by default.
        device: of the result.

    Returns:
        ``(positions,)``, int64, in the order in which restricted features have them.
    """
    rows, columns = (torch.arange(start, end, device=device) for start, end in (box[:2], box[2:]))
    numbers = (rows[:, None] * size[1] + columns).flatten()
    return numbers if mask is None else numbers[mask.index((len(rows), len(columns)))]


def read_columns(part: TileFeatures, layer: str, size: Size) -> Features:
    """Reads a layer at the positions of a tile, resampled as :meth:`Features.resampled` resamples the whole image.

    Args:
        part: features of the tile.
        layer: name of the layer.
        size: height and width of the map of the whole image.

    Returns:
        The layer alone, ``(1, channels, rows, columns)`` of the box of :func:`tile_positions`.
    """
    own, box = part.grid.size_of(part.step), tile_positions(part.grid, part.tile, size)
    origin = part.grid.origin(part.tile, part.step)
    single = part.crop.without(set(part.crop) - {layer})
    return single.map_values(lambda _, value: resample_box(value, origin, own, size, box))


def is_empty(box: Box) -> bool:
    """Whether a box has no positions."""
    top, bottom, left, right = box
    return top == bottom or left == right


def group_size(network: TiledNetwork, loss: NeighborLoss, layers: Sequence[str], grid: TileGrid) -> Size:
    """Returns height and width of the map on which a loss compares layers together."""
    return loss.grid_of((grid.height, grid.width)) if not loss.layerwise else grid.size_of(network.step(layers[0]))


@torch.no_grad()
def read_candidates(
    network: TiledNetwork, picture: Tensor, region: PositionMask | None, loss: NeighborLoss
) -> dict[str, Tensor]:
    """Reads the positions of a style that a loss chooses from, tile by tile; see :meth:`NeighborLoss.target_statistic`.

    Args:
        network: the network with the layers of the loss.
        picture: the style, ``(1, 3, height, width)``.
        region: the part of the style that counts.
        loss: the loss.

    Returns:
        By layer ``(positions, channels)``; without layers in which the region has too few positions.
    """
    grid = network.grid(picture)
    sizes: dict[str, Size] = {}
    ranks: dict[str, Tensor] = {}
    for layers in loss.groups.values():
        size = group_size(network, loss, layers, grid)
        if loss.layerwise and region is not None and region.count(size) < LEAST_POSITIONS:
            continue
        index = torch.arange(size[0] * size[1]) if region is None else region.index(size).cpu()
        chosen = index[loss.choose(len(index), None if region is None else region.weights(size))]
        rank = torch.full((size[0] * size[1],), -1).index_copy(0, chosen, torch.arange(len(chosen)))
        sizes |= dict.fromkeys(layers, size)
        ranks |= dict.fromkeys(layers, rank.to(picture.device))
    found: dict[str, Tensor] = {}
    for tile in grid.tiles:
        for part in network.stream(tile.cut(picture), grid, tile):
            for layer in sizes.keys() & set(part.crop):
                _collect(found, part, layer, loss, sizes[layer], ranks[layer])
    return found


def _collect(
    found: dict[str, Tensor], part: TileFeatures, layer: str, loss: NeighborLoss, size: Size, rank: Tensor
) -> None:
    """Copies the rows of a tile that have a rank to their places."""
    box = tile_positions(part.grid, part.tile, size)
    if is_empty(box):
        return
    own = rank[number_positions(size, box, None, rank.device)]
    rows = loss.statistic(read_columns(part, layer, size), layer)
    if layer not in found:
        found[layer] = rows.new_empty(int(rank.max()) + 1, rows.shape[1])
    found[layer][own[own >= 0]] = rows[own >= 0]
