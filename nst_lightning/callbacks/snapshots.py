"""Copies of the image after given steps."""

from collections.abc import Collection, Sequence
from typing import Any

import lightning.pytorch as pl

from nst_lightning.callbacks.result import write_result
from nst_lightning.errors import InputError
from nst_lightning.training.run_state import RunState


def snapshot_name(step: int) -> str:
    """Returns the file name of the snapshot after a step, ``step_000100.png``."""
    return f"step_{step:06d}.png"


def check_snapshot_steps(steps: Collection[int], ends: Collection[int], iterations_per_step: int) -> None:
    """Checks that every snapshot falls on the end of a training step.

    Args:
        steps: steps after which a snapshot is written.
        ends: steps that end a training step.
        iterations_per_step: steps in one training step, `data.plan.iterations_per_step`.

    Raises:
        InputError: a snapshot falls between two ends.
    """
    missed = [step for step in steps if step <= max(ends) and step not in ends]
    if missed:
        raise InputError(
            f"Expected `snapshots.at_steps` to be among the ends of training steps of {iterations_per_step} "
            f"evaluations, but got {missed[0]}: change it or data.plan.iterations_per_step."
        )


class SnapshotWriter(pl.Callback):
    """Writes the image into the run folder after given steps, to compare the stages of one run.

    Args:
        at_steps: steps after which the image is written, counted from 1 over all stages.
    """

    def __init__(self, at_steps: Sequence[int] = ()) -> None:
        if any(step < 1 for step in at_steps):
            raise InputError(f"Expected `snapshots.at_steps` to be positive, but got {list(at_steps)}.")
        self.at_steps = frozenset(at_steps)

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Writes a snapshot if one is due."""
        run = RunState.of(trainer)
        if run.folder is not None and run.step in self.at_steps:
            write_result(run.folder, run.folder / snapshot_name(run.step), run.result, run.data)
