"""The painted frames of a film, in a folder: what follows is painted from them, and the film is made of them."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from nst_lightning.images.io import read_image, write_image
from nst_lightning.video.pictures import read_frame
from nst_lightning.video.source import Pixels

FOLDER = "frames"
"""Its name in a run folder."""


class Frames:
    """Painted frames by number, 8 bit; each is there whole or not at all.

    Args:
        folder: where they are; it is made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, number: int) -> Path:
        """The file of a frame."""
        return self.folder / f"{number:05d}.png"

    def write(self, number: int, image: Tensor) -> None:
        """Writes a frame ``(1, 3, height, width)``, clipped to [0, 1]."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.path(number), image.detach().float())

    def read(self, number: int) -> Tensor:
        """A frame as it was written."""
        return read_image(self.path(number)).image

    def missing(self, count: int) -> list[int]:
        """Which of the first so many frames are not there."""
        return [number for number in range(count) if not self.path(number).exists()]

    def count(self) -> int:
        """How many are there, from the first one on without a gap."""
        number = 0
        while self.path(number).exists():
            number += 1
        return number

    def pixels(self, count: int) -> Iterator[Pixels]:
        """The first so many frames, one after the other."""
        for number in range(count):
            yield read_frame(self.path(number))
