"""Regions of an image: where which blend of styles applies."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# A gradual transition between styles is painted in steps of this share of a style.
STEPS = 4

# A constant blend that covers at least this share of the painted area is a region of its own.
PLATEAU_SHARE = 0.05

# Steps of a transition that cover less than this share, or are nowhere wider than twice this number of px, are painted
# by the pure styles instead: soft edges of masks.
LEAST_STEP_SHARE, LEAST_STEP_RADIUS = 0.02, 4

# Shares of styles are compared with this resolution.
LEVELS = 256


class Region(NamedTuple):
    """A part of an image with one blend of styles.

    Attributes:
        blend: share of each style; they sum to 1.
        weights: weight of each pixel, ``(1, 1, height, width)`` in [0, 1].
    """

    blend: tuple[float, ...]
    weights: Tensor


def divide_regions(shares: Tensor) -> list[Region]:
    """Divides an image into few regions with one blend of styles each.

    The regions add up to the shares exactly: ``sum_k blend_k weights_k = shares``. A region is one of

    - a constant blend that covers a noticeable part of the image, above all a single style;
    - a step of a gradual transition. Steps are the points of a lattice on the simplex of blends, and a pixel belongs to
      the corners of the lattice's cell around its blend with its barycentric coordinates (Kuhn triangulation). Between
      two styles these are the two nearest of the blends 1:0, 3:1, 1:1, 1:3 and 0:1. Each step has one blended target,
      so a transition has no middle in which two targets pull in different directions.

    Args:
        shares: of the styles at each pixel, ``(1, styles, height, width)``, at least 0, at most 1 in sum.

    Returns:
        The regions in a fixed order; none if all shares are 0.
    """
    height, width = shares.shape[-2:]
    values = shares[0].flatten(1).double().cpu()
    coverage = values.sum(0)
    blends = torch.where(coverage > 0, values / coverage.clamp_min(1e-12), 0)
    weights: dict[tuple[float, ...], Tensor] = {}
    left = coverage.clone()
    for plateau, members in _find_plateaus(blends, coverage):
        weights[plateau] = torch.where(members, left, 0)
        left[members] = 0
    _add_steps(weights, blends, left)
    maps = {blend: values.view(1, 1, height, width) for blend, values in weights.items()}
    _dissolve_small_steps(maps, float(coverage.sum()))
    result = [Region(blend, maps[blend].to(shares)) for blend in sorted(maps, reverse=True)]
    return [region for region in result if bool(region.weights.any())]


def _find_plateaus(blends: Tensor, coverage: Tensor) -> list[tuple[tuple[float, ...], Tensor]]:
    """Finds constant blends of many pixels: ``(styles, pixels)`` to blends and the pixels that have them."""
    # The share of the last style follows from the others.
    numbers = _number_columns((blends[:-1] * LEVELS).round().long(), LEVELS + 1)
    areas = torch.bincount(numbers, coverage)
    plateaus = []
    for number in torch.nonzero(areas >= PLATEAU_SHARE * coverage.sum().clamp_min(1e-12))[:, 0].tolist():
        members = (numbers == number) & (coverage > 0)
        blend = (blends[:, members] * coverage[members]).sum(1) / areas[number]
        plateaus.append((_as_key(blend / blend.sum()), members))
    # Only those whose blend is the same at all of their pixels, so that the regions add up exactly.
    return [(blend, members) for blend, members in plateaus if _is_constant(blends[:, members], blend)]


def _number_columns(columns: Tensor, base: int) -> Tensor:
    """Numbers columns, so that equal ones have the same number: ``(rows, columns)`` to ``(columns,)``.

    Args:
        columns: integers from 0 to below `base`.
        base: positive.
    """
    numbers = columns.new_zeros(columns.shape[1])
    for row in columns:
        numbers = numbers * base + row
    # Sorting takes long for large images with few styles, whose numbers are small.
    return numbers if base ** len(columns) <= 2**20 else torch.unique(numbers, return_inverse=True)[1]


def _is_constant(blends: Tensor, blend: tuple[float, ...]) -> bool:
    return bool(((blends - torch.tensor(blend, dtype=blends.dtype)[:, None]).abs() < 1e-6).all())


def _as_key(blend: Tensor) -> tuple[float, ...]:
    return tuple(round(share, 9) for share in blend.tolist())


def _add_steps(weights: dict[tuple[float, ...], Tensor], blends: Tensor, left: Tensor) -> None:
    """Adds the steps of transitions, in place: splits pixels between the corners of lattice cells."""
    pixels = torch.nonzero(left > 0)[:, 0]
    if not len(pixels):
        return
    # Nondecreasing sums from 0 to STEPS describe a blend; a cell of their integer grid consists of simplices.
    sums = (blends[:, pixels].cumsum(0)[:-1] * STEPS).clamp(0, STEPS)
    corner = sums.floor()
    fractions = sums - corner
    # The last one among equals comes first, so that the sums of a corner stay in order.
    order = fractions.flip(0).argsort(dim=0, descending=True, stable=True)
    order = len(fractions) - 1 - order
    ordered = fractions.gather(0, order)
    ones, zeros = ordered.new_ones(1, len(pixels)), ordered.new_zeros(1, len(pixels))
    coordinates = torch.cat([ones, ordered]) - torch.cat([ordered, zeros])
    for number, coordinate in enumerate(coordinates):
        if number:
            corner = corner.scatter_add(0, order[number - 1 : number], ones)
        keys = _number_columns(corner.long(), STEPS + 1)
        for key_of_corner in torch.unique(keys[coordinate > 0]):
            members = keys == key_of_corner
            sums_of_corner = corner[:, members.nonzero()[0, 0]]
            blend = torch.diff(functional.pad(sums_of_corner, (1, 0)), append=sums_of_corner.new_tensor([STEPS]))
            key = _as_key(blend / STEPS)
            weights.setdefault(key, torch.zeros_like(left))[pixels[members]] += (
                coordinate[members] * left[pixels[members]]
            )


def _dissolve_small_steps(weights: dict[tuple[float, ...], Tensor], total: float) -> None:
    """Replaces small or narrow regions by the single styles that they consist of, in place."""
    for blend in [blend for blend in weights if max(blend) < 1]:
        if float(weights[blend].sum()) < LEAST_STEP_SHARE * total or _is_narrow(weights[blend]):
            region = weights.pop(blend)
            for style, share in enumerate(blend):
                if share > 0:
                    key = tuple(float(number == style) for number in range(len(blend)))
                    weights[key] = weights.get(key, torch.zeros_like(region)) + share * region


def _is_narrow(weights: Tensor) -> bool:
    """Whether no square of twice LEAST_STEP_RADIUS px lies inside the region, ``(1, 1, height, width)``."""
    outside = (weights <= 0).double()
    grown = functional.max_pool2d(outside, 2 * LEAST_STEP_RADIUS + 1, stride=1, padding=LEAST_STEP_RADIUS)
    return bool(grown.all())
