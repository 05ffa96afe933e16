"""What is written of each run of a batch, as if it had been painted by itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import Callback
from torch import Tensor

from nst_lightning.callbacks import RunSummary
from nst_lightning.images.io import write_image
from nst_lightning.study.engine.records import picture
from nst_lightning.study.spec.plan import Run
from nst_lightning.training.run_folder import CONFIG_NAME


class ItemSummary(RunSummary):
    """The summary of one item of a batch, in the folder of its run.

    Args:
        number: of the item.
        items: how many there are; each is said to have taken its share of the seconds.
        folder: of its run.
    """

    def __init__(self, number: int, items: int, folder: Path) -> None:
        super().__init__()
        self._suffix, self._items, self._own_folder = f"_{number}", items, folder

    @property
    def state_key(self) -> str:
        """Its own in the checkpoint."""
        return f"{type(self).__name__}{self._suffix}"

    def folder(self, trainer: pl.Trainer) -> Path:
        """The run's own."""
        return self._own_folder

    def losses(self, trainer: pl.Trainer) -> dict[str, float]:
        """The item's own."""
        own = {n.removesuffix(self._suffix): v for n, v in super().losses(trainer).items() if n.endswith(self._suffix)}
        return {"total": sum(own.values())} | own

    def summary(self, trainer: pl.Trainer) -> dict[str, Any]:
        """With its share of the seconds."""
        whole = super().summary(trainer)
        return whole | {"seconds": round(whole["seconds"] / self._items, 2), "batch": self._items}


class ItemWriter(Callback):
    """Writes the pictures of all items of a batch into the folders of their runs.

    Args:
        runs: of the items, in their order.
        output: the study's folder.
    """

    def __init__(self, runs: Sequence[Run], output: Path) -> None:
        self.runs, self.output = runs, output

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Writes the pictures on the way."""
        for n, run in enumerate(self.runs):
            if trainer.global_step in run.configuration["snapshots"]["at_steps"]:
                self._write(n, trainer, pl_module, trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the results."""
        for n in range(len(self.runs)):
            self._write(n, trainer, pl_module, None)

    def _write(self, n: int, trainer: pl.Trainer, pl_module: pl.LightningModule, step: int | None) -> None:
        image: Tensor = pl_module.image[n : n + 1]  # type: ignore[index]
        alpha = trainer.datamodule.items[n].alpha(*image.shape[-2:])  # type: ignore[attr-defined]
        folder = self.runs[n].folder(self.output)
        write_image(picture(folder, step), image, alpha, (folder / CONFIG_NAME).read_text())
