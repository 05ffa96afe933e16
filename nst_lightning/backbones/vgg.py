"""VGG-16 and VGG-19 (Simonyan and Zisserman 2014), convolutions only."""

from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones import winograd
from nst_lightning.backbones.again import Found, again
from nst_lightning.backbones.base import Backbone, Measure, autocast_region, computing_dtype, without_autocast
from nst_lightning.backbones.entrance import image_convolution
from nst_lightning.backbones.frozen import State, maxima, rectified_convolution, seen_maxima
from nst_lightning.backbones.loading import draw, load, source
from nst_lightning.backbones.weights import TRANSFORMS, Flavor, InputTransform
from nst_lightning.errors import InputError
from nst_lightning.features import Features

Position = tuple[int, str]
"""Number of a convolution, from 1, and ``conv`` or ``relu``."""

WIDTHS = (64, 128, 256, 512, 512)

# crowsonkb/style-transfer-pytorch measured that averages over 2x2 values of these networks are about half the maxima.
AVERAGE_POOLING_SCALE = 2.0


class VGG(Backbone, ABC):
    """A VGG network whose layers are taken before (``conv``) or after (``relu``) each rectifier.

    Layers are named by running number (``conv_3``, ``relu_3``) or by block (``conv2_1``, ``relu2_1``).

    Args:
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1), ``oxford`` (the original Caffe weights), ``random`` (He
            initialization from ``seed``), or the path of a ``.safetensors`` or ``.pth`` file with torchvision's names
            (``features.0.weight``), which may end after the deepest layer that is used. The first two are downloaded
            once, to torch.hub's folder.
        flavor: what a file given by its path was trained on: ``imagenet`` (RGB, mean and std of torchvision) or
            ``oxford`` (BGR, 0..255 minus the mean). Needed only where the file does not say it itself.
        pooling: ``max`` as the networks were trained, or ``avg`` as Gatys et al. recommend; averages are multiplied
            by 2 so that activations keep their scale.
        padding: how the first convolution sees beyond the image: ``zeros`` as the networks were trained, or
            ``replicate``, which avoids dark borders. All other convolutions pad with zeros.
        seed: of ``weights: random``.
        checkpointing: whether to compute each block (between two poolings) again for the gradient instead of keeping
            what it computed: less memory, more time.
    """

    depths: ClassVar[tuple[int, ...]]
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        weights: str = "imagenet",
        flavor: Flavor | None = None,
        pooling: Literal["max", "avg"] = "max",
        padding: Literal["zeros", "replicate"] = "zeros",
        seed: int = 0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.weights = weights
        self.flavor = flavor
        self.pooling = pooling
        self._padding_mode = "constant" if padding == "zeros" else padding
        self.seed = seed
        self.convolutions = nn.ModuleList()
        self._positions = {name: position for position, names in self._names().items() for name in names}

    @property
    def layer_names(self) -> tuple[str, ...]:
        """``conv_1``, ``conv1_1``, ``relu_1``, ``relu1_1``, ``conv_2``, ... to the last convolution."""
        return tuple(self._positions)

    @property
    def block_starts(self) -> tuple[int, ...]:
        """Numbers of the convolutions that follow a pooling."""
        return tuple(1 + sum(self.depths[:block]) for block in range(1, len(self.depths)))

    @classmethod
    def _names(cls) -> dict[tuple[int, str], tuple[str, str]]:
        blocks = [(block, n) for block, depth in enumerate(cls.depths, 1) for n in range(1, depth + 1)]
        return {
            (number, kind): (f"{kind}_{number}", f"{kind}{block}_{n}")
            for number, (block, n) in enumerate(blocks, 1)
            for kind in ("conv", "relu")
        }

    def position(self, layer: str) -> tuple[int, str]:
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

    def build(self, layers: Iterable[str]) -> None:
        """Makes the convolutions up to the deepest of ``layers``, unless there are as many already."""
        deepest = max((self.position(layer)[0] for layer in layers), default=0)
        if 0 < deepest <= len(self.convolutions):
            return
        widths = self._widths()[:deepest]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=0 if number == 1 else 1)
            for number, (inputs, outputs) in enumerate(zip([3, *widths], widths, strict=False), 1)
        )
        self._fill()
        self.freeze()

    def derived_bytes(self, dtype: torch.dtype, device: torch.device) -> int:
        """See :meth:`Backbone.derived_bytes`."""
        weights = [weight for _, weight in self.named_weights() if weight.dim() == 4]
        return sum(winograd.kernel_bytes(weight) for weight in weights if winograd.serves(weight, dtype, device))

    def width(self, layer: str) -> int:
        """Channels of a layer."""
        return self._widths()[self.position(layer)[0] - 1]

    def named_weights(self) -> list[tuple[str, nn.Parameter]]:
        """Weights and biases by torchvision's names, as far as the network is built."""
        return [
            (f"{name}.{part}", parameter)
            for name, convolution in self._by_name().items()
            for part, parameter in convolution.named_parameters()
        ]

    def _widths(self) -> tuple[int, ...]:
        """Channels of each convolution."""
        return tuple(width for depth, width in zip(self.depths, WIDTHS, strict=True) for _ in range(depth))

    def _fill(self) -> None:
        path, flavor = source(type(self).__name__, self.weights, self.flavor)
        if path is None:
            draw(self._by_name(), self.seed)
        else:
            self._load(path, TRANSFORMS[flavor])
        self._see_through(TRANSFORMS[flavor])

    def _load(self, path: Path, transform: InputTransform) -> None:
        load(self._by_name(), path, transform, type(self).__name__)

    def _see_through(self, transform: InputTransform) -> None:
        for name, values in (("mean", transform.mean), ("std", transform.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def _by_name(self) -> dict[str, nn.Conv2d]:
        """The convolutions by torchvision's names."""
        found = [module for module in self.convolutions if isinstance(module, nn.Conv2d)]
        return {self._name_in_file(number): convolution for number, convolution in enumerate(found, 1)}

    def _name_in_file(self, number: int) -> str:
        """Torchvision's name of a convolution, whose numbers count rectifiers and poolings too."""
        poolings = sum(start <= number for start in self.block_starts)
        return f"features.{2 * (number - 1) + poolings}"

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
        names: dict[Position, list[str]] = {}
        for layer in layers:
            names.setdefault(self.position(layer), []).append(layer)
        autocast = autocast_region(image.device.type)

        def measured(position: Position, value: Tensor) -> Found:
            with autocast():
                return measure(self._features(dict.fromkeys(names[position], value)))

        return self._run(image, set(names), measured)

    def _features(self, values: Mapping[str, Tensor]) -> Features:
        """What the network computed, as features."""
        return Features(values)

    def _run(self, image: Tensor, wanted: set[Position], take: Callable[[Position, Tensor], Found]) -> Found:
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

    def _seen_once(self, value: Tensor, number: int, wanted: set[Position]) -> bool:
        """Whether memory is to be saved where the last value of a block is looked at before it is pooled."""
        alone = (number, "conv") in wanted and (number, "relu") not in wanted
        return alone and self.checkpointing and value.requires_grad and self.pooling == "max"

    def _block(
        self,
        numbers: range,
        pool: bool,
        wanted: set[Position],
        take: Callable[[Position, Tensor], Found],
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

    def _seen(self, image: Tensor) -> Tensor:
        """The image as the first convolution sees it, with its border."""
        return functional.pad((image - self.mean) / self.std, (1, 1, 1, 1), mode=self._padding_mode)

    def _convolve(self, value: Tensor, number: int, state: State) -> Tensor:
        """Rectifies and convolves what comes before a convolution."""
        names = [f"convolutions.{number - 1}.{part}" for part in ("weight", "bias")]
        weight, bias = (self.cast(name, value.dtype) for name in names)
        if weight.requires_grad:
            seen = value if number == 1 else functional.relu(value)
            return functional.conv2d(seen, weight, bias, padding=int(number > 1))
        if number == 1:
            return image_convolution(value, weight, bias)
        if winograd.pays(value, weight):
            kernels = winograd.Kernels(*(self.derived(names[0], make, make) for make in winograd.MAKERS))
            return winograd.rectified_convolution(value, kernels, bias, state == "rectified")
        return rectified_convolution(value, weight, bias, state)

    def _pool(self, value: Tensor, spare: bool) -> Tensor:
        if self.pooling == "max":
            return maxima(value, spare)
        return functional.avg_pool2d(functional.relu(value), 2) * AVERAGE_POOLING_SCALE


class VGG16(VGG):
    """VGG-16: 13 convolutions, conv_1 to conv_13."""

    depths = (2, 2, 3, 3, 3)


class VGG19(VGG):
    """VGG-19, the network of Gatys et al.: 16 convolutions, conv_1 to conv_16."""

    depths = (2, 2, 4, 4, 4)
