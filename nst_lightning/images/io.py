"""Reading and writing of pictures: any file that Pillow reads, as float32 sRGB tensors in [0, 1]."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import check_output_path, write_bytes

# Name of the PNG text chunk with the configuration of the run that painted the picture.
CONFIG_KEY = "nst_lightning"

# Begins an EXIF user comment in UTF-16.
UNICODE = b"UNICODE\0"

# The color space of all tensors.
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

# Without the creation time in bytes 24 to 35, so that equal pictures are equal files.
SRGB_BYTES = SRGB.tobytes()[:24] + bytes(12) + SRGB.tobytes()[36:]

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

    Returns:
        The picture at its original size.

    Raises:
        InputError: the file does not exist or is not an image.
    """
    return read_file(path, from_pil)


def read_file(path: str | Path, convert: Callable[[Image.Image], T]) -> T:
    """Opens a picture file and converts it.

    Args:
        path: see :func:`read_image`.
        convert: reads the opened picture; a ValueError that it raises means that the picture cannot be read.

    Raises:
        InputError: the file does not exist or is not an image.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected an image file, but {path} is a directory.")
    if not path.exists():
        raise InputError(f"Expected an image file, but there is none at {path}.")
    try:
        with Image.open(path) as opened:
            return convert(opened)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"Expected an image file, but {path} is not an image that can be read.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"Expected an image file, but {path} cannot be read: {error}.") from error


def from_pil(picture: Image.Image) -> Picture:
    """Converts a PIL image of any mode to tensors; see :func:`read_image`.

    Args:
        picture: the PIL image.

    Raises:
        ValueError: an image of integers or floating-point numbers has values outside of its range.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        return Picture(_from_high_bit_gray(upright))
    alpha = None
    if upright.has_transparency_data:
        alpha = _from_8_bit(upright.convert("RGBA").getchannel("A"))
        # The result of an opaque picture is a file without transparency.
        if bool((alpha == 1).all()):
            alpha = None
    image = _from_8_bit(_convert_to_srgb(upright))
    if alpha is not None:
        image = composite_on_white(image, alpha)
    return Picture(image, alpha)


def composite_on_white(image: Tensor, alpha: Tensor) -> Tensor:
    """Composites an image onto a white background.

    Args:
        image: ``(1, 3, height, width)`` in [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1].

    Returns:
        ``(1, 3, height, width)`` in [0, 1].
    """
    alpha = alpha.to(image)
    return image * alpha + (1 - alpha)


def _from_high_bit_gray(picture: Image.Image) -> Tensor:
    """Converts 16-bit (modes I;16 and I) and floating-point gray (F), which Pillow itself would clip at 255."""
    values = np.asarray(picture).astype(np.float32)
    highest = 1.0 if picture.mode == "F" else 65535.0
    if values.min() < 0 or values.max() > highest:
        raise ValueError(f"its values go from {values.min()} to {values.max()}, beyond 0 to {highest:.0f}")
    return torch.from_numpy(values / highest).expand(1, 3, *values.shape).contiguous()


def _convert_to_srgb(picture: Image.Image) -> Image.Image:
    """Converts to RGB in sRGB. An unusable color profile is ignored, as in browsers."""
    profile = picture.info.get("icc_profile")
    without_alpha = {"RGBA": "RGB", "LA": "L", "PA": "RGB", "P": "RGB", "1": "L"}
    opaque = picture.convert(without_alpha[picture.mode]) if picture.mode in without_alpha else picture
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(opaque, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return opaque.convert("RGB")


def _from_8_bit(picture: Image.Image) -> Tensor:
    values = np.array(picture, dtype=np.float32) / 255
    return torch.from_numpy(values if values.ndim == 3 else values[..., None]).permute(2, 0, 1)[None].contiguous()


def to_pil(image: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Converts an image to an 8-bit PIL image.

    Args:
        image: ``(1, 3, height, width)``, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.

    Returns:
        An RGB image, or an RGBA image if `alpha` is given.
    """
    values = image if alpha is None else torch.cat([image, alpha.to(image)], dim=1)
    pixels = values.detach()[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))


def _save_png(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    text = PngImagePlugin.PngInfo()
    if config:
        text.add_itxt(CONFIG_KEY, config)
    picture.save(file, "PNG", pnginfo=text, icc_profile=SRGB_BYTES)


def _save_jpeg(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    picture.save(file, "JPEG", quality=95, subsampling=0, exif=_encode_exif(config), icc_profile=SRGB_BYTES)


def _save_webp(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    picture.save(file, "WEBP", quality=95, method=4, exif=_encode_exif(config), icc_profile=SRGB_BYTES)


def _save_tiff(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    # As bytes: Pillow writes strings in ASCII with question marks for other characters, and reads them as Latin-1.
    description = {ExifTags.Base.ImageDescription: config.encode()} if config else {}
    picture.save(file, "TIFF", compression="tiff_deflate", tiffinfo=description, icc_profile=SRGB_BYTES)


def _encode_exif(config: str) -> bytes:
    exif = Image.Exif()
    if config:
        comment = UNICODE + config.encode("utf-16-be")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes()


# Writers by the ending of the file.
WRITERS: dict[str, Callable[[Image.Image, io.BytesIO, str], None]] = {
    ".png": _save_png,
    ".jpg": _save_jpeg,
    ".jpeg": _save_jpeg,
    ".webp": _save_webp,
    ".tif": _save_tiff,
    ".tiff": _save_tiff,
}


def check_writable(path: str | Path) -> Path:
    """Checks before a run that an image file can be written after it, and creates its folder.

    Args:
        path: file that ends in jpg, png, webp or tiff.

    Returns:
        The path.

    Raises:
        InputError: the ending is unknown, the path is a directory, or the folder cannot be created or written to.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"Expected a file that ends in {', '.join(WRITERS)}, but got {path}.")
    return check_output_path(path)


def write_image(path: str | Path, image: Tensor, alpha: Tensor | None = None, config: str = "") -> None:
    """Writes a picture in the format that the ending of the path names, completely or not at all.

    Args:
        path: file that ends in jpg, png, webp or tiff. A jpg has no opacity: the image is composited onto white.
        image: ``(1, 3, height, width)`` sRGB, clipped to [0, 1].
        alpha: opacity, ``(1, 1, height, width)`` in [0, 1], or None.
        config: configuration of the run, which is stored in the file as PNG text, TIFF description or EXIF user
            comment. :func:`read_config` reads it.

    Raises:
        InputError: the ending is unknown.
        OSError: the file cannot be written. A previous file at the path is unchanged.
    """
    path = check_writable(path)
    writer = WRITERS[path.suffix.lower()]
    if writer is _save_jpeg and alpha is not None:
        image, alpha = composite_on_white(image.detach().clamp(0, 1), alpha), None
    buffer = io.BytesIO()
    writer(to_pil(image, alpha), buffer, config)
    write_bytes(path, buffer.getvalue())


def read_config(path: str | Path) -> str:
    """Reads the configuration that :func:`write_image` stored in a picture.

    Args:
        path: image file.

    Returns:
        The configuration, or an empty string if the file has none. The text of another program may also be returned.
    """
    with Image.open(path) as picture:
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
