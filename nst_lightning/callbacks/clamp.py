"""Keeps the image in its range while first-order optimizers paint."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch.optim import LBFGS

from nst_lightning.optim import CompactLBFGS


class ClampImage(pl.Callback):
    """Clips the image to [0, 1] after each step, except with L-BFGS.

    L-BFGS builds its curvature from differences of images and of gradients; clipping would falsify those pairs (it made
    the PyTorch tutorial's loss explode). Its image is clipped only where it is shown or written.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Clips the image in place."""
        if isinstance(trainer.optimizers[0], LBFGS | CompactLBFGS):
            return
        with torch.no_grad():
            pl_module.image.clamp_(0, 1)  # type: ignore[operator]
