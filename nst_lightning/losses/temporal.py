"""Terms that hold a film together."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import mask_nearest_first, masked_squared_error
from nst_lightning.losses.base import IMAGE, Loss


class TemporalLoss(Loss):
    """Squared differences between a frame and frames before it, moved to where things are now.

    Ruder, Dosovitskiy and Brox 2016, eq. 7 and 8. Pixels that were not seen before, and those at the boundaries of
    motion, do not count. Without optical flow every pixel counts where it is: the mean squared error to the frame
    before. The first frame of a shot, and a still picture, have nothing before them: there the term is 0.

    Args:
        weight: factor on the term.
        offsets: how many frames before the others are. Of several, each pixel counts for the nearest that shows it:
            [1, 2, 4] gives what was hidden for a moment its look back.
    """

    layers = (IMAGE,)

    def __init__(self, weight: float = 1.0, offsets: Sequence[int] = (1,)) -> None:
        super().__init__(weight)
        if not offsets or min(offsets) < 1 or len(set(offsets)) != len(offsets):
            raise InputError(f"Expected `offsets` to be different numbers of 1 or more, but got {list(offsets)}.")
        self.offsets = tuple(sorted(offsets))
        self._before: list[tuple[Tensor, Tensor]] = []

    def set_previous_frames(self, before: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """See :meth:`Loss.look_back`."""
        found = [before[offset] for offset in self.offsets if offset in before]
        masks = mask_nearest_first([mask for _, mask in found])
        self._before = [(warped, mask) for (warped, _), mask in zip(found, masks, strict=True)]

    def parts(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Loss.parts`."""
        image = features[IMAGE]
        error = image.new_zeros(())
        for warped, mask in self._before:
            error = error + masked_squared_error(image, warped, mask)
        return {IMAGE: self.weight * error}
