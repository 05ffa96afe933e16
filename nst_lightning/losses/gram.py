"""The style loss of Gatys et al."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.backbones.ops.gram_error import ChannelMap
from nst_lightning.errors import InputError
from nst_lightning.functional.gram import matrix_power
from nst_lightning.losses.base import IMAGE, FeatureLoss, Tiling, check_share

# Eigenvalues are raised to this share of the largest one before whitening.
LEAST_EIGENVALUE = 1e-3


class GramLoss(FeatureLoss):
    """Mean squared error between Gram matrices, summed over layers.

    Gatys et al. 2016, eq. 4 and 5, in the normalization of the PyTorch tutorial: Gram matrices divided by channels x
    height x width, the mean instead of a quarter of the sum. A style may have another size than the image.

    One or two layers and their leading eigenvectors dominate this sum; color and fine texture converge last. With
    `whitening`, layers and directions count evenly: the distance of a layer is ``|M (G - T) M|^2 / |M T M|^2`` with
    ``M = max(T / largest eigenvalue of T, 1e-3)^(-whitening / 2)``, averaged over layers by `layer_weights`. It is 1 if
    all features are 0, for every style and network, it is 0 where the plain distance is 0, and it converges in fewer
    steps. Its `weight` has its own scale: 1e3 gives about the balance that 1e6 gives without whitening.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        whitening: None for the plain distance; 0 evens out layers; up to 1 evens out directions within layers too.
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
        whitening: float | None = None,
        at: Sequence[float] | None = None,
        matched: float = 0.0,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, at, styles=styles)
        self.matched = check_share("matched", matched)
        if whitening is not None and not 0 <= whitening <= 1:
            raise InputError(f"Expected `whitening` to be between 0 and 1, or null, but got {whitening}.")
        if whitening is not None and not any(self.layer_weights):
            raise InputError("Expected one of `layer_weights` to be positive, but all are 0.")
        self.whitening = whitening
        self._distance_weights: dict[str, float] = {}

    def set_channel_ratios(self, channel_ratio: Callable[[str], float]) -> None:
        """Compensates that a Gram matrix is inversely proportional to the number of channels."""
        self._ratio_factors = {layer: channel_ratio(layer) ** -2 for layer in self.layers if layer != IMAGE}

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Computes the Gram matrix, ``(batch, channels, channels)``."""
        return features.gram_matrix(layer)

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        return {
            layer: features.gram_error(
                layer, self.target(layer), self._channel_map(layer), self._distance_weights[layer]
            )
            for layer in self.layers_in(features)
        }

    def moments_distance(self, moments: Tensor, layer: str) -> Tensor:
        """See :meth:`FeatureLoss.moments_distance`; the plain form of :meth:`layer_distances`."""
        channel_map, channels = self._channel_map(layer), moments.shape[-1] - 1
        with torch.autocast(moments.device.type, enabled=False):
            if channel_map is None:
                matrix = moments[:, :-1, :-1] / channels
            else:
                weight = channel_map.weight.to(moments)
                offset = weight.new_zeros(1, weight.shape[1], 1) if channel_map.offset is None else channel_map.offset
                affine = torch.cat([weight, offset.to(weight)], dim=2)
                matrix = affine @ moments @ affine.mT
            error = (matrix - self.target(layer).to(matrix)).square().mean()
        return self._distance_weights[layer] * error

    def reads_means(self, layer: str) -> bool:
        """See :meth:`FeatureLoss.reads_means`: only a map with an offset does."""
        channel_map = self._channel_map(layer)
        return channel_map is not None and channel_map.offset is not None

    @torch.no_grad()
    def set_target(self, statistics: Mapping[str, Tensor], readouts: Mapping[str, Readout] | None = None) -> None:
        """Sets the Gram matrices to compare with, whitened if requested; see :meth:`FeatureLoss.set_target`."""
        for layer, target in statistics.items():
            readout = (readouts or {}).get(layer)
            # A map replaces the readout and the whitening of the image's features by one product with small matrices.
            if self.whitening is None:
                channel_map = None if readout is None else readout.gram_map()
                self._distance_weights[layer] = self.weight_of(layer)
            else:
                metric = matrix_power(target, -self.whitening / 2, LEAST_EIGENVALUE)
                # A Gram matrix is divided by the number of channels; means of products of mapped channels are not.
                own_map = ChannelMap(metric / math.sqrt(metric.shape[-1]))
                channel_map = own_map if readout is None else readout.gram_map(metric)
                target, self._distance_weights[layer] = self._whiten(layer, target, metric)
            super().set_target({layer: target})
            self.set_buffer("map_weight", layer, None if channel_map is None else channel_map.weight)
            self.set_buffer("map_offset", layer, None if channel_map is None else channel_map.offset)

    def _whiten(self, layer: str, target: Tensor, metric: Tensor) -> tuple[Tensor, float]:
        """Returns the whitened target of a layer and the weight of its distance."""
        with torch.autocast(target.device.type, enabled=False):
            whitened = metric @ target @ metric
        # The whitened distance of an image whose features are all 0; dividing by it makes that distance 1.
        scale = float(whitened.double().square().mean())
        layer_weight = self.layer_weights[self.layers.index(layer)] / sum(self.layer_weights)
        return whitened, self.weight * layer_weight / scale if scale else 0.0

    def _channel_map(self, layer: str) -> ChannelMap | None:
        weight, offset = (self.layer_buffer(name, layer) for name in ("map_weight", "map_offset"))
        return None if weight is None else ChannelMap(weight, offset)
