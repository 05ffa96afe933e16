"""Comparisons of feature vectors with each other."""

import math
from typing import Literal

import torch
from torch import Tensor

# What it costs to replace one feature vector by another.
Cost = Literal["cosine", "euclidean", "both"]

# Vectors much shorter than this, a nearly black pixel, stay short: the gradient of their direction has no bound.
LEAST_LENGTH = 1e-2

# Lower bound of the mean of a column of distances, for pictures that are the same everywhere.
LEAST_MEAN_DISTANCE = 1e-6

# Differences of this many channels or fewer are squared one by one: faster, and exact for equal vectors.
FEW_CHANNELS = 16


def scale_to_unit_length(vectors: Tensor, dim: int = -1) -> Tensor:
    """Divides vectors by their length: ``x / sqrt(|x|^2 + LEAST_LENGTH^2)``.

    Args:
        vectors: any shape.
        dim: the dimension of the vectors' components.
    """
    return vectors / (vectors.square().sum(dim, keepdim=True) + LEAST_LENGTH**2).sqrt()


def cosine_distances(first: Tensor, second: Tensor) -> Tensor:
    """Computes ``1 - cos`` of all pairs of vectors, as half the squared distance of the scaled vectors.

    In this form, equal vectors have the distance 0 even if they are 0 themselves.

    Args:
        first: ``(batch, n, channels)``.
        second: ``(batch, m, channels)``; see :func:`scale_to_unit_length` for both.

    Returns:
        ``(batch, n, m)``.
    """
    squares = first.square().sum(-1)[..., :, None] + second.square().sum(-1)[..., None, :]
    return squares / 2 - first @ second.mT


def relaxed_earth_movers_distance(image: Tensor, style: Tensor, cost: Cost) -> Tensor:
    """Computes the relaxed earth mover's distance between two sets of vectors.

    ``max(mean_i min_j C_ij, mean_j min_i C_ij)``: Kolkin et al. 2019 (STROTSS). The first part gives every vector of
    the image a similar one in the style, the second every vector of the style one in the image. ``C`` is

    - ``cosine``: ``1 - cos(x_i, s_j)``;
    - ``euclidean``: ``sqrt(|x_i - s_j|^2 / channels)``;
    - ``both``: the sum of the two.

    Pairs are matched without a gradient, and only the costs of matched pairs are computed with one. This is the exact
    gradient of the minimum, and no matrix is kept for it.

    Args:
        image: ``(batch, n, channels)``.
        style: ``(1 or batch, m, channels)``; gets no gradient.
        cost: what a pair costs.

    Returns:
        A scalar, the mean over the batch.
    """
    with torch.no_grad():
        costs = sum(_all_costs(image, style, kind) for kind in _kinds(cost))
        assert isinstance(costs, Tensor)
        of_image, of_style = costs.argmin(dim=2), costs.argmin(dim=1)
    style = style.detach().expand(len(image), -1, -1)
    forward = _pair_costs(image, torch.take_along_dim(style, of_image[..., None], 1), cost).mean(dim=1)
    backward = _pair_costs(torch.take_along_dim(image, of_style[..., None], 1), style, cost).mean(dim=1)
    return torch.maximum(forward, backward).mean()


def _kinds(cost: Cost) -> tuple[str, ...]:
    return ("cosine", "euclidean") if cost == "both" else (cost,)


def _all_costs(first: Tensor, second: Tensor, kind: str) -> Tensor:
    if kind == "cosine":
        return cosine_distances(scale_to_unit_length(first), scale_to_unit_length(second))
    mode = "donot_use_mm_for_euclid_dist" if first.shape[-1] <= FEW_CHANNELS else "use_mm_for_euclid_dist"
    return torch.cdist(first, second, compute_mode=mode) / math.sqrt(first.shape[-1])


def _pair_costs(first: Tensor, second: Tensor, cost: Cost) -> Tensor:
    """Costs of corresponding vectors: ``(batch, count, channels)`` each to ``(batch, count)``."""
    result = first.new_zeros(())
    if cost != "euclidean":
        result = result + (scale_to_unit_length(first) - scale_to_unit_length(second)).square().sum(-1) / 2
    if cost != "cosine":
        # The gradient of this norm is 0 at 0.
        result = result + torch.linalg.vector_norm(first - second, dim=-1) / math.sqrt(first.shape[-1])
    return result


def self_similarity(vectors: Tensor) -> Tensor:
    """Computes the cosine distances of all pairs of vectors, each column divided by its sum.

    Kolkin et al. 2019 (STROTSS), content loss: which places of a picture resemble each other, whatever they look like.

    Args:
        vectors: ``(batch, n, channels)``.

    Returns:
        ``(batch, n, n)``; the columns sum to 1.
    """
    scaled = scale_to_unit_length(vectors)
    distances = cosine_distances(scaled, scaled)
    return distances / distances.sum(dim=1, keepdim=True).clamp_min(LEAST_MEAN_DISTANCE * distances.shape[1])
