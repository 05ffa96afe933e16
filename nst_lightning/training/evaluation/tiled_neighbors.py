"""Evaluation of the losses of nearest neighbors tile by tile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.backbones.base import disable_autocast
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.image_tiles import ImageTile, TileGrid
from nst_lightning.backbones.position_mask import PositionMask, Size
from nst_lightning.losses.neighbor import NeighborLoss
from nst_lightning.training.tile_columns import group_size, is_empty, number_positions, read_columns, tile_positions
from nst_lightning.training.tile_features import TiledNetwork, TileFeatures

# Features of a tile by layer and by height and width of the map of the whole image.
Columns = dict[tuple[str, Size], Features]


@dataclass(frozen=True)
class NeighborGroup:
    """Layers of a loss that are compared together, in the image or in a part of it.

    Attributes:
        term: name of the term.
        loss: the loss with the target of the part.
        name: name of the distance.
        mask: the part; None for the whole image.
        share: factor on the distance.
    """

    term: str
    loss: NeighborLoss
    name: str
    mask: PositionMask | None
    share: float

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""
        return self.loss.groups[self.name]


class TiledNeighbors:
    """The losses of nearest neighbors of one image.

    Neighbors are searched in two passes: the mean of all queries, which centers them, and the search itself. Between
    searches, and for the gradient, the loss is a mean over positions, and so an average over tiles.

    Args:
        network: the network.
        groups: layers that are compared together.
        grid: the tiles of the image.
    """

    def __init__(self, network: TiledNetwork, groups: Sequence[NeighborGroup], grid: TileGrid) -> None:
        self.network, self.groups, self.grid = network, list(groups), grid
        self._sizes = [group_size(network, group.loss, group.layers, grid) for group in groups]
        self._columns: Columns = {}

    @torch.no_grad()
    def search(self, image: Tensor, content: Tensor | None) -> None:
        """Assigns positions of the styles to those of the image, where a search is due.

        Args:
            image: the image.
            content: the content, or None.
        """
        due = [
            (group, size)
            for group, size in zip(self.groups, self._sizes, strict=True)
            if group.loss.needs_search(group.name, size[0] * size[1])
        ]
        if not due:
            return
        content = content if any(group.loss.uses_content for group, _ in due) else None
        with disable_autocast(image.device.type):
            means = self._average_queries(due, image, content)
        found = [torch.zeros(size[0] * size[1], dtype=torch.int32, device=image.device) for _, size in due]
        for tile in self.network.tiles(image):
            own = self._read_tile(image, tile, due)
            other = None if content is None else self._read_tile(content, tile, due)
            for (group, size), mean, assignments in zip(due, means, found, strict=True):
                inside = self._join(own, group, size, tile)
                if inside is None:
                    continue
                features, numbers = inside
                joined = None if other is None else self._join(other, group, size, tile)
                with disable_autocast(image.device.type):
                    queries = _mix(group, features, None if joined is None else joined[0])
                    assignments[numbers] = group.loss.find_neighbors(group.name, queries, mean)
        for (group, _), assignments in zip(due, found, strict=True):
            group.loss.set_assignments(group.name, self.network.ranks.add(assignments))

    def read(self, part: TileFeatures) -> None:
        """Reads what the losses need of a layer of a tile."""
        self._columns |= _read(part, list(zip(self.groups, self._sizes, strict=True)))

    def compare(self, tile: ImageTile) -> Iterator[tuple[NeighborGroup, Tensor]]:
        """Yields what the positions of a tile that has been read add to each distance."""
        columns, self._columns = self._columns, {}
        for group, size in zip(self.groups, self._sizes, strict=True):
            inside = self._join(columns, group, size, tile)
            if inside is not None:
                features, numbers = inside
                weights = None if group.mask is None else group.mask.weights(size)
                total = size[0] * size[1] if weights is None else weights.total
                share = group.share * features.count(group.layers[0]) / total
                yield group, share * group.loss.assigned_distance(group.name, features, numbers)

    def _average_queries(
        self, due: Sequence[tuple[NeighborGroup, Size]], image: Tensor, content: Tensor | None
    ) -> list[Tensor]:
        """Computes the mean of the queries of each group over the positions of the image."""

        def measure(part: TileFeatures) -> dict[tuple[int, str], tuple[Tensor, float]]:
            found, columns = {}, _read(part, due)
            for number, (group, size) in enumerate(due):
                for layer in set(group.layers) & set(part.crop):
                    inside = self._join(columns, group, size, part.tile, [layer])
                    if inside is not None:
                        rows = group.loss.statistic(inside[0], layer)
                        found[number, layer] = rows.mean(dim=0, keepdim=True), float(len(rows))
            return found

        names = self._names(due)
        own, other = (
            None
            if picture is None
            else self.network.average(self.network.stream_tiles(picture, names), measure, image.device)
            for picture in (image, content)
        )
        means = []
        for number, (group, _) in enumerate(due):
            rows, mixed = (
                None if averages is None else [averages[number, layer][0] for layer in group.layers]
                for averages in (own, other if group.loss.uses_content else None)
            )
            assert rows is not None
            means.append(group.loss.mix_queries(group.name, rows, mixed))
        return means

    def _names(self, due: Sequence[tuple[NeighborGroup, Size]]) -> list[str]:
        layers = {layer for group, _ in due for layer in group.layers}
        return [name for name in self.network.names if name in layers]

    def _read_tile(self, image: Tensor, tile: ImageTile, due: Sequence[tuple[NeighborGroup, Size]]) -> Columns:
        columns: Columns = {}
        for part in self.network.stream(tile.cut(image), self.grid, tile, self._names(due)):
            columns |= _read(part, due)
        return columns

    def _join(
        self, columns: Columns, group: NeighborGroup, size: Size, tile: ImageTile, layers: Sequence[str] | None = None
    ) -> tuple[Features, Tensor] | None:
        """Joins the layers of a group within its mask.

        Returns:
            The features and the numbers of their positions, or None if the tile has no position of the group.
        """
        box = tile_positions(self.grid, tile, size)
        mask = None if group.mask is None or is_empty(box) else group.mask.window(size, box)
        if is_empty(box) or (group.mask is not None and mask is None):
            return None
        features = Features.join([columns[layer, size] for layer in layers or group.layers])
        device = group.loss.target(group.layers[0]).device
        return features.within(mask), number_positions(size, box, mask, device)


def _read(part: TileFeatures, groups: Sequence[tuple[NeighborGroup, Size]]) -> Columns:
    wanted = {(layer, size) for group, size in groups for layer in set(group.layers) & set(part.crop)}
    return {
        (layer, size): read_columns(part, layer, size)
        for layer, size in wanted
        if not is_empty(tile_positions(part.grid, part.tile, size))
    }


def _mix(group: NeighborGroup, features: Features, content: Features | None) -> Tensor:
    rows, other = (
        None if value is None else [group.loss.statistic(value, layer) for layer in group.layers]
        for value in (features, content if group.loss.uses_content else None)
    )
    assert rows is not None
    return group.loss.mix_queries(group.name, rows, other)
