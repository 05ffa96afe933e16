"""Losses that depend only on the image."""

from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import total_variation
from nst_lightning.losses.base import IMAGE, Loss


class TotalVariationLoss(Loss):
    """Total variation of the image, which smooths it.

    Args:
        weight: factor on the term.
        exponent: power of the differences between neighboring pixels, 1 or more: 2 smooths, 1 keeps edges.
    """

    layers = (IMAGE,)

    def __init__(self, weight: float = 1.0, exponent: float = 2.0) -> None:
        super().__init__(weight)
        if exponent < 1:
            raise InputError(f"Expected `exponent` to be 1 or more, but got {exponent}.")
        self.exponent = exponent

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        return {IMAGE: self.weight * total_variation(features[IMAGE], self.exponent)}
