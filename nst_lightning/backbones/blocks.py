"""Networks of convolutions in blocks with a pooling between two blocks."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones.base import Backbone, Padding, Trim, computing_dtype, disable_autocast
from nst_lightning.backbones.features import Features
from nst_lightning.backbones.ops.frozen_layers import InputState
from nst_lightning.errors import InputError

# Number of a convolution, from 1, and ``conv`` or ``relu``.
LayerPosition = tuple[int, str]


@dataclass
class Pass:
    """One pass of an image through a network.

    Attributes:
        value: what the last operation computed, ``(batch, channels, height, width)``.
        state: whether the next operation may overwrite it.
    """

    value: Tensor
    state: InputState = "free"


class BlockNetwork(Backbone, ABC):
    """A network that is named and evaluated block by block.

    Layers are the outputs before (``conv``) or after (``relu``) each ReLU and are named by running number (``conv_3``,
    ``relu_3``) or by block (``conv2_1``, ``relu2_1``).

    Args:
        pooling: ``max`` or ``avg``.
        checkpointing: whether the backward pass computes each block again instead of keeping its values.
    """

    # Number of convolutions in each block.
    depths: ClassVar[tuple[int, ...]]

    def __init__(self, pooling: Literal["max", "avg"], checkpointing: bool) -> None:
        super().__init__()
        self.pooling = pooling
        self.checkpointing = checkpointing
        # None for the padding that the network was trained with; see `with_padding`.
        self.edges: Padding | None = None
        convolutions = [(block, n) for block, depth in enumerate(self.depths, 1) for n in range(1, depth + 1)]
        self._positions: dict[str, LayerPosition] = {
            name: (number, kind)
            for number, (block, n) in enumerate(convolutions, 1)
            for kind in ("conv", "relu")
            for name in (f"{kind}_{number}", f"{kind}{block}_{n}")
        }

    @property
    def saves_memory(self) -> bool:
        """See :meth:`Backbone.saves_memory`."""
        return self.checkpointing

    @property
    def layer_names(self) -> tuple[str, ...]:
        """``conv_1``, ``conv1_1``, ``relu_1``, ``relu1_1``, ``conv_2``, ... to the last convolution."""
        return tuple(self._positions)

    @property
    def block_starts(self) -> tuple[int, ...]:
        """Numbers of the convolutions that follow a pooling."""
        return tuple(1 + sum(self.depths[:block]) for block in range(1, len(self.depths)))

    def position(self, layer: str) -> LayerPosition:
        """Returns the number of a layer's convolution, from 1, and ``conv`` or ``relu``.

        Raises:
            InputError: the network has no such layer.
        """
        if layer not in self._positions:
            raise InputError(
                f"Expected `layers` of {type(self).__name__} to be among conv_1 to conv_{sum(self.depths)} "
                f"(or conv1_1 to conv{len(self.depths)}_{self.depths[-1]}, and relu for conv), but got {layer!r}."
            )
        return self._positions[layer]

    def smallest_size(self, layers: Iterable[str]) -> int:
        """Returns a factor of two for each pooling before the deepest layer; see :meth:`Backbone.smallest_size`."""
        deepest = max((self.position(layer)[0] for layer in layers), default=1)
        return 1 << sum(start <= deepest for start in self.block_starts)

    def with_padding(self, padding: Padding) -> Self:
        """See :meth:`Backbone.with_padding`."""
        # Shallow: parameters and buffers stay shared, so that one network serves with several paddings.
        network = copy.copy(self)
        network.edges = padding
        return network

    def is_tile(self, length: int, layers: Iterable[str]) -> bool:
        """See :meth:`Backbone.is_tile`: no pooling may drop a row or column."""
        return length % self.smallest_size(layers) == 0

    def receptive_radius(self, layers: Iterable[str]) -> int:
        """See :meth:`Backbone.receptive_radius`."""
        return self.receptive_radii(layers)[1]

    def receptive_radii(self, layers: Iterable[str]) -> dict[int, int]:
        """See :meth:`Backbone.receptive_radii`: 3x3 convolutions read one position of their input further."""
        blocks = self.blocks({self.position(layer) for layer in layers})
        read = [len(numbers) * 2**block for block, numbers in enumerate(blocks)]
        return {2**block: sum(read[block:]) for block in range(len(blocks))}

    def forward(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Computes features by a loop that ends at the deepest layer; see :meth:`Backbone.forward`.

        Under autocast the network computes in autocast's data type, with weights that are cast once.
        """
        positions = {layer: self.position(layer) for layer in layers}
        values = dict(self.compute(image, set(positions.values())))
        return self.as_features({layer: values[position] for layer, position in positions.items()})

    def stream(self, image: Tensor, layers: Iterable[str], trim: Trim | None = None) -> Iterator[Features]:
        """Yields the features of one layer after another; see :meth:`Backbone.stream`."""
        names = self.names_by_position(layers)
        for position, value in self.compute(image, set(names), trim):
            yield self.as_features(dict.fromkeys(names[position], value))

    def compute(
        self, image: Tensor, positions: set[LayerPosition], trim: Trim | None = None
    ) -> Iterator[tuple[LayerPosition, Tensor]]:
        """Yields the value at each of some positions, in the order of the network; see :meth:`Backbone.stream`."""
        current, blocks = self.begin(image), self.blocks(positions)
        for block, numbers in enumerate(blocks, 1):
            for position in self.compute_block(current, numbers, positions):
                yield position, current.value
            if numbers is not blocks[-1]:
                self.pool(current)
                if trim is not None and (trimmed := trim(current.value, 2**block)) is not current.value:
                    # A view, which a ReLU in place must not overwrite.
                    current.value, current.state = trimmed, "shared"

    def begin(self, image: Tensor) -> Pass:
        """Begins a pass with the preprocessed image in the data type to compute in."""
        dtype = computing_dtype(image)
        with disable_autocast(image.device.type):
            return Pass(self.preprocess(image).to(dtype, memory_format=torch.channels_last))

    def blocks(self, positions: Iterable[LayerPosition]) -> list[range]:
        """Returns the numbers of the convolutions in each block, up to the deepest position."""
        deepest = max((number for number, _ in positions), default=0)
        ends = [start - 1 for start in self.block_starts if start <= deepest]
        return [range(first + 1, last + 1) for first, last in zip([0, *ends], [*ends, deepest], strict=True)]

    def compute_block(self, current: Pass, numbers: range, positions: set[LayerPosition]) -> Iterator[LayerPosition]:
        """Computes the convolutions of a block in ``current`` and pauses at each of the positions."""
        for number in numbers:
            with disable_autocast(current.value.device.type):
                current.value, current.state = self.convolve(current.value, number, current.state), "free"
            if (number, "conv") in positions:
                yield number, "conv"
                # The caller may keep the value for its gradient.
                current.state = "shared"
            if (number, "relu") in positions:
                current.value = functional.relu(current.value, inplace=current.state == "free")
                current.state = "rectified"
                yield number, "relu"

    def pool(self, current: Pass) -> None:
        """Applies the ReLU and the pooling that end a block."""
        # Only in a checkpointed block is the value unused elsewhere and its backward pass run exactly once.
        may_overwrite = current.state == "free" and self.checkpointing
        with disable_autocast(current.value.device.type):
            current.value, current.state = self.rectify_and_pool(current.value, may_overwrite), "free"

    def names_by_position(self, layers: Iterable[str]) -> dict[LayerPosition, list[str]]:
        """Returns the names under which each position is requested."""
        names: dict[LayerPosition, list[str]] = {}
        for layer in layers:
            names.setdefault(self.position(layer), []).append(layer)
        return names

    def as_features(self, values: Mapping[str, Tensor]) -> Features:
        """Returns what the network computed as features, with readouts where it has them."""
        return Features(values)

    @abstractmethod
    def preprocess(self, image: Tensor) -> Tensor:
        """Returns the image as the first convolution reads it: normalized and padded."""

    @abstractmethod
    def convolve(self, value: Tensor, number: int, state: InputState) -> Tensor:
        """Applies the ReLU before a convolution and the convolution."""

    @abstractmethod
    def rectify_and_pool(self, value: Tensor, may_overwrite: bool) -> Tensor:
        """Applies a ReLU and a pooling; the backward pass may overwrite the value."""
