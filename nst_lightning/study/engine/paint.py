"""Painting the runs of a study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from lightning.pytorch import Callback

from nst_lightning.backbones import Backbone
from nst_lightning.callbacks.checkpoint import LAST_CHECKPOINT
from nst_lightning.cli.lightning_cli import TransferCLI
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.study.engine.records import FAILURE, state, write_failure
from nst_lightning.study.spec.plan import Run
from nst_lightning.training.console import quiet_lightning
from nst_lightning.training.run_folder import CONFIG_NAME


@dataclass(frozen=True)
class Job:
    """Runs that are painted together; most often one.

    Attributes:
        runs: their pictures have one size.
        output: the study's folder.
    """

    runs: tuple[Run, ...]
    output: Path


def paint(run: Run, output: Path, backbone: Backbone | None, beside: Sequence[Callback] = ()) -> bool:
    """Paints a run in its folder, from its checkpoint where it has one; a mistake is noted in the folder.

    Args:
        run: what to paint.
        output: the study's folder.
        backbone: the run's network, or None to build it anew.
        beside: further callbacks.

    Returns:
        Whether it was stopped by Ctrl-C before its end.
    """
    folder = run.folder(output)
    (folder / FAILURE).unlink(missing_ok=True)
    try:
        return _fit(run, output, backbone, list(beside))
    except Exception as error:  # whatever it is, the other runs go on
        write_failure(folder, failure_message(error))
        return False


def failure_message(error: Exception) -> str:
    """An exception in one line; that of a defect of ours with its class."""
    line = " ".join(str(error).split())
    return line if isinstance(error, InputError | OSError) else f"{type(error).__name__}: {line}"


def _fit(run: Run, output: Path, backbone: Backbone | None, beside: list[Callback]) -> bool:
    folder = run.folder(output)
    begun = state(folder) == "begun"
    with quiet_lightning():
        cli = prepared(run, output, backbone, beside, folder / LAST_CHECKPOINT if begun else None)
        if cli.finished:
            # It was stopped after its last checkpoint and before its result.
            cli = prepared(run, output, backbone, beside, None)
        cli.begin()
    return cli.interrupted


def prepared(
    run: Run, output: Path, backbone: Backbone | None, beside: list[Callback], checkpoint: Path | None
) -> TransferCLI:
    """All that `fit` makes before it paints.

    Args:
        run: what to paint.
        output: the study's folder.
        backbone: the run's network, or None to build it anew.
        beside: further callbacks.
        checkpoint: to go on from.
    """
    write_configuration(run, output)
    logger = {"save_dir": str(output), "name": "runs", "version": run.key, "default_hp_metric": "false"}
    args = ["fit", f"--config={run.folder(output) / CONFIG_NAME}", "--trainer.logger=TensorBoardLogger"]
    args += [f"--trainer.logger.{name}={value}" for name, value in logger.items()]
    if checkpoint is not None:
        args.append(f"--ckpt_path={checkpoint}")
    cli = TransferCLI(args, backbone=backbone, beside=beside, start=False)
    cli.before_fit()
    return cli


def write_configuration(run: Run, output: Path) -> None:
    """Puts the resolved configuration into the folder of a run."""
    folder = run.folder(output)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CONFIG_NAME, yaml.safe_dump(run.configuration, sort_keys=False).encode())
