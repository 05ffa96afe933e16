"""Runs of one size that are painted together as one batch."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks import CheckpointWriter, FiniteGuard, GracefulInterrupt
from nst_lightning.callbacks.checkpoint import LAST
from nst_lightning.callbacks.snapshots import check_ends
from nst_lightning.cli.lightning_cli import TransferCLI
from nst_lightning.errors import TooLargeError
from nst_lightning.study.engine.items import ItemSummary, ItemWriter
from nst_lightning.study.engine.paint import prepared
from nst_lightning.study.engine.side_by_side import BatchData, BatchTransfer
from nst_lightning.study.spec.plan import Run
from nst_lightning.system.console import quiet_lightning
from nst_lightning.system.memory import free_bytes
from nst_lightning.system.precision import Precision
from nst_lightning.training.memory_estimate import check_memory, estimate_bytes
from nst_lightning.training.resume import read_checkpoint


def paint_batch(runs: Sequence[Run], output: Path, backbone: Backbone, beside: Sequence[Callback]) -> bool | None:
    """Paints runs as one batch, from its checkpoint where it has one.

    Args:
        runs: as :func:`nst_lightning.study.engine.grouping.group_runs` puts them together.
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
        its_data = cli.datamodule
        check_ends(cli.config_init.fit.snapshots.at_steps, its_data.step_ends(), its_data.iterations_per_step)
    module = BatchTransfer([cli.model for cli in clis], [run.configuration["seed_everything"] for run in runs])
    data = BatchData([cli.datamodule for cli in clis])
    logger = TensorBoardLogger(output, "batches", batch_key(runs), default_hp_metric=False)
    interrupt = GracefulInterrupt()
    checkpoint = Path(logger.log_dir) / LAST
    trainer = _trainer(clis[0], logger, [interrupt, *_callbacks(runs, output, module), *beside], len(data.stages))
    precision: Precision = clis[0].config.fit.trainer.precision
    device = trainer.strategy.root_device
    needed = estimate_bytes(clis[0].model, clis[0].datamodule, precision, items=len(clis), device=device)
    check_memory(needed, free_bytes(device))
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


def _trainer(cli: TransferCLI, logger: TensorBoardLogger, callbacks: list[Callback], stages: int) -> pl.Trainer:
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
