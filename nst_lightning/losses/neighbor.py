"""A style loss that pulls each part of the image to the part of the style that resembles it most."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.errors import InputError
from nst_lightning.functional.neighbors import cosine_distance, nearest_neighbors, principal_axes
from nst_lightning.losses.base import IMAGE, FeatureLoss, check_share

# Name of the distance of all layers together, in place of a layer's.
HYPERCOLUMN = "hypercolumn"


class NeighborLoss(FeatureLoss):
    """Cosine distance between the features of the image and their nearest neighbors among the style's features.

    Neural Neighbor Style Transfer (Kolkin et al. 2022). The features of all layers at one position form a
    *hypercolumn*. Each hypercolumn of the content is assigned to the hypercolumn of the style with the smallest cosine
    distance, both centered by their own means. The loss is the mean cosine distance between each hypercolumn of the
    image and the style's hypercolumn that is assigned to its position. Unlike statistics, such as Gram matrices, it
    compares place by place: strokes follow objects and lines stay lines. It does not see how strong features are.
    Except for drawings, combine it with a :class:`GramLoss` or a :class:`WassersteinLoss`, which hold colors and
    contrast.

    The assignment changes every `every` evaluations of a stage and is fixed between. L-BFGS keeps its curvature across
    these changes; with 25 evaluations between two of them, no run on 16 pairs diverged. The queries are a mixture of
    the content's features and the image's. Without content, they are the image's. The image is a batch of one.

    With `per_layer`, each layer has assignments of its own, at its own resolution, as in the last pass of the paper,
    which sharpens details. Deviations from the authors' program: queries are centered by the mean of the whole picture
    instead of a block of rows; queries mix features instead of pixels; the search compares principal components;
    layers are averaged to the grid, since sampling some of their positions leaves a pattern with the period of the
    grid; the pass per layer keeps its assignments for `every` evaluations and uses all positions of the image.

    Args:
        layers: names of the backbone's layers.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default. A hypercolumn contains
            each layer divided by its number of channels and multiplied by its factor.
        content_share: share of the content's features in the queries, from 0 to 1; 1 keeps most of the content.
        every: number of evaluations for which an assignment is kept.
        per_layer: whether each layer is compared by itself.
        stride: distance of neighboring hypercolumns in px.
        dimensions: number of principal components that the search compares; more are slower and more exact.
        style_positions: largest number of positions of each style that are compared with.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    reference = "style"
    is_constant = False

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        content_share: float = 0.75,
        every: int = 50,
        per_layer: bool = False,
        stride: int = 4,
        dimensions: int = 128,
        style_positions: int = 65536,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, styles=styles)
        for name, value in (
            ("every", every),
            ("stride", stride),
            ("dimensions", dimensions),
            ("style_positions", style_positions),
        ):
            if value < 1:
                raise InputError(f"Expected `{name}` to be 1 or more, but got {value}.")
        if not all(self.layer_weights):
            raise InputError("Expected each of `layer_weights` to be positive: leave out layers that do not count.")
        self.layerwise = per_layer
        self.content_share = check_share("content_share", content_share)
        self.uses_content = content_share > 0
        self.every = every
        self.stride = stride
        self.dimensions = dimensions
        self.style_positions = style_positions
        # Layers that are compared together, by the name of their distance.
        self.groups = {layer: (layer,) for layer in self.layers} if per_layer else {HYPERCOLUMN: self.layers}
        self._has_content = False
        self._is_due = True
        # Assigned positions of the style by the name of the distance; the features there are the buffers `nearest`.
        self._assignments: dict[str, Tensor] = {}
        self._channels: dict[str, int] = {}

    def set_channel_ratios(self, channel_ratio: Callable[[str], float]) -> None:
        """Compensates that the length of a vector depends on its number of channels."""
        self._ratio_factors = {layer: channel_ratio(layer) ** -0.5 for layer in self.layers if layer != IMAGE}

    @property
    def distance_names(self) -> tuple[str, ...]:
        """See :meth:`FeatureLoss.distance_names`."""
        return tuple(self.groups)

    # Hypercolumns

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Returns the features of a layer on the grid of its group, ``(positions, channels)``."""
        value = features[layer] if self.layerwise else features.resampled(layer, *self._grid(features, layer))
        rows = value[0].permute(1, 2, 0).flatten(0, 1)
        return rows if rows.dtype == torch.float64 else rows.float()

    def _grid(self, features: Features, layer: str) -> tuple[int, int]:
        """Returns height and width of the grid on which the features of a layer are compared."""
        if self.layerwise:
            return features.size(layer)
        height, width = features.size(IMAGE)
        return max(1, height // self.stride), max(1, width // self.stride)

    def target_statistic(self, features: Features, layer: str) -> Tensor:
        """Returns :meth:`statistic` at no more than `style_positions` positions, evenly spread."""
        rows, weights = self.statistic(features, layer), features.weights_at(*self._grid(features, layer))
        if weights is not None:
            # At the border of a region of the style, only positions that lie mainly inside are chosen from.
            shares = weights.values.flatten()
            rows = rows[shares >= min(0.5, float(shares.max()))]
        return rows[:: -(-len(rows) // self.style_positions)]

    def _factors(self, layers: Sequence[str]) -> list[float]:
        """Returns the factors with which the features of layers are part of a hypercolumn."""
        return [
            self.layer_weights[self.layers.index(layer)] * self._ratio_factors.get(layer, 1.0) / self._channels[layer]
            for layer in layers
        ]

    def _join(self, rows: Sequence[Tensor], layers: Sequence[str]) -> Tensor:
        """Joins the features of layers to hypercolumns, ``(positions, channels)``."""
        return torch.cat([factor * part for part, factor in zip(rows, self._factors(layers), strict=True)], dim=1)

    def blend_statistics(self, statistics: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Joins the positions of all styles with a positive weight; the nearest one is chosen among all of them."""
        return torch.cat([value for value, weight in zip(statistics, weights, strict=True) if weight > 0])

    def set_target(self, statistics: Mapping[str, Tensor], readouts: Mapping[str, Readout] | None = None) -> None:
        """Sets the features to choose neighbors from; see :meth:`FeatureLoss.set_target`."""
        super().set_target(statistics, readouts)
        self._channels |= {layer: rows.shape[1] for layer, rows in statistics.items()}
        for name, layers in self.groups.items():
            if all(layer in statistics for layer in layers):
                candidates = self._join([statistics[layer] for layer in layers], layers)
                centered = candidates - candidates.mean(dim=0)
                with torch.autocast(centered.device.type, enabled=False):
                    axes = principal_axes(centered, min(self.dimensions, centered.shape[1]))
                    self.set_buffer("candidates", name, centered @ axes)
                if name in self._assignments and int(self._assignments[name].max()) >= len(candidates):
                    del self._assignments[name]
                self.set_buffer("axes", name, axes)
                self._forget_nearest(layers)

    def set_content(self, statistics: Mapping[str, Tensor]) -> None:
        """See :meth:`FeatureLoss.set_content`."""
        for layer, statistic in statistics.items():
            self.set_buffer("content", layer, statistic)
        self._has_content = True

    # Assignments

    def begin_stage(self) -> None:
        """See :meth:`Loss.begin_stage`."""
        self._assignments = {}
        self._is_due = True

    def begin_evaluation(self, step: int) -> None:
        """See :meth:`Loss.begin_evaluation`."""
        self._is_due = step % self.every == 0

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        distances = {}
        for name, layers in self.groups.items():
            if all(layer in features for layer in layers):
                rows = [self.statistic(features, layer) for layer in layers]
                with torch.autocast(rows[0].device.type, enabled=False):
                    # A run may resume from a checkpoint of other terms, styles or options, with other assignments.
                    known = self._assignments.get(name)
                    if self._is_due or known is None or len(known) != len(rows[0]):
                        self._assignments[name] = self._assign(name, [part.detach() for part in rows])
                        self._forget_nearest(layers)
                    weights = features.weights_at(*self._grid(features, layers[0]))
                    own = None if weights is None else weights.values.flatten()
                    distance = cosine_distance(rows, self._assigned(name), self._factors(layers), own)
                    distances[name] = self._group_weight(layers) * distance
        return distances

    def _group_weight(self, layers: Sequence[str]) -> float:
        """Returns the weight of the distance of a group; those of single layers are averaged by their layer weights."""
        if not self.layerwise:
            return self.weight
        return self.weight * self.layer_weights[self.layers.index(layers[0])] / sum(self.layer_weights)

    def _assign(self, name: str, rows: list[Tensor]) -> Tensor:
        """Assigns a position of the style to each position of the image, ``(positions,)``, int32."""
        layers = self.groups[name]
        queries = self._join(rows, layers)
        if self._has_content:
            content = self._join([self.require_buffer("content", layer) for layer in layers], layers)
            queries = queries + self.content_share * (content - queries)
        centered = queries - queries.mean(dim=0)
        axes, candidates = self.require_buffer("axes", name), self.require_buffer("candidates", name)
        return nearest_neighbors(centered @ axes, candidates).int()

    def _assigned(self, name: str) -> list[Tensor]:
        """Returns the features of the style that are assigned to the positions of the image, by layer."""
        layers = self.groups[name]
        if self.layer_buffer("nearest", layers[0]) is None:
            index = self._assignments[name].to(self.target(layers[0]).device).long()
            for layer in layers:
                self.set_buffer("nearest", layer, self.target(layer)[index])
        return [self.require_buffer("nearest", layer) for layer in layers]

    def _forget_nearest(self, layers: Sequence[str]) -> None:
        for layer in layers:
            self.set_buffer("nearest", layer, None)

    # Checkpoints

    def get_extra_state(self) -> dict[str, Tensor]:
        """Returns the assignments, which a resumed run continues with."""
        return dict(self._assignments)

    def set_extra_state(self, state: Any) -> None:
        """Restores the assignments of a checkpoint."""
        self._assignments = {name: state[name] for name in self.groups if name in state}
