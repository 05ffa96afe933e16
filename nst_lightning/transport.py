"""Wasserstein distances between distributions of features."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LEAST_VARIANCE = 1e-4
"""Added to each channel's variance, so that covariances have roots; crowsonkb/style-transfer-pytorch has the same."""


def covariance(mean: Tensor, products: Tensor) -> Tensor:
    """``E[x x^T] - m m^T``, with a little added to the diagonal.

    Args:
        mean: ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.

    Returns:
        ``(batch, channels, channels)``.
    """
    least = LEAST_VARIANCE * torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    return products - mean[..., :, None] * mean[..., None, :] + least


def square_root(matrix: Tensor) -> Tensor:
    """The positive square root of symmetric positive semi-definite matrices, ``(batch, n, n)``; no gradient.

    By eigenvalues, in float64: a product of covariances has a condition number that float32 cannot hold.
    """
    values, vectors = torch.linalg.eigh(_exact(matrix.detach()))
    roots = values.clamp_min(0).sqrt()
    root: Tensor = (vectors * roots[..., None, :]) @ vectors.mT
    return root.to(matrix.dtype)


def wasserstein_2(mean: Tensor, products: Tensor, target_mean: Tensor, target_root: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance between normal distributions, divided by the number of channels.

    ``(|m - t|^2 + tr(S + T - 2 (T^1/2 S T^1/2)^1/2)) / channels`` (Dowson and Landau 1982; as a style
    loss in VinceMarron/style_transfer 2018 and crowsonkb/style-transfer-pytorch).

    Args:
        mean: of the channels, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.
        target_mean: ``(1 or batch, channels)``.
        target_root: :func:`square_root` of the target's :func:`covariance`, ``(1 or batch, channels, channels)``.

    Returns:
        A scalar, the mean over the batch.
    """
    own = covariance(mean, products)
    means = (mean - target_mean).square().mean(dim=-1)
    traces = own.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + target_root.square().sum(dim=(-2, -1)) / mean.shape[-1]
    roots: Tensor = _TraceOfRoot.apply(target_root @ own @ target_root)
    return (means + traces - 2 * roots / mean.shape[-1]).mean()


class _TraceOfRoot(torch.autograd.Function):
    """``tr A^1/2``, whose gradient is ``A^-1/2 / 2``.

    The gradient of eigenvectors, which automatic differentiation would take, does not exist where eigenvalues are
    equal; that of the trace does.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(_exact(matrix))
        # Below the rounding of the matrix there is nothing but noise.
        least = values.amax(dim=-1, keepdim=True) * torch.finfo(matrix.dtype).eps
        roots = values.clamp_min(least).sqrt()
        inverse = (vectors * (0.5 / roots)[..., None, :]) @ vectors.mT
        ctx.inverse = inverse.to(matrix.dtype)
        result: Tensor = roots.sum(dim=-1).to(matrix.dtype)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        inverse: Tensor = ctx.inverse
        return gradients[0][..., None, None] * inverse


def _exact(matrix: Tensor) -> Tensor:
    return matrix.float() if matrix.device.type == "mps" else matrix.double()


def directions(channels: int, seed: int) -> Tensor:
    """Random unit vectors, as many as there are channels, ``(channels, channels)``: one a row."""
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(channels, channels, generator=generator), dim=1)


def sorted_projections(features: Tensor, along: Tensor) -> Tensor:
    """Values of a feature map along directions, in ascending order.

    Args:
        features: ``(batch, channels, height, width)``.
        along: ``(directions, channels)``.

    Returns:
        ``(batch, directions, height * width)``, in float32 or float64.
    """
    exact = features if features.dtype == torch.float64 else features.float()
    return (along.to(exact) @ exact.flatten(2)).sort(dim=-1).values


def quantiles(ordered: Tensor, count: int) -> Tensor:
    """Ordered values made more or fewer, by linear interpolation: ``(batch, directions, count)``."""
    if ordered.shape[-1] == count:
        return ordered
    return functional.interpolate(ordered, size=count, mode="linear", align_corners=True)
