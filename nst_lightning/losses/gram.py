"""Terms that take on a style."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, MaskedArea
from nst_lightning.backbones.ops.gram_error import ChannelMap
from nst_lightning.errors import InputError
from nst_lightning.functional.gram import gram_matrix, matrix_power
from nst_lightning.losses.base import IMAGE, FeatureLoss

FLOOR = 1e-3
"""Strength, relative to a style's strongest direction, below which no direction is taken to be."""


class GramLoss(FeatureLoss):
    """Mean squared error between Gram matrices, summed over layers: the style loss of Gatys et al.

    Gatys et al. 2016, eq. 4 and 5, in the normalization of the PyTorch tutorial: Gram matrices divided by channels x
    height x width, the mean instead of a quarter of the sum. A style may have another size than the image.

    So defined, the sum is that of one or two layers with large values, and in them that of a few strong directions;
    the rest follows late. With `whitening` the same distance is measured evenly: each layer's relative to its target,
    and each direction of it relative to a power of its strength, ``|M (G - T) M|^2 / |M T M|^2`` with
    ``M = max(T / largest eigenvalue of T, FLOOR)^(-whitening / 2)``, averaged over the layers by `layer_weights`. That
    is 1 where all features are 0, whatever the style and the network, and 0 where the plain one is 0, and it gets there
    in fewer steps. Its `weight` has a scale of its own: 1e3 gives about the balance that 1e6 gives without.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in their order; 1 each unless given.
        whitening: None for the plain distance; 0 for one that is even over layers, up to 1 over their directions too.
    """

    reference = "style"

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        whitening: float | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights)
        if whitening is not None and not 0 <= whitening <= 1:
            raise InputError(f"Expected `whitening` to be between 0 and 1, or null, but got {whitening}.")
        if whitening is not None and not any(self.layer_weights):
            raise InputError("Expected one of `layer_weights` to be positive, but all are 0.")
        self.whitening = whitening
        self._measures: dict[str, _Measure] = {}

    def set_channel_ratios(self, channel_ratio: Callable[[str], float]) -> None:
        """A Gram matrix is inversely proportional to the number of channels, its squared distance to their square."""
        self._factors = {layer: channel_ratio(layer) ** -2 for layer in self.layers if layer != IMAGE}

    def statistic(self, features: Tensor) -> Tensor:
        """The Gram matrix; see :func:`nst_lightning.functional.gram.gram_matrix`."""
        return gram_matrix(features)

    def statistic_of(self, features: Mapping[str, Tensor], layer: str) -> Tensor:
        """The same, of a linear read-out without making it."""
        return Features.of(features).gram_matrix(layer)

    def clear_target(self) -> None:
        """See :meth:`FeatureLoss.clear_target`."""
        super().clear_target()
        self._measures = {}

    def add_target(self, features: Mapping[str, Tensor], share: float = 1.0) -> None:
        """See :meth:`FeatureLoss.add_target`."""
        super().add_target(features, share)
        self._measures = {}

    def parts(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Loss.parts`."""
        return self._parts(Features.of(features), None)

    def _parts(self, features: Features, area: MaskedArea | None) -> dict[str, Tensor]:
        """The parts of an area of the image, or of the whole."""
        found = {}
        for layer in self._found_in(features):
            if layer not in self._measures:
                self._measures[layer] = self._measure(layer, features)
            target, of, factor = self._measures[layer]
            found[layer] = features.gram_error(layer, target, of, area, factor)
        return found

    @torch.no_grad()
    def _measure(self, layer: str, features: Features) -> "_Measure":
        target = self._targets[layer]
        if self.whitening is None:
            return _Measure(target, features.gram_map(layer), self._weight(layer))
        metric = matrix_power(target, -self.whitening / 2, FLOOR)
        with torch.autocast(target.device.type, enabled=False):
            evened = metric @ target @ metric
        size = float(evened.double().square().mean())
        share = self.layer_weights[self.layers.index(layer)] / sum(self.layer_weights)
        return _Measure(evened, features.gram_map(layer, metric), self.weight * share / size if size else 0.0)


class _Measure(NamedTuple):
    """How a layer's Gram matrix is compared: with what, after which map of the features, times what."""

    target: Tensor
    of: ChannelMap | None
    factor: float
