"""The position of a run in its checkpoint.

Lightning restores its loops from counters and infers from them where in a loop the run had stopped. The checkpoint
also states the position explicitly; on loading, the counters are set to values that Lightning reads as exactly this
position. A run therefore resumes correctly wherever it stopped, also with a plan that has been extended since.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from nst_lightning.data.plan import Position
from nst_lightning.errors import InputError
from nst_lightning.system.threads import MAX_THREADS
from nst_lightning.version import __version__

# How torch ends the names of states that are not tensors, such as the assignments of a NeighborLoss.
EXTRA_STATE = "_extra_state"

# The entry of a checkpoint that this package adds.
CHECKPOINT_KEY = "nst_lightning"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint with ``weights_only=True``.

    Raises:
        InputError: there is no such file, it is not a checkpoint, or an entry cannot be used.
    """
    if not path.is_file():
        raise InputError(f"Expected a checkpoint file, but there is none at {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds of exceptions
        raise InputError(f"Expected a checkpoint, but {path} cannot be read as one.") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"Expected a checkpoint, but {path} holds something else.")
    # That of another program is refused later, with what it is.
    if CHECKPOINT_KEY in checkpoint:
        _check_entries(checkpoint, path)
    return checkpoint


def _check_entries(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Checks the entries that resuming reads.

    Raises:
        InputError: one is missing, of another type or out of range.
    """
    entry = checkpoint[CHECKPOINT_KEY]
    entry = entry if isinstance(entry, dict) else {}
    states, loops = checkpoint.get("state_dict"), checkpoint.get("loops")
    image = states.get("image") if isinstance(states, dict) else None
    optimizers, callbacks = checkpoint.get("optimizer_states"), checkpoint.get("callbacks", {})
    objectives, threads, tile = entry.get("objectives", []), entry.get("threads"), entry.get("tile")
    is_usable = {
        "stage": _is_count(entry.get("stage")),
        "step": _is_count(entry.get("step")) and _is_count(checkpoint.get("global_step")),
        "optimizer": isinstance(entry.get("optimizer"), str)
        and _are_mappings(optimizers)
        and all(
            isinstance(state.get("state"), dict) and _are_mappings(state.get("param_groups")) for state in optimizers
        ),
        "callbacks": isinstance(callbacks, dict) and _are_mappings(list(callbacks.values())),
        "objectives": isinstance(objectives, list) and all(isinstance(value, float | int) for value in objectives),
        "threads": threads is None or (_is_count(threads) and 1 <= threads <= MAX_THREADS),
        "tile": tile is None or (_is_count(tile) and tile > 0),
        "image": isinstance(image, Tensor) and _is_image(image),
        "loops": isinstance(loops, dict) and isinstance(loops.get("fit_loop"), dict),
    }
    for name, usable in is_usable.items():
        if not usable:
            raise InputError(
                f"Expected a checkpoint with a usable entry `{name}`, but that of {path} is not: name an older "
                "checkpoint, or start again without --ckpt_path."
            )


def _is_image(image: Tensor) -> bool:
    """Whether a tensor is an image of finite values that are all stored."""
    is_stored = image.layout == torch.strided and image.device.type == "cpu" and not image.is_quantized
    return (
        is_stored
        and image.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
        and image.ndim == 4
        and image.shape[1] == 3
        and image.nbytes <= image.untyped_storage().nbytes()
        and bool(image.isfinite().all())
    )


def _are_mappings(values: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def write_position(
    checkpoint: dict[str, Any],
    position: Position,
    optimizer: str,
    objectives: Sequence[float] = (),
    threads: int | None = None,
    tile: int | None = None,
) -> None:
    """Adds to a checkpoint the position of the run and what its bits depend on.

    Args:
        checkpoint: the checkpoint, changed in place.
        position: position of the run.
        optimizer: name of the optimizer whose state the checkpoint holds.
        objectives: see :class:`nst_lightning.training.convergence.StageObjectives`.
        threads: number of threads of a run on a CPU.
        tile: length in px of the tiles in which images are evaluated.
    """
    entry = {"version": __version__, "stage": position.stage, "step": position.step, "optimizer": optimizer}
    entry |= {"objectives": list(objectives), "tile": tile}
    checkpoint[CHECKPOINT_KEY] = entry if threads is None else entry | {"threads": threads}


def read_threads(checkpoint: Mapping[str, Any]) -> int | None:
    """Returns the number of threads that a checkpoint was made with, or None if it has none.

    Checkpoints of version 0.1, of GPUs and of other programs have none.
    """
    threads: int | None = checkpoint.get(CHECKPOINT_KEY, {}).get("threads")
    return threads


def read_tile(checkpoint: Mapping[str, Any]) -> int | None:
    """Returns the length in px of the tiles that a checkpoint was made with, or None if it was made without."""
    tile: int | None = checkpoint.get(CHECKPOINT_KEY, {}).get("tile")
    return tile


def select_extra_states(saved: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Keeps those states of terms in a checkpoint that the run has too, so that a run can resume with other terms.

    Args:
        saved: state dict of the checkpoint, changed in place. States that it lacks become empty.
        own: state dict of the run.
    """
    for name in [name for name in saved if name.endswith(EXTRA_STATE) and name not in own]:
        del saved[name]
    for name in own:
        if name.endswith(EXTRA_STATE):
            saved.setdefault(name, {})


def read_objectives(checkpoint: Mapping[str, Any]) -> list[float]:
    """Returns the objectives in a checkpoint; none are in that of an older version."""
    objectives: list[float] = checkpoint[CHECKPOINT_KEY].get("objectives", [])
    return objectives


def read_position(checkpoint: Mapping[str, Any], shapes: Sequence[tuple[int, int]], optimizer: str) -> Position:
    """Returns the position of a checkpoint and checks that the checkpoint fits the run.

    Args:
        checkpoint: a checkpoint with the entry of :func:`write_position` and the image in its state dict.
        shapes: height and width in px of each stage of the run.
        optimizer: name of the run's optimizer.

    Raises:
        InputError: another program wrote the checkpoint, or its plan, shape or optimizer differs from the run's.
    """
    entry = checkpoint.get(CHECKPOINT_KEY)
    if entry is None:
        raise InputError("Expected a checkpoint of nst_lightning, but another program wrote this one.")
    position = Position(entry["stage"], entry["step"])
    if position.stage >= len(shapes):
        raise InputError(
            f"Expected a checkpoint of a plan with {len(shapes)} stages, but this one is in stage "
            f"{position.stage + 1}: give the configuration it was made with."
        )
    (height, width), shape = shapes[position.stage], checkpoint["state_dict"]["image"].shape
    if tuple(shape[-2:]) != (height, width):
        raise InputError(
            f"Expected a checkpoint with an image of {width}x{height} px, but its image has {shape[-1]}x{shape[-2]} "
            "px: give the content and the size it was made with, or start from a picture with "
            "--model.initialization FILE."
        )
    if entry["optimizer"] != optimizer:
        raise InputError(
            f"Expected a checkpoint of {optimizer}, but this one was made with {entry['optimizer']}: "
            "give --model.optimizer as it was."
        )
    return position
