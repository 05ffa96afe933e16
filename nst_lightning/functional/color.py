"""Color spaces, moments of colors, and the linear map that moves one distribution of colors onto another."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

# The color spaces in which colors can be matched.
ColorSpace = Literal["rgb", "oklab"]

# Linear sRGB to cone responses, and their cube roots to OkLab (Ottosson 2020, "A perceptual color space for image
# processing").
_TO_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
_TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)

# Smallest variance of a color direction: a standard deviation of 0.003, less than a level of 8-bit pictures. A smaller
# one is rounding or noise, which the map must not amplify.
SMALLEST_VARIANCE = 1e-5


class ColorMoments(NamedTuple):
    """Mean and covariance of colors.

    Attributes:
        mean: ``(3,)``, float64.
        covariance: ``(3, 3)``, float64.
    """

    mean: Tensor
    covariance: Tensor


def srgb_to_linear(colors: Tensor) -> Tensor:
    """Converts sRGB values to linear light (IEC 61966-2-1).

    Args:
        colors: any shape, in [0, 1].
    """
    # The power is not evaluated where it is not used: its gradient there would be infinite or undefined.
    power = ((colors.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(colors <= 0.04045, colors / 12.92, power)


def linear_to_srgb(colors: Tensor) -> Tensor:
    """Converts linear light to sRGB values; the inverse of :func:`srgb_to_linear`.

    Args:
        colors: any shape; values outside of [0, 1] stay outside.
    """
    power = 1.055 * colors.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(colors <= 0.0031308, colors * 12.92, power)


def srgb_to_oklab(image: Tensor) -> Tensor:
    """Converts sRGB to OkLab, in which equal distances look about equally different (Ottosson 2020).

    Args:
        image: ``(batch, 3, height, width)`` in [0, 1].

    Returns:
        Lightness in [0, 1], green to red, and blue to yellow, ``(batch, 3, height, width)``.
    """
    cones = transform_colors(srgb_to_linear(image), _TO_CONES)
    return transform_colors(cones.sign() * cones.abs().pow(1 / 3), _TO_LAB)


def oklab_to_srgb(colors: Tensor) -> Tensor:
    """Converts OkLab to sRGB; the inverse of :func:`srgb_to_oklab`.

    Args:
        colors: ``(batch, 3, height, width)``.

    Returns:
        ``(batch, 3, height, width)``; colors that sRGB does not have are outside of [0, 1].
    """
    return linear_to_srgb(_oklab_to_linear(colors))


def _oklab_to_linear(colors: Tensor) -> Tensor:
    cones = transform_colors(colors, torch.linalg.inv(_TO_LAB)).pow(3)
    return transform_colors(cones, torch.linalg.inv(_TO_CONES))


def transform_colors(colors: Tensor, matrix: Tensor) -> Tensor:
    """Multiplies the color of each pixel by a matrix.

    Args:
        colors: ``(batch, 3, height, width)``.
        matrix: ``(3, 3)``.
    """
    return torch.einsum("ij,bjhw->bihw", matrix.to(colors), colors)


def measure_moments(colors: Tensor, opacity: Tensor | None = None) -> ColorMoments:
    """Computes mean and covariance of the colors of an image, in float64.

    Args:
        colors: ``(1, 3, height, width)``.
        opacity: weight of each pixel, ``(1, 1, height, width)``, at least 0; all pixels count equally if it is None or
            0 everywhere.
    """
    values = colors.double().flatten(2)[0]
    weights = torch.ones_like(values[0]) if opacity is None else opacity.to(values).flatten()
    if not weights.any():
        weights = torch.ones_like(weights)
    weights = weights / weights.sum()
    mean = values @ weights
    centered = values - mean[:, None]
    return ColorMoments(mean, (centered * weights) @ centered.T)


def match_covariance(source: Tensor, target: Tensor, smallest: float = SMALLEST_VARIANCE) -> Tensor:
    """Computes the symmetric matrix ``A`` with ``A source A = target`` that changes colors least.

    The linear Monge-Kantorovich map ``S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2`` (Pitié and Kokaram 2007, section 3.3), which
    is the optimal transport between normal distributions. Variances below `smallest` count as `smallest`, in both
    matrices, so that the map stays bounded for gray and two-tone pictures and equal matrices give the identity.

    Args:
        source: covariance ``S``, ``(3, 3)``, symmetric and positive semidefinite, float64.
        target: covariance ``T``, the same.
        smallest: smallest variance in any direction; positive.

    Returns:
        ``(3, 3)``, symmetric and positive definite.
    """
    root = _raise_matrix(source, 0.5, smallest)
    inverse_root = _raise_matrix(source, -0.5, smallest)
    middle = root @ _raise_matrix(target, 1, smallest) @ root
    return inverse_root @ _raise_matrix(middle, 0.5, smallest**2) @ inverse_root


def _raise_matrix(matrix: Tensor, exponent: float, smallest: float) -> Tensor:
    """Raises a symmetric matrix to a power, with its eigenvalues clamped from below."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    result: Tensor = (vectors * values.clamp(min=smallest).pow(exponent)) @ vectors.T
    return result


def map_colors(colors: Tensor, source: ColorMoments, target: ColorMoments) -> Tensor:
    """Moves colors linearly, so that moments `source` become moments `target`; see :func:`match_covariance`.

    Args:
        colors: ``(batch, 3, height, width)``.
        source: moments of these colors, or of the picture that decides the map.
        target: moments of the result.
    """
    matrix = match_covariance(source.covariance, target.covariance)
    offset = target.mean - matrix @ source.mean
    return transform_colors(colors, matrix) + offset.to(colors).view(1, 3, 1, 1)


def match_colors(
    image: Tensor,
    source: ColorMoments,
    target: ColorMoments,
    limits: tuple[Tensor, Tensor],
    strength: float = 1.0,
    space: ColorSpace = "oklab",
) -> Tensor:
    """Matches the colors of an image to moments, without leaving the range of colors of the target.

    The map is ``(1 - strength) x + strength limit(A (x - source mean) + target mean)`` with the matrix ``A`` of
    :func:`match_covariance`. The limits keep a linear map from creating colors that no target picture has, above all
    if the target has few colors.

    Args:
        image: ``(batch, 3, height, width)`` in [0, 1].
        source: moments in `space`; see :func:`map_colors`.
        target: moments in `space`.
        limits: least and greatest values of the target's channels in OkLab, ``(3,)`` each.
        strength: from 0, which returns the image itself, to 1.
        space: color space of the map.

    Returns:
        ``(batch, 3, height, width)`` in [0, 1].
    """
    if strength == 0:
        return image
    colors = to_space(image, space)
    mapped = map_colors(colors, source, target)
    low, high = (limit.to(colors).view(1, 3, 1, 1) for limit in limits)
    if space == "oklab":
        return oklab_to_srgb(torch.lerp(colors, mapped.clamp(low, high), strength)).clamp(0, 1)
    limited = oklab_to_srgb(srgb_to_oklab(mapped.clamp(0, 1)).clamp(low, high))
    return torch.lerp(colors, limited, strength).clamp(0, 1)


def to_space(image: Tensor, space: ColorSpace) -> Tensor:
    """Converts an sRGB image to a color space; `image` itself for ``rgb``."""
    return srgb_to_oklab(image) if space == "oklab" else image


def match_lightness(
    image: Tensor, source: ColorMoments, target: ColorMoments, chroma: float, strength: float = 1.0
) -> Tensor:
    """Gives an image the lightness of another one, in mean and deviation, and less chroma.

    Args:
        image: ``(batch, 3, height, width)`` in [0, 1].
        source: moments of the image in OkLab.
        target: moments in OkLab of the picture whose lightness it gets.
        chroma: factor on the chroma; 0 gives gray.
        strength: share of the change of lightness, from 0 to 1.

    Returns:
        ``(batch, 3, height, width)`` in [0, 1].
    """
    lab = srgb_to_oklab(image)
    lightness, colors = lab[:, :1], lab[:, 1:]
    # Limited from below, as in `match_covariance`: a flat picture has only noise to amplify.
    variances = [moments.covariance[0, 0].clamp(min=SMALLEST_VARIANCE) for moments in (source, target)]
    ratio = (variances[1] / variances[0]).sqrt().to(lightness)
    mapped = (lightness - source.mean[0].to(lightness)) * ratio + target.mean[0].to(lightness)
    lightness = torch.lerp(lightness, mapped.clamp(0, 1), strength)
    return oklab_to_srgb(limit_chroma(torch.cat([lightness, chroma * colors], dim=1))).clamp(0, 1)


def scale_chroma(image: Tensor, factor: Tensor | float) -> Tensor:
    """Multiplies the chroma of an image in OkLab; lightness and hue stay.

    Args:
        image: ``(batch, 3, height, width)`` in [0, 1].
        factor: from 0, which gives gray, to 1; a number, or ``(batch, 1, height, width)``.

    Returns:
        ``(batch, 3, height, width)`` in [0, 1].
    """
    lab = srgb_to_oklab(image)
    lightness, colors = lab[:, :1], lab[:, 1:]
    return oklab_to_srgb(torch.cat([lightness, factor * colors], dim=1)).clamp(0, 1)


def add_chroma(image: Tensor, other: Tensor, factor: float, strength: float) -> Tensor:
    """Adds the chroma of another image to that of an image, whose lightness stays.

    The chroma is ``factor`` times that of the image plus ``strength`` times that of the other one, in OkLab. Where sRGB
    does not have this color, :func:`limit_chroma` keeps lightness and hue.

    Args:
        image: ``(batch, 3, height, width)`` in [0, 1].
        other: ``(batch, 3, height, width)`` in [0, 1].
        factor: factor on the chroma of `image`.
        strength: factor on the chroma of `other`.

    Returns:
        ``(batch, 3, height, width)`` in [0, 1].
    """
    own, added = srgb_to_oklab(image), srgb_to_oklab(other)
    colors = factor * own[:, 1:] + strength * added[:, 1:]
    return oklab_to_srgb(limit_chroma(torch.cat([own[:, :1], colors], dim=1))).clamp(0, 1)


def limit_chroma(colors: Tensor, halvings: int = 12) -> Tensor:
    """Reduces the chroma of colors that sRGB does not have until it does; lightness and hue stay.

    Clipping each channel to [0, 1] instead would change all three. The greatest chroma is found by bisection.

    Args:
        colors: in OkLab, ``(batch, 3, height, width)``, with lightness in [0, 1].
        halvings: number of steps of the bisection; the factor on the chroma has an error of at most ``2 ** -halvings``.

    Returns:
        ``(batch, 3, height, width)``; colors of sRGB are unchanged.
    """
    with torch.no_grad():
        inside = _is_in_gamut(colors.movedim(1, 0))
        # Often few pixels: only these are tried.
        outside = colors.movedim(1, 0)[:, ~inside]
        found, step = torch.zeros_like(outside[0]), 0.5
        for _ in range(halvings if outside.numel() else 0):
            tried = found + step
            found = torch.where(_is_in_gamut(torch.cat([outside[:1], tried * outside[1:]])), tried, found)
            step /= 2
        factor = torch.ones_like(colors[:, 0])
        factor[~inside] = found
    return torch.cat([colors[:, :1], factor[:, None] * colors[:, 1:]], dim=1)


def _is_in_gamut(colors: Tensor, tolerance: float = 1e-5) -> Tensor:
    """Whether sRGB has colors in OkLab, ``(3, any)``, up to rounding in linear light."""
    linear = _oklab_to_linear(colors.reshape(1, 3, -1, 1)).view_as(colors)
    return (linear.amin(0) >= -tolerance) & (linear.amax(0) <= 1 + tolerance)
