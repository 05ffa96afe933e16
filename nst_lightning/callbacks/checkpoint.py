"""Checkpoints of a run."""

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from nst_lightning.callbacks.run_folder import run_folder
from nst_lightning.errors import DivergedError, InputError

LAST = Path("checkpoints") / "last.ckpt"
"""Where the checkpoint of a run is in its folder."""

EVERY_N_STEPS, SECONDS_BETWEEN = 100, 10.0
"""How often a run is saved, and how long it paints at least until it is saved again, unless it is said."""


class DirectCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint straight into its file.

    Lightning's own makes the whole file in memory and in another place first, which takes three times as long; that a
    file which is cut short takes no other's place is seen to where it is written.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Makes the folder and writes the file.

        Raises:
            OSError: it cannot be written.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            _reserve(file, _bytes(checkpoint))
            torch.save(checkpoint, file)
            file.truncate()


def _reserve(file: BufferedWriter, size: int) -> None:
    """Takes the room on the disk, where that can be: twice as fast, and a full disk says so at once."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise


def _bytes(value: Any) -> int:
    """Of the tensors in nested dictionaries and sequences, and a little for what is beside them."""
    if isinstance(value, Tensor):
        return value.nbytes
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_bytes, values)) + 1


class CheckpointWriter(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` into the run folder, from which ``--ckpt_path last`` goes on.

    Also at the end, on Ctrl-C and on an error. It is written beside and renamed.

    Args:
        every_n_steps: how often; unless given at every hundredth step, but with ten seconds of painting in between.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise InputError(f"Expected `checkpoints.every_n_steps` to be positive, but got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._between_steps = False
        self._started = False
        self._saved_at = time.monotonic()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Has checkpoints written directly, unless the run was given another way."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DirectCheckpointIO()

    def on_train_batch_start(self, *unused: Any) -> None:
        """Notes that a step is being made."""
        self._between_steps = False

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Saves when it is due."""
        self._between_steps = self._started = True
        if self._is_due(pl_module) or _frame_ends(trainer, pl_module):
            self.save(trainer, pl_module)
            self._saved_at = time.monotonic()

    def _is_due(self, pl_module: pl.LightningModule) -> bool:
        if self.every_n_steps is not None:
            return bool(pl_module.is_due(self.every_n_steps))  # type: ignore[operator]
        # On a fast GPU a hundred steps take less time than to save them.
        rested = time.monotonic() - self._saved_at >= SECONDS_BETWEEN
        return rested and bool(pl_module.is_due(EVERY_N_STEPS))  # type: ignore[operator]

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the end."""
        self.save(trainer, pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Saves what was reached, where that is whole.

        A second Ctrl-C may fall into the middle of an update; then, and after a NaN, the last checkpoint stays.
        """
        torn = isinstance(exception, KeyboardInterrupt) and not self._between_steps
        if self._started and not torn and not isinstance(exception, DivergedError):
            # What ended the run is the more telling error, and on a full disk the one that is caught here as well.
            with suppress(OSError):
                self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the checkpoint, unless the image is spoilt or the run has no folder."""
        folder = run_folder(trainer)
        if folder is None or not bool(torch.isfinite(pl_module.image).all()):  # type: ignore[arg-type]
            return
        path = folder / LAST
        beside = path.with_name(f".{path.name}.part")
        try:
            trainer.save_checkpoint(beside, weights_only=False)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def _frame_ends(trainer: pl.Trainer, pl_module: pl.LightningModule) -> bool:
    """Whether a frame of a film is done, which is never to be painted again."""
    stages = trainer.datamodule.stages  # type: ignore[attr-defined]
    if stages[-1].frame == 0:
        return False
    return bool(pl_module.stage_step == stages[trainer.current_epoch].steps)
