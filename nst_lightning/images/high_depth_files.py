"""Writing of colors with 16 bits per channel, as PNG and TIFF, which Pillow does not write.

The pixels are compressed in bands, with zlib. The parts of both formats around them are few, and Pillow writes those.
"""

import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin, TiffImagePlugin, TiffTags
from torch import Tensor

from nst_lightning.images.color_profiles import SRGB_BYTES
from nst_lightning.images.levels import row_bands, to_16_bit_levels

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

COMPRESSION_LEVEL = 6

# Type of the filter of a PNG row (PNG specification, section 9.2): the difference to the pixel on the left.
_SUB = 1


def save_png_16(image: Tensor, alpha: Tensor | None, file: BinaryIO, text: PngImagePlugin.PngInfo) -> None:
    """Writes a 16-bit PNG.

    Args:
        image: ``(1, 3, height, width)`` sRGB, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.
        file: file to write.
        text: the text chunks.
    """
    height, width = image.shape[-2:]
    color_type = 2 if alpha is None else 6
    header = b"".join(value.to_bytes(4, "big") for value in (width, height)) + bytes([16, color_type, 0, 0, 0])
    file.write(PNG_SIGNATURE)
    PngImagePlugin.putchunk(file, b"IHDR", header)
    PngImagePlugin.putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(SRGB_BYTES))
    for name, content, *_ in text.chunks:
        PngImagePlugin.putchunk(file, name, content)
    compressor = zlib.compressobj(COMPRESSION_LEVEL)
    for rows in row_bands(height, width):
        filtered = _filter_rows(to_16_bit_levels(image, alpha, rows))
        PngImagePlugin.putchunk(file, b"IDAT", compressor.compress(filtered.data))
    PngImagePlugin.putchunk(file, b"IDAT", compressor.flush())
    PngImagePlugin.putchunk(file, b"IEND")


def _filter_rows(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Returns the bytes of rows as differences to the pixels on the left, each row after the type of its filter.

    For photographs, Paeth's filter gives files of the same size and takes longer than the compression.
    """
    rows, _, channels = levels.shape
    values = levels.astype(">u2", order="C").view(np.uint8).reshape(rows, -1)
    filtered = np.empty((rows, 1 + values.shape[1]), np.uint8)
    filtered[:, 0] = _SUB
    filtered[:, 1:] = values
    filtered[:, 1 + 2 * channels :] -= values[:, : -2 * channels]
    return filtered


def save_tiff_16(image: Tensor, alpha: Tensor | None, file: BinaryIO, config: bytes) -> None:
    """Writes a 16-bit TIFF (TIFF 6.0), compressed with deflate.

    Args:
        image: ``(1, 3, height, width)`` sRGB, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.
        file: file to write, which can seek.
        config: the description.
    """
    height, width = image.shape[-2:]
    channels = 3 if alpha is None else 4
    bands = list(row_bands(height, width))
    # The directory comes first and has the same length for all sizes of strips.
    file.write(_encode_directory(height, width, channels, [0] * len(bands), config))
    sizes = []
    for rows in bands:
        differences = _subtract_left(to_16_bit_levels(image, alpha, rows))
        sizes.append(file.write(zlib.compress(differences, COMPRESSION_LEVEL)))
    file.seek(0)
    file.write(_encode_directory(height, width, channels, sizes, config))


def _encode_directory(height: int, width: int, channels: int, sizes: list[int], config: bytes) -> bytes:
    """Returns the header and the directory of a TIFF, which the strips follow, one for each band of rows.

    Args:
        height: height in px.
        width: width in px.
        channels: 3, or 4 with opacity.
        sizes: bytes of each strip.
        config: the description.
    """
    header = b"II*\0" + (8).to_bytes(4, "little")
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    for tag in (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS):
        directory.tagtype[tag] = TiffTags.LONG
    directory[TiffImagePlugin.IMAGEWIDTH] = width
    directory[TiffImagePlugin.IMAGELENGTH] = height
    directory[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    directory[TiffImagePlugin.COMPRESSION] = 8  # deflate
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2  # RGB
    # Relative to the end of the directory; Pillow adds its length.
    directory[TiffImagePlugin.STRIPOFFSETS] = tuple(sum(sizes[:number]) for number in range(len(sizes)))
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(sizes)
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    directory[TiffImagePlugin.ROWSPERSTRIP] = next(row_bands(height, width)).stop
    directory[TiffImagePlugin.PLANAR_CONFIGURATION] = 1  # all channels of a pixel together
    directory[TiffImagePlugin.PREDICTOR] = 2  # differences to the pixel on the left
    directory[TiffImagePlugin.ICCPROFILE] = SRGB_BYTES
    if channels == 4:
        directory[TiffImagePlugin.EXTRASAMPLES] = 2  # opacity that the colors are not multiplied with
    if config:
        directory[TiffImagePlugin.IMAGEDESCRIPTION] = config
    return header + directory.tobytes(8)


def _subtract_left(levels: NDArray[np.uint16]) -> bytes:
    """Returns differences to the pixels on the left, modulo 65536 (TIFF 6.0, section 14)."""
    differences = levels.astype("<u2", order="C")
    differences[:, 1:] -= levels[:, :-1]
    return differences.tobytes()
