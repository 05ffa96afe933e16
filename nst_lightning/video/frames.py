"""The painted frames of a film in a folder: later frames start from them, and the result is assembled from them."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from nst_lightning.images.io import read_image, write_image
from nst_lightning.video.picture_readers import read_pixels
from nst_lightning.video.reader import Pixels

# Name of the folder of painted frames in a run folder.
FRAMES_FOLDER = "frames"


class PaintedFrames:
    """Painted frames as numbered PNG files, 8-bit; each is written completely or not at all.

    Args:
        folder: folder of the files; it is created with the first frame.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, number: int) -> Path:
        """Returns the path of a frame, whether or not it exists."""
        return self.folder / f"{number:05d}.png"

    def write(self, number: int, image: Tensor) -> None:
        """Writes a frame ``(1, 3, height, width)``, clipped to [0, 1]."""
        write_image(self.path(number), image.detach().float())

    def read(self, number: int) -> Tensor:
        """Reads a frame as ``(1, 3, height, width)`` in [0, 1]."""
        return read_image(self.path(number)).image

    def missing(self, count: int) -> list[int]:
        """Lists which of the first ``count`` frames do not exist."""
        return [number for number in range(count) if not self.path(number).exists()]

    def count(self) -> int:
        """Counts the frames before the first gap."""
        number = 0
        while self.path(number).exists():
            number += 1
        return number

    def pixels(self, count: int) -> Iterator[Pixels]:
        """Yields the first ``count`` frames as ``(height, width, 3)``, 8-bit."""
        for number in range(count):
            yield read_pixels(self.path(number))
