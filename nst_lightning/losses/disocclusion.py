"""The style of areas that have just become visible in a film."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.backbones.position_mask import PositionMask
from nst_lightning.errors import InputError
from nst_lightning.losses.gram import GramLoss


class DisocclusionGramLoss(GramLoss):
    """The Gram loss of the areas of a frame that were not visible some frames ago.

    Areas that enter a film at its edges, or from behind an object, start from the content of the frame. The rest of the
    frame already has the style, so the Gram matrices of the whole frame hardly change with these areas, and they would
    stay photographic. This loss compares the Gram matrices of the disoccluded areas alone and multiplies the distance
    by their share of the frame, so that its weight means the same as that of a :class:`GramLoss`. Without disoccluded
    areas it is 0.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in the order of the layers; 1 each by default.
        whitening: see :class:`GramLoss`.
        frames: number of frames for which an area counts as disoccluded.
        styles: numbers of the styles, from 0, that the loss compares with; by default all of them.
    """

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        whitening: float | None = None,
        frames: int = 8,
        styles: Sequence[int] | None = None,
    ) -> None:
        super().__init__(layers, weight, layer_weights, whitening, styles=styles)
        if frames < 1:
            raise InputError(f"Expected `frames` to be 1 or more, but got {frames}.")
        self.offsets = (frames,)
        self.register_buffer("disoccluded", None, persistent=False)
        self._mask: PositionMask | None = None

    def set_previous_frames(self, frames: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Sets the disoccluded area; near the start of a shot it is what the first frame of the shot does not show."""
        visible = [mask for offset, (_, mask) in sorted(frames.items()) if offset <= self.offsets[0]]
        disoccluded = 1 - visible[-1] if visible else None
        self.disoccluded = disoccluded if disoccluded is not None and bool(disoccluded.any()) else None
        self._mask = None

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        found = self.restrict(features.mask)
        if found is None:
            return {layer: features.zero(layer) for layer in self.layers_in(features)}
        distances = super().layer_distances(features.within(self._mask))
        return {layer: found[1] * distance for layer, distance in distances.items()}

    def restrict(self, part: PositionMask | None) -> tuple[PositionMask | None, float] | None:
        """Returns the disoccluded part of a part of the image and its share of it; see :meth:`FeatureLoss.restrict`."""
        if self.disoccluded is None:
            return None
        # The mask caches its positions for each layer size, so it is created once per frame and device.
        if self._mask is None or self._mask.mask.device != self.disoccluded.device:
            self._mask = PositionMask(self.disoccluded)
        mask = self._mask if part is None else part.times(self._mask)
        return None if mask is None else (mask, mask.share / (1.0 if part is None else part.share))
