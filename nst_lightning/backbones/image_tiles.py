"""Division of an image into tiles that a network evaluates one at a time, with the same features as the whole image."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from nst_lightning.functional.gram import Box, cut_box

# A core as wide as the image is contiguous in memory, so that its statistics need no copy. Columns cost this much more.
COLUMN_COST = 1.03


@dataclass(frozen=True)
class ImageTile:
    """A tile of an image.

    Attributes:
        core: the pixels that the tile stands for; the cores of all tiles together are the image.
        crop: the pixels that the features of the core depend on; the core and a margin, as far as the image reaches.
    """

    core: Box
    crop: Box

    def cut(self, image: Tensor) -> Tensor:
        """Returns the crop of an image, or of a map of its pixels, as a view."""
        top, bottom, left, right = self.crop
        return image[..., top:bottom, left:right]


@dataclass(frozen=True)
class TileGrid:
    """The tiles of an image.

    Tiles begin at multiples of the positions of the deepest layer, so that poolings see the same groups of pixels in a
    tile as in the image. The margin covers the receptive field, so that the features of a core are those of the whole
    image; a network pads only where the crop ends with the image.

    Attributes:
        height: height of the image in px.
        width: width of the image in px.
        size: length in px of a core, rounded down to a multiple of `step`.
        step: distance in px between two positions of the deepest layer.
        margin: radius in px of its receptive field.
        shares: number of devices that evaluate the same number of tiles each, as far as the image is large enough.
            With more than one, the cores have nearly equal sizes, at most `size`.
    """

    height: int
    width: int
    size: int
    step: int
    margin: int
    shares: int = 1

    @cached_property
    def tiles(self) -> list[ImageTile]:
        """The tiles, row by row."""
        lengths = (self.height, self.width)
        starts = [self._starts(length) for length in lengths] if self.shares == 1 else self._even_starts()
        rows, columns = (list(self._split(*edge)) for edge in zip(lengths, starts, strict=True))
        return [ImageTile((*row[0], *column[0]), (*row[1], *column[1])) for row in rows for column in columns]

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
        pixels = (self.height + 2 * self.margin * (rows - 1)) * (self.width + 2 * self.margin * (columns - 1))
        return pixels if columns == 1 else COLUMN_COST * pixels

    def _split(self, length: int, starts: list[int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Yields starts and ends of cores and crops along an edge of the image."""
        margin = -(-self.margin // self.step) * self.step
        for start, end in zip(starts, [*starts[1:], length], strict=True):
            yield (start, end), (max(0, start - margin), min(length, end + margin))

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
        top, bottom, left, right = tile.core
        # Poolings drop a remainder at the end of the image.
        bottom = self.height // step if bottom == self.height else bottom // step
        right = self.width // step if right == self.width else right // step
        return top // step, bottom, left // step, right

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
        top, bottom, left, right = self.positions(tile, step)
        row, column = tile.crop[0] // step, tile.crop[2] // step
        return top - row, bottom - row, left - column, right - column
