"""Typed access to a run in progress."""

from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.private_api import stage_number
from nst_lightning.training.run_folder import run_folder


@dataclass(frozen=True)
class RunState:
    """What callbacks may read from a run: one view of the Trainer, the module and the data, with their real types.

    Attributes:
        trainer: the Trainer.
        module: the module that it fits.
        data: the data module that it fits with.
    """

    trainer: pl.Trainer
    module: StyleTransfer
    data: TransferData

    @classmethod
    def of(cls, trainer: pl.Trainer) -> "RunState":
        """Reads the state of a Trainer.

        Raises:
            TypeError: the Trainer fits another module than :class:`StyleTransfer`, or without :class:`TransferData`.
        """
        module, data = trainer.lightning_module, getattr(trainer, "datamodule", None)
        if not isinstance(module, StyleTransfer) or not isinstance(data, TransferData):
            raise TypeError(
                "Expected a Trainer that fits StyleTransfer with TransferData, "
                f"but got {type(module).__name__} with {type(data).__name__}."
            )
        return cls(trainer, module, data)

    @property
    def image(self) -> Tensor:
        """The image as it is now, without gradient, ``(batch, 3, height, width)``."""
        return self.module.image.detach()

    @property
    def result(self) -> Tensor:
        """The image as users see it; see :meth:`nst_lightning.data.transfer.TransferData.finish`."""
        stage = self.module.entered_stage
        return self.data.finish(self.image, 0 if stage is None else stage.frame)

    @property
    def terms(self) -> dict[str, Tensor]:
        """The weighted terms at the last evaluation by name, and their sum as ``total``; scalars."""
        return self.module.terms

    @property
    def stage(self) -> Stage:
        """The stage that the run is in."""
        return self.data.stages[min(self.trainer.current_epoch, len(self.data.stages) - 1)]

    @property
    def is_stage_done(self) -> bool:
        """Whether all steps of the stage are done, or it has converged."""
        return self.module.has_converged or self.module.stage_step == self.stage.steps

    @property
    def is_film(self) -> bool:
        """Whether the run paints more than one frame."""
        return self.data.stages[-1].frame > 0

    @property
    def step(self) -> int:
        """Evaluations so far in all stages."""
        return self.trainer.global_step

    @property
    def planned_steps(self) -> int:
        """Evaluations so far and those that are left, or ``max_steps`` if that is less."""
        made, (stage, *later) = self.module.stage_step, self.data.stages[stage_number(self.trainer.fit_loop) :]
        left = 0 if self.module.has_converged else stage.steps - made
        # Not the sum of all stages: earlier ones may have converged before their last step.
        planned = self.step + left + sum(stage.steps for stage in later)
        return planned if self.trainer.max_steps < 0 else min(planned, self.trainer.max_steps)

    @property
    def writes(self) -> bool:
        """Whether this process writes the files of the run; of several processes, the first one does."""
        return self.trainer.is_global_zero

    @property
    def folder(self) -> Path | None:
        """The run folder, or None in a process that does not write.

        See :func:`nst_lightning.training.run_folder.run_folder`.
        """
        return run_folder(self.trainer) if self.writes else None

    @property
    def tensorboard_loggers(self) -> list[TensorBoardLogger]:
        """Those loggers that can also show images and text; none in a process that does not write."""
        loggers = self.trainer.loggers if self.writes else []
        return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]

    def is_due(self, every: int) -> bool:
        """Whether an evaluation of the last training step has a number that is a multiple of ``every``."""
        return self.module.is_due(every)
