"""Quantiles of distributions of values, also of weighted ones."""

import torch
from torch import Tensor
from torch.nn import functional


def quantiles(ordered: Tensor, count: int) -> Tensor:
    """Resamples sorted values to a number of equally spaced quantiles, by linear interpolation.

    Args:
        ordered: sorted values, ``(batch, directions, values)``.
        count: number of quantiles; the first is the minimum, the last the maximum.

    Returns:
        ``(batch, directions, count)``; the input itself if it has that many values.
    """
    if ordered.shape[-1] == count:
        return ordered
    return functional.interpolate(ordered, size=count, mode="linear", align_corners=True)


def quantiles_at(equally_spaced: Tensor, levels: Tensor) -> Tensor:
    """Interpolates equally spaced quantiles at any levels.

    Args:
        equally_spaced: see :func:`quantiles`, ``(batch, directions, count)``.
        levels: from 0, the minimum, to 1, the maximum, ``(batch, directions, any)``.

    Returns:
        The shape of `levels`.
    """
    places = levels * (equally_spaced.shape[-1] - 1)
    before = places.floor().long().clamp(0, max(0, equally_spaced.shape[-1] - 2))
    after = (before + 1).clamp_max(equally_spaced.shape[-1] - 1)
    low, high = equally_spaced.gather(-1, before), equally_spaced.gather(-1, after)
    return low + (places - before) * (high - low)


def sort_weighted(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sorts values in ascending order and computes at which level of their distribution each one is.

    The level of a value is the weight of all smaller ones and of half of itself, scaled so that the levels go from 0 to
    1. With equal weights the values are equally spaced quantiles.

    Args:
        values: ``(batch, directions, positions)``.
        weights: of the positions, positive, ``(positions,)``.

    Returns:
        The sorted values, their levels and their weights, each of the shape of `values`.
    """
    ordered, order = values.sort(dim=-1)
    own = weights.to(values)[order]
    middles = own.cumsum(-1) - own / 2
    low, high = middles[..., :1], middles[..., -1:]
    return ordered, (middles - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny), own


@torch.no_grad()
def weighted_quantiles(values: Tensor, weights: Tensor, count: int) -> Tensor:
    """Computes equally spaced quantiles of weighted values; see :func:`quantiles`. No gradient.

    Args:
        values: ``(batch, directions, positions)``.
        weights: of the positions, positive, ``(positions,)``.
        count: number of quantiles.
    """
    ordered, levels, _ = sort_weighted(values, weights)
    wanted = torch.linspace(0, 1, count).to(levels).expand(*levels.shape[:-1], count).contiguous()
    after = torch.searchsorted(levels, wanted).clamp(min(1, levels.shape[-1] - 1), levels.shape[-1] - 1)
    before = (after - 1).clamp_min(0)
    low, high = levels.gather(-1, before), levels.gather(-1, after)
    within = ((wanted - low) / (high - low).clamp_min(torch.finfo(low.dtype).tiny)).clamp(0, 1)
    return ordered.gather(-1, before).lerp(ordered.gather(-1, after), within)


def weighted_quantile_error(values: Tensor, weights: Tensor, target: Tensor) -> Tensor:
    """Computes the weighted mean squared difference between values and a target's values at the same levels.

    Args:
        values: ``(batch, directions, positions)``.
        weights: of the positions, positive, ``(positions,)``.
        target: equally spaced quantiles, ``(1 or batch, directions, any)``; no gradient.

    Returns:
        A scalar.
    """
    ordered, levels, own = sort_weighted(values, weights)
    errors = (ordered - quantiles_at(target.expand(len(values), -1, -1), levels)).square()
    return (own * errors).sum(-1).div(own.sum(-1)).mean()
