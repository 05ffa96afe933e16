"""Evaluation of an objective tile by tile, with the same result as for the whole image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nst_lightning.backbones.features import Features
from nst_lightning.backbones.image_tiles import ImageTile, TileGrid
from nst_lightning.backbones.multi_scale import group_by_scale, join_layer, shrink
from nst_lightning.backbones.position_mask import LEAST_POSITIONS, PositionMask
from nst_lightning.losses.base import IMAGE, FeatureLoss
from nst_lightning.losses.neighbor import NeighborLoss
from nst_lightning.losses.regional import RegionalLoss
from nst_lightning.training.evaluation.streamed import sort_layers
from nst_lightning.training.evaluation.tiled_neighbors import NeighborGroup, TiledNeighbors
from nst_lightning.training.margin_exchange import MarginExchange
from nst_lightning.training.objective import Objective, Terms
from nst_lightning.training.ranks import Ranks
from nst_lightning.training.tile_features import TiledNetwork, TileFeatures
from nst_lightning.training.tile_targets import Target, TileTargets


def evaluate_tiled(objective: Objective, size: int, image: Tensor) -> Terms:
    """Computes ``objective(image)`` and its gradient, with the features of one tile in memory at a time.

    Terms that compare moments, such as Gram matrices, are computed in two passes. The first averages the moments of the
    tiles. The gradient of the distance in the average is a small matrix; the second pass carries it to the pixels of
    each tile. Terms that are means over positions themselves need the second pass only. The features of the content
    serve all evaluations as far as :class:`TileTargets` keeps them. If there is only one tile, its features serve both
    passes.

    Several processes evaluate a share of the tiles each. They sum the moments between the passes, and the gradient and
    the distances after them, so that all return the same bits. The first one evaluates the terms on pixels. Processes
    with one tile each exchange the margins of feature maps; see :class:`MarginExchange`.

    Args:
        objective: all of its terms on layers of the network have a :attr:`FeatureLoss.tiling`.
        size: length of a tile in px.
        image: ``(1, 3, height, width)`` in [0, 1].

    Returns:
        The terms; the gradient in the image is that of their sum.
    """
    values, ranks = image.detach(), objective.ranks
    if ranks.is_first:
        terms, gradient = _compare_pixels(objective, values)
    else:
        terms, gradient = {name: {} for name in objective.named_losses}, torch.zeros_like(values)
    for scale, names in group_by_scale(objective.layers).items():
        layers = [join_layer(name, scale) for name in names if name != IMAGE]
        if layers:
            content = None if objective.content is None else shrink(objective.content, scale)
            evaluation = _ScaleEvaluation(
                TiledNetwork(objective.image_backbone, layers, size, objective.reach, ranks),
                _list_units(objective, layers),
                objective.tile_targets,
            )
            with torch.enable_grad():
                leaf = values.requires_grad_(scale != 1)
                shrunk = shrink(leaf, scale)
            # At the scale of the image, the gradient is added in place.
            own = gradient if scale == 1 else torch.zeros_like(shrunk)
            for (name, layer), distance in evaluation.evaluate(shrunk.detach(), content, own).items():
                terms[name][layer] = distance
            if scale != 1:
                gradient += torch.autograd.grad(shrunk, leaf, own)[0]
    if ranks.are_several:
        terms = _add_terms(terms, ranks, gradient)
        ranks.add(gradient)
    # Layers that are left out for all parts have a distance of 0, as in the whole image.
    for name, loss in objective.named_losses.items():
        for layer in loss.distance_names:
            terms[name].setdefault(layer, gradient.new_zeros(()))
    # One term has the gradient of the sum.
    name = next(name for name, distances in terms.items() if distances)
    layer = next(iter(terms[name]))
    terms[name][layer] = terms[name][layer] + _CarryGradient.apply(image, gradient)
    return sort_layers(objective, terms)


def _compare_pixels(objective: Objective, image: Tensor) -> tuple[Terms, Tensor]:
    """Computes the terms on the pixels of an image and of its smaller copies, and the gradient of their sum."""
    scales = [scale for scale, names in group_by_scale(objective.layers).items() if IMAGE in names and scale != 1]
    with torch.enable_grad():
        leaf = image.detach().requires_grad_()
        terms = objective.compare(Features({IMAGE: leaf}))
        for scale in scales:
            for name, distances in objective.compare(Features({join_layer(IMAGE, scale): shrink(leaf, scale)})).items():
                terms[name] |= distances
        known = [distance for distances in terms.values() for distance in distances.values() if distance.requires_grad]
        gradient = torch.autograd.grad(torch.stack(known).sum(), leaf)[0] if known else torch.zeros_like(image)
    return {
        name: {layer: distance.detach() for layer, distance in distances.items()} for name, distances in terms.items()
    }, gradient


def _add_terms(terms: Terms, ranks: Ranks, like: Tensor) -> Terms:
    """Sums the distances over all processes; each process has computed some of them."""
    distances = {(name, layer): distance for name, layers in terms.items() for layer, distance in layers.items()}
    added: Terms = {name: {} for name in terms}
    for (name, layer), distance in ranks.add_named(distances, like.device).items():
        added[name][layer] = distance.to(like.dtype)
    return added


class _CarryGradient(torch.autograd.Function):
    """Is 0 and has a given gradient."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return gradient.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # Not kept here, so that it becomes the gradient of the image without a copy.
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(gradients[0]), None


@dataclass
class _Unit:
    """A loss of the image or of a part of it.

    Attributes:
        name: name of the term.
        loss: the loss with the target of the part.
        layers: its layers at this scale.
        mask: positions of the part that the loss reads; None for the whole image.
        share: factor on its distances.
        part: the part; a layer that has too few positions in it is left out.
        left_out: layers in which the part has too few positions, which the run reports.
        counts: number of positions of the part by layer, as far as they are known.
    """

    name: str
    loss: FeatureLoss
    layers: set[str]
    mask: PositionMask | None = None
    share: float = 1.0
    part: PositionMask | None = None
    left_out: set[str] = field(default_factory=set)
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        return self.loss.tiling == "local"


def _list_units(objective: Objective, layers: Sequence[str]) -> list[_Unit]:
    """Lists the losses of the network's layers, one for each part of the image."""
    units = []
    for name, loss in objective.named_losses.items():
        own = set(loss.layers) & set(layers)
        if isinstance(loss, RegionalLoss):
            for number, (part_loss, part, with_target) in enumerate(loss.units()):
                known = own if part_loss.reference == "content" else own & with_target
                left_out = loss.left_out.setdefault(number, set())
                left_out |= own - known
                restricted = part_loss.restrict(part.mask)
                if restricted is not None:
                    mask, share = restricted
                    units.append(_Unit(name, part_loss, known, mask, part.share * share, part.mask, left_out))
        elif isinstance(loss, FeatureLoss) and (restricted := loss.restrict(None)) is not None:
            units.append(_Unit(name, loss, own, *restricted))
    return [unit for unit in units if unit.layers]


class _ScaleEvaluation:
    """The evaluation of one scale of the image.

    Args:
        network: the network of this scale.
        units: the losses.
        tile_targets: see :class:`Objective`; updated.
    """

    def __init__(self, network: TiledNetwork, units: Sequence[_Unit], tile_targets: TileTargets) -> None:
        self.network = network
        self.units = units
        self.tile_targets = tile_targets
        self._distances: dict[tuple[str, str], Tensor] = {}
        # Gradients of the distances in the average moments, divided by the number of positions, by part and layer.
        self._slopes: dict[tuple[int, str], Tensor] = {}
        # Parts and layers whose channel means a loss compares.
        self._with_means = {
            (id(unit.mask), layer)
            for unit in units
            if unit.loss.tiling == "mean"
            for layer in unit.layers
            if unit.loss.reads_means(layer)
        }

    def evaluate(self, image: Tensor, content: Tensor | None, gradient: Tensor) -> dict[tuple[str, str], Tensor]:
        """Computes the distances by term and layer, without gradient.

        Args:
            image: the image at this scale.
            content: the content at this scale, or None.
            gradient: the gradient of the sum of the distances in the image is added to it.
        """
        self._leave_out_small_parts(image)
        grid, tiles = self.network.grid(image), self.network.tiles(image)
        exchange = self._exchange(grid)
        kept = None
        if len(tiles) == 1:
            crop, parts = self._stream(image, grid, tiles[0], exchange)
            kept = crop, list(parts)
        layers = self._names({layer for unit in self.units if unit.loss.tiling == "mean" for layer in unit.layers})
        self._compare_averages(self.network.stream_tiles(image, layers) if kept is None else kept[1], image.device)
        neighbors = TiledNeighbors(self.network, self._neighbor_groups(), grid)
        neighbors.search(image, content)
        for tile in tiles:
            if content is not None:
                measure = partial(self._measure_local_targets, content, grid, tile)
                self.tile_targets.set(self.network.scale, tile, measure)
            crop, parts = self._stream(image, grid, tile) if kept is None else kept
            with torch.enable_grad():
                distances = [distance for part in parts for distance in self._compare_tile(part, neighbors)]
                distances += self._compare_neighbors(neighbors, tile)
                distances += [] if exchange is None else exchange.anchors
            # With masks, a tile may have no position that a loss reads.
            if distances:
                read = tile if exchange is None else exchange.tile
                read.cut(gradient).add_(torch.autograd.grad(torch.stack(distances).sum(), crop)[0])
        return self._distances

    def _exchange(self, grid: TileGrid) -> MarginExchange | None:
        """Returns the exchange of margins between processes with one tile each, or None."""
        exchanged = grid.exchanged()
        return None if exchanged is None else MarginExchange(exchanged, self.network.ranks)

    def _stream(
        self, image: Tensor, grid: TileGrid, tile: ImageTile, exchange: MarginExchange | None = None
    ) -> tuple[Tensor, Iterable[TileFeatures]]:
        """Returns a tile of the image, and its features with a graph to it."""
        if exchange is not None:
            grid, tile = exchange.grid, exchange.tile
        crop = tile.cut(image).clone().requires_grad_()

        def stream() -> Iterator[TileFeatures]:
            features = self.network.stream(crop, grid, tile, trim=exchange)
            while True:
                with torch.enable_grad():
                    part = next(features, None)
                if part is None:
                    return
                yield part

        return crop, stream()

    def _leave_out_small_parts(self, image: Tensor) -> None:
        """Drops the layers in which a part has too few positions, and counts those of the others."""
        grid = self.network.grid(image)
        for unit in self.units:
            for layer in list(unit.layers) if unit.loss.layerwise else ():
                size = grid.size_of(self.network.step(layer))
                weights = None if unit.mask is None else unit.mask.weights(size)
                unit.counts[layer] = size[0] * size[1] if weights is None else weights.total
                if unit.part is not None and unit.part.count(size) < LEAST_POSITIONS:
                    unit.layers.discard(layer)
                    unit.left_out.add(layer)

    def _compare_averages(self, parts: Iterable[TileFeatures], device: torch.device) -> None:
        """Computes the distances of average moments and their gradients in the moments.

        Args:
            parts: features of all tiles of this process.
            device: device of the image.
        """
        units = [unit for unit in self.units if unit.loss.tiling == "mean"]
        masks = list({id(unit.mask): unit.mask for unit in units}.values())

        def measure(part: TileFeatures) -> dict[tuple[int, str], tuple[Tensor, float]]:
            # Losses of one part have the same moments.
            found = {}
            for number, mask in enumerate(masks):
                inside = part.within(mask)
                wanted = {layer for unit in units if unit.mask is mask for layer in unit.layers}
                for layer in wanted & set(inside or ()):
                    found[number, layer] = part.measure(mask, layer, (id(mask), layer) in self._with_means)
            return found

        averages = self.network.average(parts, measure, device)
        for unit in units:
            for layer in unit.layers:
                moments, count = averages[next(n for n, mask in enumerate(masks) if mask is unit.mask), layer]
                with torch.enable_grad():
                    mean = moments.detach().requires_grad_()
                    distance = unit.share * unit.loss.moments_distance(mean, layer)
                if self.network.ranks.is_first:
                    self._add(unit.name, layer, distance)
                key = id(unit.mask), layer
                slope = torch.autograd.grad(distance, mean)[0] / count
                self._slopes[key] = self._slopes[key] + slope if key in self._slopes else slope

    @torch.no_grad()
    def _measure_local_targets(self, content: Tensor, grid: TileGrid, tile: ImageTile) -> Iterator[Target]:
        """Yields the targets of local losses in a tile, layer by layer."""
        local = [unit for unit in self.units if unit.is_local]
        layers = {layer for unit in local for layer in unit.layers}
        for part in self.network.stream(tile.cut(content), grid, tile, self._names(layers)) if layers else ():
            for unit in local:
                inside = part.within(unit.mask)
                if inside is not None:
                    yield unit.loss, unit.loss.target_statistics(inside)

    def _neighbor_groups(self) -> list[NeighborGroup]:
        return [
            NeighborGroup(unit.name, unit.loss, name, unit.mask, unit.share)
            for unit in self.units
            if isinstance(unit.loss, NeighborLoss)
            for name, layers in unit.loss.groups.items()
            if set(layers) <= unit.layers
        ]

    def _compare_neighbors(self, neighbors: TiledNeighbors, tile: ImageTile) -> list[Tensor]:
        results = []
        for group, distance in neighbors.compare(tile):
            self._add(group.term, group.name, distance)
            results.append(distance)
        return results

    def _compare_tile(self, part: TileFeatures, neighbors: TiledNeighbors) -> list[Tensor]:
        """Computes scalars whose gradients are what the tile contributes to the gradient of the objective."""
        neighbors.read(part)
        masks = list({id(unit.mask): unit.mask for unit in self.units}.values())
        results = []
        for mask in masks:
            inside = part.within(mask)
            for layer in part.crop if inside is not None else ():
                key = id(mask), layer
                if key in self._slopes:
                    results.append(part.pull(mask, layer, self._slopes[key], key in self._with_means))
        for unit in self.units:
            inside = part.within(unit.mask) if unit.is_local else None
            for layer in unit.layers & set(inside or ()):
                assert inside is not None
                share = unit.share * inside.count(layer) / unit.counts[layer]
                distance = share * unit.loss.layer_distances(inside)[layer]
                self._add(unit.name, layer, distance)
                results.append(distance)
        return results

    def _add(self, name: str, layer: str, distance: Tensor) -> None:
        distance = distance.detach()
        known = self._distances.get((name, layer))
        self._distances[name, layer] = distance if known is None else known + distance

    def _names(self, layers: set[str]) -> list[str]:
        """Returns the names of layers without their scale, in the order of the network."""
        rename = partial(join_layer, scale=self.network.scale)
        return [name for name in self.network.names if rename(name) in layers]
