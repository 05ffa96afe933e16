"""What a run makes small: a weighted sum of terms over the features of an image."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nst_lightning.backbones.base import Backbone
from nst_lightning.backbones.features import Features
from nst_lightning.data.transfer import StagePictures
from nst_lightning.errors import InputError
from nst_lightning.losses.base import IMAGE, FeatureLoss, Loss, Reference, total

PartName = tuple[str, str]
"""Of a term and a layer."""


class Objective(nn.Module):
    """Terms by name, and the frozen network whose features they compare with those of given pictures.

    Args:
        backbone: the network; it is built as deep as the terms want it.
        losses: the terms.

    Raises:
        InputError: a term with a name that cannot be a curve's, or a layer that the network does not have.
    """

    def __init__(self, backbone: Backbone, losses: Mapping[str, Loss]) -> None:
        super().__init__()
        _check_names(losses)
        self.backbone = backbone
        self.losses = nn.ModuleDict(losses)
        self.layers = list(dict.fromkeys(layer for loss in losses.values() for layer in loss.layers))
        self.backbone.build(_of_backbone(self.layers))
        for loss in losses.values():
            loss.set_channel_ratios(self.backbone.channel_ratio)

    @property
    def terms(self) -> dict[str, FeatureLoss]:
        """The terms, as what most of them are."""
        return dict(self.losses.items())  # type: ignore[arg-type]

    @property
    def offsets(self) -> set[int]:
        """How many frames before are those of a film that a term looks back at."""
        return {offset for loss in self.terms.values() for offset in loss.offsets}

    @property
    def smallest_size(self) -> int:
        """Length in px of the shortest edge of an image whose deepest wanted layer still has a value."""
        return self.backbone.smallest_size(_of_backbone(self.layers))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The weighted terms, scalars; the objective is their sum.

        Args:
            image: ``(batch, 3, height, width)`` in [0, 1].
        """
        return {name: total(parts) for name, parts in self.parts(image).items()}

    def parts(self, image: Tensor) -> dict[str, dict[str, Tensor]]:
        """The weighted parts of every term by layer, scalars; after :meth:`set_targets`."""
        return self.nested(self.flat_parts(image))

    def flat_parts(self, image: Tensor) -> dict[PartName, Tensor]:
        """The same by term and layer."""
        wanted = _of_backbone(self.layers)
        of_image = Features({IMAGE: image})
        if all(loss.layerwise or set(loss.layers) <= {IMAGE} for loss in self.terms.values()):
            return self._flat(of_image) | (self.backbone.gather(image, wanted, self._flat) if wanted else {})
        return self._flat(Features.of(self.backbone(image, wanted) if wanted else {}).including(IMAGE, image))

    def nested(self, found: Mapping[PartName, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Parts by term and layer as those of each term by layer."""
        return {
            name: {layer: found[name, layer] for layer in loss.layers if (name, layer) in found}
            for name, loss in self.terms.items()
        }

    def parts_of(self, features: Features) -> dict[str, dict[str, Tensor]]:
        """The weighted parts of the terms by layer, as far as these features serve them."""
        return {name: loss.parts(features) for name, loss in self.terms.items() if _served(loss, features)}

    def _flat(self, features: Features) -> dict[PartName, Tensor]:
        found = self.parts_of(features)
        return {(name, layer): part for name, parts in found.items() for layer, part in parts.items()}

    # What the image is compared with

    @torch.no_grad()
    def set_targets(self, pictures: StagePictures, keep_style: bool = False) -> None:
        """Makes the terms compare with these pictures from now on.

        Args:
            pictures: of a stage, on the network's device.
            keep_style: whether to go on with the styles that were set before.

        Raises:
            InputError: a term wants a picture that is not given, or one is too small for the deepest layer.
        """
        self.check(pictures)
        for reference, given in _references(pictures).items():
            if reference == "content" or not keep_style:
                self._set_targets(reference, given)
        for loss in self.terms.values():
            loss.set_previous_frames(pictures.previous)

    def _set_targets(self, reference: Reference, pictures: list[tuple[Tensor, float]]) -> None:
        losses = [loss for loss in self.terms.values() if loss.reference == reference]
        wanted = _of_backbone(layer for loss in losses for layer in loss.layers)
        for loss in losses:
            loss.clear_target()
        for picture, share in pictures if losses else ():
            add = partial(_add_to_targets, losses, share)
            add(Features({IMAGE: picture}))
            if wanted:
                self.backbone.gather(picture, wanted, add)

    def check(self, pictures: StagePictures) -> None:
        """Whether these pictures serve the terms.

        Raises:
            InputError: a term wants a picture that is not given, or one is too small for the deepest layer.
        """
        for reference, given in _references(pictures).items():
            for name, loss in self.terms.items():
                if loss.reference == reference and not given:
                    raise InputError(
                        f"Expected a {reference} picture for the term {name!r}, but got none: "
                        f"add --data.{reference} FILE."
                    )
                for picture, _ in given if loss.reference == reference else []:
                    self._check_size(reference, picture, loss.layers)

    def check_image(self, image: Tensor) -> None:
        """Whether an image is large enough.

        Raises:
            InputError: it is too small for the deepest layer.
        """
        self._check_size("image", image, self.layers)

    def _check_size(self, name: str, picture: Tensor, layers: Iterable[str]) -> None:
        smallest = self.backbone.smallest_size(_of_backbone(layers))
        height, width = picture.shape[-2:]
        if min(height, width) < smallest:
            raise InputError(
                f"Expected the {name} to have at least {smallest} px each way for the deepest layer, but at size "
                f"{max(height, width)} it has {width}x{height} px: raise data.plan.size or use shallower layers."
            )


def _references(pictures: StagePictures) -> dict[Reference, list[tuple[Tensor, float]]]:
    """The pictures that terms compare with, and how much each counts."""
    content = [] if pictures.content is None else [(pictures.content, 1.0)]
    return {"content": content, "style": list(zip(pictures.styles, pictures.blend_weights, strict=True))}


def _of_backbone(layers: Iterable[str]) -> list[str]:
    return [layer for layer in layers if layer != IMAGE]


def _add_to_targets(losses: Iterable[FeatureLoss], share: float, features: Features) -> dict[Any, Tensor]:
    for loss in losses:
        loss.add_target(features, share)
    return {}


def _served(loss: Loss, features: Features) -> bool:
    # A term that names no layer is asked once, with the image.
    return loss.layerwise or all(layer in features for layer in loss.layers or (IMAGE,))


def _check_names(losses: Mapping[str, Loss]) -> None:
    if not losses:
        raise InputError("Expected at least one term in `losses`, but got none.")
    for name in losses:
        if not name.isidentifier() or name == "total" or hasattr(nn.ModuleDict, name):
            raise InputError(f"Expected the names in `losses` to be words other than 'total', but got {name!r}.")
