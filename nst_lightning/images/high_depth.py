"""Reading of colors with 16 bits per channel; Pillow itself keeps the upper 8.

Pillow decodes such files of every compression, and its decoders are told by a raw mode in which order the two bytes of
a value are stored. With the other order, the same decoder yields the lower bytes. So a file is decoded twice, and no
other library is needed.
"""

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nst_lightning.images.color_profiles import convert_to_srgb, parse_matrix_profile
from nst_lightning.images.levels import from_levels, read_rows, row_bands

# Raw modes with the other order of bytes; N is the order of this machine.
_NATIVE, _OTHER = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_OTHER_RAW_MODES = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBX", "RGBA")
    for order, other in (("L", "B"), ("B", "L"), ("N", _OTHER))
}


def has_16_bit_colors(opened: Image.Image) -> bool:
    """Whether a file, opened and not yet decoded, has colors with 16 bits per channel that can all be read.

    Gray with 16 bits is not meant: Pillow reads it with its full depth.
    """
    tiles = _list_tiles(opened)
    return bool(tiles) and all(_raw_mode(tile.args) in _OTHER_RAW_MODES for tile in tiles)


def select_lower_bytes(opened: Image.Image) -> None:
    """Makes a file, opened and not yet decoded, a picture of the lower bytes of its 16-bit values."""
    opened.tile = [  # type: ignore[attr-defined]
        tile._replace(args=_replace_raw_mode(tile.args)) for tile in _list_tiles(opened)
    ]


def _list_tiles(opened: Image.Image) -> list[Any]:
    # The parts of a file and how they are encoded; only pictures from files have them.
    return list(getattr(opened, "tile", []))


def _raw_mode(args: Any) -> Any:
    return args[0] if isinstance(args, tuple) and args else args


def _replace_raw_mode(args: Any) -> Any:
    other = _OTHER_RAW_MODES[_raw_mode(args)]
    return (other, *args[1:]) if isinstance(args, tuple) else other


def from_16_bit(upper: Image.Image, lower: Image.Image) -> tuple[Tensor, Tensor | None]:
    """Converts 16-bit colors to tensors in sRGB.

    Profiles of three primaries are converted with the full depth, and others, which have tables, with 8 bits.

    Args:
        upper: RGB or RGBA picture of the upper bytes.
        lower: the lower bytes.

    Returns:
        Colors, ``(1, 3, height, width)`` in [0, 1], and opacity, ``(1, 1, height, width)``, or None if the file has
        none.
    """
    alpha = None
    if upper.mode == "RGBA":
        alpha = from_levels(upper.getchannel("A"), lower.getchannel("A"))
    elif "transparency" in upper.info:
        alpha = _find_transparent_color(upper, lower)
    if upper.mode == "RGBA":
        upper, lower = upper.convert("RGB"), lower.convert("RGB")
    return _convert_colors(upper, lower), alpha


def _convert_colors(upper: Image.Image, lower: Image.Image) -> Tensor:
    profile = upper.info.get("icc_profile")
    matrix = parse_matrix_profile(profile) if profile else None
    if profile and matrix is None:
        return from_levels(convert_to_srgb(upper))
    if matrix is None or matrix.is_srgb:
        return from_levels(upper, lower)
    image = torch.empty(1, 3, upper.height, upper.width)
    for rows in row_bands(upper.height, upper.width):
        levels = _read_levels(upper, lower, rows)
        image[0, :, rows] = torch.from_numpy(matrix.convert(levels)).permute(2, 0, 1)
    return image


def _find_transparent_color(upper: Image.Image, lower: Image.Image) -> Tensor:
    """Returns 0 for pixels of the color that a PNG declares as transparent, else 1."""
    alpha = torch.ones(1, 1, upper.height, upper.width)
    for rows in row_bands(upper.height, upper.width):
        levels = _read_levels(upper, lower, rows)
        is_transparent = (levels == np.array(upper.info["transparency"])).all(-1)
        alpha[0, 0, rows][torch.from_numpy(is_transparent)] = 0
    return alpha


def _read_levels(upper: Image.Image, lower: Image.Image, rows: slice) -> NDArray[np.uint16]:
    return read_rows(upper, rows).astype(np.uint16) * 256 + read_rows(lower, rows)
