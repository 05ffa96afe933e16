"""Networks of convolutions in blocks, with a pooling between each two of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.base import Backbone, Measure, autocast_region, computing_dtype, without_autocast
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.ops.checkpointing import Found, again
from nst_lightning.backbones.ops.frozen_layers import State, seen_maxima
from nst_lightning.errors import InputError

LayerPosition = tuple[int, str]
"""Number of a convolution, from 1, and ``conv`` or ``relu``."""


class Blocks(Backbone, ABC):
    """A network that is named and evaluated block by block.

    Layers are taken before (``conv``) or after (``relu``) each rectifier, and named by running number (``conv_3``,
    ``relu_3``) or by block (``conv2_1``, ``relu2_1``).

    Args:
        pooling: ``max`` or ``avg``.
        checkpointing: whether to compute each block again for the gradient instead of keeping what it computed.
    """

    depths: ClassVar[tuple[int, ...]]
    """Convolutions in each block."""

    def __init__(self, pooling: Literal["max", "avg"], checkpointing: bool) -> None:
        super().__init__()
        self.pooling = pooling
        self.checkpointing = checkpointing
        self._positions = {name: position for position, names in self._names().items() for name in names}

    @property
    def saves_memory(self) -> bool:
        """See :meth:`Backbone.is_sparing`."""
        return self.checkpointing

    @property
    def layer_names(self) -> tuple[str, ...]:
        """``conv_1``, ``conv1_1``, ``relu_1``, ``relu1_1``, ``conv_2``, ... to the last convolution."""
        return tuple(self._positions)

    @property
    def block_starts(self) -> tuple[int, ...]:
        """Numbers of the convolutions that follow a pooling."""
        return tuple(1 + sum(self.depths[:block]) for block in range(1, len(self.depths)))

    @classmethod
    def _names(cls) -> dict[LayerPosition, tuple[str, str]]:
        blocks = [(block, n) for block, depth in enumerate(cls.depths, 1) for n in range(1, depth + 1)]
        return {
            (number, kind): (f"{kind}_{number}", f"{kind}{block}_{n}")
            for number, (block, n) in enumerate(blocks, 1)
            for kind in ("conv", "relu")
        }

    def position(self, layer: str) -> LayerPosition:
        """Number of a layer's convolution, from 1, and ``conv`` or ``relu``.

        Raises:
            InputError: this network has no such layer.
        """
        if layer not in self._positions:
            last = len(self._positions) // 4
            raise InputError(
                f"Expected `layers` of {type(self).__name__} to be among conv_1 to conv_{last} "
                f"(or conv1_1 to conv{len(self.depths)}_{self.depths[-1]}, and relu for conv), but got {layer!r}."
            )
        return self._positions[layer]

    def smallest_size(self, layers: Iterable[str]) -> int:
        """A factor of two for each pooling before the deepest of ``layers``."""
        deepest = max((self.position(layer)[0] for layer in layers), default=1)
        return 1 << sum(start <= deepest for start in self.block_starts)

    def forward(self, image: Tensor, layers: Iterable[str]) -> Mapping[str, Tensor]:
        """Features by a plain loop that ends at the deepest of ``layers``; see :meth:`Backbone.forward`.

        Under autocast the network computes in autocast's precision, with weights that were cast once.
        """
        positions = {layer: self.position(layer) for layer in layers}
        taken = self._run(image, set(positions.values()), lambda position, value: {position: value})
        return self._features({layer: taken[position] for layer, position in positions.items()})

    def gather(self, image: Tensor, layers: Iterable[str], measure: Measure) -> Found:
        """See :meth:`Backbone.gather`; of one layer after the other, as soon as it is there.

        So the gradients of what is measured are taken as late as they are needed, and not held all at once.
        """
        names: dict[LayerPosition, list[str]] = {}
        for layer in layers:
            names.setdefault(self.position(layer), []).append(layer)
        autocast = autocast_region(image.device.type)

        def measured(position: LayerPosition, value: Tensor) -> Found:
            with autocast():
                return measure(self._features(dict.fromkeys(names[position], value)))

        return self._run(image, set(names), measured)

    def _features(self, values: Mapping[str, Tensor]) -> Features:
        """What the network computed, as features."""
        return Features(values)

    def _run(self, image: Tensor, wanted: set[LayerPosition], take: Callable[[LayerPosition, Tensor], Found]) -> Found:
        """Computes block by block, and hands over the values that are wanted."""
        deepest = max((number for number, _ in wanted), default=0)
        dtype, ends = computing_dtype(image), [start - 1 for start in self.block_starts if start <= deepest]
        found: Found = {}
        with without_autocast(image.device.type):
            value: Tensor | None = self._seen(image).to(dtype, memory_format=torch.channels_last)
            for first, last in zip([0, *ends], [*ends, deepest], strict=True):
                assert value is not None
                block = partial(self._block, range(first + 1, last + 1), last < deepest, wanted, take)
                value, more = again(block, value) if self._twice(value) else block(value)
                found |= more
        return found

    def _twice(self, value: Tensor) -> bool:
        """Whether a block is to be computed again for the gradient; while the network is trained it is not."""
        if not self.checkpointing or not torch.is_grad_enabled() or not value.requires_grad:
            return False
        return not any(parameter.requires_grad for parameter in self.parameters())

    def _seen_once(self, value: Tensor, number: int, wanted: set[LayerPosition]) -> bool:
        """Whether memory is to be saved where the last value of a block is looked at before it is pooled."""
        alone = (number, "conv") in wanted and (number, "relu") not in wanted
        return alone and self.checkpointing and value.requires_grad and self.pooling == "max"

    def _block(
        self,
        numbers: range,
        pool: bool,
        wanted: set[LayerPosition],
        take: Callable[[LayerPosition, Tensor], Found],
        value: Tensor,
    ) -> tuple[Tensor | None, Found]:
        found: Found = {}
        # What comes from a pooling belongs to nobody else.
        state: State = "spare"
        for number in numbers:
            value, state = self._convolve(value, number, state), "spare"
            if pool and number == numbers[-1] and self._seen_once(value, number, wanted):
                pooled, more = seen_maxima(value, partial(take, (number, "conv")))
                return pooled, found | more
            if (number, "conv") in wanted:
                found |= take((number, "conv"), value)
                state = "wanted"
            if (number, "relu") in wanted:
                value, state = functional.relu(value, inplace=state == "spare"), "rectified"
                found |= take((number, "relu"), value)
        return (self._pool(value, state == "spare" and self.checkpointing) if pool else None), found

    @abstractmethod
    def _seen(self, image: Tensor) -> Tensor:
        """The image as the first convolution sees it, with its border."""

    @abstractmethod
    def _convolve(self, value: Tensor, number: int, state: State) -> Tensor:
        """Rectifies and convolves what comes before a convolution."""

    @abstractmethod
    def _pool(self, value: Tensor, spare: bool) -> Tensor:
        """Rectifies and pools the last value of a block, in its place if nobody else wants it."""
