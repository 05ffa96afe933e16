"""Terms that hold on to the content."""

from torch import Tensor

from nst_lightning.losses.base import FeatureLoss


class ContentLoss(FeatureLoss):
    """Mean squared error between the features of the image and those of the content.

    Gatys et al. 2016, eq. 1, as a mean over all values of a layer instead of half their sum (the PyTorch tutorial's
    normalization), so that a weight means the same at every size.
    """

    reference = "content"

    def statistic(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features
