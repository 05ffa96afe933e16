"""The running average of the images of a stage."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.training.run_state import RunState


# Lightning's `WeightAveraging` cannot be used here: it copies the whole module with the frozen network, and keeps
# the size of the first stage.
class ImageAveraging(pl.Callback):
    """Replaces the image at the end of each stage by a running average of the images of that stage.

    After each step ``v <- d v + (1 - d) x``, corrected for the start at zero as ``v / (1 - d^steps)``: the exponential
    average of Kingma and Ba 2014, section 7.2. Adam moves each pixel back and forth by about its learning rate; the
    average does not. The next stage starts from it. A training step with several evaluations counts its last image once
    for each of them. Used as `trainer.callbacks: [{class_path: ImageAveraging}]`.

    Args:
        decay: ``d``, from 0 to below 1; the average covers about the last ``1 / (1 - d)`` images.
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"Expected `decay` of ImageAveraging to be from 0 to 1, but got {decay}.")
        self.decay = decay
        self._sum: Tensor | None = None
        self._steps = 0

    def state_dict(self) -> dict[str, Any]:
        """Returns the weighted sum and the number of images in it."""
        return {"sum": self._sum, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the weighted sum and the number of images in it."""
        self._sum, self._steps = state_dict["sum"], state_dict["steps"]

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Adds the image to the average and, after the last step of a stage, replaces the image by the average."""
        run = RunState.of(trainer)
        image, evaluations = run.image, run.module.step_evaluations
        previous = self._sum.to(image.device) if self._sum is not None else torch.zeros_like(image)
        # One update with the power of d weights the last image like that many equal images.
        self._sum = previous.lerp(image, 1 - self.decay**evaluations)
        self._steps += evaluations
        if run.module.has_converged or self._steps == run.stage.steps:
            image.copy_(self.average())
            self._sum, self._steps = None, 0

    def average(self) -> Tensor:
        """Returns the average over the stage so far, in the shape of the image."""
        assert self._sum is not None
        return self._sum / (1 - self.decay**self._steps)
