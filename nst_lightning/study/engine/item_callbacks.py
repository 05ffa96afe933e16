"""Callbacks that write the files of each run of a batch, as if it had been painted alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import Callback

from nst_lightning.callbacks import RunSummary
from nst_lightning.images.io import Depth, write_image
from nst_lightning.study.engine.batched_run import BatchData
from nst_lightning.study.engine.run_records import picture_path
from nst_lightning.study.spec.resolved_study import StudyRun
from nst_lightning.training.run_folder import CONFIG_NAME
from nst_lightning.training.run_state import RunState


class ItemSummary(RunSummary):
    """Writes the summary of one item of a batch into its run folder.

    Args:
        number: number of the item.
        batch_size: number of items; each counts an equal share of the seconds.
        folder: the run folder.
    """

    def __init__(self, number: int, batch_size: int, folder: Path) -> None:
        super().__init__()
        self._suffix, self._batch_size, self._run_folder = f"_{number}", batch_size, folder

    @property
    def state_key(self) -> str:
        """Key in the checkpoint, one for each item."""
        return f"{type(self).__name__}{self._suffix}"

    def folder(self, trainer: pl.Trainer) -> Path:
        """The run folder of the item."""
        return self._run_folder

    def losses(self, trainer: pl.Trainer) -> dict[str, float]:
        """The terms of the item and their ``total``."""
        own = {n.removesuffix(self._suffix): v for n, v in super().losses(trainer).items() if n.endswith(self._suffix)}
        return {"total": sum(own.values())} | own

    def summary(self, trainer: pl.Trainer) -> dict[str, Any]:
        """The summary with the item's share of the seconds."""
        summary = super().summary(trainer)
        return summary | {"seconds": round(summary["seconds"] / self._batch_size, 2), "batch": self._batch_size}


class ItemWriter(Callback):
    """Writes results and snapshots of all items of a batch into their run folders.

    Args:
        runs: the runs in the order of the batch.
        output: folder of the study.
    """

    def __init__(self, runs: Sequence[StudyRun], output: Path) -> None:
        self.runs, self.output = runs, output

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Writes the snapshots that are due."""
        for number, run in enumerate(self.runs):
            if trainer.global_step in run.configuration["snapshots"]["at_steps"]:
                self._write(number, RunState.of(trainer), trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the results."""
        for number in range(len(self.runs)):
            self._write(number, RunState.of(trainer), None)

    def _write(self, number: int, state: RunState, step: int | None) -> None:
        assert isinstance(state.data, BatchData)
        image = state.data.items[number].finish(state.image[number : number + 1])
        alpha = state.data.items[number].alpha(*image.shape[-2:])
        folder = self.runs[number].folder(self.output)
        config = (folder / CONFIG_NAME).read_text()
        # Snapshots have 8 bits, as those of a run that is painted alone.
        depth: Depth = self.runs[number].configuration["depth"] if step is None else 8
        write_image(picture_path(folder, step), image, alpha, config, depth)
