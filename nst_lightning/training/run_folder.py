"""The folder that a run writes its files into."""

from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

# Name of the resolved configuration in a run folder.
CONFIG_NAME = "config.yaml"


def run_folder(trainer: pl.Trainer) -> Path | None:
    """Returns the run folder ``save_dir/name/version`` of the first logger, or None without a logger.

    The folder is the one that Lightning's ``ModelCheckpoint`` uses. Loggers of services such as Weights & Biases know
    their version only when the run has started, in the `setup` hooks and later.
    """
    if not trainer.loggers:
        return None
    logger = trainer.loggers[0]
    if isinstance(logger, TensorBoardLogger | CSVLogger):
        return Path(logger.log_dir)
    save_dir = trainer.default_root_dir if logger.save_dir is None else logger.save_dir
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(save_dir) / str(logger.name) / version
