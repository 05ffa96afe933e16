"""The networks the student learns from: a VGG-19 file and, for layers that file lacks, the compressed network."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones.slim import SLIM_DEPTHS
from nst_lightning.backbones.vgg import VGG19
from nst_lightning.backbones.weights import read_tensors
from nst_lightning.errors import InputError

LAYERS = tuple(f"conv_{number}" for number in range(1, sum(SLIM_DEPTHS) + 1))
"""The student's convolutions."""

# Standard deviations on photographs that VGG-19's layers are taken to have where only the compressed network stands in
# for them, which was made from a VGG-19 of another scale: not measured but judged from how they fall in published
# networks. The real conv_8 has 15.
STAND_IN_FACTORS = {
    "conv_9": 14 / 1.02,
    "conv_10": 9 / 5.4,
    "conv_11": 5 / 4.1,
    "conv_12": 3.5 / 4.6,
    "conv_13": 2 / 1.2,
}


class CompressedVGG19(nn.Module):
    """The 16 times compressed VGG-19 of Wang et al. 2020 (Collaborative Distillation), as far as conv5_1.

    Convolutions with an auxiliary map to VGG-19's width (the first of each block) give that map's output before its
    last rectifier, which stands for VGG-19's convolution; the others give their own thin output.

    Args:
        weights: the ``.safetensors`` file, with names ``conv0``, ``conv11``, ``conv11_aux`` and so on.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        tensors = read_tensors(Path(weights), lambda name: name.startswith("conv"))
        self.names = tuple(f"conv{block}{n}" for block, depth in enumerate(SLIM_DEPTHS, 1) for n in range(1, depth + 1))
        missing = [name for name in ("conv0", *self.names) if f"{name}.weight" not in tensors]
        if missing:
            raise InputError(f"Expected the compressed VGG-19 in {weights}, but it has no {missing[0]}.")
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor, persistent=False)

    def _convolve(self, value: Tensor, name: str) -> Tensor:
        weight = self.get_buffer(f"{name}_weight")
        if weight.shape[-1] == 3:
            value = functional.pad(value, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(value, weight, self.get_buffer(f"{name}_bias"))

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features of ``(batch, 3, height, width)``, sRGB in [0, 1], by names out of :data:`LAYERS`."""
        features = {}
        value = self._convolve(image, "conv0")
        for layer, name in zip(LAYERS, self.names, strict=True):
            if name[-1] == "1" and name != "conv11":
                value = functional.max_pool2d(value, 2)
            before = self._convolve(value, name)
            value = functional.relu(before)
            if layer in layers:
                has_aux = f"{name}_aux_weight" in dict(self.named_buffers())
                features[layer] = self._convolve(value, f"{name}_aux") if has_aux else before
        return features


class Teachers(nn.Module):
    """What the student has to predict, layer by layer, before the rectifiers.

    Args:
        vgg: a VGG-19 file, as for :class:`nst_lightning.backbones.VGG19`, whole or only its first convolutions.
        compressed: the file of :class:`CompressedVGG19` for the layers that ``vgg`` lacks.
    """

    def __init__(self, vgg: str, compressed: str | None = None) -> None:
        super().__init__()
        count = _convolutions_in(Path(vgg))
        self.real_layers, self.other_layers = LAYERS[:count], LAYERS[count:]
        self.vgg = VGG19(weights=vgg)
        self.vgg.build(self.real_layers)
        if self.other_layers and compressed is None:
            raise InputError(f"Expected a `compressed` teacher, since {vgg} ends at {self.real_layers[-1]}.")
        self.compressed = CompressedVGG19(compressed) if self.other_layers and compressed else None

    @torch.no_grad()
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of ``(batch, 3, height, width)`` at every one of :data:`LAYERS`."""
        features: dict[str, Tensor] = dict(self.vgg(image, self.real_layers))
        if self.compressed is not None:
            others = self.compressed(image, self.other_layers)
            features |= {layer: STAND_IN_FACTORS.get(layer, 1.0) * value for layer, value in others.items()}
        return features


def _convolutions_in(path: Path) -> int:
    names = read_tensors(path, lambda name: name.startswith("features.") and name.endswith(".bias"))
    if not names:
        raise InputError(f"Expected a VGG-19 with names like features.0.bias in {path}, but there are none.")
    return min(len(names), len(LAYERS))
