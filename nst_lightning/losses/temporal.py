"""Losses that keep the frames of a film consistent."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from nst_lightning.backbones.features import Features
from nst_lightning.errors import InputError
from nst_lightning.functional.pixels import mask_nearest_first, masked_squared_error
from nst_lightning.losses.base import IMAGE, Loss


class TemporalLoss(Loss):
    """Squared differences between a frame and earlier frames that are warped to it along the optical flow.

    Ruder, Dosovitskiy and Brox 2016, eq. 7 and 8. Disoccluded pixels and pixels at motion boundaries do not count.
    Without optical flow every pixel counts where it is: the mean squared error to the previous frame. The first frame
    of a shot, and a still picture, have no previous frame; for them the loss is 0.

    Args:
        weight: factor on the term.
        offsets: distances in frames to the previous frames. With several, each pixel counts for the nearest frame that
            shows it: with [1, 2, 4], pixels that were hidden for a moment are compared with an earlier frame.
    """

    layers = (IMAGE,)

    def __init__(self, weight: float = 1.0, offsets: Sequence[int] = (1,)) -> None:
        super().__init__(weight)
        if not offsets or min(offsets) < 1 or len(set(offsets)) != len(offsets):
            raise InputError(f"Expected `offsets` to be different numbers of 1 or more, but got {list(offsets)}.")
        self.offsets = tuple(sorted(offsets))
        self._set_frames({})

    def set_previous_frames(self, frames: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """See :meth:`Loss.set_previous_frames`."""
        offsets = [offset for offset in self.offsets if offset in frames]
        masks = mask_nearest_first([frames[offset][1] for offset in offsets])
        self._set_frames({offset: (frames[offset][0], mask) for offset, mask in zip(offsets, masks, strict=True)})

    def _set_frames(self, frames: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        """Keeps frames and masks as buffers, None for those that do not exist."""
        for offset in self.offsets:
            frame, mask = frames.get(offset, (None, None))
            self.register_buffer(f"frame_{offset}", frame, persistent=False)
            self.register_buffer(f"mask_{offset}", mask, persistent=False)

    def layer_distances(self, features: Features) -> dict[str, Tensor]:
        """See :meth:`Loss.layer_distances`."""
        image = features[IMAGE]
        error = image.new_zeros(())
        for offset in self.offsets:
            frame, mask = getattr(self, f"frame_{offset}"), getattr(self, f"mask_{offset}")
            if frame is not None:
                error = error + masked_squared_error(image, frame, mask)
        return {IMAGE: self.weight * error}
