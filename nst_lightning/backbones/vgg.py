"""VGG-16 and VGG-19 (Simonyan and Zisserman 2014) without their fully connected layers."""

import warnings
from abc import ABC
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones.blocks import BlockNetwork
from nst_lightning.backbones.loading import initialize_weights, load_weights, resolve_weights
from nst_lightning.backbones.ops import winograd
from nst_lightning.backbones.ops.first_convolution import first_convolution, plain_first_convolution
from nst_lightning.backbones.ops.frozen_layers import (
    InputState,
    max_pool,
    plain_rectified_convolution,
    rectified_convolution,
)
from nst_lightning.backbones.ops.periodic_convolution import periodic_convolution, plain_padded_convolution
from nst_lightning.backbones.weights import INPUT_TRANSFORMS, InputTransform, Preprocessing

# Output channels of the convolutions in each block.
WIDTHS = (64, 128, 256, 512, 512)

# crowsonkb/style-transfer-pytorch measured that averages of 2x2 values of these networks are about half the maxima.
AVERAGE_POOLING_SCALE = 2.0


class VGG(BlockNetwork, ABC):
    """A VGG network with layers before (``conv``) and after (``relu``) each ReLU.

    Layers are named by running number (``conv_3``, ``relu_3``) or by block (``conv2_1``, ``relu2_1``).

    Args:
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1), ``oxford`` (the original Caffe weights), ``random`` (He
            initialization from ``seed``), or the path of a ``.safetensors`` or ``.pth`` file with torchvision's names
            (``features.0.weight``), which may end after the deepest layer that is used. The first two are downloaded
            once, to torch.hub's folder.
        preprocessing: the input that a weights file given by its path was trained on: ``imagenet`` (RGB, mean and std
            of torchvision) or ``oxford`` (BGR, 0 to 255 minus the mean). Needed only if the file does not state it.
        pooling: ``max`` as the networks were trained, or ``avg`` as Gatys et al. recommend; averages are multiplied
            by 2, so that activations keep their scale.
        padding: what the first convolution reads beyond the image: ``zeros`` as the networks were trained, or
            ``replicate``, which avoids dark borders. All other convolutions pad with zeros.
        seed: seed of ``weights: random``.
        checkpointing: whether the backward pass computes each block (between two poolings) again instead of keeping
            its values: less memory, more time.
        flavor: deprecated spelling of ``preprocessing``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        weights: str = "imagenet",
        preprocessing: Preprocessing | None = None,
        pooling: Literal["max", "avg"] = "max",
        padding: Literal["zeros", "replicate"] = "zeros",
        seed: int = 0,
        checkpointing: bool = False,
        flavor: Preprocessing | None = None,
    ) -> None:
        super().__init__(pooling, checkpointing)
        if flavor is not None:
            warnings.warn(
                "`flavor` is now called `preprocessing`; the old name ends with the next version.", stacklevel=2
            )
        self.weights = weights
        self.preprocessing = preprocessing or flavor
        self._padding_mode = "constant" if padding == "zeros" else padding
        self.seed = seed
        self.convolutions = nn.ModuleList()

    def build(self, layers: Iterable[str]) -> None:
        """Builds the convolutions up to the deepest layer, unless they exist already; see :meth:`Backbone.build`."""
        deepest = max((self.position(layer)[0] for layer in layers), default=0)
        if 0 < deepest <= len(self.convolutions):
            return
        widths = self._widths()[:deepest]
        self.convolutions = nn.ModuleList(
            # The preprocessing pads the image, because this padding can replicate edges.
            nn.Conv2d(inputs, outputs, 3, padding=0 if number == 1 else 1)
            for number, (inputs, outputs) in enumerate(zip([3, *widths], widths, strict=False), 1)
        )
        self._fill()
        self.freeze()

    def derived_bytes(self, dtype: torch.dtype, device: torch.device) -> int:
        """See :meth:`Backbone.derived_bytes`."""
        kernels = [weight for _, weight in self.named_weights() if weight.dim() == 4]
        return sum(winograd.kernel_bytes(kernel) for kernel in kernels if winograd.is_supported(kernel, dtype, device))

    def width(self, layer: str) -> int:
        """Returns the number of channels that the network computes for a layer."""
        return self._widths()[self.position(layer)[0] - 1]

    def named_weights(self) -> list[tuple[str, nn.Parameter]]:
        """Returns weights and biases by torchvision's names, as far as the network is built."""
        return [
            (f"{name}.{part}", parameter)
            for name, convolution in self._named_convolutions().items()
            for part, parameter in convolution.named_parameters()
        ]

    def _widths(self) -> tuple[int, ...]:
        """Returns the number of output channels of each convolution."""
        return tuple(width for depth, width in zip(self.depths, WIDTHS, strict=True) for _ in range(depth))

    def _fill(self) -> None:
        """Sets the weights of the convolutions and the constants of the preprocessing."""
        path, preprocessing = resolve_weights(type(self).__name__, self.weights, self.preprocessing)
        transform = INPUT_TRANSFORMS[preprocessing]
        if path is None:
            initialize_weights(self._named_convolutions(), self.seed)
        else:
            self._load(path, transform)
        self._set_input_transform(transform)

    def _load(self, path: Path, transform: InputTransform) -> None:
        load_weights(self._named_convolutions(), path, transform, type(self).__name__)

    def _set_input_transform(self, transform: InputTransform) -> None:
        for name, values in (("mean", transform.mean), ("std", transform.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def _named_convolutions(self) -> dict[str, nn.Conv2d]:
        """Returns the convolutions by torchvision's names."""
        convolutions = [module for module in self.convolutions if isinstance(module, nn.Conv2d)]
        return {self._name_in_file(number): convolution for number, convolution in enumerate(convolutions, 1)}

    def _name_in_file(self, number: int) -> str:
        """Returns torchvision's name of a convolution, whose numbers count ReLUs and poolings too."""
        poolings = sum(start <= number for start in self.block_starts)
        return f"features.{2 * (number - 1) + poolings}"

    def preprocess(self, image: Tensor) -> Tensor:
        """See :meth:`BlockNetwork.preprocess`."""
        mode = self.edges or self._padding_mode
        return functional.pad((image - self.mean) / self.std, (1, 1, 1, 1), mode=mode)

    def convolve(self, value: Tensor, number: int, state: InputState) -> Tensor:
        """See :meth:`BlockNetwork.convolve`; selects the implementation of the convolution."""
        names = [f"convolutions.{number - 1}.{part}" for part in ("weight", "bias")]
        weight, bias = (self.cast(name, value.dtype) for name in names)
        is_trained = weight.requires_grad
        if number == 1:
            return (
                plain_first_convolution(value, weight, bias) if is_trained else first_convolution(value, weight, bias)
            )
        if self.edges is not None and (is_trained or self.edges == "replicate"):
            return plain_padded_convolution(value, weight, bias, self.edges)
        if is_trained:
            return plain_rectified_convolution(value, weight, bias)
        if winograd.is_faster(value, weight):
            kernels = winograd.Kernels(*(self.derive(names[0], make, make) for make in winograd.KERNEL_TRANSFORMS))
            return winograd.winograd_convolution(value, kernels, bias, state == "rectified", self.edges == "circular")
        if self.edges == "circular":
            return periodic_convolution(value, weight, bias, state == "rectified")
        return rectified_convolution(value, weight, bias, state)

    def rectify_and_pool(self, value: Tensor, may_overwrite: bool) -> Tensor:
        """See :meth:`BlockNetwork.rectify_and_pool`."""
        if self.pooling == "max":
            # The ReLU of the next convolution rectifies the maxima.
            return max_pool(value, may_overwrite)
        return functional.avg_pool2d(functional.relu(value), 2) * AVERAGE_POOLING_SCALE


class VGG16(VGG):
    """VGG-16: 13 convolutions, conv_1 to conv_13."""

    depths = (2, 2, 3, 3, 3)


class VGG19(VGG):
    """VGG-19, the network of Gatys et al.: 16 convolutions, conv_1 to conv_16."""

    depths = (2, 2, 4, 4, 4)
