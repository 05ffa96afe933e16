"""An evaluation that is recorded once and replayed."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from nst_lightning.errors import InputError

Name = TypeVar("Name", bound=Hashable)

Evaluation = Callable[[Tensor], dict[Name, Tensor]]
"""Makes scalars by name of an image, whose gradient they have."""


def check_graph_device(device: torch.device) -> None:
    """Says where there is no recording.

    Raises:
        InputError: the device is no GPU of CUDA's.
    """
    if device.type != "cuda":
        raise InputError(
            f"Expected a CUDA device to record evaluations on, but the run is on {device.type}: "
            "leave model.cuda_graphs at false."
        )


def record_graph(evaluate: Evaluation[Name], image: Tensor) -> Evaluation[Name]:
    """An evaluation and its gradient as two CUDA graphs, which a GPU replays without Python between its operations.

    What the evaluation is at its first call it stays: the targets, the precision, the size of the image. It is called
    several times before it is recorded, so that what is made once is made.

    Args:
        evaluate: nothing in it may wait for the device.
        image: that is to be evaluated, on a CUDA device; requires a gradient.

    Returns:
        The same to its caller; what it gave before is overwritten by each call.
    """
    names: list[Name] = []
    device = image.device.type
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)

    def values(given: Tensor) -> tuple[Tensor, ...]:
        # Weights that autocast had cast and kept would be gone when the graph is replayed.
        with torch.autocast(device, dtype, enabled, cache_enabled=False):
            found = evaluate(given)
        names[:] = found
        return tuple(found.values())

    # Gradients are taken outside of autocast, as they are in a run that is not recorded.
    with torch.autocast(device, enabled=False):
        replay: Callable[[Tensor], Iterable[Tensor]] = torch.cuda.make_graphed_callables(  # type: ignore[assignment]
            values, (image,), allow_unused_input=True
        )
    return lambda given: dict(zip(names, replay(given), strict=True))
