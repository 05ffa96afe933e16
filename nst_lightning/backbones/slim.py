"""A thin VGG-19 that is part of the package.

What widths cost and bring: variance of VGG-19's features that a linear read-out leaves unexplained (on photographs kept
aside, before the rectifiers), and seconds for one evaluation of content and Gram terms with its gradient in bfloat16 on
two cores, at 384 px up to conv_8 (VGG-19: 0.59 s; in float32 0.96 s) and at 512 px up to conv_10. The start is
linear algebra alone; the first and the last row were measured on other crops than the two between. Operations are those
of VGG-19 at conv_10, read-outs counted for this row alone.

| conv_1-2, 3, 4, 5-8   | operations | conv_2, 3, ... 8, start     | trained                     | 384 px | 512 px |
|-----------------------|------------|-----------------------------|-----------------------------|--------|--------|
| 16, 32, 32, 64        | 1/15       | .05 .08 .20 .24 .26 .26 .29 |                             | 0.054  | 0.13   |
| 16, 32, 48, 80        | 1/11       | .05 .12 .13 .15 .20 .21 .21 | .03 .05 .10 .12 .17 .17 .17 | 0.073  | 0.16   |
| 16, 48, 64, 96 (this) | 1/7.1      | .05 .04 .08 .10 .15 .15 .15 | .03 .03 .06 .08 .12 .12 .12 | 0.097  | 0.19   |
| 32, 64, 64, 96        | 1/5.9      | .00 .01 .04 .08 .12 .12 .12 |                             | 0.147  | 0.34   |

conv_9 to conv_13 have 128 channels in all of them and leave 0.22, 0.16, 0.16, 0.22 and 0.27 of the compressed network
of Wang et al. 2020, which stood in for the real VGG-19 there.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from nst_lightning.backbones.features import Features, Readout
from nst_lightning.backbones.vgg import VGG, WIDTHS
from nst_lightning.backbones.weights import TRANSFORMS, InputTransform, read_tensors
from nst_lightning.errors import InputError

DEPTHS = (2, 2, 4, 4, 1)
"""Convolutions in each block: VGG-19's, as far as conv5_1."""

KINDS = ("conv", "relu")
"""Layers before and after a rectifier."""

SHIPPED = Path(__file__).with_name("slim_vgg19.safetensors")

# Trained on RGB with the mean of the Oxford network, whose features it predicts.
TRANSFORM = InputTransform(mean=TRANSFORMS["oxford"].mean, std=TRANSFORMS["oxford"].std)


class SlimVGG19(VGG):
    """A thin VGG-19 distilled from the real one, with layers conv_1 to conv_13 (conv5_1) by VGG-19's names.

    Its features are not VGG-19's, and there are fewer of them; but distances between them are about VGG-19's, so that
    content and style terms mean the same with the same weights. To that end a linear read-out of each layer, kept
    with the weights, takes the features that are returned from those that the network computes with, and
    :meth:`breadth` says how many channels of VGG-19 each stands for. ``relu`` layers have read-outs of their own, and
    so may be negative. It was made by ``python -m nst_lightning distill``.

    Args:
        weights: a ``.safetensors`` file made by ``distill``, of any width; the one in the package unless given.
        pooling: ``max``, or ``avg`` as Gatys et al. recommend; averages are multiplied by 2.
        padding: how the first convolution sees beyond the image: ``zeros``, or ``replicate``, which avoids dark
            borders. All other convolutions pad with zeros.
        checkpointing: whether to compute each block (between two poolings) again for the gradient instead of keeping
            what it computed: less memory, more time.
    """

    depths = DEPTHS

    def __init__(
        self,
        weights: str | None = None,
        pooling: Literal["max", "avg"] = "max",
        padding: Literal["zeros", "replicate"] = "zeros",
        checkpointing: bool = False,
    ) -> None:
        weights = str(SHIPPED if weights is None else weights)
        super().__init__(weights=weights, pooling=pooling, padding=padding, checkpointing=checkpointing)

    def position(self, layer: str) -> tuple[int, str]:
        """See :meth:`VGG.position`; layers that only VGG-19 has are an error that says so."""
        if re.fullmatch(r"(conv|relu)(_1[456]|5_[234])", layer):
            raise InputError(
                f"Expected `layers` of SlimVGG19 to be among conv_1 to conv_{sum(self.depths)} (conv5_1), but got "
                f"{layer!r}: use the backbone VGG19 for deeper layers."
            )
        return super().position(layer)

    def channel_ratio(self, layer: str) -> float:
        """See :meth:`Backbone.breadth`; known once the network is built."""
        block = sum(start <= self.position(layer)[0] for start in self.block_starts)
        return WIDTHS[block] / (len(self._affine(layer)) - 1)

    def _widths(self) -> tuple[int, ...]:
        names = [f"{self._name_in_file(number)}.bias" for number in range(1, sum(self.depths) + 1)]
        biases = read_tensors(Path(self.weights), names.__contains__)
        if len(biases) < len(names):
            raise InputError(f"Expected weights made by `distill` in {self.weights}, but it has no conv_13.")
        return tuple(len(biases[name]) for name in names)

    def _fill(self) -> None:
        self._load(Path(self.weights), TRANSFORM)
        self._see_through(TRANSFORM)
        depth = len(self.convolutions)
        wanted = [f"{kind}_{n}.{part}" for n in range(1, depth + 1) for kind in KINDS for part in ("weight", "bias")]
        tensors = read_tensors(Path(self.weights), wanted.__contains__)
        for name in wanted:
            if name not in tensors:
                raise InputError(f"Expected weights made by `distill` in {self.weights}, but they have no {name}.")
        for name in (f"{kind}_{number}" for number in range(1, depth + 1) for kind in KINDS):
            read_out = Readout.of(tensors[f"{name}.weight"][:, :, 0, 0], tensors[f"{name}.bias"])
            self.register_buffer(f"{name}_read_out", read_out.affine, persistent=False)

    def _features(self, values: Mapping[str, Tensor]) -> Features:
        """Features after their read-outs."""
        return Features(values, {layer: Readout(self._affine(layer)) for layer in values})

    def _affine(self, layer: str) -> Tensor:
        number, kind = self.position(layer)
        return self.get_buffer(f"{kind}_{number}_read_out")
