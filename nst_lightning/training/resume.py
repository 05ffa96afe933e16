"""Where a run is, and how a checkpoint says so.

Lightning restores its loops from their counters and guesses from them at which point of the loop the run had been
stopped. We write down the position in our own words and, on loading, set the counters to what Lightning's guess reads
as exactly that position. So a run goes on right wherever it was cut, and also where its plan was made longer meanwhile.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nst_lightning.data.plan import Position
from nst_lightning.errors import InputError
from nst_lightning.version import __version__

KEY = "nst_lightning"
"""Where a checkpoint has what is ours."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint with ``weights_only=True``.

    Raises:
        InputError: there is no such file, or it is no checkpoint.
    """
    if not path.is_file():
        raise InputError(f"Expected a checkpoint file, but there is none at {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its unpickler happens to meet
        raise InputError(f"Expected a checkpoint, but {path} is none that can be read.") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"Expected a checkpoint, but {path} holds something else.")
    return checkpoint


def write_position(checkpoint: dict[str, Any], at: Position, optimizer: str) -> None:
    """Notes in a checkpoint where the run is and the name of the optimizer whose state it holds."""
    checkpoint[KEY] = {"version": __version__, "stage": at.stage, "step": at.step, "optimizer": optimizer}


def read_position(checkpoint: Mapping[str, Any], shapes: Sequence[tuple[int, int]], optimizer: str) -> Position:
    """Where the run of a checkpoint was, if the checkpoint fits the run that is to go on from it.

    Args:
        checkpoint: as :func:`write_position` left it, with the image in its state dict.
        shapes: height and width in px of each stage of the run.
        optimizer: name of the run's optimizer.

    Raises:
        InputError: the checkpoint is another program's, or of a run with another plan, other proportions or another
            optimizer.
    """
    kept = checkpoint.get(KEY)
    if kept is None:
        raise InputError("Expected a checkpoint of nst_lightning, but got another program's.")
    at = Position(kept["stage"], kept["step"])
    if at.stage >= len(shapes):
        raise InputError(
            f"Expected a checkpoint of a plan with {len(shapes)} stages, but this one is in stage {at.stage + 1}: "
            "give the configuration it was made with."
        )
    (height, width), found = shapes[at.stage], checkpoint["state_dict"]["image"].shape
    if tuple(found[-2:]) != (height, width):
        raise InputError(
            f"Expected a checkpoint with an image of {width}x{height} px, but its image has {found[-1]}x{found[-2]} "
            "px: give the content and the size it was made with, or start from a picture with "
            "--model.initialization FILE."
        )
    if kept["optimizer"] != optimizer:
        raise InputError(
            f"Expected a checkpoint of {optimizer}, but this one was made with {kept['optimizer']}: "
            "give --model.optimizer as it was."
        )
    return at
