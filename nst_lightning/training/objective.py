"""The objective of a run: a weighted sum of losses on the features of an image."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from nst_lightning.backbones.base import Backbone, disable_autocast
from nst_lightning.backbones.features import Features, Readout, as_features
from nst_lightning.backbones.multi_scale import AT, MultiScale
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.functional.neighbors import mark_matches
from nst_lightning.losses.base import IMAGE, FeatureLoss, Loss, Reference

# The weighted distances of each term by layer, scalars.
Terms = dict[str, dict[str, Tensor]]


class Objective(nn.Module):
    """The losses of a run by name, and the frozen network whose features they compare.

    Args:
        backbone: the network; it is built as deep as the losses require.
        losses: the losses by name.
        tileable: whether the image repeats beyond its edges; the pictures it is compared with do not.

    Raises:
        InputError: a name cannot name a curve, or the network does not have a layer.
    """

    def __init__(self, backbone: Backbone, losses: Mapping[str, Loss], tileable: bool = False) -> None:
        super().__init__()
        self.tileable = tileable
        _check_names(losses)
        self.layers = layers_of_backbone(layer for loss in losses.values() for layer in loss.layers)
        has_scales = any(AT in layer for layer in self.layers) and not isinstance(backbone, MultiScale)
        self.backbone = MultiScale(backbone) if has_scales else backbone
        self.losses = nn.ModuleDict(losses)
        # The loop over layers ends at the deepest one, so no deeper weights are loaded.
        self.backbone.build(self.layers + [loss.matched_layer for loss in self._feature_losses if loss.matched])
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
        for reference, weighted_pictures in _references(pictures).items():
            # Matched targets change with the content.
            if weighted_pictures and (reference == "content" or not keep_style or self._matched_losses):
                self._set_targets(reference, weighted_pictures, pictures.content)
        if pictures.content is not None:
            self._set_content(pictures.content)
        for loss in self.named_losses.values():
            loss.set_previous_frames(pictures.previous)

    def _set_targets(
        self, reference: Reference, weighted_pictures: list[tuple[Tensor, float]], content: Tensor | None
    ) -> None:
        """Sets the targets of the losses that compare with one kind of picture to blended statistics."""
        losses = [loss for loss in self._feature_losses if loss.reference == reference]
        statistics: list[dict[str, list[Tensor]]] = [{} for _ in losses]
        for picture, _ in weighted_pictures:
            marks = {} if content is None or reference == "content" else self._mark_matches(picture, content)
            for features, readers in self._read(picture, losses):
                for loss, by_layer in zip(losses, statistics, strict=True):
                    found = loss.target_statistics(features) if loss in readers else {}
                    if found and loss.matched and marks:
                        matched = loss.target_statistics(features.at_positions(marks[loss.matched_layer]))
                        found = {layer: value.lerp(matched[layer], loss.matched) for layer, value in found.items()}
                    for layer, statistic in found.items():
                        by_layer.setdefault(layer, []).append(statistic)
        weights = [weight for _, weight in weighted_pictures]
        for loss, by_layer in zip(losses, statistics, strict=True):
            blended = {layer: loss.blend_statistics(values, weights) for layer, values in by_layer.items()}
            loss.set_target(blended, self._readouts(layers_of_backbone(loss.layers)))

    def _mark_matches(self, style: Tensor, content: Tensor) -> dict[str, Tensor]:
        """Marks the parts of a style that resemble a part of the content, by the layer that is compared."""
        layers = list(dict.fromkeys(loss.matched_layer for loss in self._matched_losses))
        if not layers:
            return {}
        own, other = self.picture_backbone(style, layers), self.picture_backbone(content, layers)
        with disable_autocast(style.device.type):
            return {layer: mark_matches(other[layer], own[layer]) for layer in layers}

    @property
    def _matched_losses(self) -> list[FeatureLoss]:
        return [loss for loss in self._feature_losses if loss.matched]

    def _set_content(self, content: Tensor) -> None:
        """Gives the content to the losses that use it in addition to their reference."""
        losses = [loss for loss in self._feature_losses if loss.uses_content]
        statistics: list[dict[str, Tensor]] = [{} for _ in losses]
        for features, readers in self._read(content, losses):
            for loss, by_layer in zip(losses, statistics, strict=True):
                by_layer |= loss.content_statistics(features) if loss in readers else {}
        for loss, by_layer in zip(losses, statistics, strict=True):
            loss.set_content(by_layer)

    def _read(self, picture: Tensor, losses: Sequence[FeatureLoss]) -> Iterator[tuple[Features, list[FeatureLoss]]]:
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
    def _feature_losses(self) -> list[FeatureLoss]:
        return [loss for loss in self.losses.values() if isinstance(loss, FeatureLoss)]

    def _readouts(self, layers: Iterable[str]) -> dict[str, Readout]:
        readouts = {layer: self.backbone.readout(layer) for layer in layers}
        return {layer: readout for layer, readout in readouts.items() if readout is not None}

    def check(self, pictures: StagePictures) -> None:
        """Checks that the pictures suffice for the losses.

        Raises:
            InputError: a loss needs a picture that is missing, or a picture is too small for the deepest layer.
        """
        for reference, weighted_pictures in _references(pictures).items():
            for name, loss in self.named_losses.items():
                if loss.reference == reference and not weighted_pictures:
                    raise InputError(
                        f"Expected a {reference} picture for the term {name!r}, but got none: "
                        f"add --data.{reference} FILE."
                    )
                for picture, _ in weighted_pictures if loss.reference == reference else []:
                    self._check_size(reference, picture, loss.layers)

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


def _references(pictures: StagePictures) -> dict[Reference, list[tuple[Tensor, float]]]:
    """Returns the pictures that losses compare with and their blend weights."""
    content = [] if pictures.content is None else [(pictures.content, 1.0)]
    return {"content": content, "style": list(zip(pictures.styles, pictures.blend_weights, strict=True))}


def _check_names(losses: Mapping[str, Loss]) -> None:
    if not losses:
        raise InputError("Expected at least one term in `losses`, but got none.")
    for name in losses:
        # `nn.ModuleDict` rejects the names of its own methods; a dot would end the name of an option.
        if not name.isidentifier() or name == "total" or hasattr(nn.ModuleDict, name):
            raise InputError(f"Expected the names in `losses` to be words other than 'total', but got {name!r}.")
