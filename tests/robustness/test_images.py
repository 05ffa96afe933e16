"""Pictures that are unusual, and pictures and films that cannot be used."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nst_lightning.__main__ import main
from nst_lightning.images.io import read_image
from nst_lightning.samples import sample_path
from tests.images.test_opening import write_bomb
from tests.robustness.refusals import FIT

GRADIENT = np.linspace(0, 1, 40 * 30, dtype=np.float32).reshape(30, 40)


def save_gray(path: Path, values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> None:
    Image.fromarray(values).save(path)


def save_animation(path: Path, damaged: bool = False) -> None:
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[0, 50, 50])
    if damaged:
        path.write_bytes(path.read_bytes()[:60])


def write_zero_png(path: Path) -> None:
    """Writes a PNG whose header says that it has no pixels."""
    write_bomb(path, 0, 0)


def write_short_png(path: Path) -> None:
    """Writes a PNG with less data than its header says."""
    write_bomb(path, 3000, 3000)


def write_jpeg_of_profile(path: Path) -> None:
    Image.new("CMYK", (40, 30), (10, 200, 30, 40)).save(path, icc_profile=b"broken" * 30)


def patch_film(path: Path, box: bytes, offset: int, content: bytes) -> None:
    """Copies the sample clip and overwrites bytes of one of its boxes."""
    raw = bytearray(sample_path("clip").read_bytes())
    place = raw.index(box) + 4 + offset
    raw[place : place + len(content)] = content
    path.write_bytes(raw)


USABLE: dict[str, Callable[[Path], object]] = {
    "one_bit.png": lambda path: Image.new("1", (40, 30), 1).save(path),
    "sixteen_bits.png": lambda path: Image.fromarray((GRADIENT * 65535).astype(np.uint16)).save(path),
    "float.tiff": lambda path: save_gray(path, GRADIENT),
    "palette.gif": lambda path: Image.new("P", (40, 30)).save(path),
    "cmyk.jpg": write_jpeg_of_profile,
    "gray_alpha.png": lambda path: Image.new("LA", (40, 30), (90, 120)).save(path),
    "lab.tiff": lambda path: Image.new("LAB", (40, 30), (120, 128, 128)).save(path),
    "bitmap.bmp": lambda path: Image.new("RGB", (40, 30), "red").save(path),
    "jpeg.png": lambda path: Image.new("RGB", (40, 30), "red").save(path, "JPEG"),
    "no_ending": lambda path: Image.new("RGB", (40, 30), "red").save(path, "PNG"),
    "wide.png": lambda path: Image.new("RGB", (30000, 400), "red").save(path),
    "thin_style.png": lambda path: Image.new("RGB", (1, 40), "red").save(path),
}


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.usefixtures("refuse")
def test_unusual_picture_is_painted_with(name: str) -> None:
    USABLE[name](Path(name))
    image = read_image(name).image
    assert bool(((image >= 0) & (image <= 1)).all())
    # The backbone of the other tests has layers that are too deep for a style of one pixel.
    options = ["--model.backbone=SlimVGG19", "--model.losses.content.layers=[conv_1]"]
    assert main([*FIT, *options, f"--data.style={name}", "--output=result.png"]) == 0
    assert bool(torch.isfinite(read_image("result.png").image).all())


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "no_pixels.png": write_zero_png,
    "short.png": write_short_png,
    "bomb.png": write_bomb,
    "wide_bomb.png": lambda path: write_bomb(path, 2**31 - 1, 1),
    "float_nan.tiff": lambda path: save_gray(path, np.full_like(GRADIENT, np.nan)),
    "float_infinite.tiff": lambda path: save_gray(path, np.full_like(GRADIENT, np.inf)),
    "float_large.tiff": lambda path: save_gray(path, GRADIENT * 1e6),
    "cut.gif": lambda path: save_animation(path, damaged=True),
    "svg.svg": lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "header.bmp": lambda path: path.write_bytes(b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, -5, -5, 1, 24)),
    "header.tiff": lambda path: path.write_bytes(b"II*\0\x08\0\0\0\xff\xff"),
    "header.webp": lambda path: path.write_bytes(b"RIFF\xff\xff\xff\xffWEBPVP8 "),
    "header.jpg": lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF"),
    "header.ico": lambda path: path.write_bytes(b"\0\0\1\0\xff\xff"),
    "script.eps": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(hacked) run\n"),
}


@pytest.mark.parametrize("option", ["data.content", "data.style", "data.hold", "model.initialization"])
@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_picture_is_refused(refuse: Callable[..., str], option: str, name: str) -> None:
    UNUSABLE[name](Path(name))
    refuse([f"--{option}={name}"], name)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (30000, 1)])
def test_content_of_one_pixel_each_way_is_refused(refuse: Callable[..., str], size: tuple[int, int]) -> None:
    Image.new("RGB", size).save("thin.png")
    refuse(["--data.content=thin.png"], "px")


MASKS: dict[str, Callable[[Path], object]] = {
    "black.png": lambda path: Image.new("L", (40, 30), 0).save(path),
    "colored.png": lambda path: Image.new("RGB", (40, 30), "red").save(path),
    "tall.png": lambda path: Image.new("L", (30, 40), 255).save(path),
}


@pytest.mark.parametrize(
    "name", [*MASKS, "tall.png#3", "black.png#77", "black.png#alpha", "colored.png#00ff00", "alpha"]
)
def test_mask_is_refused(refuse: Callable[..., str], name: str) -> None:
    for file, write in MASKS.items():
        write(Path(file))
    refuse([f"--data.hold={name}"])


FILMS: dict[str, Callable[[Path], object]] = {
    "no_frames.mp4": lambda path: path.write_bytes(sample_path("clip").read_bytes()[:400]),
    "no_offsets.mp4": lambda path: patch_film(path, b"stco", 8, b"\xff" * 40),
    "no_sizes.mp4": lambda path: patch_film(path, b"stsz", 8, b"\xff" * 60),
    "no_frames.gif": lambda path: path.write_bytes(b"GIF89a\x28\0\x1e\0\0\0\0;"),
}


@pytest.mark.parametrize("name", FILMS)
def test_film_is_refused(refuse: Callable[..., str], name: str) -> None:
    FILMS[name](Path(name))
    refuse([f"--data.content={name}"], name)


USABLE_FILMS: dict[str, Callable[[Path], object]] = {
    "zero_duration.mp4": lambda path: patch_film(path, b"mvhd", 16, bytes(4)),
    "zero_media_duration.mp4": lambda path: patch_film(path, b"mdhd", 16, bytes(4)),
    "zero_durations.mp4": lambda path: patch_film(path, b"stts", 12, bytes(4)),
    "one_frame.mp4": lambda path: shutil.copy(sample_path("clip"), path),
    "still.gif": lambda path: save_animation(path),
}


@pytest.mark.parametrize("name", USABLE_FILMS)
@pytest.mark.usefixtures("refuse")
def test_unusual_film_is_painted(name: str) -> None:
    USABLE_FILMS[name](Path(name))
    options = ["--data.plan.following_steps=1", f"--data.last={0 if name.startswith('one') else 1}"]
    assert main([*FIT, f"--data.content={name}", *options, "--output=result.gif"]) == 0
    assert Path("result.gif").stat().st_size > 100
