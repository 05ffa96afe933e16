"""Paints one run of a study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from lightning.pytorch import Callback

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks.checkpoint import LAST
from nst_lightning.callbacks.run_folder import CONFIGURATION
from nst_lightning.cli.lightning_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.study.engine.run_records import FAILURE_FILE, read_status, write_failure
from nst_lightning.study.spec.resolved_study import StudyRun
from nst_lightning.system.console import quiet_lightning


@dataclass(frozen=True)
class PaintJob:
    """Runs that an engine paints together; usually one.

    Attributes:
        runs: one run, or several of one picture size that are painted as a batch.
        output: folder of the study.
    """

    runs: tuple[StudyRun, ...]
    output: Path


def paint_run(run: StudyRun, output: Path, backbone: Backbone | None, callbacks: Sequence[Callback] = ()) -> bool:
    """Paints a run, from its checkpoint if there is one. An error is written to the run folder.

    Args:
        run: the run.
        output: folder of the study.
        backbone: backbone of the run, or None to build it.
        callbacks: further callbacks.

    Returns:
        Whether Ctrl-C ended the run early.
    """
    folder = run.folder(output)
    (folder / FAILURE_FILE).unlink(missing_ok=True)
    try:
        return _fit(run, output, backbone, list(callbacks))
    except Exception as error:  # the other runs of the study continue after any error
        write_failure(folder, failure_message(error))
        return False


def failure_message(error: Exception) -> str:
    """Returns the message of an exception in one line; unexpected exceptions with the name of their class."""
    line = " ".join(str(error).split())
    return line if isinstance(error, InputError | OSError) else f"{type(error).__name__}: {line}"


def _fit(run: StudyRun, output: Path, backbone: Backbone | None, callbacks: list[Callback]) -> bool:
    folder = run.folder(output)
    has_checkpoint = read_status(folder) == "begun"
    with quiet_lightning():
        cli = prepare_run(run, output, backbone, callbacks, folder / LAST if has_checkpoint else None)
        if cli.finished:
            # The run stopped after its last checkpoint and before its result: paint it from the start.
            cli = prepare_run(run, output, backbone, callbacks, None)
        cli.begin()
    return cli.interrupted


def prepare_run(
    run: StudyRun, output: Path, backbone: Backbone | None, callbacks: list[Callback], checkpoint: Path | None
) -> TransferCLI:
    """Prepares a run up to its first step.

    Args:
        run: the run.
        output: folder of the study.
        backbone: backbone of the run, or None to build it.
        callbacks: further callbacks.
        checkpoint: checkpoint to resume from.
    """
    write_configuration(run, output)
    logger = {"save_dir": str(output), "name": "runs", "version": run.key, "default_hp_metric": "false"}
    args = ["fit", f"--config={run.folder(output) / CONFIGURATION}", "--trainer.logger=TensorBoardLogger"]
    args += [f"--trainer.logger.{name}={value}" for name, value in logger.items()]
    if checkpoint is not None:
        args.append(f"--ckpt_path={checkpoint}")
    cli = TransferCLI(args, backbone=backbone, beside=callbacks, start=False)
    cli.before_fit()
    return cli


def write_configuration(run: StudyRun, output: Path) -> None:
    """Writes the configuration of a run into its folder."""
    folder = run.folder(output)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CONFIGURATION, yaml.safe_dump(run.configuration, sort_keys=False).encode())
