"""The average of the images on the way."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.errors import InputError


class ImageAveraging(pl.Callback):
    """Ends each stage with a running average of its images, from which the next stage starts.

    ``v <- d v + (1 - d) x`` after each step, read as ``v / (1 - d^steps)``: the exponential average of Kingma and Ba
    2014, section 7.2. Adam's image trembles by about its learning rate; its average does not. In the run it is a
    callback, `trainer.callbacks: [{class_path: ImageAveraging}]`. Of a training step with several evaluations it takes
    the last image, for all of them.

    Args:
        decay: ``d``; about the last ``1 / (1 - d)`` images count.
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"Expected `decay` of ImageAveraging to be from 0 to 1, but got {decay}.")
        self.decay = decay
        self._sum: Tensor | None = None
        self._steps = 0

    def state_dict(self) -> dict[str, Any]:
        """The sum and how many images are in it."""
        return {"sum": self._sum, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with them."""
        self._sum, self._steps = state_dict["sum"], state_dict["steps"]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Takes the image in and, after the last step of a stage, puts the average in its place."""
        image: Tensor = pl_module.image.detach()  # type: ignore[operator]
        before = self._sum.to(image.device) if self._sum is not None else torch.zeros_like(image)
        at_once: int = pl_module.step_evaluations  # type: ignore[assignment]
        self._sum = before.lerp(image, 1 - self.decay**at_once)
        self._steps += at_once
        if self._steps == trainer.datamodule.stages[trainer.current_epoch].steps:  # type: ignore[attr-defined]
            image.copy_(self.average())
            self._sum, self._steps = None, 0

    def average(self) -> Tensor:
        """The average of the stage so far, in the image's shape."""
        assert self._sum is not None
        return self._sum / (1 - self.decay**self._steps)
