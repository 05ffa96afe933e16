"""Targets of the losses that compare an image with its content position by position, tile by tile."""

from collections.abc import Callable, Iterable

from torch import Tensor

from nst_lightning.backbones.image_tiles import ImageTile
from nst_lightning.losses.base import FeatureLoss

# Bytes of targets that are kept from one evaluation to the next, so that the features of the content are computed once.
MAX_KEPT_BYTES = 256 * 2**20

# A loss and the statistics of the content by layer that it compares with.
Target = tuple[FeatureLoss, dict[str, Tensor]]


class TileTargets:
    """The targets of local losses in the tiles of one content.

    The targets of the first tiles are kept, up to `max_bytes`; those of the others are computed again. Both have the
    same bits.

    Args:
        max_bytes: most bytes of the targets that are kept.
    """

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[tuple[float, ImageTile], list[Target]] = {}
        self._present: dict[float, ImageTile] = {}

    def clear(self) -> None:
        """Forgets the targets, which are those of another content."""
        self._bytes = 0
        self._kept.clear()
        self._present.clear()

    def set(self, scale: float, tile: ImageTile, measure: Callable[[], Iterable[Target]]) -> None:
        """Makes the losses of a scale compare with a tile of the content.

        Args:
            scale: scale of the image.
            tile: the tile.
            measure: computes the targets, if they are not known.
        """
        if self._present.get(scale) == tile:
            return
        self._present[scale] = tile
        targets = self._kept.get((scale, tile))
        if targets is None:
            targets = self._keep(scale, tile, list(measure()))
        for loss, statistics in targets:
            loss.set_target(statistics)

    def _keep(self, scale: float, tile: ImageTile, targets: list[Target]) -> list[Target]:
        size = sum(value.nbytes for _, statistics in targets for value in statistics.values())
        if self._bytes + size > self.max_bytes:
            return targets
        # Copies, because views of a core keep the features of the crop in memory.
        copies = [(loss, {layer: value.clone() for layer, value in statistics.items()}) for loss, statistics in targets]
        self._bytes += size
        self._kept[scale, tile] = copies
        return copies
