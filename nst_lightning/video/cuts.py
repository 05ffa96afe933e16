"""Detection of hard cuts between shots."""

import numpy as np
from numpy.typing import NDArray

from nst_lightning.video.reader import Pixels

# Rows and columns of a thumbnail.
THUMBNAIL_CELLS = 24

# Bins per color channel.
HISTOGRAM_BINS = 6

# Mean absolute difference of two thumbnails above which a cut is possible.
MIN_DIFFERENCE = 0.10

# Minimum ratio between the difference at a cut and the moving average of the shot.
MIN_RELATIVE_DIFFERENCE = 1.5

# Measured: 0.34 or more for pairs of unrelated pictures, at most 0.09 for a pan by a tenth of the width.
# Minimum share of pixels whose color bin changes at a cut.
MIN_COLOR_CHANGE = 0.3


class CutDetector:
    """Detects hard cuts in a sequence of frames.

    A frame begins a shot if its thumbnail differs much from the previous one, also in comparison with the recent
    frames of the shot, and its color histogram differs as well. Camera motion changes thumbnails but hardly colors;
    lightning and fades change several frames in a row. A missed cut does little harm, because optical flow across a
    cut is unreliable and therefore ignored.
    """

    def __init__(self) -> None:
        self._previous: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._average_difference = 0.0

    def is_cut(self, pixels: Pixels) -> bool:
        """Whether the next frame of the sequence begins a shot; True for the first frame.

        Args:
            pixels: ``(height, width, 3)``.
        """
        current = compute_thumbnail(pixels), compute_histogram(pixels)
        previous, self._previous = self._previous, current
        # Frames of another size, in a folder of pictures or a damaged file, continue nothing.
        if previous is None or previous[0].shape != current[0].shape:
            return True
        difference = float(np.abs(current[0] - previous[0]).mean())
        color_change = float(np.abs(current[1] - previous[1]).sum() / 2)
        threshold = max(MIN_DIFFERENCE, MIN_RELATIVE_DIFFERENCE * self._average_difference)
        if difference > threshold and color_change > MIN_COLOR_CHANGE:
            self._average_difference = 0.0
            return True
        # An exponential average over about the last three frames.
        self._average_difference = 0.7 * self._average_difference + 0.3 * difference
        return False


def compute_thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    """Averages a picture over the cells of a grid, ``(rows, columns, 3)`` in [0, 1]."""
    rows = np.linspace(0, pixels.shape[0], min(THUMBNAIL_CELLS, pixels.shape[0]) + 1).astype(int)[:-1]
    columns = np.linspace(0, pixels.shape[1], min(THUMBNAIL_CELLS, pixels.shape[1]) + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float32), rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, pixels.shape[0]]), np.diff([*columns, pixels.shape[1]]))
    means: NDArray[np.float32] = (sums / counts[..., None] / 255).astype(np.float32)
    return means


def compute_histogram(pixels: Pixels) -> NDArray[np.float32]:
    """Computes the share of pixels in each color bin, ``(bins,)``; the shares sum to 1."""
    step = max(1, max(pixels.shape[:2]) // 160)
    bins = pixels[::step, ::step].astype(np.int64) * HISTOGRAM_BINS // 256
    flat = (bins[..., 0] * HISTOGRAM_BINS + bins[..., 1]) * HISTOGRAM_BINS + bins[..., 2]
    counts = np.bincount(flat.ravel(), minlength=HISTOGRAM_BINS**3)
    shares: NDArray[np.float32] = (counts / flat.size).astype(np.float32)
    return shares
