"""The networks that the student learns from: a VGG-19 file and, for missing layers, a compressed VGG-19."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones.slim import SLIM_DEPTHS
from nst_lightning.backbones.vgg import VGG19
from nst_lightning.backbones.weights import read_tensors
from nst_lightning.errors import InputError

# The student's convolutions.
DISTILLED_LAYERS = tuple(f"conv_{number}" for number in range(1, sum(SLIM_DEPTHS) + 1))

# The compressed network was derived from a VGG-19 of another scale. Each factor is the standard deviation that VGG-19's
# layer is assumed to have on photographs, divided by that of the compressed network. The assumed values are not
# measured but estimated from how standard deviations fall in published networks. The real conv_8 has 15.
STAND_IN_FACTORS = {
    "conv_9": 14 / 1.02,
    "conv_10": 9 / 5.4,
    "conv_11": 5 / 4.1,
    "conv_12": 3.5 / 4.6,
    "conv_13": 2 / 1.2,
}


class CompressedVGG19(nn.Module):
    """The 16 times compressed VGG-19 of Wang et al. 2020 (Collaborative Distillation), up to conv5_1.

    The first convolution of each block can have an auxiliary map to VGG-19's width. Where the file has one, the
    feature of the layer is the output of that map before its ReLU; the other layers return their own thin output.

    Args:
        weights: the ``.safetensors`` file, with names ``conv0``, ``conv11``, ``conv11_aux`` and so on.

    Raises:
        InputError: the file is of another network.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        tensors = read_tensors(Path(weights), lambda name: name.startswith("conv"))
        self.names = tuple(f"conv{block}{n}" for block, depth in enumerate(SLIM_DEPTHS, 1) for n in range(1, depth + 1))
        missing = [name for name in ("conv0", *self.names) if f"{name}.weight" not in tensors]
        if missing:
            raise InputError(f"Expected the compressed VGG-19 in {weights}, but got no {missing[0]}.")
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor, persistent=False)

    def _convolve(self, value: Tensor, name: str) -> Tensor:
        weight = self.get_buffer(f"{name}_weight")
        if weight.shape[-1] == 3:
            value = functional.pad(value, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(value, weight, self.get_buffer(f"{name}_bias"))

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Returns the features of an image by layer name.

        Args:
            image: ``(batch, 3, height, width)``, sRGB in [0, 1].
            layers: names from :data:`DISTILLED_LAYERS`.
        """
        features = {}
        value = self._convolve(image, "conv0")
        for layer, name in zip(DISTILLED_LAYERS, self.names, strict=True):
            if name[-1] == "1" and name != "conv11":
                value = functional.max_pool2d(value, 2)
            before = self._convolve(value, name)
            value = functional.relu(before)
            if layer in layers:
                has_aux = f"{name}_aux_weight" in dict(self.named_buffers())
                features[layer] = self._convolve(value, f"{name}_aux") if has_aux else before
        return features


class Teachers(nn.Module):
    """The features that the student learns to predict, of every layer before its ReLU.

    Args:
        vgg: a VGG-19 file, as for :class:`nst_lightning.backbones.VGG19`, whole or only its first convolutions.
        compressed: the file of :class:`CompressedVGG19` for the layers that ``vgg`` lacks.

    Raises:
        InputError: ``vgg`` ends before conv5_1 and there is no ``compressed``, or a file is of another network.
    """

    def __init__(self, vgg: str, compressed: str | None = None) -> None:
        super().__init__()
        count = _count_convolutions(Path(vgg))
        self.real_layers, self.other_layers = DISTILLED_LAYERS[:count], DISTILLED_LAYERS[count:]
        self.vgg = VGG19(weights=vgg)
        self.vgg.build(self.real_layers)
        if self.other_layers and compressed is None:
            raise InputError(f"Expected a `compressed` teacher, since {vgg} ends at {self.real_layers[-1]}.")
        self.compressed = CompressedVGG19(compressed) if self.other_layers and compressed else None

    @torch.no_grad()
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Returns the features of ``(batch, 3, height, width)``, sRGB in [0, 1], for all :data:`DISTILLED_LAYERS`."""
        features: dict[str, Tensor] = dict(self.vgg(image, self.real_layers))
        if self.compressed is not None:
            others = self.compressed(image, self.other_layers)
            features |= {layer: STAND_IN_FACTORS.get(layer, 1.0) * value for layer, value in others.items()}
        return features


def _count_convolutions(path: Path) -> int:
    """Counts the convolutions in a VGG-19 file, up to conv5_1."""
    names = read_tensors(path, lambda name: name.startswith("features.") and name.endswith(".bias"))
    if not names:
        raise InputError(f"Expected a VGG-19 with names like features.0.bias in {path}, but got none.")
    return min(len(names), len(DISTILLED_LAYERS))
