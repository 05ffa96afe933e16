"""Reading of masks: soft gray pictures, opacities, areas of color-coded pictures, arrays."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nst_lightning.data.label_maps import read_label_map
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, from_pil, read_image
from nst_lightning.samples import locate

# A mask in Python: a path, a PIL image, or ``(height, width)`` values: bool, 8-bit or 16-bit integers, or numbers in
# [0, 1].
MaskSource = str | os.PathLike[str] | Image.Image | Picture | NDArray[Any] | Tensor

# Name of a mask that is the opacity of the picture it belongs to.
OWN_ALPHA = "alpha"

# Largest difference between two proportions that are taken for equal.
PROPORTION_TOLERANCE = 0.01

# A mask is colored if the channels of more than 1 % of its pixels differ by more than this.
# Measured: photographs and paintings have 0.3 to 0.8 there, a sepia drawing 0.149.
MAX_TINT, TINTED_SHARE = 0.15, 0.01

# Opacity from which the color of a pixel counts, and how far colors may differ that are taken for one.
MIN_VISIBLE, ONE_COLOR = 0.25, 4 / 255

# Smallest value of a mask that is not 0 in 8 bits.
FAINTEST = 1 / 255


def check_mask_source(name: str, source: Any) -> None:
    """Checks the type of a mask.

    Args:
        name: name of the option in the message.
        source: the mask, or None.

    Raises:
        InputError: it is neither a file nor a picture.
    """
    if source is not None and not isinstance(source, (str, os.PathLike, Image.Image, Picture, np.ndarray, Tensor)):
        raise InputError(f"Expected `{name}` to be the file of a mask, but got {source!r}.")


def split_label(source: str) -> tuple[str, str | None]:
    """Splits a path such as ``seg.png#3`` into the file and the label of an area of it, or None.

    A file whose name contains the character itself is found first.
    """
    file, _, label = source.rpartition("#")
    # `exists` raises an OSError for texts that are too long for a path.
    return (file, label) if file and not (len(source) < 4096 and Path(source).exists()) else (source, None)


def describe_mask(name: str, source: Any) -> str:
    """Returns the name of a mask in messages: the option, and the file if it is one."""
    return f"{name} {os.fspath(source)}" if isinstance(source, str | os.PathLike) else name


def read_mask(source: MaskSource, name: str, picture: Picture | None = None) -> Tensor:
    """Reads a mask.

    A gray picture is a mask of its gray values, from 0 (black) to 1 (white), in 8 or 16 bits. Of a picture with
    opacity, the mask is the luminance times the opacity, or the opacity alone if all visible pixels have one color.
    ``FILE#alpha`` is the opacity of any picture; ``FILE#3`` and ``FILE#ff8800`` are the pixels of a color-coded picture
    with that index or that color; ``alpha`` is the opacity of the picture that the mask belongs to.

    Args:
        source: file or values.
        name: name of the option in messages.
        picture: the picture that the mask belongs to.

    Returns:
        ``(1, 1, height, width)`` in [0, 1].

    Raises:
        InputError: it cannot be read, or is colored.
    """
    if isinstance(source, np.ndarray | Tensor):
        return _convert_values(source, name)
    if isinstance(source, Picture):
        return convert_to_gray(source, name)
    if isinstance(source, Image.Image):
        try:
            picture = from_pil(source)
        except ValueError as error:
            raise InputError(f"Expected {name} to be a gray mask, but it cannot be read: {error}.") from error
        return convert_to_gray(picture, name)
    if source == OWN_ALPHA:
        return _require_alpha(picture, f"the picture of {name}")
    file, label = split_label(os.fspath(source))
    if label == OWN_ALPHA:
        return _require_alpha(read_image(locate(file)), f"{name} {file}")
    if label is not None:
        return read_label_map(file, name).select(label)
    return convert_to_gray(read_image(locate(file)), describe_mask(name, source))


def _require_alpha(picture: Picture | None, name: str) -> Tensor:
    if picture is None or picture.alpha is None:
        raise InputError(f"Expected {name} to have transparent pixels for `alpha`, but it has none.")
    return picture.alpha


def convert_to_gray(picture: Picture, name: str) -> Tensor:
    """Converts a picture to a mask; see :func:`read_mask`.

    Args:
        picture: the picture, composited onto white.
        name: name of the picture in messages.

    Returns:
        ``(1, 1, height, width)`` in [0, 1].

    Raises:
        InputError: the picture is colored.
    """
    image, alpha = picture.image, picture.alpha
    if alpha is not None and _has_one_color(image, alpha):
        return alpha
    # Transparent pixels are white, so that they have no tint.
    tint = image.amax(1) - image.amin(1)
    if float((tint > MAX_TINT).float().mean()) > TINTED_SHARE:
        raise InputError(
            f"Expected {name} to be a gray mask, white where it applies, but it is colored: save it in gray, or "
            "name one color of a color-coded PNG as FILE#ff8800, or the opacity of a cutout as FILE#alpha."
        )
    red, green, blue = image.unbind(1)
    # Luminance of ITU-R BT.709, in a form that keeps the values of gray pixels exactly.
    gray = (green + 0.2126 * (red - green) + 0.0722 * (blue - green))[:, None]
    # The composite is color * alpha + (1 - alpha).
    return gray if alpha is None else (gray - (1 - alpha)).clamp(0, 1)


def _has_one_color(image: Tensor, alpha: Tensor) -> bool:
    """Whether the opacity alone has the shape: it varies, and all visible pixels have one color."""
    visible = alpha.flatten() >= MIN_VISIBLE
    if not visible.any() or alpha.amin() == alpha.amax():
        return False
    missing = (1 - image).flatten(2)[0, :, visible] / alpha.flatten()[visible]
    return float((missing.amax(1) - missing.amin(1)).max()) <= ONE_COLOR


def _convert_values(values: NDArray[Any] | Tensor, name: str) -> Tensor:
    # Torch computes little with unsigned 16-bit integers.
    is_16_bit = isinstance(values, np.ndarray) and values.dtype == np.uint16
    plane = torch.as_tensor(np.asarray(values, np.int32) if is_16_bit else values).detach().cpu()
    while plane.ndim > 2 and plane.shape[0] == 1:
        plane = plane[0]
    if plane.ndim != 2 or not plane.numel():
        raise InputError(f"Expected {name} to have the shape (height, width), but got {tuple(plane.shape)}.")
    has_unit_range = plane.dtype == torch.bool or plane.is_floating_point()
    plane = plane.float() / (1 if has_unit_range else 65535 if is_16_bit else 255)
    if not bool(((plane >= 0) & (plane <= 1)).all()):
        raise InputError(f"Expected {name} to have numbers from 0 to 1, or integers from 0 to 255, but got others.")
    return plane[None, None]


def check_mask(mask: Tensor, shape: tuple[int, int], name: str) -> None:
    """Checks that a mask is not empty and has the proportions of its picture.

    Args:
        mask: ``(1, 1, height, width)`` in [0, 1].
        shape: height and width in px of the picture.
        name: name of the mask in messages.

    Raises:
        InputError: it is 0 everywhere, or has other proportions.
    """
    check_proportions((mask.shape[-2], mask.shape[-1]), shape, name)
    check_not_empty(float(mask.max()), name)


def check_not_empty(highest: float, name: str) -> None:
    """Checks that the largest value of a mask is not 0.

    Raises:
        InputError: it is.
    """
    if highest < FAINTEST:
        raise InputError(f"Expected {name} to be white where it applies, but it is empty: all of it is black.")


def check_proportions(mask: tuple[int, int], picture: tuple[int, int], name: str) -> None:
    """Checks that a mask has the proportions of its picture, within 1 % or one pixel.

    Args:
        mask: height and width of the mask in px.
        picture: height and width of the picture in px.
        name: name of the mask in messages.

    Raises:
        InputError: the proportions differ.
    """
    (height, width), (full_height, full_width) = mask, picture
    expected = width * full_height / full_width, height * full_width / full_height
    # A mask of few pixels cannot have exact proportions.
    is_close = [
        abs(actual - wanted) <= max(1, PROPORTION_TOLERANCE * wanted)
        for actual, wanted in zip((height, width), expected, strict=True)
    ]
    if not all(is_close):
        raise InputError(
            f"Expected {name} to have the proportions of its picture of {full_width}x{full_height} px, but it has "
            f"{width}x{height} px: crop or draw it for that picture."
        )
