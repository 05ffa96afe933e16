"""Reading and writing of pictures: any file that Pillow reads, as float32 sRGB tensors in [0, 1]."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import atomic_path, check_output_path
from nst_lightning.images.color_profiles import SRGB_BYTES, convert_to_srgb
from nst_lightning.images.high_depth import from_16_bit, has_16_bit_colors, select_lower_bytes
from nst_lightning.images.high_depth_files import save_png_16, save_tiff_16
from nst_lightning.images.levels import from_levels, row_bands, to_levels
from nst_lightning.images.opening import check_pixels, explain, open_picture, suspend_pillow_limit

# Name of the PNG text chunk with the configuration of the run that painted the picture.
CONFIG_KEY = "nst_lightning"

# Begins an EXIF user comment in UTF-16.
UNICODE = b"UNICODE\0"

# Bits of each channel of a file that is written.
Depth = Literal[8, 16]

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A picture as tensors.

    Attributes:
        image: ``(1, 3, height, width)``, float32, sRGB in [0, 1]; transparent regions are composited onto white.
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None if the picture is opaque.
    """

    image: Tensor
    alpha: Tensor | None = None


def read_image(path: str | Path) -> Picture:
    """Reads a picture, rotates it upright, converts it to sRGB and composites it onto white.

    Args:
        path: jpg, png, webp, gif, tiff or any other format that Pillow reads. The first frame of an animation is read.
            A png or tiff with 16 bits per channel is read with its full depth.

    Returns:
        The picture at its original size.

    Raises:
        InputError: the file does not exist, is not an image, or has more pixels than the limit.
    """
    picture = read_file(path, lambda opened: None if has_16_bit_colors(opened) else from_pil(opened))
    if picture is not None:
        return picture
    upper = read_file(path, _load_upright)
    lower = read_file(path, _load_lower_bytes)
    return Picture(*_composite(*from_16_bit(upper, lower)))


def _load_upright(opened: Image.Image) -> Image.Image:
    opened.load()
    return _turn_upright(opened)


def _load_lower_bytes(opened: Image.Image) -> Image.Image:
    select_lower_bytes(opened)
    return _load_upright(opened)


def read_file(path: str | Path, convert: Callable[[Image.Image], T]) -> T:
    """Opens a picture file and converts it.

    Args:
        path: see :func:`read_image`.
        convert: reads the opened picture; an exception that it raises means that the picture cannot be read.

    Raises:
        InputError: the file does not exist, is not an image, or has more pixels than the limit.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected an image file, but {path} is a directory.")
    # A pipe would be waited for without an end.
    if not path.is_file():
        raise InputError(f"Expected an image file, but there is none at {path}.")
    try:
        with open_picture(path) as opened:
            return convert(opened)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"Expected an image file, but {path} is not an image that can be read.") from error
    except Exception as error:  # the readers of formats raise many kinds of exceptions
        raise InputError(f"Expected an image file, but {path} cannot be read: {explain(error)}.") from error


def from_pil(picture: Image.Image) -> Picture:
    """Converts a PIL image of any mode to tensors; see :func:`read_image`.

    Args:
        picture: the PIL image.

    Raises:
        ValueError: an image of integers or floating-point numbers has values outside of its range.
        InputError: it has more pixels than the limit.
    """
    check_pixels(picture.size, "this one")
    with suspend_pillow_limit():
        picture.load()
        upright = _turn_upright(picture)
        if upright.mode.startswith(("I", "F")):
            return Picture(_from_high_bit_gray(upright))
        alpha = None
        if upright.has_transparency_data:
            translucent = upright if upright.mode == "RGBA" else upright.convert("RGBA")
            alpha = from_levels(translucent.getchannel("A"))
        return Picture(*_composite(from_levels(convert_to_srgb(upright)), alpha))


def _turn_upright(picture: Image.Image) -> Image.Image:
    """Rotates a picture as its EXIF orientation says; returns the picture itself if it is upright already."""
    # `exif_transpose` copies pictures that are upright.
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return picture if orientation == 1 else ImageOps.exif_transpose(picture)


def _composite(image: Tensor, alpha: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Composites onto white. The result of an opaque picture is a file without transparency, so its alpha is None."""
    if alpha is None or bool((alpha == 1).all()):
        return image, None
    return composite_on_white(image, alpha), alpha


def composite_on_white(image: Tensor, alpha: Tensor) -> Tensor:
    """Composites an image onto a white background.

    Args:
        image: ``(1, 3, height, width)`` in [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1].

    Returns:
        ``(1, 3, height, width)`` in [0, 1].
    """
    alpha = alpha.to(image)
    return (image * alpha).add_(1 - alpha)


def _from_high_bit_gray(picture: Image.Image) -> Tensor:
    """Converts 16-bit (modes I;16 and I) and floating-point gray (F), which Pillow itself would clip at 255."""
    values = np.asarray(picture).astype(np.float32)
    highest = 1.0 if picture.mode == "F" else 65535.0
    # Not true for NaN either.
    if not (values.min() >= 0 and values.max() <= highest):
        raise ValueError(f"its values go from {values.min()} to {values.max()}, beyond 0 to {highest:.0f}")
    values /= highest
    return torch.from_numpy(values).expand(1, 3, *values.shape).contiguous()


def to_pil(image: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Converts an image to an 8-bit PIL image.

    Args:
        image: ``(1, 3, height, width)``, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.

    Returns:
        An RGB image, or an RGBA image if `alpha` is given.
    """
    height, width = image.shape[-2:]
    pixels = np.empty((height, width, 3 if alpha is None else 4), np.uint8)
    for rows in row_bands(height, width):
        pixels[rows] = to_levels(image, alpha, rows)
    return Image.fromarray(pixels)


def _save_png(picture: Image.Image, file: BinaryIO, config: str) -> None:
    picture.save(file, "PNG", pnginfo=_encode_text(config), icc_profile=SRGB_BYTES)


def _save_jpeg(picture: Image.Image, file: BinaryIO, config: str) -> None:
    picture.save(file, "JPEG", quality=95, subsampling=0, exif=_encode_exif(config), icc_profile=SRGB_BYTES)


def _save_webp(picture: Image.Image, file: BinaryIO, config: str) -> None:
    picture.save(file, "WEBP", quality=95, method=4, exif=_encode_exif(config), icc_profile=SRGB_BYTES)


def _save_tiff(picture: Image.Image, file: BinaryIO, config: str) -> None:
    # As bytes: Pillow writes strings in ASCII with question marks for other characters, and reads them as Latin-1.
    description = {ExifTags.Base.ImageDescription: config.encode()} if config else {}
    picture.save(file, "TIFF", compression="tiff_deflate", tiffinfo=description, icc_profile=SRGB_BYTES)


def _encode_text(config: str) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    if config:
        text.add_itxt(CONFIG_KEY, config)
    return text


def _encode_exif(config: str) -> bytes:
    exif = Image.Exif()
    if config:
        comment = UNICODE + config.encode("utf-16-be")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes()


# Writers of 8 bits by the ending of the file.
WRITERS: dict[str, Callable[[Image.Image, BinaryIO, str], None]] = {
    ".png": _save_png,
    ".jpg": _save_jpeg,
    ".jpeg": _save_jpeg,
    ".webp": _save_webp,
    ".tif": _save_tiff,
    ".tiff": _save_tiff,
}


# Formats that also store 16 bits.
HIGH_DEPTH_ENDINGS = (".png", ".tif", ".tiff")


def check_writable(path: str | Path, depth: Depth = 8) -> Path:
    """Checks before a run that an image file can be written after it, and creates its folder.

    Args:
        path: file that ends in jpg, png, webp or tiff.
        depth: bits of each channel.

    Returns:
        The path.

    Raises:
        InputError: the ending is unknown or its format has no such depth, the path is a directory, or the folder cannot
            be created or written to.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"Expected a file that ends in {', '.join(WRITERS)}, but got {path}.")
    if depth == 16 and path.suffix.lower() not in HIGH_DEPTH_ENDINGS:
        raise InputError(
            f"Expected a file that ends in {', '.join(HIGH_DEPTH_ENDINGS)} for a depth of 16 bits, but got {path}."
        )
    return check_output_path(path)


def write_image(
    path: str | Path, image: Tensor, alpha: Tensor | None = None, config: str = "", depth: Depth = 8
) -> None:
    """Writes a picture in the format that the ending of the path names, completely or not at all.

    Args:
        path: file that ends in jpg, png, webp or tiff. A jpg has no opacity: the image is composited onto white.
        image: ``(1, 3, height, width)`` sRGB, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.
        config: configuration of the run, which is stored in the file as PNG text, TIFF description or EXIF user
            comment. :func:`read_config` reads it.
        depth: bits of each channel; 16 for png and tiff only.

    Raises:
        InputError: the ending is unknown, or its format has no such depth.
        OSError: the file cannot be written. A previous file at the path is unchanged.
    """
    path = check_writable(path, depth)
    ending = path.suffix.lower()
    writer = WRITERS[ending]
    if writer is _save_jpeg and alpha is not None:
        image, alpha = composite_on_white(image.detach().clamp(0, 1), alpha), None
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if depth == 8:
            writer(to_pil(image, alpha), file, config)
        elif ending == ".png":
            save_png_16(image, alpha, file, _encode_text(config))
        else:
            save_tiff_16(image, alpha, file, config.encode())


def read_config(path: str | Path) -> str:
    """Reads the configuration that :func:`write_image` stored in a picture.

    Args:
        path: image file.

    Returns:
        The configuration, or an empty string if the file has none. The text of another program may also be returned.

    Raises:
        InputError: the file does not exist or is not an image.
    """
    return read_file(path, _find_config)


def _find_config(picture: Image.Image) -> str:
    if picture.format == "PNG":
        return str(getattr(picture, "text", {}).get(CONFIG_KEY, ""))
    description = str(picture.getexif().get(ExifTags.Base.ImageDescription, ""))
    comment = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    # Other programs write texts in other encodings.
    try:
        if picture.format == "TIFF":
            return description.encode("latin-1").decode()
        return comment.removeprefix(UNICODE).decode("utf-16-be") if isinstance(comment, bytes) else ""
    except UnicodeError:
        return ""
