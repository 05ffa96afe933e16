"""The progress bar."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar


class StageProgressBar(TQDMProgressBar):
    """A bar for each stage with its size and the loss, which is read only when the bar is drawn.

    A value that is logged for Lightning's own bar is fetched from the device at every step.
    """

    train_description = ""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10)
        self._loss: Any = None

    def on_train_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Makes the bar; a run that is resumed in the middle of a stage begins no stage."""
        super().on_train_start()
        self._begin(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Begins a stage."""
        self._begin(trainer)

    def _begin(self, trainer: pl.Trainer) -> None:
        stage = trainer.datamodule.stages[trainer.current_epoch]  # type: ignore[attr-defined]
        self.train_progress_bar.reset(total=stage.steps)
        self.train_progress_bar.set_description(self._description(trainer), refresh=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *rest: Any) -> None:
        """Keeps the loss where it is and draws the bar when it is due, which counts evaluations."""
        self._loss = outputs["loss"]
        bar, made = self.train_progress_bar, pl_module.stage_step
        if self.is_enabled and (pl_module.is_due(self.refresh_rate) or made == bar.total):  # type: ignore[operator]
            bar.n = made  # type: ignore[assignment]
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The loss."""
        return {} if self._loss is None else {"loss": f"{float(self._loss):.4g}"}

    def _description(self, trainer: pl.Trainer) -> str:
        stages = trainer.datamodule.stages  # type: ignore[attr-defined]
        number = trainer.current_epoch
        prefix = f"Stage {number + 1}/{len(stages)}, " if len(stages) > 1 else ""
        if stages[-1].frame > 0:
            prefix = f"Frame {stages[number].frame + 1}/{stages[-1].frame + 1}, "
        return f"{prefix}{stages[number].size} px"
