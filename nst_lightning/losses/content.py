"""Losses that keep the content."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.gram import PositionWeights, weight_positions
from nst_lightning.functional.pixels import average_pool, laplacian
from nst_lightning.functional.sampling import draw_positions
from nst_lightning.functional.similarity import scale_to_unit_length, self_similarity
from nst_lightning.losses.base import IMAGE, FeatureLoss, Tiling, check_weight


class ContentLoss(FeatureLoss):
    """Mean squared error between the features of the image and those of the content.

    Gatys et al. 2016, eq. 1, as a mean over all values of a layer instead of half their sum (the normalization of the
    PyTorch tutorial), so that a weight means the same at every size.

    With `normalized`, the channels at each position are a direction, and the distance is the mean over positions of
    ``1 - cos`` (Zhang et al. 2018, LPIPS, without trained weights). It leaves contrast free and is between 0 and 2 for
    every layer, size and network. At conv4_2, a `weight` of 50 has about the effect of 0.06 without `normalized`.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        normalized: whether the features of each position are scaled to unit length before they are compared.
    """

    reference = "content"
    tiling: ClassVar[Tiling | None] = "local"

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        normalized: bool = False,
    ) -> None:
        super().__init__(layers, weight, layer_weights)
        self.normalized = normalized

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Returns the features themselves, scaled to unit length if requested, times the roots of their weights."""
        value = features[layer]
        if self.normalized:
            with torch.autocast(value.device.type, enabled=False):
                value = scale_to_unit_length(value if value.dtype == torch.float64 else value.float(), dim=1)
        return _weight_errors(value, features.weights(layer))

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """Computes the mean squared error, or the mean of ``1 - cos``."""
        error = super().distance(statistic, layer)
        # Half the squared distance of two unit vectors is 1 - cos.
        return error * (statistic.shape[1] / 2) if self.normalized else error


def _weight_errors(value: Tensor, weights: PositionWeights | None) -> Tensor:
    """Multiplies values so that the mean of their squared differences is a weighted mean.

    Args:
        value: ``(batch, channels, height, width)``.
        weights: of the positions; None returns the values themselves.
    """
    if weights is None:
        return value
    count = weights.values.numel()
    return weight_positions(value, PositionWeights(weights.values * (count / weights.total), count))


class SelfSimilarityLoss(FeatureLoss):
    """Compares which places of the image resemble each other with which places of the content do.

    Content loss of Kolkin et al. 2019 (STROTSS): the sum of absolute differences between the matrices of
    :func:`nst_lightning.functional.similarity.self_similarity`, divided by the number of samples, between 0 and 2 for
    every layer, size and network. Unlike :class:`ContentLoss`, it leaves colors and textures free as long as equal
    things stay equal. Start with a `weight` of 5: at conv4_2 it has about the effect of a :class:`ContentLoss` of 0.06.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels; deep ones, such as conv4_2.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        samples: number of positions that are compared with each other. They are drawn once, so that the objective is
            one function.
        seed: seed of the positions.
    """

    reference = "content"

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        samples: int = 1024,
        seed: int = 0,
    ) -> None:
        super().__init__(layers, weight, layer_weights)
        if samples < 2:
            raise InputError(f"Expected `samples` to be 2 or more, but got {samples}.")
        self.register_buffer("positions", draw_positions(samples, seed), persistent=False)

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes the distances between samples, ``(batch, samples, samples)``."""
        rows = features.sample(layer, self.get_buffer("positions"))
        with torch.autocast(rows.device.type, enabled=False):
            return self_similarity(rows)

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """See :meth:`FeatureLoss.distance`."""
        return (statistic - self.target(layer)).abs().sum(dim=1).mean()


class LaplacianLoss(FeatureLoss):
    """Mean squared error between the Laplacians of the image and of the content, which keeps edges and contours.

    Li et al. 2017 (Laplacian-Steered Neural Style Transfer), as a mean: the sum over ``pool`` of ``pool_weight *
    mean((L(x_p) - L(c_p))^2)``, with ``x_p`` the pixels averaged over p x p blocks and ``L`` the Laplacian summed over
    channels. It keeps thin lines of faces and letters that other content losses lose, and holds back styles that bend
    lines. Start with a `weight` of 2 next to another content loss, or of 5 alone.

    Args:
        weight: factor on the whole term.
        pool: lengths in px of the blocks that are averaged first; larger ones keep larger shapes.
        pool_weights: a factor for each of `pool`; 1 each by default.
    """

    reference = "content"

    def __init__(
        self, weight: float = 1.0, pool: Sequence[int] = (4,), pool_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__([IMAGE], weight)
        if not pool or min(pool) < 1:
            raise InputError(f"Expected `pool` to be lengths of 1 px or more, but got {list(pool)}.")
        if pool_weights is not None and len(pool_weights) != len(pool):
            raise InputError(
                f"Expected `pool_weights` to have a value for each of the {len(pool)} lengths in `pool`, "
                f"but got {len(pool_weights)}."
            )
        self.pool = tuple(pool)
        self.tile_multiple = math.lcm(*pool)
        self.pool_weights = tuple(check_weight("pool_weights", w) for w in pool_weights or [1.0] * len(pool))

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes the Laplacians of all pools as one row of values for each image, ``(batch, values)``."""
        image = features.whole(layer)
        maps = []
        for length in self.pool:
            edges = laplacian(average_pool(image, length), features.is_periodic)
            value = edges if features.mask is None else features.mask.select(edges)
            maps.append(_weight_errors(value, features.weights_at(*edges.shape[-2:])).flatten(1))
        # With these factors, the sum of squares of the row is the weighted sum of mean squares of the maps.
        factors = [math.sqrt(w / values.shape[1]) for w, values in zip(self.pool_weights, maps, strict=True)]
        return torch.cat([factor * values for factor, values in zip(factors, maps, strict=True)], dim=1)

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """See :meth:`FeatureLoss.distance`."""
        return (statistic - self.target(layer)).square().sum(dim=1).mean()
