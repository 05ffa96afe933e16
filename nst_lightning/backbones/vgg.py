"""VGG-16 and VGG-19 (Simonyan and Zisserman 2014), convolutions only."""

from abc import ABC
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones.blocks import Blocks
from nst_lightning.backbones.loading import draw, load, source
from nst_lightning.backbones.ops import winograd
from nst_lightning.backbones.ops.first_convolution import image_convolution
from nst_lightning.backbones.ops.frozen_layers import State, maxima, rectified_convolution
from nst_lightning.backbones.weights import TRANSFORMS, Flavor, InputTransform

WIDTHS = (64, 128, 256, 512, 512)

# crowsonkb/style-transfer-pytorch measured that averages over 2x2 values of these networks are about half the maxima.
AVERAGE_POOLING_SCALE = 2.0


class VGG(Blocks, ABC):
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
        super().__init__(pooling, checkpointing)
        self.weights = weights
        self.flavor = flavor
        self._padding_mode = "constant" if padding == "zeros" else padding
        self.seed = seed
        self.convolutions = nn.ModuleList()

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
