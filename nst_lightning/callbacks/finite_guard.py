"""Stops a run that diverges."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.errors import DivergedError
from nst_lightning.training.run_state import RunState

# The copy of an image with more values than this has 16 bits for each.
MOST_EXACT_VALUES = 2**26


class FiniteGuard(pl.Callback):
    """Stops a run when the objective or the image becomes NaN or infinite, and restores the last good image.

    Args:
        every_n_steps: steps between two checks on a GPU, where a check waits for the device; on a CPU every step is
            checked.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        self.every_n_steps = every_n_steps
        self._last_good: Tensor | None = None

    def on_train_epoch_start(self, *unused: Any) -> None:
        """Forgets the image of the previous stage, which may have another size."""
        self._last_good = None

    def on_train_batch_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Copies the image at the start of a stage or of a resumed run."""
        if self._last_good is None:
            image = RunState.of(trainer).image
            self._last_good = image.half() if image.numel() > MOST_EXACT_VALUES else image.clone()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *unused: Any
    ) -> None:
        """Checks the loss and the image.

        Raises:
            DivergedError: one of them is not finite.
        """
        run = RunState.of(trainer)
        image = run.image
        assert self._last_good is not None
        if image.device.type != "cpu" and not run.is_due(self.every_n_steps):
            return
        # A sum is NaN or infinite if one of its values is, and one number is all that leaves the device.
        if bool(outputs["loss"].isfinite() & image.sum().isfinite()):
            self._last_good.copy_(image)
            return
        # The other callbacks write this image when the exception reaches them.
        with torch.no_grad():
            image.copy_(self._last_good)
        raise DivergedError(
            f"Expected a finite loss, but it became {float(outputs['loss'])} at step {run.step}: "
            "lower the learning rate or the weights. The last good image is kept."
        )
