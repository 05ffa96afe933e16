"""Pictures in and out: everything a file may be on the way in, sRGB in [0, 1] in between, atomic on the way out."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes

CONFIG_KEY = "nst_lightning"
"""Name of the PNG text that holds the configuration a picture was made with."""

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _undated(profile: bytes) -> bytes:
    """A profile without the time it was made at (bytes 24 to 35), so that the same picture is the same file."""
    return profile[:24] + bytes(12) + profile[36:]


SRGB_BYTES = _undated(SRGB.tobytes())


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    Attributes:
        image: ``(1, 3, height, width)``, float32, sRGB in [0, 1]; what is transparent lies on white.
        alpha: ``(1, 1, height, width)`` in [0, 1], or None where everything is opaque.
    """

    image: Tensor
    alpha: Tensor | None = None


def read_image(path: str | Path) -> Picture:
    """Reads a picture: upright, in sRGB, on white; of an animation the first frame.

    Args:
        path: jpg, png, webp, gif, tiff or whatever else Pillow reads.

    Raises:
        InputError: there is no such file, or no picture in it.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected an image file, but {path} is a directory.")
    if not path.exists():
        raise InputError(f"Expected an image file, but there is none at {path}.")
    try:
        with Image.open(path) as opened:
            return from_pil(opened)
    except UnidentifiedImageError as error:
        raise InputError(f"Expected an image file, but {path} is none that can be read.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"Expected an image file, but {path} cannot be read: {error}.") from error


def from_pil(picture: Image.Image) -> Picture:
    """The tensor of a PIL image of any mode; see :func:`read_image`."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        return Picture(_deep_gray(upright))
    alpha = None
    if upright.has_transparency_data:
        alpha = _tensor(upright.convert("RGBA").getchannel("A"))
        if bool((alpha == 1).all()):
            alpha = None
    image = _tensor(_srgb(upright))
    if alpha is not None:
        image = on_white(image, alpha)
    return Picture(image, alpha)


def on_white(image: Tensor, alpha: Tensor) -> Tensor:
    """An image ``(1, 3, height, width)`` over white, as opaque as ``alpha`` ``(1, 1, height, width)`` says."""
    alpha = alpha.to(image)
    return image * alpha + (1 - alpha)


def _deep_gray(picture: Image.Image) -> Tensor:
    """Gray of 16 bit (modes I;16 and I) or floating point (F), which Pillow would clip at 255."""
    values = np.asarray(picture).astype(np.float32)
    highest = 1.0 if picture.mode == "F" else 65535.0
    if values.min() < 0 or values.max() > highest:
        raise ValueError(f"its values go from {values.min()} to {values.max()}, beyond 0 to {highest:.0f}")
    return torch.from_numpy(values / highest).expand(1, 3, *values.shape).contiguous()


def _srgb(picture: Image.Image) -> Image.Image:
    """RGB in sRGB. A profile that cannot be used is passed over, as browsers do."""
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


def _tensor(picture: Image.Image) -> Tensor:
    values = np.array(picture, dtype=np.float32) / 255
    return torch.from_numpy(values if values.ndim == 3 else values[..., None]).permute(2, 0, 1)[None].contiguous()


def to_pil(image: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """A PIL image, 8 bit, of an image clipped to [0, 1].

    Args:
        image: ``(1, 3, height, width)``.
        alpha: ``(1, 1, height, width)`` in [0, 1] for an RGBA image.
    """
    values = image if alpha is None else torch.cat([image, alpha.to(image)], dim=1)
    bytes_ = values.detach()[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(bytes_))


def _save_png(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    text = PngImagePlugin.PngInfo()
    if config:
        text.add_itxt(CONFIG_KEY, config)
    picture.save(file, "PNG", pnginfo=text, icc_profile=SRGB_BYTES)


def _save_jpeg(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    picture.save(file, "JPEG", quality=95, subsampling=0, exif=_exif(config), icc_profile=SRGB_BYTES)


def _save_webp(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    picture.save(file, "WEBP", quality=95, method=4, exif=_exif(config), icc_profile=SRGB_BYTES)


def _save_tiff(picture: Image.Image, file: io.BytesIO, config: str) -> None:
    # As bytes: Pillow writes a text in ASCII, with a question mark for all else, and reads it as Latin-1.
    description = {ExifTags.Base.ImageDescription: config.encode()} if config else {}
    picture.save(file, "TIFF", compression="tiff_deflate", tiffinfo=description, icc_profile=SRGB_BYTES)


def _exif(config: str) -> bytes:
    exif = Image.Exif()
    if config:
        comment = b"UNICODE\0" + config.encode("utf-16-be")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes()


WRITERS: dict[str, Callable[[Image.Image, io.BytesIO, str], None]] = {
    ".png": _save_png,
    ".jpg": _save_jpeg,
    ".jpeg": _save_jpeg,
    ".webp": _save_webp,
    ".tif": _save_tiff,
    ".tiff": _save_tiff,
}


def check_writable(path: str | Path) -> Path:
    """The path of an image file that is to be written later, with everything about it checked now.

    Raises:
        InputError: an ending that no format has, a directory, or a folder that cannot be made or written to.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"Expected a file that ends in {', '.join(WRITERS)}, but got {path}.")
    if path.is_dir():
        raise InputError(f"Expected the path of a file to write, but {path} is a directory.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Expected to write into {path.parent}, but it cannot be made: {error}.") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"Expected to write into {path.parent}, but that is not permitted.")
    return path


def write_image(path: str | Path, image: Tensor, alpha: Tensor | None = None, config: str = "") -> None:
    """Writes a picture in the format of the path's ending, beside its place first and then renamed.

    Args:
        path: ends in jpg, png, webp or tiff. A jpg has no alpha: the image is put on white.
        image: ``(1, 3, height, width)`` sRGB, clipped to [0, 1].
        alpha: ``(1, 1, height, width)`` in [0, 1], or None.
        config: the configuration the picture was made with, written into the file: PNG text, TIFF
            description or EXIF user comment. :func:`read_config` gives it back.

    Raises:
        InputError: an ending that no format has.
        OSError: the file cannot be written; what was there before is untouched.
    """
    path = check_writable(path)
    writer = WRITERS[path.suffix.lower()]
    if writer is _save_jpeg and alpha is not None:
        image, alpha = on_white(image.detach().clamp(0, 1), alpha), None
    buffer = io.BytesIO()
    writer(to_pil(image, alpha), buffer, config)
    write_bytes(path, buffer.getvalue())


def read_config(path: str | Path) -> str:
    """The configuration that :func:`write_image` put into a picture, or an empty string."""
    with Image.open(path) as picture:
        if picture.format == "PNG":
            return str(getattr(picture, "text", {}).get(CONFIG_KEY, ""))
        if picture.format == "TIFF":
            return str(picture.getexif().get(ExifTags.Base.ImageDescription, "")).encode("latin-1").decode()
        comment = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        return bytes(comment).removeprefix(b"UNICODE\0").decode("utf-16-be")
