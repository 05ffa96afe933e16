"""Conversion in bands equals that of the whole picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from nst_lightning.images import levels
from nst_lightning.images.levels import from_levels, row_bands, to_16_bit_levels, to_levels
from tests.helpers import random_image


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of three rows of pictures that are 20 px wide."""
    monkeypatch.setattr(levels, "BAND_PIXELS", 60)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 20), (9, 20), (2, 100)])
@pytest.mark.usefixtures("small_bands")
def test_bands_cover_all_rows_once(height: int, width: int) -> None:
    bands = list(row_bands(height, width))
    assert [row for band in bands for row in range(band.start, band.stop)] == list(range(height))
    assert max(band.stop - band.start for band in bands) <= max(1, 60 // width)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.usefixtures("small_bands")
def test_from_levels_equals_the_division_of_the_whole_picture(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 20, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    whole = np.array(picture, dtype=np.float32).reshape(13, 20, -1) / 255
    actual = from_levels(picture)
    assert torch.equal(actual, torch.from_numpy(whole).permute(2, 0, 1)[None])
    assert actual.is_contiguous()


@pytest.mark.usefixtures("small_bands")
def test_to_levels_equals_the_rounding_of_the_whole_image() -> None:
    image, alpha = random_image(13, 20) * 1.2 - 0.1, random_image(13, 20, seed=1)[:, :1]
    rows = list(row_bands(13, 20))
    assert len(rows) == 5
    for highest, convert in ((255, to_levels), (65535, to_16_bit_levels)):
        whole = (torch.cat([image, alpha], 1).clamp(0, 1) * highest).round()[0].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(np.concatenate([convert(image, alpha, band) for band in rows]), whole)
        np.testing.assert_array_equal(np.concatenate([convert(image, None, band) for band in rows]), whole[..., :3])


def test_every_16_bit_level_survives_the_conversion_to_float() -> None:
    numbers = np.arange(65536).reshape(256, 256)
    upper, lower = (Image.fromarray(part.astype(np.uint8)) for part in (numbers // 256, numbers % 256))
    image = from_levels(upper, lower).expand(1, 3, 256, 256)
    np.testing.assert_array_equal(to_16_bit_levels(image, None, slice(0, 256))[..., 1], numbers)


def test_16_bit_levels_of_a_half_precision_image_reach_the_highest() -> None:
    image = torch.ones(1, 3, 1, 2, dtype=torch.float16)
    assert (to_16_bit_levels(image, None, slice(0, 1)) == 65535).all()
