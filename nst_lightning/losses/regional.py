"""A loss of the parts of an image, each with a target of its own."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.backbones.position_mask import LEAST_POSITIONS, Partition, PositionMask
from nst_lightning.losses.base import FeatureLoss, Loss


@dataclass(frozen=True)
class ImagePart:
    """A part of the image and what it is compared with.

    Attributes:
        mask: the part; None for the whole image.
        blend: blend weight of each reference picture; they sum to 1.
    """

    mask: PositionMask | None
    blend: tuple[float, ...]

    @property
    def share(self) -> float:
        """Share of the image that the part covers, which is the weight of its distance."""
        return 1.0 if self.mask is None else self.mask.share


class RegionalLoss(Loss):
    """A loss of the parts of an image: the sum over parts of ``share * distance`` with targets of their own.

    A part's statistic is taken over its positions, each with its weight, and so is that of the reference picture
    (guided Gram matrices of Gatys et al. 2017). The weight of a part is its share of the image, so that each pixel is
    pulled equally (Luan et al. 2017). Where a layer has fewer positions of a part than ``LEAST_POSITIONS``, the part
    has no distance there.

    Args:
        loss: the loss; its weight, layers and options apply to all parts.
    """

    def __init__(self, loss: FeatureLoss) -> None:
        super().__init__()
        self.loss = loss
        self.reference = loss.reference  # type: ignore[misc]
        self.is_constant = loss.is_constant  # type: ignore[misc]
        self.layers, self.layerwise, self.offsets = loss.layers, loss.layerwise, loss.offsets
        self.matched, self.matched_layer, self.uses_content = loss.matched, loss.matched_layer, loss.uses_content
        self.styles, self.tile_multiple = loss.styles, loss.tile_multiple
        self.parts: list[ImagePart] = []
        self._partition: Partition | None = None
        # Copies of the loss by the blend of their target. They are no submodules: the state of this loss has theirs.
        self._copies: dict[tuple[float, ...], FeatureLoss] = {}
        self._layers_with_target: dict[tuple[float, ...], set[str]] = {}
        self._previous: Mapping[int, tuple[Tensor, Tensor]] = {}
        self._saved: dict[str, Any] = {}
        # Layers that were left out, by the number of the part.
        self.left_out: dict[int, set[str]] = {}

    @property
    def weight(self) -> float:
        """The factor on the whole term."""
        return self.loss.weight

    @weight.setter
    def weight(self, weight: float) -> None:
        """Ignores the value, which is that of the loss."""

    @property
    def given_weight(self) -> float:
        """See :attr:`Loss.given_weight`."""
        return self.loss.given_weight

    def change_weight(self, weight: float) -> None:
        """See :meth:`Loss.change_weight`."""
        for loss in (self.loss, *self._copies.values()):
            loss.change_weight(weight)

    def set_strength_factor(self, factor: float) -> None:
        """See :meth:`Loss.set_strength_factor`."""
        for loss in (self.loss, *self._copies.values()):
            loss.set_strength_factor(factor)

    # Targets

    def set_parts(self, parts: Sequence[ImagePart], keep_targets: bool = False) -> bool:
        """Sets the parts of the image.

        Args:
            parts: the parts.
            keep_targets: whether parts with the same blends keep their targets.

        Returns:
            Whether all parts have targets already.
        """
        if not keep_targets:
            self._copies, self._layers_with_target = {}, {}
        self.parts, self.left_out = list(parts), {}
        self._partition = _create_partition(self.parts)
        for number, part in enumerate(self.parts):
            if part.blend not in self._copies:
                self._copies[part.blend] = copy.deepcopy(self.loss)
            loss = self._copies[part.blend]
            if part.mask is not None:
                loss.to(part.mask.mask.device)
            if str(number) in self._saved:
                loss.load_state_dict(self._saved.pop(str(number)))
        return all(part.blend in self._layers_with_target for part in self.parts)

    def target_statistics(self, features: Features) -> dict[str, Tensor]:
        """Computes the statistics of a reference picture; see :meth:`FeatureLoss.target_statistics`."""
        if self.reference == "content" and self.parts:
            features = features.within(self.parts[0].mask)
        return self.loss.target_statistics(features.without(self._find_small_layers(features)))

    def set_blended_target(
        self,
        statistics: Mapping[str, Sequence[Tensor | None]],
        weights: Sequence[float],
        readouts: Mapping[str, Readout] | None = None,
    ) -> None:
        """Sets the target of each part, blended by its own weights; see :meth:`FeatureLoss.set_blended_target`."""
        for part in self.parts:
            known = {
                layer: values
                for layer, values in statistics.items()
                if any(w > 0 and value is not None for value, w in zip(values, part.blend, strict=True))
            }
            self._layers_with_target[part.blend] = set(known)
            if known:
                self._copies[part.blend].set_blended_target(known, part.blend, readouts)

    def content_statistics(self, features: Features) -> dict[str, Tensor]:
        """Computes the statistics of the content by the number of the part and the layer."""
        return {
            f"{number}/{layer}": statistic
            for number, part in enumerate(self.parts)
            for layer, statistic in self.loss.content_statistics(features.within(part.mask)).items()
        }

    def set_content(self, statistics: Mapping[str, Tensor]) -> None:
        """See :meth:`FeatureLoss.set_content`."""
        for number, part in enumerate(self.parts):
            start = f"{number}/"
            own = {name.removeprefix(start): value for name, value in statistics.items() if name.startswith(start)}
            self._copies[part.blend].set_content(own)

    def set_previous_frames(self, frames: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """See :meth:`Loss.set_previous_frames`."""
        for loss in self._copies.values():
            loss.set_previous_frames(frames)

    def units(self) -> list[tuple[FeatureLoss, ImagePart, set[str]]]:
        """Lists the parts with their losses and the layers in which they have a target."""
        return [
            (self._copies[part.blend], part, self._layers_with_target.get(part.blend, set())) for part in self.parts
        ]

    # Evaluation

    def begin_stage(self) -> None:
        """See :meth:`Loss.begin_stage`."""
        self._saved = {}
        for loss in self._copies.values():
            loss.begin_stage()

    def begin_evaluation(self, step: int) -> None:
        """See :meth:`Loss.begin_evaluation`."""
        for loss in self._copies.values():
            loss.begin_evaluation(step)

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        distances: dict[str, Tensor] = {}
        insides = [features] * len(self.parts) if self._partition is None else features.split(self._partition)
        for number, (part, inside) in enumerate(zip(self.parts, insides, strict=True)):
            left_out = self._find_small_layers(inside) | (set(features) - self._layers_with_target[part.blend])
            left_out &= set(self.layers)
            if left_out:
                self.left_out.setdefault(number, set()).update(left_out)
            for layer, distance in self._copies[part.blend](inside.without(left_out)).items():
                weighted = part.share * distance
                distances[layer] = distances[layer] + weighted if layer in distances else weighted
        for name in self.loss.distance_names:
            layer = name if self.layerwise else self.layers[0]
            if layer in features and name not in distances:
                distances[name] = features.zero(layer)
        return distances

    def _find_small_layers(self, features: Features) -> set[str]:
        """Finds the layers in which the restriction of the features leaves too few positions."""
        # Losses of joined layers sample or resample them, so a small map suffices.
        if features.mask is None or not self.layerwise:
            return set()
        return {
            layer
            for layer in self.layers
            if layer in features and features.mask.count(features.size(layer)) < LEAST_POSITIONS
        }

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Moves the parts and their targets with the loss."""
        for loss in self._copies.values():
            loss._apply(fn, recurse)  # type: ignore[no-untyped-call]
        masks = [None if part.mask is None else fn(part.mask.mask) for part in self.parts]
        self.parts = [
            part if mask is None or part.mask is None else replace(part, mask=part.mask.to(mask.device))
            for part, mask in zip(self.parts, masks, strict=True)
        ]
        self._partition = _create_partition(self.parts)
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    # Checkpoints

    def get_extra_state(self) -> dict[str, Any]:
        """Returns the states of the copies by the number of the part."""
        states = {str(number): dict(self._copies[part.blend].state_dict()) for number, part in enumerate(self.parts)}
        return {number: state for number, state in states.items() if state}

    def set_extra_state(self, state: Any) -> None:
        """Keeps the states of a checkpoint until the parts are set."""
        self._saved = dict(state)


def _create_partition(parts: Sequence[ImagePart]) -> Partition | None:
    """Creates the common selection of all parts; None for the whole image."""
    masks = [part.mask for part in parts if part.mask is not None]
    return Partition(masks) if masks else None
