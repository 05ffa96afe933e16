"""Where the files of a run are."""

from pathlib import Path

import lightning.pytorch as pl

CONFIGURATION = "config.yaml"
"""Name of the resolved configuration in a run folder."""


def run_folder(trainer: pl.Trainer) -> Path | None:
    """The folder of a run, ``save_dir/name/version_n``, or None where no logger gives it one."""
    if not trainer.loggers or trainer.log_dir is None:
        return None
    return Path(trainer.log_dir)


def steps_planned(trainer: pl.Trainer) -> int:
    """Steps of all stages together, or those of ``max_steps`` where they are fewer."""
    planned: int = sum(stage.steps for stage in trainer.datamodule.stages)  # type: ignore[attr-defined]
    return planned if trainer.max_steps < 0 else min(planned, trainer.max_steps)
