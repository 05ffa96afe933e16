"""Runs of the transfer recipe on small pictures, in the current folder."""

import subprocess
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from tests import helpers
from tests.helpers import QUICK_VGG19, TRANSFER

SHALLOW_STYLE = "--model.losses.style.layers=[conv_1,conv_2,conv_3]"
OPTIONS = ["fit", f"--config={TRANSFER}", *QUICK_VGG19, SHALLOW_STYLE, "--data.content=content.png"]
OPTIONS += ["--data.style=style.png"]


def start_transfer(*args: str) -> subprocess.Popen[str]:
    """Starts a run in another process."""
    return helpers.start_command(*OPTIONS, *args)


def run_folder(number: int = 0, name: str = "transfer") -> Path:
    """Returns the folder of a run."""
    return Path("logs") / name / f"version_{number}"


def read_checkpoint(number: int = 0) -> dict[str, Any]:
    """Reads the last checkpoint of a run."""
    loaded: dict[str, Any] = torch.load(run_folder(number) / "checkpoints" / "last.ckpt", weights_only=True)
    return loaded


def read_events(number: int = 0) -> EventAccumulator:
    """Reads the TensorBoard events of a run."""
    return helpers.read_events(run_folder(number))
