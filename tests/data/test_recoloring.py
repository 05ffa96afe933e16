import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nst_lightning.data.colors import ColorMode
from nst_lightning.data.palette import Palette
from nst_lightning.data.plan import Plan
from nst_lightning.data.style_source import StyleSource
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.functional.color import ColorMoments, measure_moments, srgb_to_oklab
from nst_lightning.images.io import Picture
from tests.helpers import random_image, smooth_image

CONTENT = 0.4 * smooth_image(24, 32, seed=1) + 0.2
PHOTOGRAPH = Picture(CONTENT)
STYLE = 0.3 + 0.4 * random_image(32, 24, seed=2) * torch.tensor([1.0, 0.6, 0.4]).view(1, 3, 1, 1)
OTHER = 0.2 + 0.5 * random_image(24, 32, seed=3) * torch.tensor([0.3, 0.5, 1.0]).view(1, 3, 1, 1)
PAINTED = 0.3 + 0.3 * random_image(24, 32, seed=4)
LEFT = torch.zeros(1, 1, 24, 32)
LEFT[..., :16] = 1


def create_data(
    *styles: Any, content: Picture | None = PHOTOGRAPH, weights: Sequence[Tensor | None] = (), **options: Any
) -> TransferData:
    sources = styles or (Picture(STYLE),)
    data = TransferData.from_pictures(content, sources, Plan(size=32), **options)
    if weights:
        data.styles.image_weights = lambda shape, frame=0: list(weights)  # type: ignore[method-assign]
    data.setup("fit")
    return data


def moments(image: Tensor) -> ColorMoments:
    return measure_moments(srgb_to_oklab(image))


def chroma(image: Tensor) -> Tensor:
    return srgb_to_oklab(image)[:, 1:]


def styles_of(data: TransferData) -> list[Tensor]:
    return data.pictures(data.stages[0]).styles


def contents_of(data: TransferData) -> tuple[Tensor, Tensor]:
    pictures = data.pictures(data.stages[0])
    assert pictures.content is not None
    assert pictures.start_content is not None
    return pictures.content, pictures.start_content


def test_default_changes_nothing() -> None:
    data = create_data()
    pictures = data.pictures(data.stages[0])
    assert pictures.recolored is None
    assert torch.equal(pictures.styles[0], STYLE)
    assert data.finish(PAINTED) is PAINTED
    assert not data.changes_result


@pytest.mark.parametrize("mode", ["content", "luminance", "match"])
def test_strength_of_0_changes_nothing(mode: ColorMode) -> None:
    data, plain = create_data(colors=mode, color_strength=0.0), create_data()
    assert torch.equal(styles_of(data)[0], styles_of(plain)[0])
    assert all(torch.equal(a, b) for a, b in zip(contents_of(data), contents_of(plain), strict=True))
    assert data.finish(PAINTED) is PAINTED


def test_styles_get_the_moments_of_the_content() -> None:
    data = create_data(colors="content")
    before, target, after = (moments(image) for image in (STYLE, CONTENT, styles_of(data)[0]))
    # Only the limits of the content's colors keep them from being equal.
    assert (after.mean - target.mean).norm() < 0.1 * (before.mean - target.mean).norm()
    assert (after.covariance - target.covariance).norm() < 0.25 * (before.covariance - target.covariance).norm()
    assert torch.equal(contents_of(data)[0], CONTENT)
    assert data.finish(PAINTED) is PAINTED


def test_strength_moves_the_styles_by_its_share_of_the_way() -> None:
    full, half = (styles_of(create_data(colors="content", color_strength=s))[0] for s in (1.0, 0.5))
    expected = (srgb_to_oklab(STYLE) + srgb_to_oklab(full)) / 2
    torch.testing.assert_close(srgb_to_oklab(half), expected, rtol=0, atol=1e-4)


def test_every_size_and_rotation_is_recolored_and_initialization_sees_it() -> None:
    data = create_data(colors="content", style_scale=[0.5, 1.0], style_rotation=[0, 90])
    target = moments(CONTENT)
    assert len(styles_of(data)) == 4
    assert all((moments(style).mean - target.mean).norm() < 0.02 for style in styles_of(data))


def test_gray_content_gives_gray_styles() -> None:
    gray = CONTENT.mean(1, keepdim=True).expand_as(CONTENT)
    for mode in ("content", "luminance"):
        data = create_data(content=Picture(gray), colors=mode)
        assert chroma(styles_of(data)[0]).abs().max() < 1e-3
        assert chroma(data.finish(gray)).abs().max() < 1e-3


def test_losses_compare_lightness_only() -> None:
    data = create_data(colors="luminance")
    style, (content, start) = styles_of(data)[0], contents_of(data)
    assert all(chroma(image).abs().max() < 1e-3 for image in (style, content, start))
    torch.testing.assert_close(srgb_to_oklab(content)[:, :1], srgb_to_oklab(CONTENT)[:, :1], rtol=0, atol=1e-3)
    expected, actual = moments(CONTENT), moments(style)
    assert actual.mean[0] == pytest.approx(float(expected.mean[0]), abs=1e-3)
    assert actual.covariance[0, 0] == pytest.approx(float(expected.covariance[0, 0]), rel=0.02)


def test_result_has_the_chroma_of_the_content_and_its_own_lightness() -> None:
    # Pale enough for sRGB to have every color.
    content = 0.4 + 0.2 * smooth_image(24, 32, seed=1)
    data, before = create_data(content=Picture(content), colors="luminance"), PAINTED.clone()
    actual = data.finish(PAINTED)
    torch.testing.assert_close(chroma(actual), chroma(content), rtol=0, atol=1e-4)
    torch.testing.assert_close(srgb_to_oklab(actual)[:, :1], srgb_to_oklab(PAINTED)[:, :1], rtol=0, atol=1e-4)
    assert torch.equal(PAINTED, before)
    half = create_data(content=Picture(content), colors="luminance", color_strength=0.5).finish(PAINTED)
    torch.testing.assert_close(chroma(half), 0.5**0.5 * chroma(PAINTED) + chroma(content) / 2, rtol=0, atol=1e-4)


def test_match_equals_the_palette_with_its_strength() -> None:
    data, palette = (
        create_data(colors="match", color_strength=0.7),
        create_data(palette=Palette(start=0.7, result=0.7)),
    )
    assert torch.equal(data.finish(PAINTED), palette.finish(PAINTED))
    assert torch.equal(contents_of(data)[1], contents_of(palette)[1])
    assert not torch.equal(data.finish(PAINTED), PAINTED)


def test_strengths_of_the_palette_replace_that_of_match() -> None:
    data = create_data(colors="match", palette=Palette(result=0.2))
    assert torch.equal(data.finish(PAINTED), create_data(palette=Palette(result=0.2)).finish(PAINTED))
    assert torch.equal(contents_of(data)[1], contents_of(create_data(colors="match"))[1])


def test_palette_matches_to_the_recolored_styles() -> None:
    data, target = create_data(colors="content", palette=Palette(result=1.0)), moments(CONTENT).mean
    distances = [float((moments(image).mean - target).norm()) for image in (PAINTED, data.finish(PAINTED))]
    assert distances[1] < 0.15 * distances[0]


def test_equal_modes_without_places_equal_the_run_without_regions() -> None:
    for mode in ("content", "luminance", "match"):
        sources = [StyleSource(Picture(x), colors=mode, color_strength=0.8) for x in (STYLE, OTHER)]
        own = create_data(*sources)
        common = create_data(Picture(STYLE), Picture(OTHER), colors=mode, color_strength=0.8)
        assert torch.equal(own.finish(PAINTED), common.finish(PAINTED))
        assert all(torch.equal(a, b) for a, b in zip(styles_of(own), styles_of(common), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(contents_of(own), contents_of(common), strict=True))


@pytest.mark.parametrize("mode", ["content", "luminance"])
def test_uniform_shares_sum_to_the_run_without_regions(mode: ColorMode) -> None:
    thirds = [torch.full((1, 1, 24, 32), share) for share in (0.3, 0.7)]
    data = create_data(Picture(STYLE), Picture(OTHER), colors=mode, weights=thirds)
    plain = create_data(Picture(STYLE), Picture(OTHER), colors=mode)
    torch.testing.assert_close(data.finish(PAINTED), plain.finish(PAINTED), rtol=0, atol=1e-6)
    for actual, expected in zip(contents_of(data), contents_of(plain), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)
    for actual, expected in zip(styles_of(data), styles_of(plain), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def test_equal_styles_in_two_regions_sum_to_the_run_without_regions() -> None:
    # Both halves of the painted picture have the same colors, so both regions have the same map.
    painted = torch.cat([PAINTED[..., :16], PAINTED[..., :16]], dim=3)
    data = create_data(Picture(STYLE), Picture(STYLE), colors="match", weights=[LEFT, 1 - LEFT])
    expected = create_data(colors="match").finish(painted)
    torch.testing.assert_close(data.finish(painted), expected, rtol=0, atol=1e-5)


def test_each_region_is_matched_to_its_own_style() -> None:
    data = create_data(Picture(STYLE), Picture(OTHER), colors="match", weights=[LEFT, 1 - LEFT])
    actual = data.finish(PAINTED)
    for part, style in ((slice(0, 16), STYLE), (slice(16, 32), OTHER)):
        alone = create_data(Picture(style), content=Picture(CONTENT[..., part]), colors="match")
        resized = data.styles.resize((24, 32))[0 if style is STYLE else 1]
        target = moments(resized).mean
        assert (moments(actual[..., part]).mean - target).norm() < 0.03
        distances = [(moments(x).mean - target).norm() for x in (PAINTED[..., part], alone.finish(PAINTED[..., part]))]
        assert distances[1] < 0.2 * distances[0]


def test_style_gets_the_colors_of_the_content_in_its_region() -> None:
    data = create_data(Picture(STYLE), Picture(OTHER), colors="content", weights=[LEFT, 1 - LEFT])
    for style, part in zip(styles_of(data), (CONTENT[..., :16], CONTENT[..., 16:]), strict=True):
        assert (moments(style).mean - moments(part).mean).norm() < 0.02


def test_chroma_returns_only_in_the_region_of_luminance() -> None:
    style = StyleSource(Picture(STYLE), colors="luminance")
    data = create_data(style, Picture(OTHER), weights=[LEFT, 1 - LEFT])
    actual, (content, _) = data.finish(PAINTED), contents_of(data)
    torch.testing.assert_close(actual[..., 16:], PAINTED[..., 16:])
    plain = create_data(colors="luminance")
    torch.testing.assert_close(actual[..., :16], plain.finish(PAINTED)[..., :16], rtol=0, atol=1e-6)
    assert chroma(content)[..., :16].abs().max() < 1e-3
    torch.testing.assert_close(content[..., 16:], CONTENT[..., 16:], rtol=0, atol=1e-5)
    assert torch.equal(styles_of(data)[1], data.styles.resize((24, 32))[1])


def test_what_no_style_covers_stays() -> None:
    data = create_data(Picture(STYLE), colors="match", weights=[LEFT])
    assert torch.equal(data.finish(PAINTED)[..., 16:], PAINTED[..., 16:])
    assert not torch.allclose(data.finish(PAINTED)[..., :16], PAINTED[..., :16], atol=0.05)


def test_transparent_pixels_of_the_content_do_not_count() -> None:
    data = create_data(content=Picture(torch.where(LEFT > 0, CONTENT, torch.ones(())), LEFT), colors="content")
    assert (moments(styles_of(data)[0]).mean - moments(CONTENT[..., :16]).mean).norm() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content": None, "colors": "content"}, "a content whose colors `colors: content` keeps, but got none"),
        ({"content": None, "colors": "luminance"}, "a content whose colors `colors: luminance` keeps, but got none"),
        ({"colors": "luminance", "palette": Palette(result=1.0)}, "`palette.result` to be 0 with `colors: luminance`"),
        ({"color_strength": 0.5}, "but got 0.5 with `colors: style`"),
    ],
)
def test_impossible_combinations_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        create_data(**options)


@pytest.mark.parametrize("mode", ["content", "luminance", "match"])
def test_colors_require_a_style(mode: ColorMode) -> None:
    with pytest.raises(InputError, match=f"Expected a style for `colors: {mode}`, but got none"):
        TransferData.from_pictures(Picture(CONTENT), [], Plan(size=32), colors=mode).setup("fit")


def test_texture_is_matched_without_content() -> None:
    data = create_data(content=None, colors="match")
    target = moments(data.styles.resize((32, 24))[0]).mean
    image = 0.5 * random_image(32, 24, seed=9)
    assert (moments(data.finish(image)).mean - target).norm() < 0.2 * (moments(image).mean - target).norm()
