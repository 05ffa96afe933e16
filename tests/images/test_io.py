import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from torch import Tensor

from nst_lightning import images
from nst_lightning.errors import InputError
from nst_lightning.images.io import check_writable, read_config, read_file, read_image, to_pil, write_image
from tests.helpers import ROOT, smooth_image
from tests.images.profiles import create_gamma_profile


def save_picture(folder: Path, picture: Image.Image, name: str, **options: object) -> Path:
    path = folder / name
    picture.save(path, **options)  # type: ignore[arg-type]
    return path


def create_rgb(height: int = 20, width: int = 30) -> Image.Image:
    return to_pil(smooth_image(height, width, seed=4))


def to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.tif"])
def test_lossless_formats_round_trip_exactly(tmp_path: Path, name: str) -> None:
    image = smooth_image(17, 23)
    write_image(tmp_path / name, image)
    read = read_image(tmp_path / name)
    assert read.alpha is None
    assert read.image.shape == (1, 3, 17, 23)
    assert read.image.dtype == torch.float32
    assert (read.image - image).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
def test_lossy_formats_round_trip_closely(tmp_path: Path, name: str) -> None:
    image = smooth_image(64, 48)
    write_image(tmp_path / name, image)
    assert (read_image(tmp_path / name).image - image).abs().mean() < 0.01


def test_write_image_clips_values_outside_the_range() -> None:
    image = torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1)
    assert to_pil(image).getpixel((0, 0)) == (0, 128, 255)


def test_read_image_reads_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert torch.equal(read_image(path).image[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image_applies_the_orientation(tmp_path: Path, orientation: int) -> None:
    upright = create_rgb()
    turn = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save_picture(tmp_path, stored, "a.png", exif=exif)
    assert torch.equal(read_image(path).image, to_tensor(upright))


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.png"), ("P", "a.png"), ("1", "a.png"), ("CMYK", "a.jpg"), ("CMYK", "a.tiff"), ("P", "a.gif")],
)
def test_read_image_converts_other_modes_to_rgb(tmp_path: Path, mode: str, name: str) -> None:
    picture = create_rgb().convert(mode)
    read = read_image(save_picture(tmp_path, picture, name)).image
    assert read.shape == (1, 3, 20, 30)
    assert (read - to_tensor(picture)).abs().mean() < 0.03


def test_read_image_keeps_values_of_16_bit_gray(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 30 * 20).reshape(20, 30).astype(np.uint16)
    for name in ("a.png", "a.tiff"):
        read = read_image(save_picture(tmp_path, Image.fromarray(values), name)).image
        torch.testing.assert_close(read, torch.from_numpy(values / 65535.0).float().expand(1, 3, 20, 30))


def test_read_image_reads_floating_point_gray(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 30 * 20).reshape(20, 30).astype(np.float32)
    torch.testing.assert_close(
        read_image(save_picture(tmp_path, Image.fromarray(values), "a.tiff")).image[0, 0], torch.from_numpy(values)
    )
    with pytest.raises(InputError, match="beyond 0 to 1"):
        read_image(save_picture(tmp_path, Image.fromarray(values * 255), "b.tiff"))


def create_translucent() -> Image.Image:
    picture = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 255, 0))
    picture.putpixel((1, 0), (0, 0, 255, 128))
    return picture


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_read_image_composes_transparency_on_white(tmp_path: Path, name: str) -> None:
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    read = read_image(save_picture(tmp_path, create_translucent(), name, **options))
    assert read.alpha is not None
    assert read.alpha.shape == (1, 1, 2, 4)
    torch.testing.assert_close(read.image[0, :, 0, 0], torch.tensor([1.0, 1.0, 1.0]))
    half = 128 / 255
    torch.testing.assert_close(read.image[0, :, 0, 1], torch.tensor([1 - half, 1 - half, 1.0]))
    torch.testing.assert_close(read.image[0, :, 1, 3], torch.tensor([1.0, 0.0, 0.0]))


def test_read_image_reads_transparency_of_a_palette(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    read = read_image(save_picture(tmp_path, picture, "a.png", transparency=0))
    assert read.alpha is not None
    assert read.alpha.flatten().tolist() == [0.0, 1.0]
    assert read.image[0, :, 0, 0].tolist() == [1.0, 1.0, 1.0]


def test_read_image_ignores_an_opaque_alpha_channel(tmp_path: Path) -> None:
    assert read_image(save_picture(tmp_path, create_rgb().convert("RGBA"), "a.png")).alpha is None


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
def test_write_image_writes_alpha(tmp_path: Path, name: str) -> None:
    alpha = torch.zeros(1, 1, 8, 8)
    alpha[..., 4:] = 1
    write_image(tmp_path / name, smooth_image(8, 8), alpha)
    read = read_image(tmp_path / name)
    assert read.alpha is not None
    assert torch.equal(read.alpha, alpha)


def test_write_image_composes_jpg_on_white(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    assert read_image(tmp_path / "a.jpg").image.min() > 0.98


def test_read_image_converts_a_color_profile(tmp_path: Path) -> None:
    # Compared with Pillow's conversion, for a profile with a linear tone curve.
    profile = create_gamma_profile(1.0)
    picture = create_rgb()
    read = read_image(save_picture(tmp_path, picture, "a.png", icc_profile=profile)).image
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    assert torch.equal(read, to_tensor(converted))
    assert (read - to_tensor(picture)).abs().mean() > 0.05


def test_read_image_ignores_an_invalid_color_profile(tmp_path: Path) -> None:
    picture = create_rgb()
    assert torch.equal(
        read_image(save_picture(tmp_path, picture, "a.png", icc_profile=b"nonsense")).image, to_tensor(picture)
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
def test_write_image_stores_the_configuration(tmp_path: Path, name: str) -> None:
    config = "data:\n  content: Kätzchen 猫.jpg\n"
    write_image(tmp_path / name, smooth_image(8, 8), config=config)
    assert read_config(tmp_path / name) == config
    with Image.open(tmp_path / name) as picture:
        assert picture.info.get("icc_profile")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
def test_read_config_is_empty_for_a_file_without_one(tmp_path: Path, name: str) -> None:
    assert read_config(save_picture(tmp_path, create_rgb(), name)) == ""


def test_read_config_is_empty_for_a_text_in_another_encoding(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0hello"
    assert read_config(save_picture(tmp_path, create_rgb(), "a.jpg", exif=exif)) == ""
    latin = {ExifTags.Base.ImageDescription: "caf\xe9".encode("latin-1")}
    assert read_config(save_picture(tmp_path, create_rgb(), "a.tiff", tiffinfo=latin)) == ""


def test_write_image_keeps_the_old_file_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, smooth_image(8, 8))
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, torch.zeros(1, 3, 8, 8))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder, "is a directory"),
        (lambda folder: folder / "none.jpg", "there is none at"),
        (lambda folder: write_file(folder / "text.jpg", b"hello"), "is not an image that can be read"),
        (lambda folder: write_truncated_file(folder / "cut.jpg"), "cannot be read"),
    ],
)
def test_read_image_rejects_other_files(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(InputError, match=f"Expected an image file, but .*{message}"):
        read_image(make(tmp_path))


def write_patched_file(path: Path, mode: str, place: int, content: bytes) -> Path:
    """Writes a picture and overwrites some of its bytes."""
    create_rgb(8, 8).convert(mode).save(path)
    raw = bytearray(path.read_bytes())
    raw[place : place + len(content)] = content
    return write_file(path, bytes(raw))


# What the formats raise: NotImplementedError, BLPFormatError, IndexError and AssertionError.
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write_patched_file(folder / "flags.dds", "RGB", 80, bytes(4)),
        lambda folder: write_patched_file(folder / "compression.blp", "P", 4, b"\x07\x67\0\0"),
        lambda folder: write_file(folder / "cut.qoi", b"qoif" + struct.pack(">II", 9, 7) + b"\x03\0\xfe"),
        lambda folder: write_patched_file(folder / "palette.png", "P", 37, b"PLAX"),
    ],
)
def test_read_image_refuses_damaged_files_of_any_format(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=f"Expected an image file, but .*{path.name}"):
        read_image(path)


@pytest.mark.parametrize("error", [RuntimeError("damaged"), IndexError("damaged"), MemoryError()])
def test_read_file_explains_any_exception_of_a_format(tmp_path: Path, error: Exception) -> None:
    def fail(opened: Image.Image) -> None:
        raise error

    create_rgb(8, 8).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png cannot be read: (damaged|MemoryError)\."):
        read_file(tmp_path / "a.png", fail)


def test_read_config_refuses_files_that_are_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an image that can be read"):
        read_config(write_file(tmp_path / "text.png", b"hello"))
    with pytest.raises(InputError, match="there is none at"):
        read_config(tmp_path / "none.png")


def write_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def write_truncated_file(path: Path) -> Path:
    create_rgb(64, 64).save(path)
    return write_file(path, path.read_bytes()[:600])


def test_check_writable_rejects_invalid_paths(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "new" / "a.PNG").parent.is_dir()
    with pytest.raises(InputError, match=r"ends in \.png, .*but got .*a\.bmp"):
        check_writable(tmp_path / "a.bmp")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="is a directory"):
        check_writable(tmp_path / "folder.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        check_writable(tmp_path / "file" / "a.png")


def test_write_image_is_deterministic_across_processes(tmp_path: Path) -> None:
    image = smooth_image(9, 12)
    for ending in ("png", "webp", "tiff", "jpg"):
        write_image(tmp_path / f"one.{ending}", image)
    code = "from nst_lightning.images.io import *; from tests.helpers import smooth_image; import time, sys\n"
    code += "time.sleep(1.1)\n"
    code += "[write_image(f'{sys.argv[1]}/two.{e}', smooth_image(9, 12)) for e in ('png', 'webp', 'tiff', 'jpg')]"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    for ending in ("png", "webp", "tiff", "jpg"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    with Image.open(tmp_path / "one.png") as read:
        assert ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(read.info["icc_profile"])))


def test_folder_imports_its_names_at_their_first_use() -> None:
    assert {name: getattr(images, name).__name__ for name in images.__all__} == {name: name for name in images.__all__}
    with pytest.raises(AttributeError, match="read_film"):
        _ = images.read_film
