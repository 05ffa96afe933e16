"""Style losses that compare the distribution of each channel by itself."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.errors import InputError
from nst_lightning.functional.gram import mean_and_products
from nst_lightning.functional.pixels import mean_squared_error
from nst_lightning.functional.quantiles import quantiles, weighted_quantile_error, weighted_quantiles
from nst_lightning.functional.wasserstein import ChannelNormal, channel_wasserstein_2, flatten_positions
from nst_lightning.losses.base import FeatureLoss, Tiling

# The members of a ChannelNormal, each a buffer of every layer.
CHANNEL_NORMAL_PARTS = ("mean", "noise", "deviation")


class MeanStdLoss(FeatureLoss):
    """Squared differences of the channels' means and standard deviations.

    Huang and Belongie 2017 (AdaIN); see :func:`nst_lightning.functional.wasserstein.channel_wasserstein_2`. It has the
    scale of :class:`WassersteinLoss` and is what that loss is without correlations of channels: good color, weaker
    texture, and no need for many positions. Several styles are blended by their means and means of squares. Start with
    a `weight` of 1 and `layer_weights` of 1, 0.5, 0.25, 0.12 and 0.06 for relu1_1 to relu5_1.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        at: scales of the image at which the loss is evaluated; see :class:`FeatureLoss`.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    reference = "style"
    tiling: ClassVar[Tiling | None] = "mean"

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes means of products, for which a readout is not applied to every position."""
        return features.moments(layer)

    @torch.no_grad()
    def set_target(self, statistics: Mapping[str, Tensor], readouts: Mapping[str, Readout] | None = None) -> None:
        """Sets the means and standard deviations to compare with; see :meth:`FeatureLoss.set_target`."""
        for layer, moments in statistics.items():
            normal = ChannelNormal.from_moments(*mean_and_products(moments))
            for name, value in zip(CHANNEL_NORMAL_PARTS, normal, strict=True):
                self.set_buffer(name, layer, value)
            self.set_readout(layer, readouts)

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """See :meth:`FeatureLoss.distance`."""
        target = ChannelNormal(*(self.require_buffer(name, layer) for name in CHANNEL_NORMAL_PARTS))
        return channel_wasserstein_2(*mean_and_products(statistic), target)


class HistogramLoss(FeatureLoss):
    """Mean squared difference between the values of each channel and the style's values of the same rank.

    Risser et al. 2017, with sorting instead of 256 bins: each value is compared with the quantile of the style that its
    rank selects. Gram matrices leave a channel's histogram open; this loss fixes it. With `layers: [image]` it is a
    palette term. Several styles are blended by their quantiles. It has the scale of :class:`SlicedWassersteinLoss`;
    start with the weights of :class:`MeanStdLoss`, and with 100 for the pixels.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        points: number of quantiles of the style's channels; more than the image has positions are of no use.
        at: scales of the image at which the loss is evaluated; see :class:`FeatureLoss`.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    reference = "style"

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        points: int = 16384,
        at: Sequence[float] | None = None,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, at, styles=styles)
        if points < 2:
            raise InputError(f"Expected `points` to be 2 or more, but got {points}.")
        self.points = points

    def values(self, features: Features, layer: str) -> Tensor:
        """Computes the values whose distributions are compared, by channel: ``(batch, channels, positions)``."""
        return flatten_positions(features[layer])

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes the sorted values, ``(batch, channels, positions)``."""
        return self.values(features, layer).sort(dim=-1).values

    def target_statistic(self, features: Features, layer: str) -> Tensor:
        """Computes quantiles of the values, so that styles of any size can be blended."""
        weights = features.weights(layer)
        if weights is None:
            return quantiles(self.statistic(features, layer).detach(), self.points)
        return weighted_quantiles(self.values(features, layer), weights.values.flatten(), self.points)

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """Computes the mean squared difference from the target, resampled to the number of positions of the image."""
        return mean_squared_error(statistic, quantiles(self.target(layer), statistic.shape[-1]))

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`; positions with weights are compared at the levels of their values."""
        distances = {}
        for layer in self.layers_in(features):
            weights = features.weights(layer)
            if weights is None:
                distance = self.distance(self.statistic(features, layer), layer)
            else:
                values = self.values(features, layer)
                distance = weighted_quantile_error(values, weights.values.flatten(), self.target(layer))
            distances[layer] = self.weight_of(layer) * distance
        return distances
