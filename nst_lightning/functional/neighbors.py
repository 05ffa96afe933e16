"""Nearest neighbors among feature vectors by their cosine."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# The largest number of cosines that are in memory at a time: 128 MB in float32.
MAX_COSINES = 2**25


@torch.no_grad()
def nearest_neighbors(queries: Tensor, candidates: Tensor, max_cosines: int = MAX_COSINES) -> Tensor:
    """Finds for each query the candidate with the largest cosine.

    Args:
        queries: ``(positions, channels)``.
        candidates: ``(candidates, channels)``.
        max_cosines: the search goes through the queries in blocks of at most this number of cosines.

    Returns:
        Indices of candidates, ``(positions,)``, int64; the first one among equals.
    """
    # The length of a query does not change which candidate is nearest.
    columns = functional.normalize(candidates, dim=1).mT.contiguous()
    rows = max(1, max_cosines // len(candidates))
    return torch.cat([(block @ columns).argmax(dim=1) for block in torch.split(queries, rows)])


@torch.no_grad()
def mark_matches(queries: Tensor, candidates: Tensor) -> Tensor:
    """Marks the positions of a feature map that are the nearest neighbor of a position of another one.

    A ring of one position around each is marked too, as in Luan et al. 2018 (deep painterly harmonization).

    Args:
        queries: ``(1, channels, any, any)``; centered by its mean, like the candidates.
        candidates: ``(1, channels, height, width)``.

    Returns:
        1 at marked positions and 0 elsewhere, ``(1, 1, height, width)``, float32.
    """
    rows, others = (value.flatten(2)[0].mT.float() for value in (queries, candidates))
    nearest = nearest_neighbors(rows - rows.mean(dim=0), others - others.mean(dim=0))
    marks = torch.zeros(len(others), device=others.device)
    marks[nearest] = 1
    return functional.max_pool2d(marks.view(1, 1, *candidates.shape[-2:]), 3, stride=1, padding=1)


@torch.no_grad()
def principal_axes(rows: Tensor, count: int) -> Tensor:
    """Computes the directions in which vectors differ most from 0: the leading eigenvectors of ``R^T R``.

    Inner products of vectors hardly change if both are projected onto these axes.

    Args:
        rows: ``(vectors, channels)``; centered vectors give the principal components of their distribution.
        count: number of axes, at most ``channels``.

    Returns:
        Orthonormal columns, ``(channels, count)``.
    """
    products = rows.mT @ rows
    # On the CPU, because some accelerators have no float64.
    axes: Tensor = torch.linalg.eigh(products.cpu().double()).eigenvectors[:, -count:].to(rows)
    return axes


def cosine_distance(
    rows: Sequence[Tensor], targets: Sequence[Tensor], factors: Sequence[float], weights: Tensor | None = None
) -> Tensor:
    """Computes the mean cosine distance between corresponding vectors: ``sum_i w_i (1 - cos(x_i, t_i)) / sum_i w_i``.

    The vectors ``x_i`` and ``t_i`` are given in parts, which are multiplied by a factor each and joined.

    Args:
        rows: parts of the vectors ``x``, ``(positions, channels)`` each.
        targets: parts of the vectors ``t``, of the same shapes; no gradient.
        factors: factor of each part.
        weights: ``w``, ``(positions,)``; equal by default; no gradient.

    Returns:
        A scalar between 0 and 2. Where all values of a vector are 0, it has no direction, and the cosine is 0.
    """
    squares = sum_squares(targets, factors)
    lengths = squares.sqrt().clamp_min(torch.finfo(squares.dtype).tiny ** 0.5)
    shares = None if weights is None else weights.to(squares) / weights.to(squares).sum()
    result: Tensor = _CosineDistance.apply(lengths, shares, targets, factors, *rows)
    return result


def sum_squares(rows: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    """Computes the squared lengths of vectors that are given in parts; see :func:`cosine_distance`.

    Returns:
        ``(positions,)``.
    """
    squares = [
        factor**2 * torch.linalg.vector_norm(part, dim=1).square() for part, factor in zip(rows, factors, strict=True)
    ]
    return torch.stack(squares).sum(dim=0)


class _CosineDistance(torch.autograd.Function):
    """Cosine distance with its gradient in closed form, which needs no intermediate maps."""

    @staticmethod
    def forward(
        ctx: Any,
        lengths: Tensor,
        shares: Tensor | None,
        targets: Sequence[Tensor],
        factors: Sequence[float],
        *rows: Tensor,
    ) -> Tensor:
        products = [
            factor**2 * torch.bmm(part[:, None], target[..., None])[:, 0, 0]
            for part, target, factor in zip(rows, targets, factors, strict=True)
        ]
        own = sum_squares(rows, factors).sqrt().clamp_min(torch.finfo(lengths.dtype).tiny ** 0.5)
        cosines = torch.stack(products).sum(dim=0) / (own * lengths)
        ctx.factors, ctx.parts = factors, len(rows)
        ctx.save_for_backward(own, lengths, shares, cosines, *targets, *rows)
        return 1 - (cosines.mean() if shares is None else cosines @ shares)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        own, lengths, shares, cosines, *parts = ctx.saved_tensors
        targets, rows = parts[: ctx.parts], parts[ctx.parts :]
        scale = gradients[0] / len(own) if shares is None else gradients[0] * shares
        along, across = (scale * cosines / own.square())[:, None], (-scale / (own * lengths))[:, None]
        results = [
            (factor**2 * along * part).addcmul_(target, factor**2 * across)
            for part, target, factor in zip(rows, targets, ctx.factors, strict=True)
        ]
        return None, None, None, None, *results
