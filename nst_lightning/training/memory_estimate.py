"""Whether a run fits into memory, asked before it starts."""

from collections import Counter

import torch
from torch import Tensor
from torch.optim import Optimizer

from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import TooLargeError
from nst_lightning.losses.base import total
from nst_lightning.system.memory import free_bytes, is_plenty, keep_freed_memory, return_freed_memory
from nst_lightning.system.precision import DTYPES, Precision, is_emulated
from nst_lightning.training.module import StyleTransfer

CPU = torch.device("cpu")

SMALLEST_ASKED = 512
"""Long edge in px below which a picture is taken to fit."""

IN_PASSING = 2
"""How many values as large as the largest that is kept a step makes besides: gradients and rectified values."""

BESIDES = 256 * 2**20
"""Bytes that do not grow with the picture: weights in another precision, what the libraries set up for its size."""

STATES = 4
"""Tensors of the image's size besides those that an optimizer keeps: gradient, direction, what the network sees."""


def configure_memory(module: StyleTransfer, data: TransferData, precision: Precision, device: torch.device) -> None:
    """Decides before a run of this process's own how it goes about memory, if it fits at all.

    Args:
        module: the run's, on the CPU; its targets are others afterwards.
        data: the run's, set up.
        precision: of the network.
        device: to paint on.

    Raises:
        TooLargeError: it needs more than is free.
    """
    needed, free = estimate_bytes(module, data, precision, device=device), free_bytes(device)
    check_memory(needed, free)
    if is_plenty(needed, free) and not module.objective.backbone.saves_memory:
        keep_freed_memory()
    else:
        return_freed_memory()


def check_memory(needed: int, free: int | None) -> None:
    """Says before it starts that a run will not fit.

    Raises:
        TooLargeError: it needs more than is free.
    """
    if free is not None and needed > free:
        bfloat16 = "" if is_emulated("bf16-mixed", "auto") else "--trainer.precision bf16-mixed, "
        raise TooLargeError(
            f"Expected the picture to fit into memory, but it needs about {needed / 1e9:.1f} GB of which "
            f"{free / 1e9:.1f} GB are free: lower data.plan.size, use shallower layers, "
            f"{bfloat16}--model.backbone.checkpointing true, "
            "or an optimizer with less memory (L-BFGS with a smaller history_size, or Adam)."
        )


def estimate_bytes(
    module: StyleTransfer, data: TransferData, precision: Precision, items: int = 1, device: torch.device = CPU
) -> int:
    """About how many bytes the largest stage of a run takes above what is held before, from two small evaluations.

    What a step keeps for its gradient grows with the pixels from an eighth of the size to a quarter as it does further
    on. 0 where the picture is small, or too narrow for such an evaluation.

    Args:
        module: the run's, on the CPU; its targets are others afterwards.
        data: the run's, set up.
        precision: of the network.
        items: how many such runs are painted side by side.
        device: to paint on.
    """
    largest = max(data.stages, key=lambda stage: stage.size)
    probes = [Stage(largest.frame, largest.size // part, 1) for part in (8, 4)]
    if items * largest.size**2 < SMALLEST_ASKED**2 or _too_narrow(module, data, probes[0]):
        return 0
    pixels = [height * width for height, width in (data.shape(stage) for stage in (*probes, largest))]
    kept = [_kept_bytes(module, data, stage, precision) for stage in probes]
    graph = (kept[1] - kept[0]) / (pixels[1] - pixels[0]) * pixels[2]
    image = torch.empty(1, 3, *data.shape(largest), device="meta", requires_grad=True)
    derived = module.objective.backbone.derived_bytes(DTYPES[precision], device)
    return items * (int(graph) + optimizer_bytes(module.optimizer([image]), image, largest.steps)) + derived + BESIDES


def _too_narrow(module: StyleTransfer, data: TransferData, stage: Stage) -> bool:
    pictures = data.pictures(stage)
    given = [*pictures.styles, *([] if pictures.content is None else [pictures.content])]
    return min(min(picture.shape[-2:]) for picture in given) < module.objective.smallest_size


def _kept_bytes(module: StyleTransfer, data: TransferData, stage: Stage, precision: Precision) -> int:
    """Bytes that an evaluation and its gradient hold at most: what is kept for the gradient, and made in passing."""
    held = _Held()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16-mixed"):
        module.set_targets(data.pictures(stage))
        image = torch.full((1, 3, *data.shape(stage)), 0.5, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(held.keep, lambda kept: kept.value):
            torch.autograd.grad(total(module.criterion(image)), image)
    return held.most + IN_PASSING * held.largest


class _Held:
    """Bytes of tensors that are kept for a gradient, each storage once.

    Weights of convolutions are passed over: they are held before, and no matter of pixels.
    """

    def __init__(self) -> None:
        self.most = self.largest = self._now = 0
        self._uses: Counter[int] = Counter()

    def keep(self, value: Tensor) -> "_Kept":
        """Notes a tensor; one that lies in the layout of a map counts for the largest."""
        storage = value.untyped_storage()
        if value.dim() == 4 and value.shape[-1] > 3:
            self.largest = max(self.largest, value.nbytes)
        if not self._uses[storage.data_ptr()]:
            self._now += _bytes(value)
            self.most = max(self.most, self._now)
        self._uses[storage.data_ptr()] += 1
        return _Kept(self, value)

    def release(self, value: Tensor) -> None:
        """Notes that a tensor is not kept any more."""
        storage = value.untyped_storage()
        self._uses[storage.data_ptr()] -= 1
        if not self._uses[storage.data_ptr()]:
            self._now -= _bytes(value)


def _bytes(value: Tensor) -> int:
    return 0 if value.dim() == 4 and value.shape[-2:] == (3, 3) else value.untyped_storage().nbytes()


class _Kept:
    """A tensor for as long as it is kept."""

    def __init__(self, held: _Held, value: Tensor) -> None:
        self.held, self.value = held, value

    def __del__(self) -> None:
        self.held.release(self.value)


def optimizer_bytes(optimizer: Optimizer, image: Tensor, steps: int) -> int:
    """Bytes of an optimizer's state and of a step's own copies of the image."""
    group = optimizer.param_groups[0]
    kept = 2 * min(group["history_size"], steps) if "history_size" in group else 2
    return (kept + STATES) * image.numel() * image.element_size()
