"""Paints several runs of one picture size as one batch."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks import CheckpointWriter, FiniteGuard, GracefulInterrupt
from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT
from nst_lightning.callbacks.snapshots import check_snapshot_steps
from nst_lightning.errors import TooLargeError
from nst_lightning.images.opening import limit_pixels
from nst_lightning.study.engine.batched_run import BatchData, BatchTransfer
from nst_lightning.study.engine.item_callbacks import ItemSummary, ItemWriter
from nst_lightning.study.engine.paint import parse_run, write_configuration
from nst_lightning.study.spec.resolved_study import StudyRun
from nst_lightning.system.memory import free_bytes
from nst_lightning.system.threads import restore_threads
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.memory_estimate import check_memory, estimate_bytes
from nst_lightning.training.resume import read_checkpoint


def paint_batch(
    runs: Sequence[StudyRun], output: Path, backbone: Backbone, callbacks: Sequence[Callback]
) -> bool | None:
    """Paints runs as one batch, from its checkpoint if there is one.

    Args:
        runs: runs as grouped by :func:`nst_lightning.study.engine.grouping.group_runs`.
        output: folder of the study.
        backbone: backbone of all runs.
        callbacks: further callbacks.

    Returns:
        Whether Ctrl-C ended the batch early, or None if the batch failed and its runs have to be painted one by one.
    """
    try:
        # All runs of a batch have the same limit.
        with quiet_lightning(), restore_threads(), limit_pixels(runs[0].configuration["max_pixels"]):
            return _paint_batch(runs, output, backbone, list(callbacks))
    except TooLargeError:
        print(f"A batch of {len(runs)} would not fit into memory: its runs are painted one by one.", file=sys.stderr)
        return None
    except Exception:  # painted one by one, the faulty run fails again and reports why
        return None


def _paint_batch(runs: Sequence[StudyRun], output: Path, backbone: Backbone, callbacks: list[Callback]) -> bool:
    clis = [parse_run(run, output, None) for run in runs]
    logger = TensorBoardLogger(output, "batches", batch_key(runs), default_hp_metric=False)
    checkpoint = Path(logger.log_dir) / LAST_CHECKPOINT
    clis[0].set_threads(read_checkpoint(checkpoint) if checkpoint.exists() else None)
    for run in runs:
        write_configuration(run, output, clis[0].config.threads)
    parts = [cli.build_parts({"backbone": backbone}) for cli in clis]
    for cli, (item, item_data) in zip(clis, parts, strict=True):
        item_data.setup("fit")
        item.check_data(item_data)
        check_snapshot_steps(cli.config.snapshots.at_steps, item_data.step_ends(), item_data.iterations_per_step)
    module = BatchTransfer([item for item, _ in parts], [run.configuration["seed_everything"] for run in runs])
    data = BatchData([item_data for _, item_data in parts])
    interrupt = GracefulInterrupt()
    options = clis[0].config.trainer
    trainer = _create_trainer(options, logger, [interrupt, *_create_callbacks(runs, output), *callbacks])
    device = trainer.strategy.root_device
    needed = estimate_bytes(*parts[0], options.precision, items=len(runs), device=device)
    check_memory(needed, free_bytes(device))
    trainer.fit(module, datamodule=data, ckpt_path=_checkpoint_to_resume(checkpoint, module, data))
    return interrupt.interrupted


def _create_callbacks(runs: Sequence[StudyRun], output: Path) -> list[Callback]:
    summaries = [ItemSummary(n, len(runs), run.folder(output)) for n, run in enumerate(runs)]
    every = runs[0].configuration["checkpoints"]["every_n_steps"]
    return [FiniteGuard(), *summaries, ItemWriter(runs, output), CheckpointWriter(every)]


def _checkpoint_to_resume(checkpoint: Path, module: BatchTransfer, data: BatchData) -> Path | None:
    """Returns the path of a checkpoint that has steps left, else None."""
    if not checkpoint.exists():
        return None
    position = module.check_checkpoint(read_checkpoint(checkpoint), data)
    return checkpoint if position.stage < len(data.stages) else None


def _create_trainer(options: Namespace, logger: TensorBoardLogger, callbacks: list[Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
        deterministic=options.deterministic,
        log_every_n_steps=options.log_every_n_steps,
        callbacks=callbacks,
        logger=logger,
        max_epochs=-1,  # the module sets the number of stages
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def batch_key(runs: Sequence[StudyRun]) -> str:
    """Returns the name of a batch's folder: a hash of the keys of its runs."""
    return hashlib.sha256(" ".join(run.key for run in runs).encode()).hexdigest()[:16]
