"""The objective of a run: a weighted sum of losses on the features of an image."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nst_lightning.backbones.base import Backbone, disable_autocast
from nst_lightning.backbones.features import Features, Readout, as_features
from nst_lightning.backbones.multi_scale import AT, MultiScale, group_by_scale, join_layer, shrink, split_layer
from nst_lightning.backbones.position_mask import LEAST_POSITIONS, PositionMask
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.functional.neighbors import mark_matches
from nst_lightning.functional.regions import divide_regions
from nst_lightning.losses.base import IMAGE, FeatureLoss, Loss, Reference
from nst_lightning.losses.neighbor import NeighborLoss
from nst_lightning.losses.regional import ImagePart, RegionalLoss
from nst_lightning.training.ranks import Ranks
from nst_lightning.training.tile_columns import read_candidates
from nst_lightning.training.tile_features import TiledNetwork, TileFeatures
from nst_lightning.training.tile_targets import TileTargets

# The weighted distances of each term by layer, scalars.
Terms = dict[str, dict[str, Tensor]]

# Shares of a style below this are rounding errors.
LEAST_SHARE = 1e-6

# A loss that compares with the content or the styles.
Comparison = FeatureLoss | RegionalLoss


class Objective(nn.Module):
    """The losses of a run by name, and the frozen network whose features they compare.

    Args:
        backbone: the network; it is built as deep as the losses require.
        losses: the losses by name.
        tileable: whether the image repeats beyond its edges; the pictures it is compared with do not.

    Attributes:
        tile: length in px of the tiles in which images are evaluated, or None to evaluate them whole.
        content: the content of the current targets, if images are evaluated in tiles.
        tile_targets: what local losses compare with in each tile.
        ranks: the processes that share the tiles; with several of them, `tile` is not None.

    Raises:
        InputError: a name cannot name a curve, or the network does not have a layer.
    """

    def __init__(self, backbone: Backbone, losses: Mapping[str, Loss], tileable: bool = False) -> None:
        super().__init__()
        self.tileable = tileable
        self.tile: int | None = None
        self.content: Tensor | None = None
        self.tile_targets = TileTargets()
        self.ranks = Ranks()
        _check_names(losses)
        self.layers = layers_of_backbone(layer for loss in losses.values() for layer in loss.layers)
        has_scales = any(AT in layer for layer in self.layers) and not isinstance(backbone, MultiScale)
        self.backbone = MultiScale(backbone) if has_scales else backbone
        self.losses = nn.ModuleDict(losses)
        # The loop over layers ends at the deepest one, so no deeper weights are loaded.
        self.backbone.build(self.layers + [loss.matched_layer for loss in self._comparisons if loss.matched])
        for loss in losses.values():
            loss.set_channel_ratios(self.backbone.channel_ratio)

    def forward(self, image: Tensor) -> Terms:
        """Computes the weighted terms by name and layer; the objective is the sum of them all.

        Args:
            image: ``(batch, 3, height, width)`` in [0, 1].
        """
        features = as_features(self.image_backbone(image, self.layers) if self.layers else {})
        return self.compare(features.with_layer(IMAGE, image))

    def compare(self, features: Features) -> Terms:
        """Computes the weighted terms of an image with these features."""
        features = features.as_periodic() if self.tileable else features
        return {name: loss(features) for name, loss in self.named_losses.items()}

    @property
    def image_backbone(self) -> Backbone:
        """The network as it evaluates the image."""
        return self.backbone.with_padding("circular") if self.tileable else self.backbone

    @property
    def picture_backbone(self) -> Backbone:
        """The network as it evaluates content and styles."""
        # Zeros beyond the edges have features of their own, which an image without edges imitates as colored dots.
        return self.backbone.with_padding("replicate") if self.tileable else self.backbone

    def is_tile(self, length: int) -> bool:
        """Whether an image of this height or width in px repeats in every layer and every term."""
        multiples = [loss.tile_multiple for loss in self.named_losses.values()]
        return self.backbone.is_tile(length, self.layers) and all(length % multiple == 0 for multiple in multiples)

    @property
    def receptive_radii(self) -> Mapping[int, int] | None:
        """The radii in px of the receptive field of the deepest layer; see :meth:`Backbone.receptive_radii`."""
        network = self.backbone.network if isinstance(self.backbone, MultiScale) else self.backbone
        return network.receptive_radii([split_layer(layer)[0] for layer in self.layers if IMAGE not in layer])

    @property
    def reach(self) -> int:
        """Distance in px beyond a tile within which losses read features to resample them."""
        losses = [loss.loss if isinstance(loss, RegionalLoss) else loss for loss in self.named_losses.values()]
        # Two positions of the deepest layer to interpolate between, and one that the map lacks at the end of the image.
        joint = [loss for loss in losses if isinstance(loss, NeighborLoss) and not loss.layerwise]
        return max((loss.stride + 3 * self.backbone.smallest_size(loss.layers) for loss in joint), default=0)

    @property
    def named_losses(self) -> dict[str, Loss]:
        """The losses by name."""
        return {name: loss for name, loss in self.losses.items() if isinstance(loss, Loss)}

    @property
    def offsets(self) -> set[int]:
        """Distances in frames to the previous frames that the losses compare with."""
        return {offset for loss in self.named_losses.values() for offset in loss.offsets}

    @property
    def smallest_size(self) -> int:
        """Length in px of the shortest image edge for which the deepest layer still has a value."""
        return self.backbone.smallest_size(self.layers)

    @torch.no_grad()
    def set_targets(self, pictures: StagePictures, keep_style: bool = False) -> None:
        """Sets the targets of all losses.

        Args:
            pictures: the pictures of a stage, on the network's device.
            keep_style: whether the targets of the styles stay as they are.

        Raises:
            InputError: a loss needs a picture that is missing, or a picture is too small for the deepest layer.
        """
        self.check(pictures)
        keep_style = self._set_parts(pictures, keep_style)
        self.content = None if self.tile is None else pictures.content
        self.tile_targets.clear()
        for reference, examples in _references(pictures).items():
            # Matched targets change with the content.
            if examples and (reference == "content" or not keep_style or self._matched_losses):
                self._set_targets(reference, examples, pictures.content)
        if pictures.content is not None:
            self._set_content(pictures.content)
        for loss in self.named_losses.values():
            loss.set_previous_frames(pictures.previous)

    def _set_parts(self, pictures: StagePictures, keep_style: bool) -> bool:
        """Divides the losses into parts of the image where the pictures demand it.

        Returns:
            Whether the targets of the styles may stay as they are.
        """
        self.wrap_losses(pictures)
        parts: dict[tuple[int, ...] | None, list[ImagePart]] = {}
        for loss in self._comparisons:
            if isinstance(loss, RegionalLoss):
                if loss.reference == "content":
                    mask = None if pictures.hold is None else PositionMask(pictures.hold)
                    loss.set_parts([ImagePart(mask, (1.0,))])
                else:
                    if loss.styles not in parts:
                        parts[loss.styles] = divide_image(pictures, loss.styles)
                    keep_style = loss.set_parts(parts[loss.styles], keep_style) and keep_style
        return keep_style

    def wrap_losses(self, pictures: StagePictures) -> None:
        """Replaces losses that have parts by a :class:`RegionalLoss`, whose state a checkpoint then restores.

        Args:
            pictures: the pictures of any stage.
        """
        has_parts = pictures.shares is not None or any(region is not None for region in pictures.style_regions)
        for name, loss in self.named_losses.items():
            if isinstance(loss, FeatureLoss) and (
                (loss.reference == "content" and pictures.hold is not None)
                or (loss.reference == "style" and (has_parts or loss.styles is not None))
            ):
                self.losses[name] = RegionalLoss(loss)

    def _set_targets(self, reference: Reference, examples: "list[_Example]", content: Tensor | None) -> None:
        """Sets the targets of the losses that compare with one kind of picture to blended statistics."""
        losses = [loss for loss in self._comparisons if loss.reference == reference]
        statistics: list[dict[str, list[Tensor | None]]] = [{} for _ in losses]
        for example in examples:
            marks = {} if content is None or reference == "content" else self._mark_matches(example, content)
            in_tiles = self.tile is not None and max(example.picture.shape[-2:]) > self.tile
            measured = self._measure_tiles(example, losses) if in_tiles else self._measure(example, losses, marks)
            for loss, found, by_layer in zip(losses, measured, statistics, strict=True):
                for layer in loss.layers:
                    by_layer.setdefault(layer, []).append(found.get(layer))
        weights = [example.weight for example in examples]
        for loss, by_layer in zip(losses, statistics, strict=True):
            loss.set_blended_target(by_layer, weights, self._readouts(layers_of_backbone(loss.layers)))

    def _measure(
        self, example: "_Example", losses: Sequence[Comparison], marks: Mapping[str, Tensor]
    ) -> list[dict[str, Tensor]]:
        """Computes what a picture contributes to the target of each loss, by layer."""
        measured: list[dict[str, Tensor]] = [{} for _ in losses]
        for features, readers in self._read(example.picture, losses):
            inside = features.within(example.region)
            for loss, found in zip(losses, measured, strict=True):
                found |= _target_statistics(loss, inside, marks) if loss in readers else {}
        return measured

    def _measure_tiles(self, example: "_Example", losses: Sequence[Comparison]) -> list[dict[str, Tensor]]:
        """Computes the same tile by tile; local losses set the targets of their layers themselves."""
        picture, region = example.picture, example.region
        measured: list[dict[str, Tensor]] = [{} for _ in losses]
        plain = [loss.loss if isinstance(loss, RegionalLoss) else loss for loss in losses]

        def measure(part: TileFeatures) -> dict[tuple[int, str], tuple[Tensor, float]]:
            inside = part.within(region)
            return {
                (number, layer): (statistic, inside.count(layer))
                for number, loss in enumerate(plain)
                if loss.tiling == "mean" and inside is not None
                for layer, statistic in loss.target_statistics(inside).items()
            }

        for scale, names in group_by_scale(layer for loss in losses for layer in loss.layers).items():
            shrunk, layer = shrink(picture, scale), join_layer(IMAGE, scale)
            pixels = Features({layer: shrunk}).within(region)
            for loss, found in zip(losses, measured, strict=True):
                found |= loss.target_statistics(pixels)
            layers = list(dict.fromkeys(name for name in names if name != IMAGE))
            if layers:
                tiled = TiledNetwork(
                    self.picture_backbone,
                    [join_layer(name, scale) for name in layers],
                    self.tile or 1,
                    ranks=self.ranks,
                )
                averages = tiled.average(tiled.stream_tiles(shrunk, layers), measure, shrunk.device)
                for (number, layer), (statistic, count) in averages.items():
                    if count >= LEAST_POSITIONS:
                        measured[number][layer] = statistic
        for plain_loss, found in zip(plain, measured, strict=True):
            if isinstance(plain_loss, NeighborLoss):
                tiled = TiledNetwork(self.picture_backbone, plain_loss.layers, self.tile or 1, self.reach)
                found |= read_candidates(tiled, picture, region, plain_loss)
        return measured

    def _mark_matches(self, style: "_Example", content: Tensor) -> dict[str, Tensor]:
        """Marks the parts of a style that resemble a part of the content, by the layer that is compared."""
        layers = list(dict.fromkeys(loss.matched_layer for loss in self._matched_losses))
        if not layers:
            return {}
        own, other = self.picture_backbone(style.picture, layers), self.picture_backbone(content, layers)
        with disable_autocast(content.device.type):
            return {layer: mark_matches(other[layer], own[layer]) for layer in layers}

    @property
    def _matched_losses(self) -> list[Comparison]:
        return [loss for loss in self._comparisons if loss.matched]

    def _set_content(self, content: Tensor) -> None:
        """Gives the content to the losses that use it in addition to their reference."""
        losses = [loss for loss in self._comparisons if loss.uses_content]
        statistics: list[dict[str, Tensor]] = [{} for _ in losses]
        # In tiles, features of layers are computed when they are used.
        whole = [loss for loss in losses if self.tile is None or set(loss.layers) == {IMAGE}]
        for features, readers in self._read(content, whole):
            for loss, by_layer in zip(losses, statistics, strict=True):
                by_layer |= loss.content_statistics(features) if loss in readers else {}
        for loss, by_layer in zip(losses, statistics, strict=True):
            loss.set_content(by_layer)

    def _read(self, picture: Tensor, losses: Sequence[Comparison]) -> Iterator[tuple[Features, list[Comparison]]]:
        """Yields the features of a picture in parts, each with those losses that read it."""
        # Layer by layer where possible, so that the features of only one layer are in memory at a time.
        layerwise = [loss for loss in losses if loss.layerwise]
        if layerwise:
            yield Features({IMAGE: picture}), layerwise
            layers = layers_of_backbone(layer for loss in layerwise for layer in loss.layers)
            yield from ((part, layerwise) for part in (self.picture_backbone.stream(picture, layers) if layers else ()))
        joint = [loss for loss in losses if not loss.layerwise]
        if joint:
            layers = layers_of_backbone(layer for loss in joint for layer in loss.layers)
            features = as_features(self.picture_backbone(picture, layers) if layers else {})
            yield features.with_layer(IMAGE, picture), joint

    @property
    def _comparisons(self) -> list[Comparison]:
        """The losses that compare with the content or the styles."""
        return [loss for loss in self.losses.values() if isinstance(loss, FeatureLoss | RegionalLoss)]

    def _readouts(self, layers: Iterable[str]) -> dict[str, Readout]:
        readouts = {layer: self.backbone.readout(layer) for layer in layers}
        return {layer: readout for layer, readout in readouts.items() if readout is not None}

    def check(self, pictures: StagePictures) -> None:
        """Checks that the pictures suffice for the losses.

        Raises:
            InputError: a loss needs a picture that is missing, or a picture is too small for the deepest layer.
        """
        for reference, examples in _references(pictures).items():
            for name, loss in self.named_losses.items():
                if loss.reference == reference and not examples:
                    raise InputError(
                        f"Expected a {reference} picture for the term {name!r}, but got none: "
                        f"add --data.{reference} FILE."
                    )
                for example in examples if loss.reference == reference else []:
                    self._check_size(reference, example.picture, loss.layers)
        for name, loss in self.named_losses.items():
            if isinstance(loss, FeatureLoss | RegionalLoss) and loss.styles is not None:
                _check_numbers(name, loss.styles, pictures)

    def check_image(self, image: Tensor) -> None:
        """Checks that an image is large enough.

        Raises:
            InputError: the image is too small for the deepest layer.
        """
        self._check_size("image", image, self.layers)

    def _check_size(self, name: str, picture: Tensor, layers: Iterable[str]) -> None:
        smallest = self.backbone.smallest_size(layers_of_backbone(layers))
        height, width = picture.shape[-2:]
        if min(height, width) < smallest:
            raise InputError(
                f"Expected the {name} to have at least {smallest} px each way for the deepest layer, but at size "
                f"{max(height, width)} it has {width}x{height} px: raise data.plan.size or use shallower layers."
            )


def layers_of_backbone(layers: Iterable[str]) -> list[str]:
    """Returns each layer once, without the image itself."""
    return [layer for layer in dict.fromkeys(layers) if layer != IMAGE]


def divide_image(pictures: StagePictures, styles: Sequence[int] | None = None) -> list[ImagePart]:
    """Divides the image into parts with one blend of styles each.

    Args:
        pictures: the pictures of a stage.
        styles: numbers in ``data.style`` of those styles that count; all by default. Their shares are scaled so that
            somewhere they take the place of all styles.

    Returns:
        The parts; none if no style that counts goes anywhere.
    """
    numbers, weights = list(pictures.style_numbers), list(pictures.blend_weights)
    own = [sum(w for w, n in zip(weights, numbers, strict=True) if n == style) for style in range(max(numbers) + 1)]
    shares = torch.tensor(own, dtype=torch.float64).view(1, -1, 1, 1) if pictures.shares is None else pictures.shares
    if styles is not None:
        counts = [float(number in styles) for number in pictures.declared_numbers]
        chosen = shares * torch.tensor(counts).to(shares).view(-1, 1, 1)
        # Relative to all styles, so that a strength below 1 stays.
        largest = (chosen.sum(1) / shares.sum(1).clamp_min(LEAST_SHARE)).max()
        shares = chosen / largest.clamp_min(LEAST_SHARE)
    parts = []
    for region in divide_regions(shares):
        # The variants of a style share its blend weight as they do without parts.
        counts = [numbers.count(number) for number in numbers]
        within = [w / own[n] if own[n] else 1 / c for w, n, c in zip(weights, numbers, counts, strict=True)]
        blend = tuple(region.blend[n] * share for n, share in zip(numbers, within, strict=True))
        is_whole = pictures.shares is None or bool(((region.weights - 1).abs() < LEAST_SHARE).all())
        parts.append(ImagePart(None if is_whole else PositionMask(region.weights, is_eroded=True), blend))
    return parts


def _check_numbers(name: str, numbers: Sequence[int], pictures: StagePictures) -> None:
    """Checks the numbers of the styles that a term compares with."""
    last = max(pictures.declared_numbers, default=-1)
    if max(numbers) > last:
        raise InputError(
            f"Expected `styles` of the term {name!r} to be numbers of styles from 0 to {max(0, last)}, "
            f"but got {list(numbers)}."
        )
    pairs = zip(pictures.style_numbers, pictures.blend_weights, strict=True)
    if not any(weight > 0 and pictures.declared_numbers[number] in numbers for number, weight in pairs):
        raise InputError(
            f"Expected one of `styles` {list(numbers)} of the term {name!r} to have a weight over 0, but all have 0: "
            "raise one of them in data.style."
        )


class _Example(NamedTuple):
    """A picture that losses compare with, its blend weight, and the part of it that counts."""

    picture: Tensor
    weight: float = 1.0
    region: PositionMask | None = None


def _references(pictures: StagePictures) -> dict[Reference, list[_Example]]:
    """Returns the pictures that losses compare with."""
    content = [] if pictures.content is None else [_Example(pictures.content)]
    regions = [None if region is None else PositionMask(region, is_eroded=True) for region in pictures.style_regions]
    styles = zip(pictures.styles, pictures.blend_weights, regions, strict=True)
    return {"content": content, "style": [_Example(*style) for style in styles]}


def _target_statistics(loss: Comparison, features: Features, marks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Computes what a picture contributes to the target of a loss, by layer."""
    found = loss.target_statistics(features)
    if found and loss.matched and marks:
        matched = loss.target_statistics(features.at_positions(marks[loss.matched_layer]))
        return {layer: value.lerp(matched[layer], loss.matched) for layer, value in found.items()}
    return found


def _check_names(losses: Mapping[str, Loss]) -> None:
    if not losses:
        raise InputError("Expected at least one term in `losses`, but got none.")
    for name in losses:
        # `nn.ModuleDict` rejects the names of its own methods; a dot would end the name of an option.
        if not name.isidentifier() or name == "total" or hasattr(nn.ModuleDict, name):
            raise InputError(f"Expected the names in `losses` to be words other than 'total', but got {name!r}.")
