"""The versions of a run's loggers: of a new run with several loggers, and of the run to resume."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT
from nst_lightning.errors import InputError
from nst_lightning.training.private_api import chooses_version, set_version

# Weights & Biases has the name of the folder in another argument; its `name` is a label.
FOLDER_ARGUMENTS = {"WandbLogger": "project"}


def find_last_run(loggers: Any, root: str | Path | None = None) -> tuple[Path, str]:
    """Finds the newest run of the first logger.

    Runs with a number are compared by it, others by the time of their checkpoints.

    Args:
        loggers: parsed value of `trainer.logger`, one logger or a list.
        root: value of `trainer.default_root_dir`, for a logger without a `save_dir`.

    Returns:
        The checkpoint file and the version, which is the name of the run's folder.

    Raises:
        InputError: the first logger has no folder or version, or no run has a checkpoint.
    """
    first = next(_iterate_loggers(loggers), None)
    if first is None or "version" not in first.init_args or "save_dir" not in first.init_args:
        raise InputError(
            "Expected a logger with a save_dir and a version for `--ckpt_path last`: name the checkpoint file instead."
        )
    runs = _runs_folder(first, root)
    checkpoints = list(runs.glob(f"*/{LAST_CHECKPOINT}"))
    if not checkpoints:
        raise InputError(
            f"Expected a checkpoint to resume from, but there is none at {runs}/version_*/{LAST_CHECKPOINT}."
        )
    newest = max(checkpoints, key=lambda path: (_parse_number(path.parents[1]), path.stat().st_mtime))
    return newest, newest.parents[1].name


def resume_version(loggers: Any, version: str, root: str | Path | None = None) -> None:
    """Sets the version of the run to resume in the first logger, and in each other one that has a folder for it.

    Args:
        loggers: parsed value of `trainer.logger`, changed in place.
        version: as :func:`find_last_run` returns it.
        root: value of `trainer.default_root_dir`.
    """
    for number, logger in enumerate(_iterate_loggers(loggers)):
        if "version" in logger.init_args and (number == 0 or (_runs_folder(logger, root) / version).is_dir()):
            logger.init_args.version = version


def reserve_version(loggers: Sequence[Logger]) -> None:
    """Creates the folder of a new run, which no other run then uses, for the loggers that number their runs.

    Several such loggers have one version, so that they write into one folder. Lightning chooses the number without
    regard to other runs and loggers that choose one at the same time.

    Args:
        loggers: loggers of the Trainer. Those whose version is given, as that of a resumed run, keep it.

    Raises:
        OSError: the folder cannot be created.
    """
    numbering = [logger for logger in loggers if chooses_version(logger)]
    if not numbering:
        return
    version = max(int(logger.version) for logger in numbering)
    while not _create_folders(numbering, version):
        version += 1


def _create_folders(loggers: Sequence[CSVLogger | TensorBoardLogger], version: int) -> bool:
    """Creates the folders of a version and returns whether none of them existed before."""
    for logger in loggers:
        set_version(logger, version)
    created: list[Path] = []
    for folder in {Path(logger.log_dir) for logger in loggers}:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            for other in created:
                other.rmdir()
            return False
        created.append(folder)
    return True


def keep_csv_curves(loggers: Sequence[Logger], step: int) -> None:
    """Keeps the rows of ``metrics.csv`` when a run resumes; CSVLogger deletes the file when it opens its folder.

    Call it before the loggers are used.

    Args:
        loggers: loggers of the Trainer.
        step: step of the checkpoint; the resumed run writes all later rows.
    """
    for logger in loggers:
        path = Path(logger.log_dir, "metrics.csv") if isinstance(logger, CSVLogger) else None
        if path is None or not path.exists():
            continue
        with open(path, newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
        for row in rows:
            values = {name: float(value) for name, value in row.items() if value and name != "step"}
            logger.log_metrics(values, int(row["step"]))
        logger.save()


def _iterate_loggers(loggers: Any) -> Iterator[Namespace]:
    """Yields the loggers that are configured by a class; true and false are none."""
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if isinstance(logger, Namespace) and "init_args" in logger:
            yield logger


def _runs_folder(logger: Namespace, root: str | Path | None) -> Path:
    """Returns the folder ``save_dir/name`` of a logger's runs; see `nst_lightning.training.run_folder`."""
    argument = FOLDER_ARGUMENTS.get(logger.class_path.rpartition(".")[2], "name")
    save_dir, name = logger.init_args.get("save_dir"), logger.init_args.get(argument)
    return Path(root or "" if save_dir is None else save_dir) / ("" if name is None else name)


def _parse_number(folder: Path) -> int:
    """Returns N of a folder ``version_N``, or -1 for another name."""
    digits = folder.name.removeprefix("version_")
    return int(digits) if folder.name.startswith("version_") and digits.isdigit() else -1
