"""The style of what a film has just revealed."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from nst_lightning.backbones.features import Features, MaskedArea
from nst_lightning.errors import InputError
from nst_lightning.losses.gram import GramLoss


class DisocclusionGramLoss(GramLoss):
    """The Gram loss of those parts of a frame alone that were not seen some frames before.

    What comes into a film at its edges, or from behind something, starts from its content; and the Gram matrices of the
    whole frame, nearly all of which has its style already, do not ask for more: it would stay a photograph. This term
    asks of the new parts what a still picture is asked for as a whole, in proportion to their area, so that it means
    the same with the same weight as the term beside it. Where nothing is new it is 0.

    Args:
        layers: names of the backbone's layers, or ``image`` for the pixels.
        weight: factor on the whole term.
        layer_weights: a factor for each layer, in their order; 1 each unless given.
        whitening: see :class:`GramLoss`.
        frames: for how many frames something is new.
    """

    def __init__(
        self,
        layers: Sequence[str],
        weight: float = 1.0,
        layer_weights: Sequence[float] | None = None,
        whitening: float | None = None,
        frames: int = 8,
    ) -> None:
        super().__init__(layers, weight, layer_weights, whitening)
        if frames < 1:
            raise InputError(f"Expected `frames` to be 1 or more, but got {frames}.")
        self.offsets = (frames,)
        self._new: MaskedArea | None = None
        self._share = 0.0

    def set_previous_frames(self, before: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """See :meth:`Loss.look_back`; near the beginning of a shot the earliest frame there is counts."""
        seen = [mask for offset, (_, mask) in sorted(before.items()) if offset <= self.offsets[0]]
        new = 1 - seen[-1] if seen else None
        self._new = MaskedArea(new) if new is not None and bool(new.any()) else None
        self._share = 0.0 if new is None else float(new.mean())

    def parts(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Loss.parts`."""
        if self._new is None:
            return {layer: self._targets[layer].new_zeros(()) for layer in self.layers if layer in features}
        return {layer: self._share * part for layer, part in self._parts(Features.of(features), self._new).items()}
