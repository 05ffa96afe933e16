from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_lightning.functional.color import (
    SMALLEST_VARIANCE,
    ColorMoments,
    ColorSpace,
    add_chroma,
    limit_chroma,
    linear_to_srgb,
    map_colors,
    match_colors,
    match_covariance,
    match_lightness,
    measure_moments,
    oklab_to_srgb,
    scale_chroma,
    srgb_to_linear,
    srgb_to_oklab,
    to_space,
    transform_colors,
)
from tests.helpers import random_normal, random_tensor

SPACES: tuple[ColorSpace, ...] = ("rgb", "oklab")


def create_picture(seed: int) -> Tensor:
    """Colors with correlated channels, in [0.2, 0.8]."""
    values = random_tensor(1, 3, 12, 10, seed=seed)
    mix = torch.softmax(2 * random_tensor(3, 3, seed=seed + 100), dim=1)
    return 0.2 + 0.6 * transform_colors(values, mix)


def create_covariance(seed: int) -> Tensor:
    factor = random_tensor(3, 3, seed=seed)
    return factor @ factor.T / 50 + 1e-3 * torch.eye(3, dtype=torch.float64)


def limits_of(picture: Tensor) -> tuple[Tensor, Tensor]:
    lab = srgb_to_oklab(picture)
    return lab.amin((0, 2, 3)), lab.amax((0, 2, 3))


def match(source: Tensor, target: Tensor, strength: float = 1.0, space: ColorSpace = "oklab") -> Tensor:
    first, second = (measure_moments(to_space(picture, space)) for picture in (source, target))
    return match_colors(source, first, second, limits_of(target), strength, space)


def gray(picture: Tensor) -> Tensor:
    return picture.mean(1, keepdim=True).expand_as(picture).contiguous()


def two_tone(picture: Tensor) -> Tensor:
    first, second = (torch.tensor(c, dtype=torch.float64).view(1, 3, 1, 1) for c in ((0.9, 0.2, 0.1), (0.1, 0.2, 0.6)))
    return torch.where(picture[:, :1] > 0.5, first, second)


@pytest.mark.parametrize(
    ("convert", "invert"), [(srgb_to_linear, linear_to_srgb), (srgb_to_oklab, oklab_to_srgb)], ids=["linear", "oklab"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_color_spaces_are_inverted(
    convert: Callable[[Tensor], Tensor], invert: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    image = torch.cat([random_tensor(1, 3, 8, 8), torch.zeros(1, 3, 1, 8), torch.ones(1, 3, 1, 8)], dim=2).to(dtype)
    actual = invert(convert(image))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, image, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-9)


def test_linear_light_has_the_values_of_the_standard() -> None:
    values = torch.tensor([0.0, 0.04045, 0.5, 1.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0031308, 0.2140411, 1.0], dtype=torch.float64)
    torch.testing.assert_close(srgb_to_linear(values), expected, rtol=0, atol=1e-7)


def test_oklab_has_published_values() -> None:
    colors = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]], dtype=torch.float64)
    expected = torch.tensor(
        [[1, 0, 0], [0.62796, 0.22486, 0.12585], [0.86644, -0.23389, 0.17950], [0.45201, -0.03246, -0.31153]],
        dtype=torch.float64,
    )
    lab = srgb_to_oklab(colors.T.reshape(1, 3, 5, 1))[0, :, :, 0].T
    torch.testing.assert_close(lab[:4], expected, rtol=0, atol=1e-5)
    assert lab[4, 1:].abs().max() < 1e-6, "gray has no color"


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb, srgb_to_oklab, oklab_to_srgb])
def test_gradient_of_color_spaces(function: Callable[[Tensor], Tensor]) -> None:
    image = (0.1 + 0.8 * random_tensor(1, 3, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(function, image)


def test_gradients_are_finite_for_black_and_white() -> None:
    image = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad((linear_to_srgb(image) + srgb_to_linear(image)).sum(), image)
    assert gradient.isfinite().all()


def test_moments_equal_a_loop_over_pixels() -> None:
    picture, opacity = create_picture(1).float(), random_tensor(1, 1, 12, 10, seed=5)
    total = float(opacity.sum())
    mean, covariance = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    pixels = [(picture[0, :, y, x].double(), float(opacity[0, 0, y, x])) for y in range(12) for x in range(10)]
    for color, weight in pixels:
        mean += weight * color / total
    for color, weight in pixels:
        covariance += weight * torch.outer(color - mean, color - mean) / total
    actual = measure_moments(picture, opacity)
    torch.testing.assert_close(actual.mean, mean)
    torch.testing.assert_close(actual.covariance, covariance)


def test_transparent_pixels_do_not_count() -> None:
    picture = create_picture(1)
    opacity = torch.ones(1, 1, 12, 10)
    opacity[..., 5:] = 0
    for actual, expected in zip(measure_moments(picture, opacity), measure_moments(picture[..., :5]), strict=True):
        torch.testing.assert_close(actual, expected)
    for actual, expected in zip(measure_moments(picture, 0 * opacity), measure_moments(picture), strict=True):
        torch.testing.assert_close(actual, expected)


def test_map_gives_the_target_its_covariance_and_is_symmetric() -> None:
    for seed in range(5):
        source, target = create_covariance(seed), create_covariance(seed + 50)
        matrix = match_covariance(source, target)
        torch.testing.assert_close(matrix @ source @ matrix.T, target)
        torch.testing.assert_close(matrix, matrix.T)
        assert torch.linalg.eigvalsh(matrix).min() > 0


def test_map_changes_colors_less_than_the_map_of_the_roots() -> None:
    # Both maps have the covariance of the target; of all linear ones the first is the shortest transport.
    source, target = create_covariance(1), create_covariance(2)
    roots = [vectors * values.sqrt() @ vectors.T for values, vectors in map(torch.linalg.eigh, (source, target))]
    other = roots[1] @ torch.linalg.inv(roots[0])

    def cost(matrix: Tensor) -> float:
        change = matrix - torch.eye(3, dtype=torch.float64)
        return float((change @ source @ change.T).trace())

    torch.testing.assert_close(other @ source @ other.T, target)
    assert cost(match_covariance(source, target)) < cost(other)


def test_map_of_diagonal_covariances_scales_each_channel() -> None:
    source, target = (torch.tensor(v, dtype=torch.float64).diag() for v in ([0.01, 0.04, 0.09], [0.04, 0.01, 0.09]))
    expected = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64).diag()
    torch.testing.assert_close(match_covariance(source, target), expected)


def test_map_of_equal_covariances_is_the_identity() -> None:
    for covariance in (create_covariance(1), torch.zeros(3, 3, dtype=torch.float64)):
        torch.testing.assert_close(match_covariance(covariance, covariance), torch.eye(3, dtype=torch.float64))


def test_gradient_of_the_map() -> None:
    factors = [random_normal(3, 3 + n).requires_grad_() for n in range(2)]
    assert torch.autograd.gradcheck(lambda s, t: match_covariance(s @ s.T, t @ t.T), factors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mapped_colors_have_the_moments_of_the_target(dtype: torch.dtype) -> None:
    source, target = create_picture(1).to(dtype), create_picture(2).to(dtype)
    actual = measure_moments(map_colors(source, measure_moments(source), measure_moments(target)))
    for value, expected in zip(actual, measure_moments(target), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_matched_picture_has_nearly_the_moments_of_the_target(space: ColorSpace) -> None:
    source, target = create_picture(1), create_picture(2)
    first, second, actual = (
        measure_moments(to_space(x, space)) for x in (source, target, match(source, target, space=space))
    )
    # Only the limits keep them from being equal.
    assert (actual.mean - second.mean).norm() < 0.1 * (first.mean - second.mean).norm()
    assert (actual.covariance - second.covariance).norm() < 0.35 * (first.covariance - second.covariance).norm()


@pytest.mark.parametrize("space", SPACES)
def test_colors_of_equal_distributions_stay(space: ColorSpace) -> None:
    picture = create_picture(3)
    shuffled = picture.flatten(2)[..., torch.randperm(120, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(match(picture, shuffled.view_as(picture), space=space), picture, rtol=0, atol=1e-8)


@pytest.mark.parametrize("space", SPACES)
def test_strength_interpolates_between_the_picture_and_the_match(space: ColorSpace) -> None:
    source, target = create_picture(1), create_picture(2)
    assert match(source, target, 0.0, space) is source
    half, full = (to_space(match(source, target, strength, space), space) for strength in (0.5, 1.0))
    torch.testing.assert_close(half, (to_space(source, space) + full) / 2, rtol=0, atol=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_match_keeps_the_range_of_colors_of_the_target(space: ColorSpace) -> None:
    source, target = random_tensor(1, 3, 12, 10, seed=4), 0.4 + 0.2 * create_picture(2)
    low, high = limits_of(target)
    actual_low, actual_high = limits_of(match(source, target, space=space))
    assert (actual_low >= low - 1e-6).all()
    assert (actual_high <= high + 1e-6).all()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("limit_colors", [gray, two_tone, torch.zeros_like], ids=["gray", "two_tone", "black"])
def test_match_of_few_colors_stays_finite(limit_colors: Callable[[Tensor], Tensor], space: ColorSpace) -> None:
    colorful, few = create_picture(1), limit_colors(create_picture(2))
    for source, target in ((colorful, few), (few, colorful), (few, few)):
        actual = match(source, target, space=space)
        assert actual.isfinite().all()
        assert 0 <= actual.min() <= actual.max() <= 1
    torch.testing.assert_close(match(few, few, space=space), few, rtol=0, atol=1e-6)


def test_match_with_gray_is_gray() -> None:
    actual = match(create_picture(1), gray(create_picture(2)))
    assert (actual.amax(1) - actual.amin(1)).max() < 1e-5


def test_gray_picture_gets_a_tint_and_no_colored_noise() -> None:
    # Differences of half a level between the channels are rounding.
    source, target = gray(create_picture(1)), create_picture(2)
    source = source + (random_tensor(1, 3, 12, 10, seed=7) - 0.5) / 255
    lab = srgb_to_oklab(match(source, target))
    expected = measure_moments(srgb_to_oklab(target)).mean
    torch.testing.assert_close(measure_moments(lab).mean[1:], expected[1:], rtol=0, atol=0.01)
    assert measure_moments(lab).covariance.diagonal()[1:].max() < 100 * SMALLEST_VARIANCE


def test_moments_are_float64_whatever_the_picture() -> None:
    moments = measure_moments(create_picture(1).half())
    assert isinstance(moments, ColorMoments)
    assert {value.dtype for value in moments} == {torch.float64}


def pale_picture(seed: int) -> Tensor:
    """Colors near gray, whose chroma fits into sRGB at many lightnesses."""
    return 0.4 + 0.2 * create_picture(seed)


def test_lightness_has_the_moments_of_the_target_and_no_chroma() -> None:
    source, target = (srgb_to_oklab(create_picture(seed)) for seed in (1, 2))
    first, second = measure_moments(source), measure_moments(target)
    actual = srgb_to_oklab(match_lightness(create_picture(1), first, second, chroma=0.0))
    moments = measure_moments(actual)
    torch.testing.assert_close(moments.mean[0], second.mean[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(moments.covariance[0, 0], second.covariance[0, 0], rtol=1e-4, atol=0)
    assert actual[:, 1:].abs().max() < 1e-6


def test_strength_of_lightness_is_the_share_of_the_way() -> None:
    picture, target = pale_picture(1), measure_moments(srgb_to_oklab(pale_picture(2) + 0.1))
    source = measure_moments(srgb_to_oklab(picture))
    none, half, full = (srgb_to_oklab(match_lightness(picture, source, target, 1.0, s)) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, srgb_to_oklab(picture), rtol=0, atol=1e-6)
    torch.testing.assert_close(half, (none + full) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("create", [gray, two_tone, torch.zeros_like], ids=["gray", "two_tone", "black"])
def test_lightness_of_few_colors_stays_finite(create: Callable[[Tensor], Tensor]) -> None:
    for first, second in (
        (create(create_picture(1)), create_picture(2)),
        (create_picture(2), create(create_picture(1))),
    ):
        source, target = (measure_moments(srgb_to_oklab(picture)) for picture in (first, second))
        actual = match_lightness(first, source, target, chroma=0.5)
        assert actual.isfinite().all()
        assert 0 <= actual.min() <= actual.max() <= 1


def test_chroma_is_scaled_and_lightness_stays() -> None:
    lab = srgb_to_oklab(create_picture(1))
    for factor in (0.0, 0.3, 1.0):
        actual = srgb_to_oklab(scale_chroma(create_picture(1), factor))
        torch.testing.assert_close(actual[:, :1], lab[:, :1], rtol=0, atol=1e-6)
        torch.testing.assert_close(actual[:, 1:], factor * lab[:, 1:], rtol=0, atol=1e-6)


def test_chroma_of_another_picture_is_exact_where_srgb_has_it() -> None:
    picture, other = pale_picture(1), pale_picture(2)
    lab, other_lab = srgb_to_oklab(picture), srgb_to_oklab(other)
    actual = srgb_to_oklab(add_chroma(picture, other, 0.0, 1.0))
    torch.testing.assert_close(actual[:, :1], lab[:, :1], rtol=0, atol=1e-6)
    torch.testing.assert_close(actual[:, 1:], other_lab[:, 1:], rtol=0, atol=1e-6)
    mixed = srgb_to_oklab(add_chroma(picture, other, 0.5, 0.5))
    torch.testing.assert_close(mixed[:, 1:], (lab + other_lab)[:, 1:] / 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(add_chroma(picture, other, 1.0, 0.0), picture, rtol=0, atol=1e-6)


def test_chroma_outside_of_srgb_is_reduced_at_equal_lightness_and_hue() -> None:
    dark, vivid = 0.1 * create_picture(1), random_tensor(1, 3, 12, 10, seed=3)
    wanted = torch.cat([srgb_to_oklab(dark)[:, :1], srgb_to_oklab(vivid)[:, 1:]], dim=1)
    limited = limit_chroma(wanted)
    rgb = oklab_to_srgb(limited)
    assert rgb.min() >= -1e-3
    assert rgb.max() <= 1 + 1e-3
    torch.testing.assert_close(limited[:, :1], wanted[:, :1], rtol=0, atol=0)
    factor = (limited[:, 1:] * wanted[:, 1:]).sum(1) / wanted[:, 1:].square().sum(1)
    torch.testing.assert_close(limited[:, 1:], factor[:, None] * wanted[:, 1:], rtol=0, atol=1e-12)
    assert 0 <= factor.min() < 0.9 * factor.max()
    # Nothing greater fits: a little more chroma leaves sRGB wherever it was reduced.
    reduced = factor < 1
    more = oklab_to_srgb(torch.cat([limited[:, :1], 1.01 * limited[:, 1:]], dim=1))
    assert ((more.amin(1) < -1e-4) | (more.amax(1) > 1 + 1e-4))[reduced].all()


def test_colors_of_srgb_are_not_limited() -> None:
    lab = srgb_to_oklab(torch.cat([create_picture(1), torch.zeros(1, 3, 1, 10), torch.ones(1, 3, 1, 10)], dim=2))
    assert torch.equal(limit_chroma(lab), lab)


def test_gradients_of_changes_of_chroma() -> None:
    pictures = [pale_picture(seed)[..., :2, :3].clone().requires_grad_() for seed in (1, 2)]
    source, target = (ColorMoments(torch.full((3,), 0.5 + 0.1 * n), create_covariance(n)) for n in range(2))
    assert torch.autograd.gradcheck(lambda a, b: add_chroma(a, b, 0.5, 0.7), pictures)
    assert torch.autograd.gradcheck(lambda a: scale_chroma(a, 0.5), pictures[:1])
    assert torch.autograd.gradcheck(lambda a: match_lightness(a, source, target, 0.5, 0.7), pictures[:1])
    assert torch.autograd.gradcheck(lambda a: limit_chroma(2 * srgb_to_oklab(a) - 0.5), pictures[:1])
