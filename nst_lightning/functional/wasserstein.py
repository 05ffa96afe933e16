"""Wasserstein distances between distributions of features."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Both covariances get this share of the target's mean variance added to their diagonals, so that both have roots and
# the weakest directions, whose error has the steepest gradient, do not slow down the others. With a constant 1e-4, as
# in crowsonkb/style-transfer-pytorch, four 384 px results with this loss were 1.1 to 1.7 times as far from the style
# (W2 without noise in the real VGG-19). Shares of 1e-2 and 3e-2 do as well as 1e-3.
NOISE_SHARE = 1e-3

# Lower bound of the added variance, for targets without any.
MIN_NOISE = 1e-5


class Normal(NamedTuple):
    """Normal distributions to compare others with, with noise added to their covariances, in float64.

    Attributes:
        mean: channel means, ``(batch, channels)``.
        noise: the variance added to each channel, ``(batch, 1)``.
        variances: eigenvalues of the covariance with noise, in ascending order, ``(batch, channels)``.
        root: positive square root of the covariance with noise, ``(batch, channels, channels)``.
    """

    mean: Tensor
    noise: Tensor
    variances: Tensor
    root: Tensor

    @classmethod
    @torch.no_grad()
    def from_moments(cls, mean: Tensor, products: Tensor) -> "Normal":
        """Creates normal distributions from first and second moments.

        Args:
            mean: channel means, ``(batch, channels)``.
            products: means of the channels' products, ``(batch, channels, channels)``.
        """
        values, vectors = torch.linalg.eigh(covariance(mean, products))
        noise = (NOISE_SHARE * values.mean(dim=-1, keepdim=True)).clamp_min(MIN_NOISE)
        # Negative eigenvalues can only be rounding errors of the products.
        values = values.clamp_min(0) + noise
        return cls(_to_float64(mean), noise, values, (vectors * values.sqrt()[..., None, :]) @ vectors.mT)


def covariance(mean: Tensor, products: Tensor) -> Tensor:
    """Computes covariances from first and second moments: ``E[x x^T] - m m^T``.

    Args:
        mean: channel means, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.

    Returns:
        ``(batch, channels, channels)``, in float64.
    """
    mean, products = _to_float64(mean), _to_float64(products)
    return products - mean[..., :, None] * mean[..., None, :]


def wasserstein_2(mean: Tensor, products: Tensor, target: Normal) -> Tensor:
    """Computes the squared 2-Wasserstein distance between normal distributions, divided by the number of channels.

    ``(|m - t|^2 + tr(S + T - 2 (T^1/2 S T^1/2)^1/2)) / channels`` with means ``m`` and ``t`` and covariances ``S`` and
    ``T`` (Dowson and Landau 1982; as a style loss in VinceMarron/style_transfer 2018 and
    crowsonkb/style-transfer-pytorch). The target's noise is added to both covariances. Computed in float64: float32
    loses the weak directions of a product of covariances next to strong ones, up to half of the distance between
    similar images in deep layers.

    Args:
        mean: channel means, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.
        target: distributions for ``1`` or ``batch`` images; they get no gradient.

    Returns:
        A scalar, the mean over the batch, in the precision and on the device of ``products``.
    """
    own = covariance(mean, products) + torch.diag_embed(target.noise.expand_as(target.variances))
    means = (_to_float64(mean) - target.mean).square().mean(dim=-1)
    traces = own.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + target.variances.mean(dim=-1)
    # S >= noise * I, so the k-th eigenvalue of the product is at least noise times the k-th of T.
    roots: Tensor = _TraceOfRoot.apply(target.root @ own @ target.root, target.noise * target.variances)
    return (means + traces - 2 * roots / mean.shape[-1]).mean().to(products)


class _TraceOfRoot(torch.autograd.Function):
    """``tr A^1/2`` with gradient ``A^-1/2 / 2``, given lower bounds of the eigenvalues of ``A``.

    Automatic differentiation would use the gradient of the eigenvectors, which does not exist for equal eigenvalues;
    the gradient of the trace does.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, lower_bounds: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        roots = torch.maximum(values, lower_bounds).sqrt()
        ctx.save_for_backward((vectors * (0.5 / roots)[..., None, :]) @ vectors.mT)
        return roots.sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (half_inverse_root,) = ctx.saved_tensors
        return gradients[0][..., None, None] * half_inverse_root, None


class ChannelNormal(NamedTuple):
    """Normal distributions of single channels to compare others with, with noise added to their variances, in float64.

    Attributes:
        mean: channel means, ``(batch, channels)``.
        noise: the variance added to each channel, ``(batch, 1)``.
        deviation: standard deviations with noise, ``(batch, channels)``.
    """

    mean: Tensor
    noise: Tensor
    deviation: Tensor

    @classmethod
    @torch.no_grad()
    def from_moments(cls, mean: Tensor, products: Tensor) -> "ChannelNormal":
        """Creates normal distributions from first and second moments; see :meth:`Normal.from_moments`."""
        variances = channel_variances(mean, products)
        noise = (NOISE_SHARE * variances.mean(dim=-1, keepdim=True)).clamp_min(MIN_NOISE)
        return cls(_to_float64(mean), noise, (variances + noise).sqrt())


def channel_variances(mean: Tensor, products: Tensor) -> Tensor:
    """Computes the variance of each channel from first and second moments.

    Args:
        mean: channel means, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``.

    Returns:
        ``(batch, channels)``, in float64.
    """
    squares = _to_float64(products.diagonal(dim1=-2, dim2=-1))
    # Negative variances can only be rounding errors of the products.
    return (squares - _to_float64(mean).square()).clamp_min(0)


def channel_wasserstein_2(mean: Tensor, products: Tensor, target: ChannelNormal) -> Tensor:
    """Computes the squared 2-Wasserstein distance of :func:`wasserstein_2` without correlations between channels.

    ``(|m - t|^2 + |s - u|^2) / channels`` with means ``m`` and ``t`` and standard deviations ``s`` and ``u``: the style
    loss of Huang and Belongie 2017 (AdaIN), with squares. It is never greater than :func:`wasserstein_2`.

    Args:
        mean: channel means, ``(batch, channels)``.
        products: means of the channels' products, ``(batch, channels, channels)``; only the diagonal is used.
        target: distributions for ``1`` or ``batch`` images; they get no gradient.

    Returns:
        A scalar, the mean over the batch, in the precision and on the device of ``products``.
    """
    deviations = (channel_variances(mean, products) + target.noise).sqrt()
    squares = (_to_float64(mean) - target.mean).square() + (deviations - target.deviation).square()
    return squares.mean().to(products)


def _to_float64(tensor: Tensor) -> Tensor:
    # Apple GPUs have no float64.
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def draw_directions(channels: int, seed: int) -> Tensor:
    """Draws random unit vectors, uniformly distributed, as many as there are channels.

    Args:
        channels: the length and the number of the vectors.
        seed: seed of the random generator.

    Returns:
        ``(channels, channels)``, one vector in each row.
    """
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(channels, channels, generator=generator), dim=1)


def project(features: Tensor, axes: Tensor) -> Tensor:
    """Projects a feature map onto directions.

    Args:
        features: ``(batch, channels, height, width)``.
        axes: unit vectors, ``(directions, channels)``; see :func:`draw_directions`.

    Returns:
        ``(batch, directions, height * width)``, in float32 or float64.
    """
    values = flatten_positions(features)
    return axes.to(values) @ values


def flatten_positions(features: Tensor) -> Tensor:
    """Returns a feature map as ``(batch, channels, height * width)``, in float32 or float64."""
    return (features if features.dtype == torch.float64 else features.float()).flatten(2)
