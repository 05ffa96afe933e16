"""The readers that are fuzzed: valid files, ways to change them, and what is done with the result."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from nst_lightning.images.io import read_config, read_image, write_image
from nst_lightning.images.opening import limit_pixels
from tests.fuzz.mutations import mutate_picture
from tests.helpers import smooth_image

# Largest picture in pixels: the limit that a user has is for pictures that need more memory than a campaign may use.
MAX_PIXELS = 1e6

# Longest valid file to begin with.
MAX_SEED_LENGTH = 20_000


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: returns valid files.
        mutate: changes a file a little.
        read: reads a file in the current folder; an InputError means that it is refused.
        prepare: writes further files into the current folder.
    """

    seeds: Callable[[], list[bytes]]
    mutate: Callable[[Random, bytes], bytes]
    read: Callable[[bytes], object]
    prepare: Callable[[], object] = lambda: None


def make_pictures() -> list[bytes]:
    """Returns a small picture in each format and mode that Pillow writes, and those that this package writes."""
    Image.init()
    rgb = Image.effect_noise((9, 7), 90).convert("RGB")
    pictures = []
    for kind in sorted(Image.SAVE):
        for mode in ("RGB", "RGBA", "P", "L", "1", "CMYK", "I;16", "F", "LAB"):
            if kind in ("PDF", "EPS", "GRIB", "HDF5", "BUFR", "WMF", "MPO", "PALM"):
                continue
            buffer = io.BytesIO()
            try:
                source = rgb.convert("L").convert(mode) if mode in ("I;16", "F") else rgb.convert(mode)
                source.save(buffer, kind)
            except (OSError, ValueError, KeyError):
                continue
            pictures.append(buffer.getvalue())
    for options in ({"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "packbits"}):
        buffer = io.BytesIO()
        rgb.save(buffer, "TIFF", **options)
        pictures.append(buffer.getvalue())
    for ending, depth in (("png", 8), ("png", 16), ("tiff", 8), ("tiff", 16), ("jpg", 8), ("webp", 8)):
        path = Path(f"seed.{ending}")
        write_image(path, smooth_image(7, 9), smooth_image(7, 9)[:, :1], config="data: {style: a.png}", depth=depth)
        pictures.append(path.read_bytes())
    return [picture for picture in pictures if len(picture) < MAX_SEED_LENGTH]


def read_picture(content: bytes) -> None:
    """Reads a picture, and the configuration in it."""
    path = Path("picture.png")
    path.write_bytes(content)
    with limit_pixels(MAX_PIXELS):
        image = read_image(path).image
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        read_config(path)


TARGETS: dict[str, Target] = {"image": Target(make_pictures, mutate_picture, read_picture)}
