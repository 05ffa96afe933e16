"""Wasserstein distances between distributions of features."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

LEAST_VARIANCE = 1e-4
"""Added to each channel's variance, so that covariances have roots; crowsonkb/style-transfer-pytorch has the same."""


class Normal(NamedTuple):
    """Normal distributions that others are compared with, in float64.

    Attributes:
        mean: of the channels, ``(batch, channels)``.
        variances: eigenvalues of the :func:`covariance` in ascending order, ``(batch, channels)``.
        root: the covariance's positive square root, ``(batch, channels, channels)``.
    """

    mean: Tensor
    variances: Tensor
    root: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, mean: Tensor, products: Tensor) -> "Normal":
        """That with the means ``(batch, channels)``, and means of products as for :func:`covariance`."""
        values, vectors = torch.linalg.eigh(covariance(mean, products))
        # Less can only be rounding of the products.
        values = values.clamp_min(LEAST_VARIANCE)
        return cls(_exact(mean), values, (vectors * values.sqrt()[..., None, :]) @ vectors.mT)


def covariance(mean: Tensor, products: Tensor) -> Tensor:
    """``E[x x^T] - m m^T``, with a little added to the diagonal.

    Args:
        mean: ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.

    Returns:
        ``(batch, channels, channels)``, in float64.
    """
    mean, products = _exact(mean), _exact(products)
    least = LEAST_VARIANCE * torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    return products - mean[..., :, None] * mean[..., None, :] + least


def wasserstein_2(mean: Tensor, products: Tensor, target: Normal) -> Tensor:
    """Squared 2-Wasserstein distance between normal distributions, divided by the number of channels.

    ``(|m - t|^2 + tr(S + T - 2 (T^1/2 S T^1/2)^1/2)) / channels`` (Dowson and Landau 1982; as a style
    loss in VinceMarron/style_transfer 2018 and crowsonkb/style-transfer-pytorch). In float64: the product of two
    covariances has weak directions, half of the distance between similar pictures, that float32 cannot hold beside
    its strong ones.

    Args:
        mean: of the channels, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.
        target: of ``1`` or ``batch`` pictures; no gradient.

    Returns:
        A scalar, the mean over the batch, in the precision and on the device of ``products``.
    """
    own = covariance(mean, products)
    means = (_exact(mean) - target.mean).square().mean(dim=-1)
    traces = own.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + target.variances.mean(dim=-1)
    # S is at least LEAST_VARIANCE, and so the product's eigenvalues are at least that times T's, in their order.
    roots: Tensor = _TraceOfRoot.apply(target.root @ own @ target.root, LEAST_VARIANCE * target.variances)
    return (means + traces - 2 * roots / mean.shape[-1]).mean().to(products)


class _TraceOfRoot(torch.autograd.Function):
    """``tr A^1/2``, whose gradient is ``A^-1/2 / 2``, of matrices whose eigenvalues are known to be no less than some.

    The gradient of eigenvectors, which automatic differentiation would take, does not exist where eigenvalues are
    equal; that of the trace does.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, least: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        roots = torch.maximum(values, least).sqrt()
        ctx.save_for_backward((vectors * (0.5 / roots)[..., None, :]) @ vectors.mT)
        return roots.sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inverse,) = ctx.saved_tensors
        return gradients[0][..., None, None] * inverse, None


def _exact(tensor: Tensor) -> Tensor:
    # Apple's GPUs have no float64.
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


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
