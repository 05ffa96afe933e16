"""Filling the convolutions of a network with weights, from a file or random."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from nst_lightning.backbones.weights import (
    PUBLISHED,
    InputTransform,
    Preprocessing,
    download_weights,
    read_preprocessing,
    read_tensors,
)
from nst_lightning.errors import InputError


def resolve_weights(
    network: str, weights: str, preprocessing: Preprocessing | None
) -> tuple[Path | None, Preprocessing]:
    """Returns the file that `weights` names, downloaded if necessary, or None for random ones, and its preprocessing.

    Args:
        network: name of the network's class.
        weights: as for :class:`nst_lightning.backbones.VGG19`.
        preprocessing: as for :class:`nst_lightning.backbones.VGG19`.

    Raises:
        InputError: there is no such file, or the file does not state its preprocessing.
    """
    if weights == "random":
        return None, preprocessing or "imagenet"
    published = PUBLISHED.get((network, weights))
    if published is not None:
        return download_weights(published), published.preprocessing
    path = Path(weights)
    if not path.is_file():
        raise InputError(
            f"Expected `weights` to be imagenet, oxford, random or a file, but there is no file {weights}."
        )
    preprocessing = preprocessing or read_preprocessing(path)
    if preprocessing is None:
        raise InputError(
            f"Expected {path} to state its preprocessing, but it does not: "
            "add --model.backbone.preprocessing imagenet or oxford."
        )
    return path, preprocessing


def initialize_weights(convolutions: Mapping[str, nn.Conv2d], seed: int) -> None:
    """Draws weights by He initialization (He et al. 2015) and sets biases to 0.

    Args:
        convolutions: the convolutions in their order, by torchvision's names.
        seed: seed of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for convolution in convolutions.values():
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        convolution.bias = nn.Parameter(torch.zeros_like(convolution.weight[:, 0, 0, 0]))


def load_weights(convolutions: Mapping[str, nn.Conv2d], path: Path, transform: InputTransform, network: str) -> None:
    """Reads weights and biases and converts them to RGB images in [0, 1] that are normalized by `transform`.

    Args:
        convolutions: the convolutions in their order, by torchvision's names.
        path: a ``.safetensors`` or ``.pth`` file.
        transform: the input transform of the file.
        network: the network that the weights are expected to belong to, for messages.

    Raises:
        InputError: the file ends before the last convolution, or belongs to another network.
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
        for actual, expected in ((weight.shape, convolution.weight.shape), (bias.shape, convolution.weight.shape[:1])):
            if actual != expected:
                raise InputError(
                    f"Expected weights of {network} in {path}, but conv_{number} has the shape {tuple(actual)} instead "
                    f"of {tuple(expected)}."
                )
        # The order of the input channels becomes red, green, blue.
        convolution.weight = nn.Parameter(weight.flip(1) if transform.bgr and number == 1 else weight)
        convolution.bias = nn.Parameter(bias * transform.bias_scale)
