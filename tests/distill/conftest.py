"""A random teacher and synthetic pictures."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nst_lightning.backbones import VGG19
from nst_lightning.images.io import write_image

COMPRESSED_WIDTHS = (16, 16, 32, 32, 64, 64, 64, 64, 128, 128, 128, 128, 128)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first eight layers of a random VGG-19."""
    network = VGG19(weights="random")
    network.build(["conv_8"])
    path = tmp_path_factory.mktemp("teacher") / "vgg.safetensors"
    save_file({name: tensor.detach() for name, tensor in network.named_weights()}, path, {"flavor": "imagenet"})
    return path


@pytest.fixture(scope="session")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(4)
    names = [f"conv{block}{n}" for block, depth in enumerate((2, 2, 4, 4, 1), 1) for n in range(1, depth + 1)]
    tensors, inputs = {"conv0.weight": torch.eye(3)[:, :, None, None].contiguous(), "conv0.bias": torch.zeros(3)}, 3
    for name, width in zip(names, COMPRESSED_WIDTHS, strict=True):
        tensors |= _convolution(name, inputs, width, 3, generator)
        inputs = width
    for name, width, outputs in (("conv41_aux", 128, 512), ("conv51_aux", 128, 512)):
        tensors |= _convolution(name, width, outputs, 1, generator)
    path = tmp_path_factory.mktemp("teacher") / "compressed.safetensors"
    save_file(tensors, path)
    return path


def _convolution(name: str, inputs: int, outputs: int, size: int, generator: torch.Generator) -> dict[str, Tensor]:
    weight = torch.randn(outputs, inputs, size, size, generator=generator) * (2 / inputs / size**2) ** 0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(outputs)}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of smooth random pictures, enough to hold some out."""
    path = tmp_path_factory.mktemp("photographs")
    for number in range(24):
        coarse = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(number))
        picture = torch.nn.functional.interpolate(coarse, (80, 100), mode="bicubic").clamp(0, 1)
        write_image(path / f"{number}.png", picture)
    return path
