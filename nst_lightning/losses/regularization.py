"""Losses that smooth the image."""

from collections.abc import Sequence

from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import measure_smoothness, total_variation
from nst_lightning.losses.base import IMAGE, FeatureLoss, Loss


class TotalVariationLoss(Loss):
    """Total variation of the image, which smooths it.

    Args:
        weight: factor on the term.
        exponent: power of the differences between neighboring pixels, 1 or more: 2 smooths, 1 keeps edges.
    """

    layers = (IMAGE,)

    def __init__(self, weight: float = 1.0, exponent: float = 2.0) -> None:
        super().__init__(weight)
        self.exponent = _check_exponent(exponent)

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        return {IMAGE: self.weight * total_variation(features[IMAGE], self.exponent, features.is_periodic)}


class GrainAwareTotalVariationLoss(FeatureLoss):
    """Total variation of the image, the less the more grain the style has.

    The term of :class:`TotalVariationLoss` times a factor of the style: the automatic weight of Luan et al. 2018 (Deep
    Painterly Harmonization), at most 1 instead of 10; see :func:`nst_lightning.functional.pixels.measure_smoothness`. A
    flat poster is smoothed with the whole `weight`, while brushwork and canvas keep their grain. Styles are measured at
    the size of the stage: the larger a picture, the smaller the differences between its neighboring pixels. Several
    styles are blended by their factors. Start with the `weight` of a :class:`TotalVariationLoss`.

    Args:
        weight: factor on the term for a style without grain.
        exponent: power of the differences between neighboring pixels, 1 or more: 2 smooths, 1 keeps edges.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    reference = "style"

    def __init__(self, weight: float = 1.0, exponent: float = 2.0, styles: Sequence[int] | None = None) -> None:
        super().__init__([IMAGE], weight, styles=styles)
        self.exponent = _check_exponent(exponent)

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes the total variation, a scalar."""
        return total_variation(features.whole(layer), self.exponent, features.is_periodic)

    def target_statistic(self, features: Features, layer: str) -> Tensor:
        """Measures how free of grain a style is, a scalar."""
        return measure_smoothness(features.whole(layer))

    def distance(self, statistic: Tensor, layer: str) -> Tensor:
        """Multiplies the total variation by the factor of the style."""
        return statistic * self.target(layer)


def _check_exponent(exponent: float) -> float:
    if exponent < 1:
        raise InputError(f"Expected `exponent` to be 1 or more, but got {exponent}.")
    return exponent
