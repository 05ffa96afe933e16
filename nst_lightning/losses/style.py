"""Terms that take on a style."""

from collections.abc import Callable, Mapping

from torch import Tensor

from nst_lightning.features import Features
from nst_lightning.functional import gram_matrix
from nst_lightning.losses.base import IMAGE, FeatureLoss


class GramLoss(FeatureLoss):
    """Mean squared error between Gram matrices, summed over layers: the style loss of Gatys et al.

    Gatys et al. 2016, eq. 4 and 5, in the normalization of the PyTorch tutorial: Gram matrices divided by channels x
    height x width, the mean instead of a quarter of the sum. A style may have another size than the image.
    """

    reference = "style"

    def calibrate(self, breadth: Callable[[str], float]) -> None:
        """A Gram matrix is inversely proportional to the number of channels, its squared distance to their square."""
        self._factors = {layer: breadth(layer) ** -2 for layer in self.layers if layer != IMAGE}

    def statistic(self, features: Tensor) -> Tensor:
        """The Gram matrix; see :func:`nst_lightning.functional.gram_matrix`."""
        return gram_matrix(features)

    def statistic_of(self, features: Mapping[str, Tensor], layer: str) -> Tensor:
        """The same, of a linear read-out without making it."""
        return Features.of(features).gram_matrix(layer)
