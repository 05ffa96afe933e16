"""Evaluation of an objective by CUDA graphs."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.training.evaluation.select import Evaluate
from nst_lightning.training.objective import Terms


def check_graph_device(device: torch.device) -> None:
    """Checks that a device can record graphs.

    Raises:
        InputError: the device is not a CUDA device.
    """
    if device.type != "cuda":
        raise InputError(
            f"Expected a CUDA device to record evaluations on, but the run is on {device.type}: "
            "leave model.cuda_graphs at false."
        )


def record_graph(evaluate: Evaluate, image: Tensor) -> Evaluate:
    """Records an evaluation and its gradient as two CUDA graphs, which replay without Python between operations.

    The graph fixes what the evaluation reads at its first call: targets, precision and the size of the image. The
    evaluation runs several times before it is recorded, so that tensors that are created once exist. The plain
    implementation is ``evaluate`` itself.

    Args:
        evaluate: must not wait for the device.
        image: the image to evaluate, on a CUDA device; requires a gradient.

    Returns:
        The same function; each call overwrites the result of the previous one.
    """
    names: list[tuple[str, str]] = []
    device = image.device.type
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)

    def compute_flat(replayed: Tensor) -> tuple[Tensor, ...]:
        # autocast would free its cached casts of weights before the graph is replayed.
        with torch.autocast(device, dtype, enabled, cache_enabled=False):
            terms = evaluate(replayed)
        names[:] = [(name, layer) for name, layers in terms.items() for layer in layers]
        return tuple(distance for layers in terms.values() for distance in layers.values())

    # As in a run without graphs, gradients are computed outside of autocast.
    with torch.autocast(device, enabled=False):
        replay: Callable[[Tensor], Iterable[Tensor]] = torch.cuda.make_graphed_callables(  # type: ignore[assignment]
            compute_flat, (image,), allow_unused_input=True
        )

    def evaluate_graph(replayed: Tensor) -> Terms:
        terms: Terms = {name: {} for name, _ in names}
        for (name, layer), distance in zip(names, replay(replayed), strict=True):
            terms[name][layer] = distance
        return terms

    return evaluate_graph
