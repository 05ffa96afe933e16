"""The folder of a run, which only this process writes into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from nst_lightning.cli.run_versions import reserve_version
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import remove_partial_files
from nst_lightning.system.disk_errors import explain_disk_error, find_disk_error
from nst_lightning.system.folder_lock import claim_folder


@contextmanager
def own_folder(trainer: pl.Trainer) -> Iterator[None]:
    """Keeps other processes from writing into the folder of a run in a ``with`` block.

    A new run gets a folder that no other run has. What killed processes have left there is removed. Nothing happens in
    a process that writes no files, without a logger, and for the loggers of services, which choose their own folders.

    Args:
        trainer: Trainer of the run.

    Raises:
        InputError: another process paints the run.
        OSError: the folder cannot be created.
    """
    first = trainer.loggers[0] if trainer.loggers and trainer.is_global_zero else None
    if not isinstance(first, CSVLogger | TensorBoardLogger):
        yield
        return
    reserve_version(trainer.loggers)
    folder = Path(first.log_dir)
    with claim_folder(folder):
        remove_partial_files(folder)
        yield


@contextmanager
def explained_disk_errors(resume: str) -> Iterator[None]:
    """Raises errors of the disk in a ``with`` block as errors of the user, also those that a logger raises otherwise.

    Args:
        resume: how the run is continued, such as ``again, with --ckpt_path last``.

    Raises:
        InputError: a file cannot be read or written.
    """
    try:
        yield
    except Exception as error:
        cause = None if isinstance(error, InputError) else find_disk_error(error)
        if cause is None:
            raise
        advice = f"{explain_disk_error(cause)}, and run the same command {resume}"
        raise InputError(f"Expected to read and write the files of the run, but {advice}.") from error
