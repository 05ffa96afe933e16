"""Style losses that measure Wasserstein distances between distributions of features."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.functional.gram import mean_and_products
from nst_lightning.functional.wasserstein import Normal, draw_directions, project, wasserstein_2
from nst_lightning.losses.base import FeatureLoss, Tiling, check_share
from nst_lightning.losses.channels import HistogramLoss

# The members of a Normal, each a buffer of every layer.
NORMAL_PARTS = ("mean", "noise", "variances", "root")


class WassersteinLoss(FeatureLoss):
    """Squared 2-Wasserstein distance between normal distributions with the features' means and covariances.

    As in crowsonkb/style-transfer-pytorch; see :func:`nst_lightning.functional.wasserstein.wasserstein_2`. While a Gram
    matrix mixes means and covariances, this loss compares each by itself, and a small variance counts as much as a
    large one, so that less of the picture stays gray or flat. Several styles are blended by their means and means of
    products.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        at: scales of the image at which the loss is evaluated; see :class:`FeatureLoss`.
        matched: share of the target that describes only those parts of the style that resemble a part of the content
            (Luan et al. 2018), from 0 to 1: a sky is painted like a sky. 0.5 is a good value; at 1, parts of the style
            that resemble nothing do not appear.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    reference = "style"
    tiling: ClassVar[Tiling | None] = "mean"

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        at: Sequence[float] | None = None,
        matched: float = 0.0,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, at, styles=styles)
        self.matched = check_share("matched", matched)

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes means of products; see :func:`nst_lightning.functional.gram.moments`."""
        return features.moments(layer)

    @torch.no_grad()
    def set_target(self, statistics: Mapping[str, Tensor], readouts: Mapping[str, Readout] | None = None) -> None:
        """Sets the normal distributions to compare with; see :meth:`FeatureLoss.set_target`."""
        for layer, moments in statistics.items():
            with torch.autocast(moments.device.type, enabled=False):
                normal = Normal.from_moments(*mean_and_products(moments))
            for name, value in zip(NORMAL_PARTS, normal, strict=True):
                self.set_buffer(name, layer, value)
            self.set_readout(layer, readouts)

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """See :meth:`FeatureLoss.distance`."""
        target = Normal(*(self.require_buffer(name, layer) for name in NORMAL_PARTS))
        with torch.autocast(statistic.device.type, enabled=False):
            return wasserstein_2(*mean_and_products(statistic), target)


class SlicedWassersteinLoss(HistogramLoss):
    """Mean squared difference of sorted projections of the features: whole distributions instead of their moments.

    Heitz et al. 2021, eq. 3, who draw new directions for each evaluation. Here they are drawn once from ``seed``, as
    many for a layer as it has channels, so that the objective is one function: L-BFGS requires this, and a resumed run
    continues with the same function. Several styles are blended by the quantiles of their projections.

    Args:
        layers: names of the backbone's layers.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        seed: seed of the directions.
        points: number of quantiles of the style's projections; more than the image has positions are of no use.
        at: scales of the image at which the loss is evaluated; see :class:`FeatureLoss`.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        seed: int = 0,
        points: int = 16384,
        at: Sequence[float] | None = None,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, points, at, styles=styles)
        self.seed = seed

    def values(self, features: Features, layer: str) -> Tensor:
        """Computes projections, ``(batch, channels, positions)``."""
        value = features[layer]
        with torch.autocast(value.device.type, enabled=False):
            # The generator is seeded again each time, so these are the same directions in every evaluation.
            return project(value, draw_directions(value.shape[1], self.seed).to(value.device))
