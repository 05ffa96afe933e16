"""Ctrl-C and SIGTERM during a run."""

from typing import Any

import lightning.pytorch as pl

from nst_lightning.system.interrupts import InterruptHandler, announce_stop
from nst_lightning.training.ranks import Ranks


class GracefulInterrupt(pl.Callback):
    """Ends a run between two steps at Ctrl-C, so that everything is saved; a second Ctrl-C ends it at once.

    In a command of this package, SIGTERM does the same.
    """

    def __init__(self) -> None:
        self._is_stopping = False
        self._handler: InterruptHandler | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed during the run, in any of its processes."""
        return self._is_stopping

    # Not in an earlier hook: Lightning has recorded the previous handler by now and restores it after an error, when it
    # calls no teardown.
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Installs the handler of Ctrl-C."""

        def stop() -> None:
            self._is_stopping = True
            # Lightning reads this after each step, and then ends as after the last step.
            trainer.should_stop = trainer.should_stop or trainer.world_size == 1
            announce_stop(handler)

        self._is_stopping = False
        self._handler = handler = InterruptHandler(stop)
        handler.install()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Ends a run on several devices in all of its processes at the same step."""
        if trainer.world_size > 1 and Ranks.of_process_group().any(self._is_stopping, pl_module.device):
            self._is_stopping = trainer.should_stop = True

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restores the previous handler of Ctrl-C."""
        if self._handler is not None:
            self._handler.remove()
