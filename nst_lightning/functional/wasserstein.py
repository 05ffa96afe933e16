"""Wasserstein distances between distributions of features."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

SHARE_OF_NOISE = 1e-3
"""Variance that is added to each channel of both sides, of the target's variance in the mean of its channels.

So both have roots, and the weakest directions, whose error has the steepest gradient, do not hold up the others: with
1e-4, whatever the variance, as in crowsonkb/style-transfer-pytorch, four pictures of 384 px that best.yaml painted were
1.1 to 1.7 times as far from the style (W2 without noise in the real VGG-19). Shares of 1e-2 and 3e-2 do as this one.
"""

LEAST_NOISE = 1e-5
"""The same at least: a target may be flat."""


class Normal(NamedTuple):
    """Normal distributions that others are compared with, in float64.

    Attributes:
        mean: of the channels, ``(batch, channels)``.
        noise: the variance that is added to each channel, ``(batch, 1)``.
        variances: eigenvalues of the covariance with noise, in ascending order, ``(batch, channels)``.
        root: that covariance's positive square root, ``(batch, channels, channels)``.
    """

    mean: Tensor
    noise: Tensor
    variances: Tensor
    root: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, mean: Tensor, products: Tensor) -> "Normal":
        """That with the means ``(batch, channels)``, and means of products as for :func:`covariance`."""
        values, vectors = torch.linalg.eigh(covariance(mean, products))
        noise = (SHARE_OF_NOISE * values.mean(dim=-1, keepdim=True)).clamp_min(LEAST_NOISE)
        # Less than 0 can only be rounding of the products.
        values = values.clamp_min(0) + noise
        return cls(_exact(mean), noise, values, (vectors * values.sqrt()[..., None, :]) @ vectors.mT)


def covariance(mean: Tensor, products: Tensor) -> Tensor:
    """``E[x x^T] - m m^T``.

    Args:
        mean: ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.

    Returns:
        ``(batch, channels, channels)``, in float64.
    """
    mean, products = _exact(mean), _exact(products)
    return products - mean[..., :, None] * mean[..., None, :]


def wasserstein_2(mean: Tensor, products: Tensor, target: Normal) -> Tensor:
    """Squared 2-Wasserstein distance between normal distributions, divided by the number of channels.

    ``(|m - t|^2 + tr(S + T - 2 (T^1/2 S T^1/2)^1/2)) / channels`` (Dowson and Landau 1982; as a style
    loss in VinceMarron/style_transfer 2018 and crowsonkb/style-transfer-pytorch), with the target's noise added to both
    covariances. In float64: beside its strong directions float32 cannot hold the weak ones of a product of covariances,
    up to half of the distance between similar pictures in deep layers.

    Args:
        mean: of the channels, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.
        target: of ``1`` or ``batch`` pictures; no gradient.

    Returns:
        A scalar, the mean over the batch, in the precision and on the device of ``products``.
    """
    own = covariance(mean, products) + torch.diag_embed(target.noise.expand_as(target.variances))
    means = (_exact(mean) - target.mean).square().mean(dim=-1)
    traces = own.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + target.variances.mean(dim=-1)
    # S is the noise or more, and so the product's eigenvalues are at least that times T's, in their order.
    roots: Tensor = _TraceOfRoot.apply(target.root @ own @ target.root, target.noise * target.variances)
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
