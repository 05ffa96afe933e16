"""Terms that move the image's distribution of features on to the style's."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.gram import mean_and_products, moments
from nst_lightning.functional.pixels import mean_squared_error
from nst_lightning.functional.wasserstein import Normal, directions, quantiles, sorted_projections, wasserstein_2
from nst_lightning.losses.base import FeatureLoss


class WassersteinLoss(FeatureLoss):
    """Squared 2-Wasserstein distance between normal distributions with the features' means and covariances.

    As in crowsonkb/style-transfer-pytorch; see :func:`wasserstein_2`. Where a Gram matrix mixes them,
    means and covariances are compared each by itself, and a small variance counts as much as a large one:
    less of the picture stays gray or flat. Several styles are blended by their means and their means of products.
    """

    reference = "style"

    def statistic(self, features: Tensor) -> Tensor:
        """See :func:`nst_lightning.functional.gram.moments`."""
        return moments(features)

    def statistic_of(self, features: Mapping[str, Tensor], layer: str) -> Tensor:
        """The same, of a linear read-out without making it."""
        return Features.of(features).moments(layer)

    def clear_target(self) -> None:
        """See :meth:`FeatureLoss.clear_target`."""
        super().clear_target()
        self._normals: dict[str, Normal] = {}

    def add_target(self, features: Mapping[str, Tensor], share: float = 1.0) -> None:
        """See :meth:`FeatureLoss.add_target`."""
        super().add_target(features, share)
        self._normals = {}

    def layer_distance(self, layer: str, value: Tensor) -> Tensor:
        """See :meth:`FeatureLoss.layer_distance`."""
        with torch.autocast(value.device.type, enabled=False):
            return self._weight(layer) * wasserstein_2(*mean_and_products(value), self._normal(layer))

    def _normal(self, layer: str) -> Normal:
        """The target's, whose root is taken once."""
        if layer not in self._normals:
            self._normals[layer] = Normal.of(*mean_and_products(self._targets[layer]))
        return self._normals[layer]


class SlicedWassersteinLoss(FeatureLoss):
    """Mean squared difference of sorted projections of the features: the whole distribution, not its moments alone.

    Heitz et al. 2021, eq. 3, who draw new directions for each evaluation. Here they are drawn once from ``seed``, as
    many for a layer as it has channels: so the objective is one function, which L-BFGS needs and a resumed run goes
    on with. Several styles are blended by the quantiles of their projections.

    Args:
        layers: names of the backbone's layers.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in their order; 1 each unless given.
        seed: of the directions.
        points: to how many quantiles the style's projections are brought; more than the image has positions are no
            use.
    """

    reference = "style"

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        seed: int = 0,
        points: int = 16384,
    ) -> None:
        super().__init__(layers, weight, layer_weights)
        if points < 2:
            raise InputError(f"Expected `points` to be 2 or more, but got {points}.")
        self.seed = seed
        self.points = points

    def statistic(self, features: Tensor) -> Tensor:
        """Sorted projections, ``(batch, channels, positions)``."""
        with torch.autocast(features.device.type, enabled=False):
            return sorted_projections(features, directions(features.shape[1], self.seed).to(features.device))

    def add_target(self, features: Mapping[str, Tensor], share: float = 1.0) -> None:
        """See :meth:`FeatureLoss.add_target`; styles of any size have the same number of quantiles."""
        for layer in self._found_in(features):
            self._add_to_target(layer, share * quantiles(self.statistic(features[layer]).detach(), self.points))

    def distance(self, value: Tensor, target: Tensor) -> Tensor:
        """Mean squared difference, of the target brought to as many quantiles as the image has positions."""
        return mean_squared_error(value, quantiles(target, value.shape[-1]))
