"""Ctrl-C during a run."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl


class GracefulInterrupt(pl.Callback):
    """Lets Ctrl-C end a run between two steps, where everything can be saved; a second one ends it at once."""

    def __init__(self) -> None:
        self.interrupted = False
        self._previous: Any = None

    # Not before: Lightning has then noted whose Ctrl-C was, and gives it back after errors, when it calls no teardown.
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes Ctrl-C over, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self.interrupted:
                signal.default_int_handler(number, frame)
            self.interrupted = True
            trainer.should_stop = True
            print("\nStopping after this step; Ctrl-C again stops at once.", file=sys.stderr)

        self._previous = signal.signal(signal.SIGINT, stop)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Gives Ctrl-C back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
