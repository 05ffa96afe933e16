"""Films that are pictures: animated gif and webp, and folders of numbered frames."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.io import from_pil, read_image, to_pil
from nst_lightning.video.source import Decoded, Pixels, Source

SHORTEST = 20
"""Milliseconds below which players show a picture of an animation for :data:`INSTEAD`."""

INSTEAD = 100


class Animation(Source):
    """An animated gif or webp; what is transparent lies on white.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def decoded(self) -> Iterator[Decoded]:
        """See :meth:`Source.decoded`."""
        time = Fraction(0)
        with Image.open(self.path) as opened:
            count = getattr(opened, "n_frames", 1)
            for number in range(count):
                try:
                    opened.seek(number)
                    pixels = _pixels(opened)
                except (OSError, SyntaxError, ValueError, EOFError) as error:
                    self.problem = f"it is damaged after frame {number} ({error})"
                    return
                duration = Fraction(_milliseconds(opened), 1000)
                yield Decoded(pixels, time, duration)
                time += duration


class Numbered(Source):
    """A folder of frames whose names end in their numbers.

    Args:
        folder: with pictures of one size.
        rate: frames a second.
    """

    def __init__(self, folder: Path, rate: float) -> None:
        super().__init__()
        self.folder = folder
        self.rate = Fraction(rate).limit_denominator(1001)
        self.files = numbered_files(folder)
        if not self.files:
            raise InputError(f"Expected a folder of numbered frames, but {folder} has no pictures with numbers.")

    def decoded(self) -> Iterator[Decoded]:
        """See :meth:`Source.decoded`."""
        for number, file in enumerate(self.files):
            try:
                with Image.open(file) as opened:
                    pixels = _pixels(opened)
            except (OSError, SyntaxError, ValueError) as error:
                self.problem = f"frame {number} cannot be read, {file} ({error})"
                return
            yield Decoded(pixels, number / self.rate, 1 / self.rate)


def numbered_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the last number in their names."""
    endings = Image.registered_extensions()
    found = [file for file in folder.iterdir() if file.suffix.lower() in endings and not file.name.startswith(".")]
    numbers = {file: re.findall(r"\d+", file.stem) for file in found}
    return sorted((file for file in found if numbers[file]), key=lambda file: (int(numbers[file][-1]), file.name))


def is_animation(path: Path) -> bool:
    """Whether a gif or webp has more than one picture; whatever cannot be read is none."""
    try:
        with Image.open(path) as opened:
            return getattr(opened, "n_frames", 1) > 1
    except (OSError, SyntaxError, ValueError):
        return False


def _pixels(opened: Image.Image) -> Pixels:
    return np.asarray(to_pil(from_pil(opened).image))


def _milliseconds(opened: Image.Image) -> int:
    duration = int(opened.info.get("duration", INSTEAD))
    return duration if duration >= SHORTEST else INSTEAD


def read_frame(path: Path) -> Pixels:
    """A frame from a picture file as ``(height, width, 3)``, 8 bit."""
    return np.asarray(to_pil(read_image(path).image))
