"""The picture on the way."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from nst_lightning.callbacks.result import write_result
from nst_lightning.callbacks.run_folder import run_folder
from nst_lightning.errors import InputError


def snapshot_name(step: int) -> str:
    """Name in the run folder of the picture after a step."""
    return f"step_{step:06d}.png"


def check_ends(steps: Collection[int], ends: Collection[int], iterations_per_step: int) -> None:
    """Says which picture on the way is wanted in the middle of a training step.

    Args:
        steps: numbers of the steps after which there is to be one.
        ends: those that end a training step.
        iterations_per_step: how many steps a training step has.

    Raises:
        InputError: one is.
    """
    missed = [step for step in steps if step <= max(ends) and step not in ends]
    if missed:
        raise InputError(
            f"Expected `snapshots.at_steps` to be among the ends of training steps of {iterations_per_step} "
            f"evaluations, but got {missed[0]}: change it or data.plan.iterations_per_step."
        )


class SnapshotWriter(pl.Callback):
    """Writes the image into the run folder as it is after certain steps, to compare a run with itself.

    Args:
        at_steps: numbers of steps, counted over all stages from 1.
    """

    def __init__(self, at_steps: Sequence[int] = ()) -> None:
        if any(step < 1 for step in at_steps):
            raise InputError(f"Expected `snapshots.at_steps` to be positive, but got {list(at_steps)}.")
        self.at_steps = frozenset(at_steps)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Writes when it is due."""
        folder = run_folder(trainer)
        if folder is not None and trainer.global_step in self.at_steps:
            write_result(trainer, pl_module, Path(folder) / snapshot_name(trainer.global_step))
