"""A style loss that pulls each part of the image to the part of the style that resembles it most."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.errors import InputError
from nst_lightning.functional.gram import PositionWeights
from nst_lightning.functional.neighbors import cosine_distance, nearest_neighbors, principal_axes
from nst_lightning.losses.base import IMAGE, FeatureLoss, Tiling, check_share

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
    tiling: ClassVar[Tiling | None] = "neighbors"

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
        """See :meth:`Loss.distance_names`."""
        return tuple(self.groups)

    # Hypercolumns

    def statistic(self, features: Features, layer: str) -> Tensor:
        """Returns the features of a layer on the grid of its group, ``(positions, channels)``."""
        value = features[layer] if self.layerwise else features.resampled(layer, *self._grid(features, layer))
        rows = value[0].permute(1, 2, 0).flatten(0, 1)
        return rows if rows.dtype == torch.float64 else rows.float()

    def _grid(self, features: Features, layer: str) -> tuple[int, int]:
        """Returns height and width of the grid on which the features of a layer are compared."""
        # Features without pixels are those of a tile, which are on the grid already.
        return features.size(layer) if self.layerwise or IMAGE not in features else self.grid_of(features.size(IMAGE))

    def grid_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns height and width of the grid of hypercolumns of a picture of this height and width."""
        return max(1, size[0] // self.stride), max(1, size[1] // self.stride)

    def target_statistic(self, features: Features, layer: str) -> Tensor:
        """Returns :meth:`statistic` at no more than `style_positions` positions, evenly spread."""
        rows, weights = self.statistic(features, layer), features.weights_at(*self._grid(features, layer))
        return rows[self.choose(len(rows), weights).to(rows.device)]

    def choose(self, count: int, weights: PositionWeights | None) -> Tensor:
        """Returns the numbers of those positions of a style that neighbors are chosen from, int64.

        Args:
            count: number of positions.
            weights: of the positions; equal by default.
        """
        numbers = torch.arange(count)
        if weights is not None:
            # At the border of a region of the style, only positions that lie mainly inside are chosen from.
            shares = weights.values.flatten().cpu()
            numbers = numbers[shares >= min(0.5, float(shares.max()))]
        return numbers[:: -(-len(numbers) // self.style_positions)]

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
        for layer in self.layers:
            self.set_buffer("content", layer, statistics.get(layer))
        self._has_content = bool(statistics)

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
                    if self.needs_search(name, len(rows[0])):
                        self.set_assignments(name, self._assign(name, [part.detach() for part in rows]))
                    distances[name] = self._distance(features, layers, rows, self._assigned(name))
        return distances

    def assigned_distance(self, name: str, features: Features, numbers: Tensor) -> Tensor:
        """Computes the weighted distance of a part of the image from the positions of the style assigned to it.

        Args:
            name: name of the distance.
            features: of the part, on the grid.
            numbers: numbers of its positions in the assignments, ``(positions,)``.
        """
        layers = self.groups[name]
        rows = [self.statistic(features, layer) for layer in layers]
        with torch.autocast(rows[0].device.type, enabled=False):
            index = self._assignments[name].to(numbers.device)[numbers].long()
            return self._distance(features, layers, rows, [self.target(layer)[index] for layer in layers])

    def _distance(
        self, features: Features, layers: Sequence[str], rows: Sequence[Tensor], assigned: Sequence[Tensor]
    ) -> Tensor:
        weights = features.weights_at(*self._grid(features, layers[0]))
        own = None if weights is None else weights.values.flatten()
        return self._group_weight(layers) * cosine_distance(rows, assigned, self._factors(layers), own)

    def _group_weight(self, layers: Sequence[str]) -> float:
        """Returns the weight of the distance of a group; those of single layers are averaged by their layer weights."""
        if not self.layerwise:
            return self.weight
        return self.weight * self.layer_weights[self.layers.index(layers[0])] / sum(self.layer_weights)

    def needs_search(self, name: str, positions: int) -> bool:
        """Whether neighbors have to be searched, for a number of positions of the image.

        A run may resume from a checkpoint of other terms, styles or options, with other assignments.
        """
        known = self._assignments.get(name)
        return self._is_due or known is None or len(known) != positions

    def set_assignments(self, name: str, assignments: Tensor) -> None:
        """Sets the positions of the style that are assigned to the positions of the image, ``(positions,)``, int32."""
        self._assignments[name] = assignments
        self._forget_nearest(self.groups[name])

    def _assign(self, name: str, rows: Sequence[Tensor]) -> Tensor:
        content = [self.require_buffer("content", layer) for layer in self.groups[name]] if self._has_content else None
        queries = self.mix_queries(name, rows, content)
        return self.find_neighbors(name, queries, queries.mean(dim=0))

    def mix_queries(self, name: str, rows: Sequence[Tensor], content: Sequence[Tensor] | None) -> Tensor:
        """Mixes features of the image and of the content to what neighbors are searched for; linear in both.

        Args:
            name: name of the distance.
            rows: features of the image by layer, ``(positions, channels)``.
            content: features of the content of the same shapes, or None.

        Returns:
            ``(positions, channels of all layers)``.
        """
        queries = self._join(rows, self.groups[name])
        if content is not None:
            queries = queries + self.content_share * (self._join(content, self.groups[name]) - queries)
        return queries

    def find_neighbors(self, name: str, queries: Tensor, mean: Tensor) -> Tensor:
        """Finds the position of the style that is nearest to each query, ``(positions,)``, int32.

        Args:
            name: name of the distance.
            queries: as :meth:`mix_queries` returns them.
            mean: their mean over all positions of the image.
        """
        axes, candidates = self.require_buffer("axes", name), self.require_buffer("candidates", name)
        return nearest_neighbors((queries - mean) @ axes, candidates).int()

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
