"""The options of Lightning's Trainer in `fit`: their defaults, and which ones do not apply to style transfer."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar

from nst_lightning.callbacks import StageProgressBar
from nst_lightning.errors import UsageError
from nst_lightning.system.threads import paints_on_cpu
from nst_lightning.training.private_api import unknown_option

# Defaults of the Trainer's options in `fit`.
TRAINER_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "precision": None,
    "log_every_n_steps": 10,
    "logger": {
        "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
        "init_args": {"save_dir": "logs", "name": "stylized", "default_hp_metric": False},
    },
}

_NO_VALIDATION = "there is nothing to validate or test: use --data.plan.steps to choose the length of a run"
_ONE_EPOCH = "each stage of the plan is one epoch: use --data.plan.steps and --data.plan.ladder"
_ONE_IMAGE = "all devices share one image: use --trainer.devices and --trainer.num_nodes to choose them"
_SHORT_RUN = "a run has no data set to take a part of: use --data.plan.steps and --data.plan.size for a short run"

# Options of the Trainer that do not apply where one image is optimized and nothing is validated, or that the plan
# decides: the reason and the option to use instead, as the end of an error message.
REJECTED_OPTIONS: dict[str, str] = {
    "accumulate_grad_batches": "each step has the gradient of the whole image: use --data.plan.iterations_per_step for "
    "several evaluations in one training step",
    "barebones": "a run writes its result with callbacks: use --trainer.logger false and "
    "--trainer.enable_progress_bar false for less work next to the steps",
    "check_val_every_n_epoch": _NO_VALIDATION,
    "enable_autolog_hparams": "hyperparameters are the configuration: use --trainer.logger to choose a logger",
    "enable_checkpointing": "each run writes checkpoints: use --checkpoints.every_n_steps to choose how often",
    "enable_model_summary": "the only parameter is the image: use --data.plan.size to choose its size",
    "fast_dev_run": _SHORT_RUN,
    "inference_mode": _NO_VALIDATION,
    "limit_predict_batches": _SHORT_RUN,
    "limit_test_batches": _SHORT_RUN,
    "limit_train_batches": _SHORT_RUN,
    "limit_val_batches": _SHORT_RUN,
    "max_epochs": _ONE_EPOCH,
    "min_epochs": _ONE_EPOCH,
    "min_steps": "a run makes all steps of its plan: use --data.plan.steps",
    "model_registry": "the result is an image, not a model: use --output to choose where it is written",
    "num_sanity_val_steps": _NO_VALIDATION,
    "overfit_batches": _SHORT_RUN,
    "reload_dataloaders_every_n_epochs": "the plan decides when the images change: use --data.plan.ladder",
    "sync_batchnorm": _ONE_IMAGE,
    "use_distributed_sampler": _ONE_IMAGE,
    "val_check_interval": _NO_VALIDATION,
}


def advise(message: str) -> str | None:
    """Returns the advice for a rejected Trainer option that a parser reports as unknown, or None.

    Args:
        message: error message of the parser, about an option on the shell or a key in a configuration file.
    """
    # A rejected option is not part of the parser, which therefore reports it as unknown.
    name = (unknown_option(message) or "").removeprefix("trainer.")
    if name not in REJECTED_OPTIONS:
        return None
    return f"Expected no trainer.{name}, because {REJECTED_OPTIONS[name]}."


def check_strategy(strategy: object) -> None:
    """Checks the configured strategy.

    Args:
        strategy: value of `trainer.strategy`.

    Raises:
        UsageError: it is not one that shares an image.
    """
    if strategy not in ("auto", "ddp"):
        name = strategy if isinstance(strategy, str) else getattr(strategy, "class_path", type(strategy).__name__)
        raise UsageError(
            f"Expected trainer.strategy to be auto or ddp, but got {name}: with several devices, each evaluates its "
            "share of the tiles of one image."
        )


def count_processes(accelerator: str, devices: int | str | Sequence[int]) -> int:
    """Returns the number of processes of a run that share the cores of this machine.

    Args:
        accelerator: value of `trainer.accelerator`.
        devices: value of `trainer.devices`; for CPUs it is a number.
    """
    # Lightning reads "2" as a number too.
    is_number = isinstance(devices, int) or (isinstance(devices, str) and devices.strip().isdigit())
    return max(1, int(devices)) if paints_on_cpu(accelerator) and is_number else 1  # type: ignore[arg-type]


def choose_progress_bar(
    callbacks: pl.Callback | Sequence[pl.Callback] | None, enable_progress_bar: bool | None
) -> list[pl.Callback]:
    """Returns the progress bar of a run as a list: ours, or none if it is disabled or the user has chosen another one.

    Args:
        callbacks: value of `trainer.callbacks`.
        enable_progress_bar: value of `trainer.enable_progress_bar`; None means true.
    """
    has_bar = any(isinstance(callback, ProgressBar) for callback in list_callbacks(callbacks))
    return [] if has_bar or enable_progress_bar is False else [StageProgressBar()]


def list_callbacks(callbacks: pl.Callback | Sequence[pl.Callback] | None) -> list[pl.Callback]:
    """Returns the value of `trainer.callbacks` as a new list, to which a Trainer adds its own."""
    return [callbacks] if isinstance(callbacks, pl.Callback) else list(callbacks or ())
