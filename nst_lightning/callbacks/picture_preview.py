"""Pictures of a run for a function, such as one that shows them in a notebook."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from PIL import Image

from nst_lightning.callbacks.live_status import Throttle, shrink_result, wait_for_device
from nst_lightning.training.run_state import RunState

# Share of the time that previews take at most.
PICTURE_SHARE = 0.05


class PicturePreview(pl.Callback):
    """Calls a function with the result so far: at most twice a second, and for at most 5 % of the time.

    Args:
        show: function of an RGB picture with a long edge of at most 768 px.
    """

    def __init__(self, show: Callable[[Image.Image], object]) -> None:
        self._show = show
        self._throttle = Throttle(PICTURE_SHARE)

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Shows the result so far if its time has come."""
        if self._throttle.is_due():
            run = RunState.of(trainer)
            wait_for_device(run)
            with self._throttle.measured():
                self._show(shrink_result(run))
