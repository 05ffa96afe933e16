"""Files of pictures and masks, and what reads them."""

import io
from contextlib import suppress
from pathlib import Path

from PIL import Image

from nst_lightning.data.label_maps import match_labels, read_label_map
from nst_lightning.data.mask_frames import DecodedMasks
from nst_lightning.data.masks import check_mask, read_mask
from nst_lightning.errors import InputError
from nst_lightning.images.io import Depth, read_config, read_image, write_image
from nst_lightning.images.opening import limit_pixels
from nst_lightning.video.picture_readers import is_animation
from tests.helpers import smooth_image

# Largest picture in pixels: the limit that a user has is for pictures that need more memory than a campaign may use.
MAX_PIXELS = 1e6

# Longest valid file to begin with.
MAX_SEED_LENGTH = 20_000

# Formats of documents and those that Pillow cannot read.
SKIPPED_FORMATS = ("PDF", "EPS", "GRIB", "HDF5", "BUFR", "WMF", "PALM")

MODES = ("RGB", "RGBA", "P", "L", "LA", "1", "CMYK", "I;16", "F", "LAB")

# Pictures that this package writes: ending and bits of each channel.
OWN_FORMATS: tuple[tuple[str, Depth], ...] = (
    ("png", 8),
    ("png", 16),
    ("tiff", 8),
    ("tiff", 16),
    ("jpg", 8),
    ("webp", 8),
)


def make_pictures() -> list[bytes]:
    """Returns a small picture in each format and mode that Pillow writes, and those that this package writes."""
    Image.init()
    noise = Image.effect_noise((9, 7), 90)
    pictures = []
    for kind in sorted(set(Image.SAVE) - set(SKIPPED_FORMATS)):
        for mode in MODES:
            source = noise if mode in ("I;16", "F") else noise.convert("RGB")
            # Not every format has every mode.
            with suppress(OSError, ValueError, KeyError):
                pictures.append(_save(source.convert(mode), kind))
    for compression in ("tiff_lzw", "jpeg", "packbits", "group4"):
        mode = "1" if compression == "group4" else "RGB"
        pictures.append(_save(noise.convert(mode), "TIFF", compression=compression))
    for ending, depth in OWN_FORMATS:
        path, image = Path(f"seed.{ending}"), smooth_image(7, 9)
        write_image(path, image, image[:, :1], config="data: {style: a.png}", depth=depth)
        pictures.append(path.read_bytes())
    return [picture for picture in pictures if len(picture) < MAX_SEED_LENGTH]


def make_masks() -> list[bytes]:
    """Returns small masks, color-coded pictures and animations of masks."""
    gray, labels = Image.effect_noise((9, 7), 90), Image.new("P", (9, 7), 3)
    labels.putpalette([255, 136, 0, 0, 0, 0, 9, 9, 9, 255, 136, 0])
    labels.paste(0, (2, 2, 5, 5))
    cutout = Image.merge("LA", (Image.new("L", (9, 7)), gray))
    masks = [_save(gray.convert(mode), "PNG") for mode in ("1", "L", "I;16", "RGB")]
    masks += [_save(cutout, "PNG"), _save(gray, "JPEG"), _save(gray, "TIFF"), _save(gray, "BMP")]
    masks += [_save(labels, kind) for kind in ("PNG", "GIF", "TIFF", "BMP")]
    masks += [_save(labels.convert("RGBA"), kind) for kind in ("PNG", "TIFF")]
    masks += [_save(labels, "PNG", transparency=3), _save(labels.convert("RGB"), "PNG", transparency=(255, 136, 0))]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        frames = [gray, gray.point(lambda level: 255 - level), gray]
        masks.append(_save(frames[0], kind, save_all=True, append_images=frames[1:], duration=[0, 50, 90]))
    return masks


def _save(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read_picture_file(content: bytes) -> None:
    """Reads a picture, and the configuration in it."""
    path = Path("picture.png")
    path.write_bytes(content)
    with limit_pixels(MAX_PIXELS):
        with suppress(InputError):
            read_config(path)
        picture = read_image(path)
        assert 0 <= float(picture.image.min()) <= float(picture.image.max()) <= 1
        assert picture.alpha is None or 0 <= float(picture.alpha.min()) <= float(picture.alpha.max()) <= 1


def read_mask_file(content: bytes) -> None:
    """Reads a mask in each of the ways in which a picture can be one, also as a film."""
    path = Path("mask.png")
    path.write_bytes(content)
    with limit_pixels(MAX_PIXELS):
        for label in ("", "#alpha", "#0", "#3", "#ff8800"):
            with suppress(InputError):
                mask = read_mask(f"{path}{label}", "data.hold")
                assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
                check_mask(mask, (7, 9), "data.hold")
        with suppress(InputError):
            labels = read_label_map(str(path), "data.content_map")
            assert match_labels(labels, [labels], has_rest=False) == labels.repeats_colors
        if is_animation(path):
            frames = DecodedMasks(path, "data.hold")
            for number in range(min(len(frames), 10)):
                frames.read(number)
