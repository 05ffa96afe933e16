"""Losses that keep the content."""

from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.losses.base import FeatureLoss


class ContentLoss(FeatureLoss):
    """Mean squared error between the features of the image and those of the content.

    Gatys et al. 2016, eq. 1, as a mean over all values of a layer instead of half their sum (the normalization of the
    PyTorch tutorial), so that a weight means the same at every size.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
    """

    reference = "content"

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Returns the features themselves."""
        return features[layer]
