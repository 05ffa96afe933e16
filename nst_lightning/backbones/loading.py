"""Weights into the convolutions of a network: out of a file, or drawn."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nst_lightning.backbones.weights import (
    PUBLISHED,
    Flavor,
    InputTransform,
    flavor_of,
    obtain,
    read_tensors,
)
from nst_lightning.errors import InputError


def source(network: str, weights: str, flavor: Flavor | None) -> tuple[Path | None, Flavor]:
    """The file that `weights` means, downloaded if need be, or None for random ones; and what input they want.

    Args:
        network: name of its class.
        weights: of :class:`nst_lightning.backbones.VGG19`, say.
        flavor: likewise.

    Raises:
        InputError: there is no such file, or it does not say what input it wants.
    """
    if weights == "random":
        return None, flavor or "imagenet"
    published = PUBLISHED.get((network, weights))
    if published is not None:
        return obtain(published), published.flavor
    path = Path(weights)
    if not path.is_file():
        raise InputError(
            f"Expected `weights` to be imagenet, oxford, random or a file, but there is no file {weights}."
        )
    flavor = flavor or flavor_of(path)
    if flavor is None:
        raise InputError(
            f"Expected {path} to say what input it wants, but it does not: "
            "add --model.backbone.flavor imagenet or oxford."
        )
    return path, flavor


def draw(convolutions: Mapping[str, nn.Conv2d], seed: int) -> None:
    """He initialization (He et al. 2015), biases 0.

    Args:
        convolutions: in their order, by torchvision's names.
        seed: of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for convolution in convolutions.values():
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        convolution.bias = nn.Parameter(torch.zeros_like(convolution.weight[:, 0, 0, 0]))


def load(convolutions: Mapping[str, nn.Conv2d], path: Path, transform: InputTransform, network: str) -> None:
    """Reads weights and biases, turned to RGB images in [0, 1] that are normalized by `transform`.

    Args:
        convolutions: in their order, by torchvision's names.
        path: of a ``.safetensors`` or ``.pth`` file.
        transform: of the file.
        network: what the weights are expected to be of, for messages.

    Raises:
        InputError: the file ends before the last convolution, or is another network's.
    """
    tensors = read_tensors(
        path, {f"{name}.{part}" for name in convolutions for part in ("weight", "bias")}.__contains__
    )
    for number, (name, convolution) in enumerate(convolutions.items(), 1):
        if f"{name}.weight" not in tensors or f"{name}.bias" not in tensors:
            raise InputError(
                f"Expected weights up to conv_{len(convolutions)} in {path}, but it has none for conv_{number}: "
                "use shallower layers or another file."
            )
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        _check_shape(weight, convolution.weight, number, path, network)
        convolution.weight = nn.Parameter(weight.flip(1) if transform.bgr and number == 1 else weight)
        convolution.bias = nn.Parameter(bias * transform.bias_scale)


def _check_shape(found: Tensor, expected: Tensor, number: int, path: Path, network: str) -> None:
    if found.shape != expected.shape:
        raise InputError(
            f"Expected weights of {network} in {path}, but conv_{number} has the shape "
            f"{tuple(found.shape)} instead of {tuple(expected.shape)}."
        )
