"""Estimates the memory that a run needs before it starts."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.optim import Optimizer

from nst_lightning.backbones.image_tiles import TileGrid
from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import TooLargeError
from nst_lightning.losses.base import total
from nst_lightning.optim import CompactLBFGS
from nst_lightning.system.memory import free_bytes, is_plenty, keep_freed_memory, return_freed_memory
from nst_lightning.system.precision import DTYPES, Precision, is_emulated
from nst_lightning.training.module import StyleTransfer
from nst_lightning.training.tile_choice import TILE_SIZES, find_whole_term, is_local

CPU = torch.device("cpu")

# Pictures with a shorter long edge in px are assumed to fit.
SMALLEST_ESTIMATED_SIZE = 512

# Long edge in px of the smaller of the two evaluations, so that a size that does not fit is refused within seconds.
LARGEST_PROBE = 128

# Number of temporary maps of a step, each as large as the largest stored one: gradients and rectified values.
TEMPORARY_MAPS = 2

# Bytes that do not depend on the picture: weights in another precision, buffers of libraries.
CONSTANT_BYTES = 128 * 2**20

# Bytes of a process that has imported the libraries and built a run. The code of the libraries is shared with the
# process that has started it, and does not count.
BASE_BYTES = 455 * 2**20

# Further tensors of the image's size if it is evaluated in tiles: the content, and the gradient of the tiles.
TILED_COPIES = 2

# Tensors of the image's size in addition to the optimizer's state: gradient, direction, input of the network.
IMAGE_COPIES = 4


def configure_memory(
    module: StyleTransfer,
    data: TransferData,
    precision: Precision,
    device: torch.device,
    owns_process: bool = True,
    stored_tile: int | None = None,
    processes: "ProcessCount | None" = None,
) -> "MemoryChoice":
    """Checks that a run fits, chooses its tiles, and configures whether the process keeps freed memory.

    Args:
        module: the module, on the CPU; its targets change.
        data: the data module, after its setup.
        precision: precision of the network.
        device: device to paint on.
        owns_process: whether memory allocation may be configured for the whole process.
        stored_tile: tiles of the checkpoint that the run resumes from.
        processes: the processes of a run on several devices.

    Returns:
        What was chosen.

    Raises:
        TooLargeError: the run needs more memory than is free.
    """
    free = free_bytes(device)
    estimate = MemoryEstimate(module, data, precision, device, processes or ProcessCount())
    needed, message = choose_tile(estimate, module, data, free, stored_tile)
    check_memory(needed, free, precision)
    keeps_freed = is_plenty(needed, free) and not module.objective.backbone.saves_memory
    if owns_process:
        set_allocation(keeps_freed)
    return MemoryChoice(module.tile_of(data), keeps_freed, message)


def set_allocation(keeps_freed: bool) -> None:
    """Makes this process keep or return the memory of freed tensors."""
    if keeps_freed:
        keep_freed_memory()
    else:
        return_freed_memory()


def choose_tile(
    estimate: "MemoryEstimate", module: StyleTransfer, data: TransferData, free: int | None, stored_tile: int | None
) -> tuple[int, str | None]:
    """Chooses the tiles of a run whose plan says ``auto``: none if the image fits, else the largest ones that fit.

    Args:
        estimate: the memory of the run.
        module: its module, whose tiles are set.
        data: its data.
        free: free bytes, or None if unknown.
        stored_tile: tiles of the checkpoint that the run resumes from.

    Returns:
        The bytes that the run needs, and a sentence for the user, or None.
    """
    if data.plan.tile != "auto" or stored_tile is not None:
        module.chosen_tile = stored_tile
        return estimate.bytes(module.tile_of(data)), None
    module.chosen_tile = None
    whole = estimate.bytes(None)
    if free is None or whole <= free or find_whole_term(module.objective) is not None or module.cuda_graphs:
        return whole, None
    longest = max(max(data.shape(stage)) for stage in data.stages)
    for tile in (size for size in TILE_SIZES if size < longest):
        if estimate.bytes(tile) <= free:
            module.chosen_tile = tile
            message = (
                f"The picture needs about {whole / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: painting in tiles of "
                f"{tile} px."
            )
            return estimate.bytes(tile), message
    return whole, None


def check_memory(needed: int, free: int | None, precision: Precision = "32-true") -> None:
    """Checks that a run fits.

    Raises:
        TooLargeError: the run needs more memory than is free.
    """
    if free is not None and needed > free:
        bfloat16 = (
            "" if precision == "bf16-mixed" or is_emulated("bf16-mixed", "auto") else "--trainer.precision bf16-mixed, "
        )
        raise TooLargeError(
            f"Expected the picture to fit into memory, but it needs about {needed / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free: lower data.plan.size, use shallower layers, "
            f"{bfloat16}--model.backbone.checkpointing true, "
            "or an optimizer with less memory (L-BFGS with a smaller history_size or history_dtype bfloat16, or Adam)."
        )


def estimate_bytes(
    module: StyleTransfer, data: TransferData, precision: Precision, items: int = 1, device: torch.device = CPU
) -> int:
    """Estimates the bytes of the largest stage of a run beyond those in use, from two small evaluations.

    The bytes that a step keeps for its gradient grow with the number of pixels, so they are extrapolated from an eighth
    and a quarter of the size, or from 128 and 256 px if these are smaller. The estimate is 0 for a picture that is
    small, or too narrow for such an evaluation.

    Args:
        module: the module, on the CPU; its targets change.
        data: the data module, after its setup.
        precision: precision of the network.
        items: number of such runs that are painted as one batch.
        device: device to paint on.
    """
    return MemoryEstimate(module, data, precision, device).bytes(None, items)


@dataclass(frozen=True)
class MemoryChoice:
    """How a run uses memory; all processes of a machine do the same.

    Attributes:
        tile: length in px of the tiles, or None if images are evaluated whole.
        keeps_freed: whether its processes keep the memory of freed tensors.
        message: a sentence for the user if tiles were chosen, or None.
    """

    tile: int | None
    keeps_freed: bool
    message: str | None = None


@dataclass(frozen=True)
class ProcessCount:
    """The processes of a run on several devices.

    Attributes:
        total: all of them, which share the tiles.
        sharing: those that share the memory of this process.
    """

    total: int = 1
    sharing: int = 1


class MemoryEstimate:
    """The bytes of the largest stage of a run, with and without tiles; see :func:`estimate_bytes`.

    Args:
        module: the module, on the CPU; its targets change.
        data: the data module, after its setup.
        precision: precision of the network.
        device: device to paint on.
        processes: the processes of the run.
    """

    def __init__(
        self,
        module: StyleTransfer,
        data: TransferData,
        precision: Precision,
        device: torch.device,
        processes: ProcessCount | None = None,
    ) -> None:
        self.module, self.data, self.precision, self.device = module, data, precision, device
        self.processes = processes or ProcessCount()
        self.largest = max(data.stages, key=lambda stage: stage.size)
        self.shape = data.shape(self.largest)
        self.probes = [
            Stage(self.largest.frame, min(self.largest.size // (8 // n), LARGEST_PROBE * n), 1) for n in (1, 2)
        ]

    @cached_property
    def bytes_per_pixel(self) -> float:
        """Bytes that an evaluation keeps for its gradient, for each pixel."""
        # A line through two points: bytes that do not depend on the size cancel out.
        first, second = (math.prod(self.data.shape(stage)) for stage in self.probes)
        kept = [_measure_kept_bytes(self.module, self.data, stage, self.precision) for stage in self.probes]
        return (kept[1] - kept[0]) / (second - first)

    @cached_property
    def target_bytes_per_pixel(self) -> float:
        """Bytes of the targets of losses that compare positions, for each pixel of the content."""
        stage = self.probes[0]
        self.module.set_targets(self.data.pictures(stage))
        losses = self.module.objective.named_losses.values()
        kept = (value for loss in losses if is_local(loss) for value in loss.buffers())
        return sum(value.nbytes for value in kept) / math.prod(self.data.shape(stage))

    def bytes(self, tile: int | None, items: int = 1) -> int:
        """Returns the bytes beyond those in use, or 0 for a picture that is small or too narrow to estimate.

        Args:
            tile: length of a tile in px, or None for the whole image.
            items: number of such runs that are painted as one batch.
        """
        module, largest = self.module, self.largest
        small = items * largest.size**2 < SMALLEST_ESTIMATED_SIZE**2
        if small or _is_too_narrow(module, self.data, self.probes[0]):
            return 0
        image = torch.empty(1, 3, *self.shape, device="meta", requires_grad=True)
        weights = module.objective.backbone.derived_bytes(DTYPES[self.precision], self.device)
        state = optimizer_bytes(module.optimizer([image]), image, largest.steps)
        if tile is None and self.processes.total == 1:
            return items * (int(self.bytes_per_pixel * math.prod(self.shape)) + state) + weights + CONSTANT_BYTES
        step, radii = module.objective.smallest_size, module.objective.receptive_radii or {1: 0}
        size = tile or max(self.shape)
        grid = TileGrid(*self.shape, size, step, radii, self.processes.total, module.objective.reach)
        grid = grid.exchanged() or grid
        copies = TILED_COPIES * image.numel() * image.element_size()
        copies += min(module.objective.tile_targets.max_bytes, int(self.target_bytes_per_pixel * math.prod(self.shape)))
        needed = int(self.bytes_per_pixel * grid.largest_crop) + state + copies + weights + CONSTANT_BYTES
        # What a process needs without an image counts too if it is not this one.
        return needed if self.processes.sharing == 1 else self.processes.sharing * (needed + BASE_BYTES)


def _is_too_narrow(module: StyleTransfer, data: TransferData, stage: Stage) -> bool:
    pictures = data.pictures(stage)
    references = [*pictures.styles, *([] if pictures.content is None else [pictures.content])]
    return min(min(picture.shape[-2:]) for picture in references) < module.objective.smallest_size


def _measure_kept_bytes(module: StyleTransfer, data: TransferData, stage: Stage, precision: Precision) -> int:
    """Measures the most bytes that an evaluation and its gradient hold at a time."""
    counter = _SavedTensors()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16-mixed"):
        module.set_targets(data.pictures(stage))
        image = torch.full((1, 3, *data.shape(stage)), 0.5, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(counter.keep, lambda kept: kept.value):
            torch.autograd.grad(total(module.criterion(image)), image)
    return counter.most + TEMPORARY_MAPS * counter.largest


class _SavedTensors:
    """Counts the bytes of tensors that are saved for a gradient, each storage once.

    Kernels of convolutions do not count: they exist before and do not depend on the picture.
    """

    def __init__(self) -> None:
        self.most = self.largest = self._now = 0
        self._uses: Counter[int] = Counter()

    def keep(self, value: Tensor) -> "_SavedTensor":
        """Counts a tensor that is saved."""
        storage = value.untyped_storage()
        # Feature maps and images, not the 3x3 kernels.
        if value.dim() == 4 and value.shape[-1] > 3:
            self.largest = max(self.largest, value.nbytes)
        if not self._uses[storage.data_ptr()]:
            self._now += _storage_bytes(value)
            self.most = max(self.most, self._now)
        self._uses[storage.data_ptr()] += 1
        return _SavedTensor(self, value)

    def release(self, value: Tensor) -> None:
        """Counts a tensor that is no longer saved."""
        storage = value.untyped_storage()
        self._uses[storage.data_ptr()] -= 1
        if not self._uses[storage.data_ptr()]:
            self._now -= _storage_bytes(value)


def _storage_bytes(value: Tensor) -> int:
    is_kernel = value.dim() == 4 and value.shape[-2:] == (3, 3)
    return 0 if is_kernel else value.untyped_storage().nbytes()


class _SavedTensor:
    """A tensor for as long as it is saved."""

    def __init__(self, counter: _SavedTensors, value: Tensor) -> None:
        self.counter, self.value = counter, value

    def __del__(self) -> None:
        self.counter.release(self.value)


def optimizer_bytes(optimizer: Optimizer, image: Tensor, steps: int) -> int:
    """Estimates the bytes of an optimizer's state and of a step's own copies of the image."""
    group = optimizer.param_groups[0]
    # L-BFGS stores two tensors per pair, Adam two moments. CompactLBFGS allocates all pairs at its first step.
    pairs = group.get("history_size", 0)
    kept = 2 * (pairs if isinstance(optimizer, CompactLBFGS) else min(pairs, steps)) or 2
    size = 2 if group.get("history_dtype") == "bfloat16" else image.element_size()
    return (kept * size + IMAGE_COPIES * image.element_size()) * image.numel()
