"""Paints one run of a study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from lightning.pytorch import Callback

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT
from nst_lightning.cli.transfer_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.study.engine.run_records import FAILURE_FILE, read_status, write_failure
from nst_lightning.study.spec.resolved_study import StudyRun
from nst_lightning.system.threads import Threads, restore_threads
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.run_folder import CONFIG_NAME


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
    replaced = {} if backbone is None else {"backbone": backbone}
    with quiet_lightning(), restore_threads():
        checkpoint = folder / LAST_CHECKPOINT if has_checkpoint else None
        fit = parse_run(run, output, checkpoint).build(replaced=replaced, callbacks=callbacks)
        if fit.is_finished:
            # The run stopped after its last checkpoint and before its result: paint it from the start.
            fit = parse_run(run, output, None).build(replaced=replaced, callbacks=callbacks)
        fit.fit()
    return fit.interrupted


def parse_run(run: StudyRun, output: Path, checkpoint: Path | None) -> TransferCLI:
    """Parses the configuration of a run, whose logger writes to the run's folder.

    Args:
        run: the run.
        output: folder of the study.
        checkpoint: checkpoint to resume from.
    """
    # Parsed from the file, so that `fit --config FILE` paints the same run.
    write_configuration(run, output)
    logger = {"save_dir": str(output), "name": "runs", "version": run.key, "default_hp_metric": "false"}
    args = [f"--config={run.folder(output) / CONFIG_NAME}", "--trainer.logger=TensorBoardLogger"]
    args += [f"--trainer.logger.{name}={value}" for name, value in logger.items()]
    if checkpoint is not None:
        args.append(f"--ckpt_path={checkpoint}")
    return TransferCLI(args)


def write_configuration(run: StudyRun, output: Path, threads: Threads | None = None) -> None:
    """Writes the configuration of a run into its folder.

    Args:
        run: the run.
        output: folder of the study.
        threads: number of threads that was chosen for the run.
    """
    folder = run.folder(output)
    configuration = run.configuration if threads is None else run.configuration | {"threads": threads}
    write_bytes(folder / CONFIG_NAME, yaml.safe_dump(configuration, sort_keys=False).encode())
