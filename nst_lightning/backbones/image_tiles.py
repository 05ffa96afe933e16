"""Division of an image into tiles that a network evaluates one at a time, with the same features as the whole image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from torch import Tensor

from nst_lightning.functional.boxes import Box, cut_box, shift_box, view_box

# A core as wide as the image is contiguous in memory, so that its statistics need no copy. Columns cost this much more.
COLUMN_COST = 1.03

# A margin is reduced or exchanged after a pooling if this saves at least this many px, because the map and its gradient
# are copied.
MIN_REDUCTION = 16


@dataclass(frozen=True)
class ImageTile:
    """A tile of an image.

    Attributes:
        core: the pixels that the tile stands for; the cores of all tiles together are the image.
        crop: the pixels that the features of the core depend on: the core and a margin, as far as the image reaches.
    """

    core: Box
    crop: Box

    def cut(self, image: Tensor) -> Tensor:
        """Returns the crop of an image, or of a map of its pixels, as a view."""
        return view_box(image, self.crop)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of an image.

    Tiles begin at multiples of the positions of the deepest layer, so that poolings see the same groups of pixels in a
    tile as in the image. The margin covers the receptive field, so that the features of a core are those of the whole
    image; a network pads only where the crop ends with the image. Deeper layers need less of it, so that a network
    computes them for a smaller crop; see :meth:`trim`.

    Attributes:
        height: height of the image in px.
        width: width of the image in px.
        size: length in px of a core, rounded down to a multiple of `step`.
        step: distance in px between two positions of the deepest layer.
        radii: radius in px of its receptive field in the image, as ``{1: radius}``, and in the maps after poolings, by
            the distance in px between two of their positions.
        shares: number of devices that evaluate the same number of tiles each, as far as the image is large enough.
            With more than one, the cores have nearly equal sizes, at most `size`.
        reach: distance in px beyond a core within which its features are read.
        is_exchanged: whether margins after poolings are taken from the other tiles. A margin then covers only the
            layers before the next exchange; see :meth:`exchanged`.
    """

    height: int
    width: int
    size: int
    step: int
    radii: Mapping[int, int]
    shares: int = 1
    reach: int = 0
    is_exchanged: bool = False

    def exchanged(self) -> "TileGrid | None":
        """Returns the same tiles with margins that devices exchange, or None if this is not possible or saves nothing.

        The exchange needs all maps at the same time, and so one tile on each device.
        """
        if len(self.tiles) != self.shares or self.shares == 1:
            return None
        grid = replace(self, is_exchanged=True)
        return grid if len(grid.margins) > 1 else None

    @cached_property
    def tiles(self) -> list[ImageTile]:
        """The tiles, row by row."""
        lengths = (self.height, self.width)
        starts = [self._starts(length) for length in lengths] if self.shares == 1 else self._even_starts()
        rows, columns = (list(pairwise([*edge, length])) for edge, length in zip(starts, lengths, strict=True))
        cores = [(*row, *column) for row in rows for column in columns]
        return [ImageTile(core, self._extend(core, self.margins[1])) for core in cores]

    @cached_property
    def margins(self) -> dict[int, int]:
        """The margins in px by the distance between two positions of the first map that has them; 1 is the image."""
        return self._list_margins(self.is_exchanged)

    def _list_margins(self, is_exchanged: bool) -> dict[int, int]:
        margins: dict[int, int] = {}
        # From the deepest map: a margin ends where the pooling before the next one has whole positions.
        multiple = first = self.step
        # Radius in px that exchanges at deeper maps cover.
        covered = 0
        for step in sorted(self.radii, reverse=True):
            needed = self.radii[step] + self.reach
            saved = self.radii.get(first, 0) - covered if is_exchanged else needed - margins.get(first, needed)
            if margins and saved >= MIN_REDUCTION:
                multiple = first
                covered = self.radii[first] if is_exchanged else 0
            else:
                margins.pop(first, None)
            margins[step], first = -(-(needed - covered) // multiple) * multiple, step
        return margins

    @property
    def _core_length(self) -> int:
        return max(self.step, self.size // self.step * self.step)

    def _starts(self, length: int) -> list[int]:
        """Lists the starts of the cores along an edge, all of them but the last of the same length."""
        starts = list(range(0, length, self._core_length))
        # A remainder smaller than a position of the deepest layer has no position of its own.
        if len(starts) > 1 and length - starts[-1] < self.step:
            starts.pop()
        return starts

    def _even_starts(self) -> list[list[int]]:
        """Lists the starts of rows and columns for several shares: those that cost the least."""
        most = [max(1, length // self.step) for length in (self.height, self.width)]
        least = [
            min(limit, -(-length // self._core_length))
            for limit, length in zip(most, (self.height, self.width), strict=True)
        ]
        choices = [
            (rows, columns)
            for rows in range(least[0], min(most[0], least[0] + self.shares) + 1)
            for columns in range(least[1], min(most[1], least[1] + self.shares) + 1)
            if rows * columns % self.shares == 0
        ]
        rows, columns = min(choices, key=self._cost, default=tuple(least))
        return [
            [round(number * positions / count) * self.step for number in range(count)]
            for positions, count in ((most[0], rows), (most[1], columns))
        ]

    def _cost(self, counts: tuple[int, int]) -> float:
        """Returns the number of pixels in the crops of this many rows and columns, more if there are columns."""
        rows, columns = counts
        # The margin without exchange, so that the cores are the same with and without it.
        margin = self._list_margins(is_exchanged=False)[1]
        pixels = (self.height + 2 * margin * (rows - 1)) * (self.width + 2 * margin * (columns - 1))
        return pixels if columns == 1 else COLUMN_COST * pixels

    def _extend(self, core: Box, margin: int) -> Box:
        """Returns a core and a margin, as far as the image reaches."""
        top, bottom, left, right = core
        return (
            max(0, top - margin),
            min(self.height, bottom + margin),
            max(0, left - margin),
            min(self.width, right + margin),
        )

    @property
    def largest_crop(self) -> int:
        """Number of pixels of the largest crop."""
        return max((bottom - top) * (right - left) for top, bottom, left, right in (t.crop for t in self.tiles))

    def size_of(self, step: int) -> tuple[int, int]:
        """Returns height and width of a layer of the whole image.

        Args:
            step: distance in px between two positions of the layer.
        """
        return self.height // step, self.width // step

    def positions(self, tile: ImageTile, step: int) -> Box:
        """Returns the positions of a layer in the image that belong to the core of a tile.

        Args:
            tile: the tile.
            step: distance in px between two positions of the layer.
        """
        return self._positions(tile.core, step)

    def read_positions(self, tile: ImageTile, step: int) -> Box:
        """Returns the positions of a layer in the image for which a network computes it; see :meth:`crop`."""
        return self._positions(self.crop(tile, step), step)

    def _positions(self, box: Box, step: int) -> Box:
        """Returns the positions of a layer in the image that belong to a box of pixels."""
        top, bottom, left, right = box
        # Poolings drop a remainder at the end of the image.
        bottom = self.height // step if bottom == self.height else bottom // step
        right = self.width // step if right == self.width else right // step
        return top // step, bottom, left // step, right

    def crop(self, tile: ImageTile, step: int) -> Box:
        """Returns the pixels of the crop for which a network computes a layer.

        Args:
            tile: the tile.
            step: distance in px between two positions of the layer.
        """
        return self._extend(tile.core, self.margins[max(first for first in self.margins if first <= step)])

    def trim(self, tile: ImageTile, value: Tensor, step: int) -> Tensor:
        """Returns what the layers after a pooling need of a map, as a view.

        Args:
            tile: the tile.
            value: the map after the pooling, ``(batch, channels, any, any)``.
            step: distance in px between two of its positions.
        """
        if step not in self.margins:
            return value
        return cut_box(value, shift_box(self.read_positions(tile, step), self.pooled_origin(tile, step)))

    def pooled_origin(self, tile: ImageTile, step: int) -> tuple[int, int]:
        """Returns row and column in the layer of the whole image of the first position of a map after a pooling.

        Args:
            tile: the tile.
            step: distance in px between two positions of the map, whose margin is still that of the map before.
        """
        # The map before the pooling has a smaller step, and so the crop of any step below this one.
        top, _, left, _ = self.crop(tile, step - 1)
        return top // step, left // step

    def cut_core(self, value: Tensor, tile: ImageTile, step: int) -> Tensor:
        """Returns what a layer of the crop has at the core of a tile, as a view.

        Args:
            value: the layer, computed of the crop, ``(batch, channels, any, any)``.
            tile: the tile.
            step: distance in px between two positions of the layer.
        """
        return cut_box(value, self.core_box(tile, step))

    def core_box(self, tile: ImageTile, step: int) -> Box:
        """Returns the positions of the core in a layer of the crop; see :meth:`cut_core`."""
        return shift_box(self.positions(tile, step), self.origin(tile, step))

    def origin(self, tile: ImageTile, step: int) -> tuple[int, int]:
        """Returns row and column in the layer of the whole image of the first position in that of the crop."""
        top, _, left, _ = self.read_positions(tile, step)
        return top, left
