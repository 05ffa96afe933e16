"""Stops a run that went wrong, and a run that shall stop."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.errors import DivergedError


class FiniteGuard(pl.Callback):
    """Stops when the objective or the image becomes NaN or infinite, with the image as it last was.

    Args:
        every_n_steps: how often to look on a GPU, where a look waits for the step; on a CPU each step is looked at.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        self.every_n_steps = every_n_steps
        self._last_good: Tensor | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets the image of another size."""
        self._last_good = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Keeps the image that a stage or a resumed run begins with."""
        if self._last_good is None:
            self._last_good = pl_module.image.detach().clone()  # type: ignore[operator]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *unused: Any
    ) -> None:
        """Looks at the loss and the image."""
        image: Tensor = pl_module.image  # type: ignore[assignment]
        assert self._last_good is not None
        if image.device.type != "cpu" and not pl_module.is_due(self.every_n_steps):  # type: ignore[operator]
            return
        if bool(outputs["loss"].isfinite() & image.detach().sum().isfinite()):
            self._last_good.copy_(image.detach())
            return
        with torch.no_grad():
            image.copy_(self._last_good)
        raise DivergedError(
            f"Expected a finite loss, but it became {float(outputs['loss'])} at step {trainer.global_step}: "
            "lower the learning rate or the weights. The last good image is kept."
        )
