"""Images that continue periodically beyond their edges, as tiles do."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# Input pixels on each side of a position that bicubic interpolation reads where it does not shrink the image.
REACH = 2


def pad_periodic(image: Tensor, rows: int, columns: int) -> Tensor:
    """Adds what lies beyond the edges of an image that repeats; the added margin may exceed the image.

    Args:
        image: ``(batch, channels, height, width)``.
        rows: number of rows to add above and below.
        columns: number of columns to add on the left and on the right.

    Returns:
        ``(batch, channels, height + 2 rows, width + 2 columns)``.
    """
    for dim, margin in ((2, rows), (3, columns)):
        length = image.shape[dim]
        image = image.index_select(dim, torch.arange(-margin, length + margin, device=image.device) % length)
    return image


def interpolate_periodic(image: Tensor, height: int, width: int, mode: str) -> Tensor:
    """Resizes an image that repeats by antialiased interpolation; the result repeats too.

    The plain implementation lays 3 x 3 images side by side, resizes them and crops the one in the middle. A margin of a
    whole number of pixels in both sizes gives the same values.

    Args:
        image: ``(batch, channels, height, width)``.
        height: number of rows of the result.
        width: number of columns of the result.
        mode: ``bilinear`` or ``bicubic``.
    """
    (above, new_above), (left, new_left) = (
        _margins(old, new) for old, new in zip(image.shape[-2:], (height, width), strict=True)
    )
    size = (height + 2 * new_above, width + 2 * new_left)
    resized = functional.interpolate(pad_periodic(image, above, left), size=size, mode=mode, antialias=True)
    return resized[..., new_above : new_above + height, new_left : new_left + width].contiguous()


def _margins(old: int, new: int) -> tuple[int, int]:
    """Returns equal margins in px of the old and of the new size, as wide as interpolation reads."""
    common = math.gcd(old, new)
    # Shrinking reads as many times more pixels as it averages.
    count = math.ceil((REACH * max(1, old / new) + 1) / (old // common))
    return count * (old // common), count * (new // common)
