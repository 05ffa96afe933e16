"""Short runs without the command line."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from nst_lightning.callbacks import CheckpointWriter
from nst_lightning.data.plan import Plan
from nst_lightning.data.transfer import TransferData
from nst_lightning.images.io import Picture
from nst_lightning.losses import ContentLoss, Loss
from nst_lightning.training.module import StyleTransfer
from tests.helpers import TinyBackbone, smooth_image

CONTENT = smooth_image(12, 16, seed=1)


class ShiftOptimizer(torch.optim.Optimizer):
    """Adds a constant to every pixel at each step and ignores the gradient."""

    def __init__(self, params: Any, by: float) -> None:
        super().__init__(params, {"by": by})

    def step(self, closure: Any = None) -> Any:
        loss = closure()
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(self.param_groups[0]["by"])
        return loss


def fit_module(
    *callbacks: pl.Callback, optimizer: Any = None, loss: Loss | None = None, steps: int = 3, **options: Any
) -> StyleTransfer:
    """Paints noise toward a small content and returns the module.

    Args:
        callbacks: of the Trainer, in addition to Lightning's.
        optimizer: of the module; its default if None.
        loss: the only term; a content loss if None.
        steps: number of steps.
        options: further arguments of the Trainer.
    """
    data = TransferData.from_pictures(Picture(CONTENT), [], Plan(size=16, steps=steps))
    extra = {} if optimizer is None else {"optimizer": optimizer}
    module = StyleTransfer(TinyBackbone(), {"content": loss or ContentLoss(["conv_1"])}, "noise", **extra)
    trainer = pl.Trainer(
        enable_checkpointing=any(isinstance(callback, CheckpointWriter) for callback in callbacks),
        **({"logger": False, "enable_progress_bar": False} | options),
        callbacks=list(callbacks),
        accelerator="cpu",
        max_epochs=1,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return module


def create_logger(folder: Path) -> TensorBoardLogger:
    """Returns a logger whose run folder is ``FOLDER/run/version_0``."""
    return TensorBoardLogger(str(folder), name="run", version=0)
