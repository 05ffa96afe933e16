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

from nst_lightning.errors import DivergedError, InputError
from nst_lightning.images.atomic import atomic_path
from nst_lightning.system.disk_errors import find_disk_error
from nst_lightning.training.run_folder import run_folder
from nst_lightning.training.run_state import RunState

# Path of the checkpoint in a run folder.
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"

# Without `checkpoints.every_n_steps`: steps between two checkpoints, and the least seconds between them. On a fast GPU
# a hundred steps take less time than one checkpoint.
DEFAULT_INTERVAL = 100
LEAST_SECONDS = 10.0


class DirectCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint directly into its file.

    Lightning builds the whole file in memory and in a temporary file first, which takes three times as long.
    :meth:`CheckpointWriter.save` makes sure that an incomplete file does not replace a complete one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Creates the folder and writes the file.

        Raises:
            OSError: the file cannot be written.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            _reserve(file, _count_bytes(checkpoint))
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch replaces the error of the disk by one of its own.
                raise find_disk_error(error) or error from None
            # The estimate above may exceed the size of the file.
            file.truncate()


def _reserve(file: BufferedWriter, size: int) -> None:
    """Reserves space on the disk if the system can: writing is twice as fast, and a full disk raises at once."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _count_bytes(value: Any) -> int:
    """Returns the bytes of all tensors in nested mappings and sequences, and one for each other value."""
    if isinstance(value, Tensor):
        return value.nbytes
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_count_bytes, values)) + 1


class CheckpointWriter(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` into the run folder, from which ``--ckpt_path last`` resumes.

    The checkpoint is also written at the end, at Ctrl-C and at an error. It is written to a temporary file that is then
    renamed, so that the previous checkpoint stays until the new one is complete.

    Args:
        every_n_steps: steps between two checkpoints. Default: 100 steps, but at least ten seconds apart.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise InputError(f"Expected `checkpoints.every_n_steps` to be positive, but got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._is_between_steps = False
        self._has_steps = False
        self._saved_at = time.monotonic()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Uses :class:`DirectCheckpointIO`, unless the run has another plugin than Lightning's default."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DirectCheckpointIO()

    def on_train_batch_start(self, *unused: Any) -> None:
        """Records that a step is in progress."""
        self._is_between_steps = False

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Saves a checkpoint if one is due, and at the end of each frame of a film, which takes long to paint."""
        self._is_between_steps = self._has_steps = True
        run = RunState.of(trainer)
        if self._is_due(run) or (run.is_film and run.is_stage_done):
            self.save(run)
            self._saved_at = time.monotonic()

    def _is_due(self, run: RunState) -> bool:
        if self.every_n_steps is not None:
            return run.is_due(self.every_n_steps)
        if not run.is_due(DEFAULT_INTERVAL):
            return False
        # All processes of a run save at the same step; their clocks differ.
        return bool(run.trainer.strategy.broadcast(time.monotonic() - self._saved_at >= LEAST_SECONDS))

    def on_train_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Saves the final checkpoint."""
        self.save(RunState.of(trainer))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Saves a checkpoint when an error or Ctrl-C ends the run, if the image is complete.

        A second Ctrl-C may interrupt an update. After it and after a NaN the last checkpoint stays.
        """
        # All processes save a checkpoint together, and some may have ended.
        if trainer.world_size > 1:
            return
        is_incomplete = isinstance(exception, KeyboardInterrupt) and not self._is_between_steps
        if self._has_steps and not is_incomplete and not isinstance(exception, DivergedError):
            # The error that ended the run says more; on a full disk it is the same one.
            with suppress(OSError):
                self.save(RunState.of(trainer))

    def save(self, run: RunState) -> None:
        """Writes the checkpoint, unless the image is not finite or the run has no folder."""
        if run_folder(run.trainer) is None or not bool(torch.isfinite(run.image).all()):
            return
        if run.folder is None:
            # Another process writes the file, and waits for this one.
            run.trainer.save_checkpoint(LAST_CHECKPOINT, weights_only=False)
            return
        with atomic_path(run.folder / LAST_CHECKPOINT) as temporary:
            run.trainer.save_checkpoint(temporary, weights_only=False)
