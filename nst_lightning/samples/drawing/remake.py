"""Draws the sample pictures and replaces their files: `python -m nst_lightning.samples.drawing.remake [NAME ...]`."""

import importlib
import io
import sys

from PIL import Image

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.samples.gallery import MASKS, SAMPLES, sample_path

# WebP quality: the fine strokes of the styles smear below it.
QUALITY = 86


def draw(name: str) -> Image.Image:
    """Draws a sample picture. The same name always gives the same picture.

    Args:
        name: one of `SAMPLES`.

    Raises:
        InputError: there is no such picture.
    """
    if name not in SAMPLES:
        raise InputError(f"Expected a sample among {', '.join(SAMPLES)}, but got {name!r}.")
    module = importlib.import_module(f"nst_lightning.samples.drawing.{name.removesuffix('_mask')}")
    picture: Image.Image = getattr(module, name)()
    return picture


def remake(name: str) -> int:
    """Draws a sample picture and replaces its file.

    Args:
        name: one of `SAMPLES`.

    Returns:
        The size of the file in bytes.

    Raises:
        InputError: there is no such picture.
    """
    encoded = io.BytesIO()
    # Lossless files of masks are smaller, and have no gray around their edges.
    draw(name).save(encoded, "WEBP", quality=QUALITY, method=6, lossless=name in MASKS)
    write_bytes(sample_path(name), encoded.getvalue())
    return len(encoded.getvalue())


def main(names: list[str]) -> int:
    """Remakes the named pictures, or all of them, and returns the exit status."""
    try:
        for name in names or SAMPLES:
            print(f"{name}: {remake(name)} bytes", flush=True)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
