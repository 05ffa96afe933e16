"""Features of an image, tile by tile."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from nst_lightning.backbones.base import Backbone, Trim
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.image_tiles import ImageTile, TileGrid
from nst_lightning.backbones.multi_scale import MultiScale, join_layer, split_layer
from nst_lightning.backbones.position_mask import PositionMask
from nst_lightning.training.ranks import Ranks


@dataclass(frozen=True)
class TileFeatures:
    """Features of the core of a tile at one layer, or at several of the same size.

    Attributes:
        crop: features of the crop, by the names that losses use.
        grid: the tiles of the image.
        tile: the tile.
        step: distance in px between two positions.
    """

    crop: Features
    grid: TileGrid
    tile: ImageTile
    step: int

    @cached_property
    def core(self) -> Features:
        """The features of the core."""
        # It may be used first without gradient, for moments, and then with it.
        with torch.enable_grad():
            return self.crop.map_values(lambda _, value: self.grid.cut_core(value, self.tile, self.step))

    def measure(self, mask: PositionMask | None, layer: str, with_means: bool) -> tuple[Tensor, float]:
        """Computes the moments of the core, or of its part of a mask, and the number of their positions."""
        inside = self.within(mask)
        assert inside is not None, "the tile has something of the mask"
        return inside.value_moments(layer, with_means), inside.count(layer)

    def pull(self, mask: PositionMask | None, layer: str, slope: Tensor, with_means: bool) -> Tensor:
        """See :meth:`Features.pull`, for the core or its part of a mask, which must not be empty."""
        if mask is None:
            return self.crop.pull(layer, slope, self.grid.core_box(self.tile, self.step), with_means)
        inside = self.within(mask)
        assert inside is not None, "the tile has something of the mask"
        return inside.pull(layer, slope, with_means=with_means)

    def within(self, mask: PositionMask | None) -> Features | None:
        """Returns the features of a part of the image, or None if the tile has nothing of it."""
        if mask is None:
            return self.core
        window = mask.window(self.grid.size_of(self.step), self.grid.positions(self.tile, self.step))
        return None if window is None else self.core.within(window)


class TiledNetwork:
    """A network that evaluates one scale of an image tile by tile.

    Args:
        network: the network.
        layers: layers at one scale, such as ``conv_3@0.5``.
        size: length of a tile in px.
        reach: distance in px beyond a core within which its features are read.
        ranks: the processes that share the tiles.
    """

    def __init__(
        self, network: Backbone, layers: Sequence[str], size: int, reach: int = 0, ranks: Ranks | None = None
    ) -> None:
        self.network = network.network if isinstance(network, MultiScale) else network
        self.names = [split_layer(layer)[0] for layer in layers]
        self.scale = split_layer(layers[0])[1]
        self.size, self.reach = size, reach
        self.ranks = Ranks() if ranks is None else ranks

    def step(self, layer: str) -> int:
        """Returns the distance in px between two positions of a layer, by its name with scale."""
        return self.network.step(split_layer(layer)[0])

    def grid(self, image: Tensor) -> TileGrid:
        """Returns the tiles of an image at this scale, ``(1, 3, height, width)``."""
        height, width = image.shape[-2:]
        radii = self.network.receptive_radii(self.names)
        assert radii is not None, "the network has been checked"
        step = self.network.smallest_size(self.names)
        return TileGrid(height, width, self.size, step, radii, self.ranks.count, self.reach)

    def tiles(self, image: Tensor) -> Sequence[ImageTile]:
        """Returns the tiles of an image that this process evaluates."""
        return self.ranks.share(self.grid(image).tiles)

    def stream_tiles(self, image: Tensor, layers: Sequence[str]) -> Iterator[TileFeatures]:
        """Yields the features of all tiles of this process, one at a time; see :meth:`stream`."""
        grid = self.grid(image)
        for tile in self.tiles(image):
            yield from self.stream(tile.cut(image), grid, tile, layers)

    def stream(
        self,
        crop: Tensor,
        grid: TileGrid,
        tile: ImageTile,
        layers: Sequence[str] | None = None,
        trim: Trim | None = None,
    ) -> Iterator[TileFeatures]:
        """Yields the features of the core of a tile, layer by layer.

        Args:
            crop: crop of the tile.
            grid: the tiles of the image.
            tile: the tile.
            layers: names without scale; all layers by default.
            trim: see :meth:`Backbone.stream`; :meth:`TileGrid.trim` by default.
        """
        rename = partial(join_layer, scale=self.scale)
        names = self.names if layers is None else layers
        # A network that trims nothing may have a `stream` without the argument.
        trims = {"trim": trim or partial(grid.trim, tile)} if len(grid.margins) > 1 else {}
        for features in self.network.stream(crop, names, **trims):
            step = self.network.step(next(iter(features)))
            yield TileFeatures(features.renamed(rename), grid, tile, step)

    @torch.no_grad()
    def average(
        self, parts: Iterable[TileFeatures], measure: "Measure", device: torch.device
    ) -> dict[tuple[int, str], tuple[Tensor, float]]:
        """Averages statistics over the tiles of an image, weighted by their positions.

        Args:
            parts: features of the tiles of this process.
            measure: returns the statistics of a tile and the number of their positions, by any key.
            device: device of the image.

        Returns:
            The averages, in the precision of the statistics, and the numbers of positions of the image.
        """
        sums: dict[tuple[int, str], Tensor] = {}
        counts: dict[tuple[int, str], float] = {}
        dtypes: dict[tuple[int, str], torch.dtype] = {}
        for part in parts:
            for key, (statistic, count) in measure(part).items():
                # Sums of many tiles need the precision; Apple GPUs have no float64.
                exact = statistic if statistic.device.type == "mps" else statistic.double()
                sums[key] = sums[key] + count * exact if key in sums else count * exact
                counts[key] = counts.get(key, 0.0) + count
                dtypes[key] = statistic.dtype
        if self.ranks.are_several:
            sums, dtypes = self.ranks.add_named(sums, device), self.ranks.unite(dtypes)
            numbers = {key: torch.tensor(count, dtype=torch.float64, device=device) for key, count in counts.items()}
            counts = {key: float(number) for key, number in self.ranks.add_named(numbers, device).items()}
        return {key: ((value / counts[key]).to(dtypes[key]), counts[key]) for key, value in sums.items()}


# Statistics of the core of a tile and the numbers of their positions.
Measure = Callable[[TileFeatures], Mapping[tuple[int, str], tuple[Tensor, float]]]
