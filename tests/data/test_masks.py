import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nst_lightning.data.masks import check_mask, read_mask, split_label
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture, read_image
from nst_lightning.samples import CONTENTS, STYLES
from tests.helpers import smooth_image

RAMP = np.tile(np.linspace(0, 255, 32).round().astype(np.uint8), (24, 1))


def save(path: Path, picture: Any, mode: str | None = None, **options: Any) -> str:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(path, **options)
    return str(path)


def cutout(color: tuple[int, int, int], opacity: np.ndarray[Any, Any]) -> Image.Image:
    picture = Image.new("RGB", opacity.shape[::-1], color)
    picture.putalpha(Image.fromarray(opacity))
    return picture


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_gray_picture_is_its_gray_values(tmp_path: Path, mode: str) -> None:
    mask = read_mask(save(tmp_path / "m.png", RAMP, mode), "`mask`")
    assert mask.shape == (1, 1, 24, 32)
    assert torch.equal(mask, torch.from_numpy(RAMP.astype(np.float32) / 255)[None, None])


def test_gray_of_16_bits_is_exact(tmp_path: Path) -> None:
    values = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85
    mask = read_mask(save(tmp_path / "m.png", values), "`mask`")
    assert torch.equal(mask[0, 0], torch.from_numpy(values.astype(np.float32)) / 65535)


def test_opacity_scales_a_gray_mask(tmp_path: Path) -> None:
    opacity = np.ascontiguousarray(RAMP[:, ::-1])
    picture = Image.fromarray(RAMP).convert("RGB")
    picture.putalpha(Image.fromarray(opacity))
    mask = read_mask(save(tmp_path / "m.png", picture), "`mask`")
    expected = torch.from_numpy(RAMP.astype(np.float32) * opacity / 255**2)
    torch.testing.assert_close(mask[0, 0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (220, 30, 10)])
def test_opacity_of_one_color_is_the_mask(tmp_path: Path, color: tuple[int, int, int]) -> None:
    mask = read_mask(save(tmp_path / "m.png", cutout(color, RAMP)), "`mask`")
    torch.testing.assert_close(mask[0, 0], torch.from_numpy(RAMP.astype(np.float32)) / 255, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [*CONTENTS, *[style for style in STYLES if style != "ink"]])
def test_photographs_and_paintings_are_no_masks(name: str) -> None:
    with pytest.raises(InputError, match=r"to be a gray mask, .* but it is colored: save it in gray"):
        read_mask(f"sample:{name}", "`mask` of style 0")


def test_colored_cutout_names_its_opacity(tmp_path: Path) -> None:
    picture = Image.fromarray((smooth_image(24, 32)[0].permute(1, 2, 0) * 255).byte().numpy())
    picture.putalpha(Image.fromarray(RAMP))
    file = save(tmp_path / "m.png", picture)
    with pytest.raises(InputError, match="FILE#alpha"):
        read_mask(file, "`mask`")
    expected = read_image(file).alpha
    assert expected is not None
    assert torch.equal(read_mask(f"{file}#alpha", "`mask`"), expected)
    assert torch.equal(read_mask("alpha", "`mask`", read_image(file)), expected)


@pytest.mark.parametrize("tint", [(255, 255, 255), (255, 248, 235), (225, 240, 255)])
def test_slightly_tinted_jpeg_is_a_mask(tmp_path: Path, tint: tuple[int, int, int]) -> None:
    soft = np.kron(RAMP, np.ones((4, 4), np.uint8))
    tinted = (soft[..., None] / 255 * np.array(tint)).round().astype(np.uint8)
    mask = read_mask(save(tmp_path / "m.jpg", tinted, quality=70), "`mask`")
    expected = torch.from_numpy(soft.astype(np.float32) / 255)
    assert float((mask[0, 0] - expected).abs().max()) < 0.12


@pytest.mark.parametrize(
    "values",
    [
        RAMP,
        RAMP.astype(np.uint16) * 257,
        RAMP.astype(np.float64) / 255,
        torch.from_numpy(RAMP),
        torch.from_numpy(RAMP)[None, None].float() / 255,
        Image.fromarray(RAMP),
        Picture(torch.from_numpy(RAMP).float().expand(1, 3, -1, -1) / 255),
    ],
)
def test_arrays_and_pictures_are_masks(values: Any) -> None:
    expected = torch.from_numpy(RAMP.astype(np.float32) / 255)[None, None]
    torch.testing.assert_close(read_mask(values, "`mask`"), expected, atol=1e-6, rtol=0)
    assert torch.equal(read_mask(RAMP > 100, "`mask`"), torch.from_numpy(RAMP > 100)[None, None].float())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 4, 3)), "the shape (height, width), but got (4, 4, 3)"),
        (np.zeros(4), "the shape (height, width)"),
        (np.full((4, 4), 1.5), "numbers from 0 to 1"),
        (np.full((4, 4), np.nan), "numbers from 0 to 1"),
        (np.full((4, 4), 300), "integers from 0 to 255"),
        (Image.new("F", (4, 4), 2.0), "it cannot be read"),
        ("missing.png", "there is none at missing.png"),
        ("missing.png#3", "there is none at missing.png"),
        ("alpha", "transparent pixels for `alpha`"),
        ("sample:cat#alpha", "transparent pixels for `alpha`"),
    ],
)
def test_unusable_masks_are_rejected(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_mask(values, "`mask`", Picture(smooth_image(4, 4)))


def test_label_follows_the_last_mark_unless_a_file_has_that_name(tmp_path: Path) -> None:
    assert split_label("seg.png") == ("seg.png", None)
    assert split_label("a#b/seg.png#3") == ("a#b/seg.png", "3")
    named = save(tmp_path / "mask#1.png", RAMP)
    assert split_label(named) == (named, None)
    assert split_label("#3") == ("#3", None)
    assert split_label("x" * 5000 + "#3") == ("x" * 5000, "3")


@pytest.mark.parametrize("shape", [(24, 32), (12, 16), (240, 322), (3, 4), (96, 127)])
def test_masks_within_one_percent_have_the_proportions(shape: tuple[int, int]) -> None:
    mask = torch.zeros(1, 1, *shape)
    mask[..., 0] = 1
    check_mask(mask, (24, 32), "`mask`")


@pytest.mark.parametrize("shape", [(32, 24), (24, 24), (240, 330), (24, 34)])
def test_masks_of_other_proportions_are_rejected(shape: tuple[int, int]) -> None:
    with pytest.raises(
        InputError, match=f"the proportions of its picture of 32x24 px, but .* {shape[1]}x{shape[0]} px"
    ):
        check_mask(torch.ones(1, 1, *shape), (24, 32), "`mask`")


def test_empty_masks_are_rejected() -> None:
    with pytest.raises(InputError, match="`mask` to be white where it applies, but it is empty"):
        check_mask(torch.zeros(1, 1, 24, 32), (24, 32), "`mask`")
