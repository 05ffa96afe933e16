"""A tiny seeded backbone and small pictures for tests."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.backbones import Backbone
from nst_lightning.errors import InputError
from nst_lightning.images.io import write_image
from nst_lightning.losses import FeatureLoss, Loss
from nst_lightning.losses.base import total

SHARED = Path(__file__).parents[2] / "shared"
OXFORD = SHARED / "weights" / "vgg19_oxford_conv1_1-conv3_4.safetensors"


class TinyBackbone(Backbone):
    """Three convolutions of 4, 6 and 8 channels with a pooling before the third."""

    def __init__(self, seed: int = 0, channels_last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 4), (4, 6), (6, 8)))
        self.channels_last = channels_last

    @property
    def layer_names(self) -> tuple[str, ...]:
        return ("conv_1", "conv_2", "conv_3")

    def build(self, layers: Iterable[str]) -> None:
        for layer in layers:
            if layer not in self.layer_names:
                raise InputError(f"Expected `layers` to be among {self.layer_names}, but got {layer!r}.")
        self.freeze()

    def smallest_size(self, layers: Iterable[str]) -> int:
        return 2 if "conv_3" in layers else 1

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        value = image.contiguous(memory_format=torch.channels_last) if self.channels_last else image
        found: dict[str, Tensor] = {}
        for number, convolution in enumerate(self.convolutions, 1):
            value = functional.max_pool2d(value, 2) if number == 3 else value
            value = found[f"conv_{number}"] = convolution(value)
            value = functional.relu(value)
        return {layer: found[layer] for layer in layers}


def smooth_image(height: int, width: int, seed: int = 0) -> Tensor:
    """A seeded image ``(1, 3, height, width)`` in [0, 1] with large shapes."""
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)


def write_pair(folder: Path) -> tuple[Path, Path]:
    """A content of 40x30 px and a style of 30x36 px, in files."""
    content, style = folder / "content.png", folder / "style.png"
    write_image(content, smooth_image(30, 40, seed=1))
    write_image(style, torch.rand(1, 3, 36, 30, generator=torch.Generator().manual_seed(2)))
    return content, style


def set_target(loss: Loss, *references: Mapping[str, Tensor] | tuple[Mapping[str, Tensor], float]) -> None:
    """Sets the target of a loss to the blend of references, each with a blend weight of 1 unless given."""
    assert isinstance(loss, FeatureLoss)
    target: dict[str, Tensor] = {}
    for reference in references:
        features, weight = reference if isinstance(reference, tuple) else (reference, 1.0)
        for layer, statistic in loss.target_statistics(features).items():
            target[layer] = target[layer] + weight * statistic if layer in target else weight * statistic
    loss.set_target(target)


def compute_term(loss: Loss, features: Mapping[str, Tensor]) -> Tensor:
    """The sum of a loss's distances."""
    return total(loss(features))
