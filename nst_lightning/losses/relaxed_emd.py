"""A style loss that matches feature vectors of the image and of the style with each other."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import average_pool
from nst_lightning.functional.sampling import draw_positions, sample_bilinear
from nst_lightning.functional.similarity import LEAST_LENGTH, Cost, relaxed_earth_movers_distance
from nst_lightning.losses.base import IMAGE, FeatureLoss


class RelaxedEMDLoss(FeatureLoss):
    """Relaxed earth mover's distance between vectors of the image and of the style.

    Kolkin et al. 2019 (STROTSS); see :func:`nst_lightning.functional.similarity.relaxed_earth_movers_distance`. A
    vector consists of all layers at one position (a hypercolumn), read by bilinear interpolation. Each part of the
    image becomes like some part of the style, and each part of the style occurs. The source redraws its samples during
    a run; here they are drawn once from ``seed``, so that the objective is one function: L-BFGS requires this, and a
    resumed run continues with the same function. A layer changes only what its vectors at the samples see, so shallow
    layers need more samples in large images than deep ones.

    The cost `cosine` ignores how strong features are; combine it with a :class:`WassersteinLoss` or a
    :class:`MeanStdLoss`. With `layers: [image]` and `cost: both` the loss is the palette term of the source, whose
    rotation of the colors changes neither cost. The samples of several styles are joined in proportion to their
    weights, so each part of the image chooses one of them. Start with a `weight` of 50 for relu2_1 to relu4_1 next to
    a :class:`ContentLoss` of 0.06 at conv4_2, and of 20 for the palette.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels; all layers together are one vector.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default. It multiplies the scalar
            products of the layer.
        cost: ``cosine`` (1 - cos), ``euclidean`` (root of the mean squared difference), or ``both`` (their sum).
        balanced: whether the features of each layer are divided by their root mean square length in the style, so that
            layers count evenly. The source takes them as they are.
        samples: number of positions in the image.
        style_samples: number of positions in the styles together.
        seed: seed of the positions.
        pool: length in px of the blocks of pixels that are averaged before the layer ``image`` is read. With 1, the
            loss moves single pixels and leaves colored dots.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    reference = "style"
    layerwise = False

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        cost: Cost = "cosine",
        balanced: bool = False,
        samples: int = 1024,
        style_samples: int = 5000,
        seed: int = 0,
        pool: int = 4,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, styles=styles)
        if min(samples, style_samples) < 1:
            raise InputError(
                f"Expected `samples` and `style_samples` to be 1 or more, but got {samples} and {style_samples}."
            )
        if pool < 1:
            raise InputError(f"Expected `pool` to be 1 px or more, but got {pool}.")
        self.cost: Cost = cost
        self.balanced = balanced
        self.style_samples = style_samples
        self.seed = seed
        self.pool = pool
        self.tile_multiple = pool if IMAGE in self.layers else 1
        self.register_buffer("positions", draw_positions(samples, seed), persistent=False)
        # What the features of each layer are multiplied by.
        self._factors: dict[str, float] = {}

    @property
    def distance_names(self) -> tuple[str, ...]:
        """See :meth:`FeatureLoss.distance_names`."""
        return ("+".join(self.layers),)

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Returns the vectors of a layer at the samples of the image, ``(batch, samples, channels)``."""
        return self._read(features, layer, self.get_buffer("positions"))

    def target_statistic(self, features: Features, layer: str) -> Tensor:
        """Returns the vectors of a layer at the samples of a style, ``(1, style_samples, channels)``."""
        return self._read(features, layer, draw_positions(self.style_samples, self.seed))

    def _read(self, features: Features, layer: str, positions: Tensor) -> Tensor:
        if layer == IMAGE:
            pooled = average_pool(features.whole(layer), self.pool)
            return sample_bilinear(pooled, features.place(positions), features.is_periodic)
        return features.sample(layer, positions)

    def blend_statistics(self, statistics: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Joins samples of each style, as many as its weight demands; the first of a sequence cover a style evenly."""
        ends = [round(self.style_samples * sum(weights[:count])) for count in range(len(weights) + 1)]
        counts = [end - start for start, end in pairwise(ends)]
        return torch.cat([rows[:, :count] for rows, count in zip(statistics, counts, strict=True)], dim=1)

    @torch.no_grad()
    def set_target(self, statistics: Mapping[str, Tensor], readouts: Mapping[str, Readout] | None = None) -> None:
        """Sets the vectors to compare with; see :meth:`FeatureLoss.set_target`."""
        channels = sum(rows.shape[-1] for rows in statistics.values())
        for layer, layer_weight in zip(self.layers, self.layer_weights, strict=True):
            self._factors[layer] = math.sqrt(layer_weight)
            if self.balanced:
                length = statistics[layer].double().square().sum(-1).mean().sqrt().clamp_min(LEAST_LENGTH)
                share = channels / (sum(self.layer_weights) or 1.0)
                self._factors[layer] *= math.sqrt(share) / float(length)
        self.register_buffer("hypercolumns", self._join(statistics), persistent=False)

    def _join(self, rows: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([self._factors[layer] * rows[layer] for layer in self.layers], dim=-1)

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """Computes the distance of all layers together, under their joined names."""
        image = self._join({layer: self.statistic(features, layer) for layer in self.layers})
        with torch.autocast(image.device.type, enabled=False):
            distance = relaxed_earth_movers_distance(image, self.get_buffer("hypercolumns"), self.cost)
        return {self.distance_names[0]: self.weight * distance}
