"""Runs of one size that are painted together as one batch."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from nst_lightning.backbones import Backbone
from nst_lightning.budget import check_memory, needed_bytes
from nst_lightning.callbacks import CheckpointWriter, FiniteGuard, GracefulInterrupt, RunSummary
from nst_lightning.callbacks.checkpoints import LAST
from nst_lightning.callbacks.run import CONFIGURATION
from nst_lightning.cli import StyleTransferCLI, check_snapshots
from nst_lightning.data import StagePictures, TransferData
from nst_lightning.errors import TooLargeError
from nst_lightning.features import Features
from nst_lightning.image import write_image
from nst_lightning.losses import Loss
from nst_lightning.memory import free_bytes
from nst_lightning.module import StyleTransfer
from nst_lightning.objective import Objective
from nst_lightning.plan import Stage
from nst_lightning.precision import Precision
from nst_lightning.progress import read_checkpoint
from nst_lightning.quiet import quiet_lightning
from nst_lightning.study.paint import prepared
from nst_lightning.study.plan import Run
from nst_lightning.study.records import picture


class BatchData(TransferData):
    """The pictures of several runs with one plan.

    Args:
        items: the data of each, set up.
    """

    def __init__(self, items: Sequence[TransferData]) -> None:
        super().__init__()
        self.items = list(items)
        self.stages = self.items[0].stages
        self.iterations_per_step = self.items[0].iterations_per_step

    def setup(self, stage: str) -> None:
        """The items are set up."""

    def shape(self, stage: Stage) -> tuple[int, int]:
        """That of every item."""
        return self.items[0].shape(stage)

    def pictures(self, stage: Stage) -> StagePictures:
        """None that all have in common."""
        return StagePictures(None, [], [])


class BatchObjective(Objective):
    """The sum of the objectives of a batch's items, whose gradient in each image is that of its own.

    Args:
        items: with one network.
    """

    def __init__(self, items: Sequence[Objective]) -> None:
        terms = {f"{name}_{n}": term for n, item in enumerate(items) for name, term in item.terms.items()}
        super().__init__(items[0].backbone, terms)
        self.items = list(items)

    def parts_of(self, features: Features) -> dict[str, dict[str, Tensor]]:
        """See :meth:`Objective.parts_of`; the names have the number of the item behind them."""
        return {
            f"{name}_{n}": parts
            for n, item in enumerate(self.items)
            for name, parts in item.parts_of(features.item(n)).items()
        }


class BatchTransfer(StyleTransfer):
    """Images that are optimized side by side, each against its own targets with its own terms.

    The network sees all of them at once; that is all they share.

    Args:
        items: the modules of the runs, with one network.
        seeds: of their noise.
    """

    def __init__(self, items: Sequence[StyleTransfer], seeds: Sequence[int]) -> None:
        objective, first = BatchObjective([item.objective for item in items]), items[0]
        terms = dict[str, Loss](objective.terms)
        super().__init__(objective.backbone, terms, optimizer=first.optimizer, cuda_graphs=first.cuda_graphs)
        self.objective = objective
        # A list, so that the images of the items are no parameters of this module.
        self.items = list(items)
        self.seeds = list(seeds)

    def first_image(self, data: TransferData) -> Tensor:
        """The images before the first step, ``(batch, 3, height, width)``."""
        assert isinstance(data, BatchData)
        images = []
        for item, its_data, seed in zip(self.items, data.items, self.seeds, strict=True):
            torch.manual_seed(seed)
            images.append(item.first_image(its_data))
        return torch.cat(images)

    def enter_targets(self, data: TransferData, stage: Stage, pictures: StagePictures) -> None:
        """Makes the terms of each item compare with its own pictures."""
        assert isinstance(data, BatchData)
        for item, its_data in zip(self.items, data.items, strict=True):
            item.to(self.device)
            item.set_targets(its_data.pictures(stage))


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
        write_image(picture(folder, step), image, alpha, (folder / CONFIGURATION).read_text())


def paint_batch(runs: Sequence[Run], output: Path, backbone: Backbone, beside: Sequence[Callback]) -> bool | None:
    """Paints runs as one batch, from its checkpoint where it has one.

    Args:
        runs: as :func:`nst_lightning.study.grouping.grouped` puts them together.
        output: the study's folder.
        backbone: their network.
        beside: further callbacks.

    Returns:
        Whether it was stopped by Ctrl-C before its end, or None where it failed: one of them may be to blame.
    """
    try:
        with quiet_lightning():
            return _paint_batch(runs, output, backbone, list(beside))
    except TooLargeError:
        print(f"A batch of {len(runs)} would not fit into memory: its runs are painted one by one.", file=sys.stderr)
        return None
    except Exception:  # each is then painted by itself, and the one that fails says why
        return None


def _paint_batch(runs: Sequence[Run], output: Path, backbone: Backbone, beside: list[Callback]) -> bool:
    clis = [prepared(run, output, backbone, [], None) for run in runs]
    for cli in clis:
        check_snapshots(cli.config_init.fit.snapshots.at_steps, cli.datamodule)
    module = BatchTransfer([cli.model for cli in clis], [run.configuration["seed_everything"] for run in runs])
    data = BatchData([cli.datamodule for cli in clis])
    logger = TensorBoardLogger(output, "batches", batch_key(runs), default_hp_metric=False)
    interrupt = GracefulInterrupt()
    checkpoint = Path(logger.log_dir) / LAST
    trainer = _trainer(clis[0], logger, [interrupt, *_callbacks(runs, output, module), *beside], len(data.stages))
    precision: Precision = clis[0].config.fit.trainer.precision
    needed = needed_bytes(clis[0].model, clis[0].datamodule, precision, items=len(clis))
    check_memory(needed, free_bytes(trainer.strategy.root_device))
    trainer.fit(module, datamodule=data, ckpt_path=_unfinished(checkpoint, module, data))
    return interrupt.interrupted


def _callbacks(runs: Sequence[Run], output: Path, module: BatchTransfer) -> list[Callback]:
    summaries = [ItemSummary(n, len(runs), run.folder(output)) for n, run in enumerate(runs)]
    every = runs[0].configuration["checkpoints"]["every_n_steps"]
    return [FiniteGuard(), *summaries, ItemWriter(runs, output), CheckpointWriter(every)]


def _unfinished(checkpoint: Path, module: BatchTransfer, data: BatchData) -> Path | None:
    if not checkpoint.exists():
        return None
    at = module.check_checkpoint(read_checkpoint(checkpoint), data)
    return checkpoint if at.stage < len(data.stages) else None


def _trainer(cli: StyleTransferCLI, logger: TensorBoardLogger, callbacks: list[Callback], stages: int) -> pl.Trainer:
    given = cli.config_init.fit.trainer
    return pl.Trainer(
        accelerator=given.accelerator,
        devices=given.devices,
        precision=given.precision,
        deterministic=given.deterministic,
        log_every_n_steps=given.log_every_n_steps,
        max_epochs=stages,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,
        logger=logger,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def batch_key(runs: Sequence[Run]) -> str:
    """Name of the folder of a batch."""
    return hashlib.sha256(" ".join(run.key for run in runs).encode()).hexdigest()[:16]
