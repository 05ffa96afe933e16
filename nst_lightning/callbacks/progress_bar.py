"""The progress bar of a run."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar

from nst_lightning.training.run_state import RunState


class StageProgressBar(TQDMProgressBar):
    """Shows a bar for each stage with the size of the image and the loss.

    The loss is read from the device only when the bar is drawn; a value that is logged for Lightning's own bar is read
    at every step.
    """

    train_description = ""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10)
        self._loss: Any = None

    def on_train_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Creates the bar. A run that resumes within a stage does not call `on_train_epoch_start`."""
        super().on_train_start()
        self._start_stage(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Resets the bar for the next stage."""
        self._start_stage(trainer)

    def _start_stage(self, trainer: pl.Trainer) -> None:
        run = RunState.of(trainer)
        stages, number = run.data.stages, trainer.current_epoch
        description = f"{run.stage.size} px"
        if run.is_film:
            description = f"Frame {run.stage.frame + 1}/{stages[-1].frame + 1}, {description}"
        elif len(stages) > 1:
            description = f"Stage {number + 1}/{len(stages)}, {description}"
        # Lightning's total is the number of training steps, which may contain several evaluations.
        self.train_progress_bar.reset(total=run.stage.steps)
        self.train_progress_bar.set_description(description, refresh=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *rest: Any) -> None:
        """Keeps the loss on its device and draws the bar if it is due; the bar counts evaluations."""
        self._loss = outputs["loss"]
        run = RunState.of(trainer)
        bar = self.train_progress_bar
        if self.is_enabled and (run.is_due(self.refresh_rate) or run.is_stage_done):
            bar.n = run.module.stage_step
            # A stage may end before its last planned step.
            bar.total = bar.n if run.is_stage_done else run.stage.steps
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Returns the loss, which the bar shows."""
        return {} if self._loss is None else {"loss": f"{float(self._loss):.4g}"}
