"""SlimVGG19, a thin VGG-19 that is part of the package.

How close it is to VGG-19, how it was trained, and a comparison of widths: see the model card in the README of this
folder.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.backbones.vgg import VGG, WIDTHS
from nst_lightning.backbones.weights import INPUT_TRANSFORMS, InputTransform, read_tensors
from nst_lightning.errors import InputError

# Convolutions in each block: VGG-19's, up to conv5_1.
SLIM_DEPTHS = (2, 2, 4, 4, 1)

# Part of the package.
SHIPPED_WEIGHTS = Path(__file__).with_name("slim_vgg19.safetensors")

# The weights were trained on RGB with the mean of the Oxford network, whose features they predict.
SLIM_TRANSFORM = InputTransform(mean=INPUT_TRANSFORMS["oxford"].mean, std=INPUT_TRANSFORMS["oxford"].std)


class SlimVGG19(VGG):
    """A thin VGG-19 distilled from the real one, with layers conv_1 to conv_13 (conv5_1) by VGG-19's names.

    It has fewer features than VGG-19, but distances between them are about VGG-19's, so that losses mean the same with
    the same weights. To this end, a linear readout of each layer, stored with the weights, maps the computed features
    to those that are returned, and :meth:`channel_ratio` states how many channels of VGG-19 each represents. ``relu``
    layers have their own readouts and so may be negative. The weights come from ``python -m nst_lightning distill``.

    Args:
        weights: a ``.safetensors`` file written by ``distill``, of any width; by default the one in the package.
        pooling: ``max``, or ``avg`` as Gatys et al. recommend; averages are multiplied by 2.
        padding: what the first convolution reads beyond the image: ``zeros``, or ``replicate``, which avoids dark
            borders. All other convolutions pad with zeros.
        checkpointing: whether the backward pass computes each block (between two poolings) again instead of keeping
            its values: less memory, more time.
    """

    depths = SLIM_DEPTHS

    def __init__(
        self,
        weights: str | None = None,
        pooling: Literal["max", "avg"] = "max",
        padding: Literal["zeros", "replicate"] = "zeros",
        checkpointing: bool = False,
    ) -> None:
        weights = str(SHIPPED_WEIGHTS if weights is None else weights)
        super().__init__(weights=weights, pooling=pooling, padding=padding, checkpointing=checkpointing)

    def position(self, layer: str) -> tuple[int, str]:
        """See :meth:`VGG.position`; the error for a layer that only VGG-19 has says so."""
        if re.fullmatch(r"(conv|relu)(_1[456]|5_[234])", layer):
            raise InputError(
                f"Expected `layers` of SlimVGG19 to be among conv_1 to conv_{sum(self.depths)} (conv5_1), but got "
                f"{layer!r}: use the backbone VGG19 for deeper layers."
            )
        return super().position(layer)

    def channel_ratio(self, layer: str) -> float:
        """See :meth:`Backbone.channel_ratio`; available once the network is built."""
        block = sum(start <= self.position(layer)[0] for start in self.block_starts)
        return WIDTHS[block] / (len(self.readout(layer).affine) - 1)

    def readout(self, layer: str) -> Readout:
        """See :meth:`Backbone.readout`; available once the network is built."""
        number, kind = self.position(layer)
        return Readout(self.get_buffer(f"{kind}_{number}_readout"))

    def as_features(self, values: Mapping[str, Tensor]) -> Features:
        """See :meth:`BlockNetwork.as_features`."""
        return Features(values, {layer: self.readout(layer) for layer in values})

    def _widths(self) -> tuple[int, ...]:
        names = [f"{self._name_in_file(number)}.bias" for number in range(1, sum(self.depths) + 1)]
        biases = read_tensors(Path(self.weights), names.__contains__)
        if len(biases) < len(names):
            raise InputError(f"Expected weights made by `distill` in {self.weights}, but it has no conv_13.")
        widths = tuple(biases[name].numel() for name in names)
        if 0 in widths:
            raise InputError(
                f"Expected weights made by `distill` in {self.weights}, but it has layers without channels."
            )
        return widths

    def _fill(self) -> None:
        self._load(Path(self.weights), SLIM_TRANSFORM)
        self._set_input_transform(SLIM_TRANSFORM)
        layers = [f"{kind}_{number}" for number in range(1, len(self.convolutions) + 1) for kind in ("conv", "relu")]
        names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
        tensors = read_tensors(Path(self.weights), names.__contains__)
        for name in names:
            if name not in tensors:
                raise InputError(f"Expected weights made by `distill` in {self.weights}, but they have no {name}.")
        for layer in layers:
            weight, bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
            if weight.shape != (bias.numel(), self.width(layer), 1, 1) or bias.shape != weight.shape[:1]:
                raise InputError(
                    f"Expected weights made by `distill` in {self.weights}, but the readout of {layer} has the shapes "
                    f"{tuple(weight.shape)} and {tuple(bias.shape)}."
                )
            readout = Readout.from_parts(weight[:, :, 0, 0], bias)
            self.register_buffer(f"{layer}_readout", readout.affine, persistent=False)
