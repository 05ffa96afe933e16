"""Conversion between float32 tensors and integer pixels, in bands of rows.

Bands keep the memory of a large picture near that of the tensor and of the integers: 100 megapixels are 1.2 GB as
float32, and each intermediate result of the whole picture would be as large.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

BAND_PIXELS = 2**21


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Yields slices of rows that cover a picture of `height` times `width` px, of about 2 megapixels each."""
    rows = max(1, BAND_PIXELS // width)
    for first in range(0, height, rows):
        yield slice(first, min(first + rows, height))


def from_levels(picture: Image.Image, lower: Image.Image | None = None) -> Tensor:
    """Converts the integers of a picture to numbers in [0, 1].

    Args:
        picture: 8-bit picture of any number of bands.
        lower: the lower bytes of a 16-bit picture, whose upper bytes `picture` then has.

    Returns:
        ``(1, bands, height, width)``, float32.
    """
    width, height = picture.size
    values = torch.empty(1, len(picture.getbands()), height, width)
    for rows in row_bands(height, width):
        levels = read_rows(picture, rows).astype(np.float32)
        if lower is not None:
            levels = levels * 256 + read_rows(lower, rows)
        levels /= 255 if lower is None else 65535
        values[0, :, rows] = torch.from_numpy(levels).permute(2, 0, 1)
    return values


def read_rows(picture: Image.Image, rows: slice) -> NDArray[np.uint8]:
    """Returns some rows of an 8-bit picture, ``(rows, width, bands)``."""
    pixels = np.asarray(picture.crop((0, rows.start, picture.width, rows.stop)))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def to_levels(image: Tensor, alpha: Tensor | None, rows: slice) -> NDArray[np.uint8]:
    """Rounds some rows of an image to 8-bit integers.

    Args:
        image: ``(1, 3, height, width)``, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.
        rows: the rows.

    Returns:
        ``(rows, width, 3)``, or ``(rows, width, 4)`` with alpha.
    """
    levels: NDArray[np.uint8] = _round_rows(image, alpha, rows, 255).byte().cpu().numpy()
    return levels


def to_16_bit_levels(image: Tensor, alpha: Tensor | None, rows: slice) -> NDArray[np.uint16]:
    """Rounds some rows of an image to 16-bit integers; see :func:`to_levels`."""
    # In float32, because float16 ends at 65504; as int32, because torch computes little with uint16.
    return _round_rows(image.float(), alpha, rows, 65535).int().cpu().numpy().astype(np.uint16)


def _round_rows(image: Tensor, alpha: Tensor | None, rows: slice, highest: int) -> Tensor:
    values = image.detach()[0, :, rows]
    if alpha is not None:
        values = torch.cat([values, alpha.detach()[0, :, rows].to(values)])
    return values.clamp(0, 1).mul(highest).round().permute(1, 2, 0)
