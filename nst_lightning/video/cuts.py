"""Where a film cuts from one shot to another."""

import numpy as np
from numpy.typing import NDArray

from nst_lightning.video.source import Pixels

GRID = 24
"""Thumbnails have as many cells each way."""

BINS = 6
"""Of each color in the histograms."""

DIFFERENT = 0.10
"""Mean difference of thumbnails below which two frames are of one shot."""

TIMES_USUAL = 1.5
"""How many times the usual difference in the shot a cut's is."""

OTHER_COLORS = 0.3
"""Share of pixels with other colors that a cut has at least: pairs of different pictures were found to have 0.34 or
more, pans by a tenth of the width 0.09 at most."""


class CutFinder:
    """Notices hard cuts in a film whose frames it is shown one after the other.

    A cut changes thumbnails much, and much more than frames of the same shot have just changed, and colors as well:
    moving cameras change thumbnails but hardly colors, lightning and fades do not change one frame alone.
    A cut that is missed costs little: optical flow finds nothing to go by there.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._usual = 0.0

    def begins(self, pixels: Pixels) -> bool:
        """Whether a frame begins a shot; the first one does.

        Args:
            pixels: ``(height, width, 3)``.
        """
        seen = thumbnail(pixels), histogram(pixels)
        before, self._before = self._before, seen
        if before is None:
            return True
        difference = float(np.abs(seen[0] - before[0]).mean())
        colors = float(np.abs(seen[1] - before[1]).sum() / 2)
        if difference > max(DIFFERENT, TIMES_USUAL * self._usual) and colors > OTHER_COLORS:
            self._usual = 0.0
            return True
        self._usual = 0.7 * self._usual + 0.3 * difference
        return False


def thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    """Means of the cells of a grid, in [0, 1]."""
    rows = np.linspace(0, pixels.shape[0], min(GRID, pixels.shape[0]) + 1).astype(int)[:-1]
    columns = np.linspace(0, pixels.shape[1], min(GRID, pixels.shape[1]) + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float32), rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, pixels.shape[0]]), np.diff([*columns, pixels.shape[1]]))
    means: NDArray[np.float32] = (sums / counts[..., None] / 255).astype(np.float32)
    return means


def histogram(pixels: Pixels) -> NDArray[np.float32]:
    """Shares of the pixels by color; they sum to 1."""
    step = max(1, max(pixels.shape[:2]) // 160)
    bins = pixels[::step, ::step].astype(np.int64) * BINS // 256
    flat = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
    blend_weights: NDArray[np.float32] = (np.bincount(flat.ravel(), minlength=BINS**3) / flat.size).astype(np.float32)
    return blend_weights
