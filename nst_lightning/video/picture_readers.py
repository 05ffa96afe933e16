"""Readers of films that consist of pictures: animated gif and webp, and folders of numbered frames."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.io import from_pil, read_image, to_pil
from nst_lightning.images.opening import current_max_pixels, explain, limit_pixels, open_picture, suspend_pillow_limit
from nst_lightning.video.reader import DecodedFrame, FilmReader, Pixels

# Players show frames with a stored duration below the minimum for the default duration. In milliseconds.
MIN_DURATION_MS = 20
DEFAULT_DURATION_MS = 100


class AnimationReader(FilmReader):
    """Decodes an animated gif or webp; transparent regions are composited onto white.

    Args:
        path: animation file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.max_pixels = current_max_pixels()  # frames are decoded in another thread

    def decode(self) -> Iterator[DecodedFrame]:
        """See :meth:`FilmReader.decode`."""
        time = Fraction(0)
        with suspend_pillow_limit():
            opened = Image.open(self.path)
        with opened:
            count = getattr(opened, "n_frames", 1)
            for number in range(count):
                try:
                    with suspend_pillow_limit(), limit_pixels(self.max_pixels):
                        opened.seek(number)
                        pixels = _convert_to_pixels(opened)
                except InputError:
                    raise
                except Exception as error:  # the readers of formats raise many kinds of exceptions
                    self.problem = f"it is damaged after frame {number} ({explain(error)})"
                    return
                stored = int(opened.info.get("duration", DEFAULT_DURATION_MS))
                duration = Fraction(stored if stored >= MIN_DURATION_MS else DEFAULT_DURATION_MS, 1000)
                yield DecodedFrame(pixels, time, duration)
                time += duration


class NumberedFrames(FilmReader):
    """Reads a folder of picture files in the order of the last number in their names.

    Args:
        folder: folder with pictures of one size.
        rate: frames per second.

    Raises:
        InputError: the folder has no pictures with numbers in their names.
    """

    def __init__(self, folder: Path, rate: float) -> None:
        super().__init__()
        self.folder = folder
        self.max_pixels = current_max_pixels()  # frames are decoded in another thread
        # Exact for rates such as 30000/1001.
        self.rate = Fraction(rate).limit_denominator(1001)
        self.files = list_numbered_files(folder)
        if not self.files:
            raise InputError(f"Expected a folder of numbered frames, but {folder} has no pictures with numbers.")

    def decode(self) -> Iterator[DecodedFrame]:
        """See :meth:`FilmReader.decode`."""
        for number, file in enumerate(self.files):
            try:
                with limit_pixels(self.max_pixels), open_picture(file) as opened:
                    pixels = _convert_to_pixels(opened)
            except InputError:
                raise
            except Exception as error:  # see above
                self.problem = f"frame {number} cannot be read, {file} ({explain(error)})"
                return
            yield DecodedFrame(pixels, number / self.rate, 1 / self.rate)


def list_numbered_files(folder: Path) -> list[Path]:
    """Lists the pictures in a folder, sorted by the last number in their names."""
    endings = Image.registered_extensions()
    pictures = [file for file in folder.iterdir() if file.suffix.lower() in endings and not file.name.startswith(".")]
    numbers = {file: re.findall(r"\d+", file.stem) for file in pictures}
    return sorted((file for file in pictures if numbers[file]), key=lambda file: (int(numbers[file][-1]), file.name))


def is_animation(path: Path) -> bool:
    """Whether a picture file has more than one frame; False if it cannot be read."""
    if not path.is_file():
        return False
    try:
        with suspend_pillow_limit(), Image.open(path) as opened:
            return getattr(opened, "n_frames", 1) > 1
    except Exception:  # see above
        return False


def read_pixels(path: Path) -> Pixels:
    """Reads a picture file as ``(height, width, 3)``, 8-bit sRGB."""
    return np.asarray(to_pil(read_image(path).image))


def _convert_to_pixels(opened: Image.Image) -> Pixels:
    return np.asarray(to_pil(from_pil(opened).image))
