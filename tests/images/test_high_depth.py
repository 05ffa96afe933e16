"""Files with 16 bits per channel: writing them, and reading files of other programs."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from nst_lightning.errors import InputError
from nst_lightning.images import levels
from nst_lightning.images.io import check_writable, read_config, read_image, write_image
from tests.helpers import random_image, smooth_image
from tests.images.profiles import create_gamma_profile, create_profile

NAMES = ["a.png", "a.tiff", "a.tif"]
Levels = NDArray[np.uint16]


def draw_levels(channels: int, height: int = 13, width: int = 20) -> Levels:
    return np.random.default_rng(channels).integers(0, 65536, (height, width, channels), dtype=np.uint16)


def to_image(values: Levels) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32) / 65535).permute(2, 0, 1)[None]


def write_png(path: Path, values: Levels, chunks: dict[bytes, bytes] | None = None) -> Path:
    """Writes a PNG without filters, as another program may; a plain implementation."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
        end = {b"IDAT": zlib.compress(rows), b"IEND": b""}
        for name, content in ({b"IHDR": header} | (chunks or {}) | end).items():
            PngImagePlugin.putchunk(file, name, content)
    return path


def write_tiff(path: Path, values: Levels, order: str = "<", compression: int = 1, profile: bytes = b"") -> Path:
    """Writes a TIFF of one strip in either order of bytes, without a predictor; a plain implementation."""
    height, width, channels = values.shape
    content = values.astype(f"{order}u2").tobytes()
    content = zlib.compress(content) if compression == 8 else content
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    tags = {256: width, 257: height, 258: (16,) * channels, 259: compression, 262: 2, 273: 0, 277: channels}
    tags |= {278: height, 279: len(content)} | ({338: 2} if channels == 4 else {})
    for tag, value in tags.items():
        directory[tag] = value
    if profile:
        directory[34675] = profile
    path.write_bytes(header + directory.tobytes(8) + content)
    return path


# Round trips


@pytest.mark.parametrize("name", NAMES)
def test_all_levels_survive_a_round_trip(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "BAND_PIXELS", 256 * 50)
    numbers = np.arange(65536).reshape(256, 256, 1)
    values = np.concatenate([numbers, numbers[::-1], numbers.transpose(1, 0, 2)], 2).astype(np.uint16)
    write_image(tmp_path / name, to_image(values), depth=16)
    read = read_image(tmp_path / name)
    assert read.alpha is None
    assert torch.equal(read.image, to_image(values))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1)])
def test_small_pictures_survive_a_round_trip(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    values = draw_levels(3, *size)
    write_image(tmp_path / name, to_image(values), depth=16)
    assert torch.equal(read_image(tmp_path / name).image, to_image(values))


@pytest.mark.parametrize("name", NAMES)
def test_alpha_survives_a_round_trip(tmp_path: Path, name: str) -> None:
    values = draw_levels(4)
    image, alpha = to_image(values[..., :3]), to_image(values[..., 3:])
    write_image(tmp_path / name, image, alpha, depth=16)
    read = read_image(tmp_path / name)
    assert read.alpha is not None
    assert torch.equal(read.alpha, alpha)
    torch.testing.assert_close(read.image, image * alpha + (1 - alpha))
    write_image(tmp_path / name, image, torch.ones_like(alpha), depth=16)
    assert read_image(tmp_path / name).alpha is None


@pytest.mark.parametrize("name", NAMES)
def test_files_of_8_bits_stay_the_same_and_those_of_16_bits_are_closer(tmp_path: Path, name: str) -> None:
    image = smooth_image(33, 41)
    write_image(tmp_path / name, image)
    first = (tmp_path / name).read_bytes()
    write_image(tmp_path / name, image, depth=8)
    assert (tmp_path / name).read_bytes() == first
    rough = (read_image(tmp_path / name).image - image).abs().max()
    write_image(tmp_path / name, image, depth=16)
    assert (read_image(tmp_path / name).image - image).abs().max() < rough / 100


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("has_alpha", [False, True])
def test_file_holds_the_configuration_and_the_profile(tmp_path: Path, name: str, has_alpha: bool) -> None:
    config = "data:\n  content: Kätzchen 猫.jpg\n"
    alpha = torch.full((1, 1, 8, 9), 0.5) if has_alpha else None
    write_image(tmp_path / name, smooth_image(8, 9), alpha, config, depth=16)
    assert read_config(tmp_path / name) == config
    with Image.open(tmp_path / name) as picture:
        assert picture.size == (9, 8)
        assert "sRGB" in ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"])))
    write_image(tmp_path / name, smooth_image(8, 9), alpha, depth=16)
    assert read_config(tmp_path / name) == ""


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_other_programs_read_the_upper_bytes(tmp_path: Path, name: str) -> None:
    values = draw_levels(4)
    image, alpha = to_image(values[..., :3]), to_image(values[..., 3:])
    write_image(tmp_path / name, image, alpha, depth=16)
    with Image.open(tmp_path / name) as picture:
        assert np.array_equal(np.array(picture), values // 256)


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_failing_write_leaves_the_old_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    write_image(path, smooth_image(8, 8), depth=16)
    before = path.read_bytes()

    def full(*unused: object) -> None:
        raise OSError(28, "No space left on device")

    # In the middle of the file, and at its end.
    for target in ("nst_lightning.images.high_depth_files.to_16_bit_levels", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(target, full)
            with pytest.raises(OSError, match="No space left"):
                write_image(path, torch.zeros(1, 3, 8, 8), depth=16)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
def test_other_formats_are_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    message = r"Expected a file that ends in \.png, \.tif, \.tiff for a depth of 16 bits, but got .*a\.\w+\.$"
    for function in (check_writable, lambda path, depth: write_image(path, smooth_image(4, 4), depth=depth)):
        with pytest.raises(InputError, match=message):
            function(tmp_path / name, 16)
    assert os.listdir(tmp_path) == []


# Files of other programs

FILES: dict[str, Callable[[Path, Levels], Path]] = {
    "png": write_png,
    "tiff": write_tiff,
    "tiff of Motorola": lambda path, values: write_tiff(path, values, ">"),
    "deflated tiff": lambda path, values: write_tiff(path, values, "<", 8),
    "deflated tiff of Motorola": lambda path, values: write_tiff(path, values, ">", 8),
}


@pytest.mark.parametrize("write", FILES.values(), ids=FILES)
@pytest.mark.parametrize("channels", [3, 4])
def test_file_is_read_with_all_bits(tmp_path: Path, write: Callable[[Path, Levels], Path], channels: int) -> None:
    values = draw_levels(channels)
    read = read_image(write(tmp_path / "file", values))
    expected = to_image(values)
    if channels == 4:
        assert read.alpha is not None
        assert torch.equal(read.alpha, expected[:, 3:])
        expected = expected[:, :3] * read.alpha + (1 - read.alpha)
    torch.testing.assert_close(read.image, expected, rtol=0, atol=1e-7)


def test_transparent_color_of_a_png_is_compared_with_all_bits(tmp_path: Path) -> None:
    values = draw_levels(3)
    values[0, 0], values[0, 1] = (1000, 2000, 3000), (1000, 2000, 3001)
    read = read_image(write_png(tmp_path / "a.png", values, {b"tRNS": struct.pack(">3H", 1000, 2000, 3000)}))
    assert read.alpha is not None
    assert read.alpha.sum() == 13 * 20 - 1
    assert read.image[0, :, 0, 0].tolist() == [1, 1, 1]
    assert torch.equal(read.image[..., 1:], to_image(values)[..., 1:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_all_bits(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = draw_levels(3)
    read = read_image(write_png(tmp_path / "a.png", values, {b"eXIf": exif.tobytes()[6:]}))
    stored = to_image(values)
    turned = {
        1: stored,
        2: stored.flip(3),
        3: stored.rot90(2, (2, 3)),
        4: stored.flip(2),
        5: stored.transpose(2, 3),
        6: stored.rot90(-1, (2, 3)),
        7: stored.transpose(2, 3).flip(2, 3),
        8: stored.rot90(1, (2, 3)),
    }
    assert torch.equal(read.image, turned[orientation])


def test_broken_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", draw_levels(3, 64, 64))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"Expected an image file, but .*a\.png cannot be read"):
        read_image(path)


# Color profiles


def read_with_profile(folder: Path, values: Levels, profile: bytes) -> torch.Tensor:
    chunk = b"profile\0\0" + zlib.compress(profile)
    png = read_image(write_png(folder / "a.png", values, {b"iCCP": chunk})).image
    assert torch.equal(read_image(write_tiff(folder / "a.tiff", values, profile=profile)).image, png)
    return png


def test_profile_of_primaries_is_converted_with_all_bits(tmp_path: Path) -> None:
    # A dark ramp of 256 levels, in which 8 bits have one.
    values = np.repeat(np.arange(256, dtype=np.uint16)[None, :, None], 3, 2)
    image = read_with_profile(tmp_path, values, create_gamma_profile(1.0))
    linear = torch.arange(256) / 65535
    expected = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    torch.testing.assert_close(image[0], expected.expand(3, 1, 256), rtol=0, atol=2e-6)


def test_profile_close_to_srgb_keeps_the_levels(tmp_path: Path) -> None:
    values = draw_levels(3)
    assert torch.equal(read_with_profile(tmp_path, values, create_profile()), to_image(values))


def test_profile_of_tables_is_converted_with_8_bits(tmp_path: Path) -> None:
    profile = create_gamma_profile(1.0).replace(b"chad", b"A2B0")
    values = draw_levels(3)
    image = read_with_profile(tmp_path, values, profile)
    assert torch.equal((image * 255).round() / 255, image)


def test_unusable_profile_is_ignored(tmp_path: Path) -> None:
    values = draw_levels(3)
    upper = torch.from_numpy((values // 256).astype(np.float32) / 255).permute(2, 0, 1)[None]
    assert (read_with_profile(tmp_path, values, b"nonsense") - upper).abs().max() < 1 / 255


def test_gray_keeps_its_reader(tmp_path: Path) -> None:
    values = draw_levels(3)[..., 0]
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = torch.from_numpy(values / 65535).float().expand(1, 3, 13, 20)
    torch.testing.assert_close(read_image(tmp_path / "a.png").image, expected)


def test_read_is_that_of_8_bits_at_levels_of_8_bits(tmp_path: Path) -> None:
    image = random_image(13, 20).mul(255).round() / 255
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "b.png", image, depth=16)
    assert torch.equal(read_image(tmp_path / "a.png").image, read_image(tmp_path / "b.png").image)
