from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.data.palette import Palette
from nst_lightning.data.plan import Plan
from nst_lightning.data.style_source import StyleSource
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.functional.color import ColorSpace
from nst_lightning.images.io import Picture
from tests.helpers import random_image, smooth_image

CONTENT = 0.3 * smooth_image(24, 32, seed=1) + 0.2
STYLE = 0.4 + 0.6 * random_image(32, 24, seed=2) * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1)


def create_data(palette: Palette, *styles: Any, content: Picture | None = None) -> TransferData:
    sources = styles or (Picture(STYLE),)
    data = TransferData.from_pictures(content or Picture(CONTENT), sources, Plan(size=32), palette=palette)
    data.setup("fit")
    return data


def mean(image: Tensor) -> Tensor:
    return image.mean((0, 2, 3))


def distance(image: Tensor, target: Tensor = STYLE) -> float:
    return float((mean(image) - mean(target)).norm())


@pytest.mark.parametrize("space", ["rgb", "oklab"])
def test_start_has_the_colors_of_the_style_and_the_content_does_not(space: ColorSpace) -> None:
    data = create_data(Palette(start=1.0, space=space))
    pictures = data.pictures(data.stages[0])
    assert pictures.content is not None
    assert pictures.start_content is not None
    assert torch.equal(pictures.content, CONTENT), "the target stays the photograph"
    assert distance(pictures.start_content) < 0.1 * distance(CONTENT)
    assert pictures.start_content.shape == CONTENT.shape
    assert pictures.start_content.dtype == torch.float32


def test_default_palette_changes_nothing() -> None:
    data = create_data(Palette())
    pictures = data.pictures(data.stages[0])
    assert pictures.recolored is None
    assert pictures.start_content is pictures.content
    image = 2 * random_image(24, 32) - 0.5
    assert data.finish(image) is image


def test_result_is_matched_without_changing_the_image() -> None:
    data, image = create_data(Palette(result=1.0)), 1.2 * CONTENT - 0.1
    before = image.clone()
    actual = data.finish(image)
    assert torch.equal(image, before)
    assert distance(actual) < 0.1 * distance(image)
    assert 0 <= actual.min() <= actual.max() <= 1
    assert data.pictures(data.stages[0]).recolored is None


def test_strength_is_the_share_of_the_way() -> None:
    distances = [distance(create_data(Palette(result=strength)).finish(CONTENT)) for strength in (0, 0.25, 0.5, 1)]
    assert distances == sorted(distances, reverse=True)
    assert distances[2] == pytest.approx(distances[0] / 2, rel=0.15)


def test_colors_of_several_styles_are_blended_by_weight() -> None:
    other = 0.5 * random_image(30, 30, seed=5)
    data = create_data(Palette(result=1.0, space="rgb"), StyleSource(Picture(STYLE), 3), StyleSource(Picture(other), 1))
    colors = data.styles.measure_colors((24, 32), data.palette)
    first, second = (create_data(data.palette, Picture(x)).styles for x in (STYLE, other))
    for name in ("mean", "covariance"):
        parts = [getattr(s.measure_colors((24, 32), data.palette).moments, name) for s in (first, second)]
        torch.testing.assert_close(getattr(colors.moments, name), 0.75 * parts[0] + 0.25 * parts[1])
    assert (colors.low <= first.measure_colors((24, 32), data.palette).low).all()


def test_style_without_weight_has_no_colors() -> None:
    other = Picture(torch.zeros(1, 3, 30, 30))
    both = create_data(Palette(result=1.0), StyleSource(Picture(STYLE)), StyleSource(other, 0))
    assert torch.equal(both.finish(CONTENT), create_data(Palette(result=1.0)).finish(CONTENT))


def test_transparent_pixels_do_not_count() -> None:
    half = torch.ones(1, 1, 24, 32)
    half[..., 16:] = 0
    picture = torch.where(half > 0, CONTENT, torch.ones(()))
    data = create_data(Palette(result=1.0), content=Picture(picture, half))
    expected = create_data(Palette(result=1.0), content=Picture(CONTENT[..., :16])).palette.measure(CONTENT[..., :16])
    actual = data.palette.measure(picture, data.alpha(24, 32))
    for value, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(value, other)
    assert distance(data.finish(picture)[..., :16]) < 0.1 * distance(CONTENT[..., :16])


def test_transparent_pixels_of_a_style_do_not_count() -> None:
    half = torch.ones(1, 1, 32, 24)
    half[:, :, 16:] = 0
    style = torch.where(half > 0, STYLE, torch.ones(()))
    shape, palette = (24, 32), Palette(result=1.0)
    actual = create_data(palette, Picture(style, half)).styles.measure_colors(shape, palette)
    opaque = create_data(palette, Picture(style)).styles.measure_colors(shape, palette)
    expected = palette.measure(STYLE[:, :, :16])
    assert (actual.moments.mean - expected.mean).norm() < 0.02
    assert (opaque.moments.mean - expected.mean).norm() > 0.1


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
@pytest.mark.parametrize("name", ["start", "result"])
def test_wrong_strength_is_rejected(name: str, strength: float) -> None:
    with pytest.raises(InputError, match=rf"Expected `palette.{name}` to be from 0 to 1, but got {strength}"):
        Palette(**{name: strength})  # type: ignore[arg-type]


def test_unknown_space_is_rejected() -> None:
    with pytest.raises(InputError, match=r"`palette.space` to be rgb or oklab, but got 'lab'"):
        Palette(space="lab")  # type: ignore[arg-type]


def test_palette_requires_a_style(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a style whose colors `palette` matches, but got none"):
        TransferData.from_pictures(Picture(CONTENT), [], Plan(size=32), palette=Palette(start=0.5)).setup("fit")
