"""This package's optimization in a bare loop: the steps of `fit` without Lightning."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from nst_lightning.backbones import VGG19, Backbone, SlimVGG19
from nst_lightning.data.transfer import StagePictures
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.losses import ContentLoss, GramLoss, Loss
from nst_lightning.losses.base import total
from nst_lightning.samples import sample_path
from nst_lightning.training.module import StyleTransfer, lbfgs

# Layers of the style term, as in the PyTorch tutorial's loop extended to ten convolutions.
GRAM_LAYERS = [f"conv_{number}" for number in range(1, 11)]


def load_images(size: int, device: str) -> tuple[Tensor, Tensor]:
    """Loads a content and a style image that come with the package.

    Args:
        size: height and width in px.
        device: ``cpu`` or ``cuda``.

    Returns:
        Content and style, ``(1, 3, size, size)`` in [0, 1].
    """
    content, style = (resize(read_image(sample_path(name)).image, size, size) for name in ("harbour", "swirl"))
    return content.to(device), style.to(device)


def create_network(network: str, weights: str | None, checkpointing: bool = False) -> Backbone:
    """Creates SlimVGG19 or VGG-19.

    Args:
        network: ``SlimVGG19`` or ``VGG19``.
        weights: file of VGG-19's weights; by default random ones, which are as fast.
        checkpointing: whether to use activation checkpointing.
    """
    if network == "SlimVGG19":
        return SlimVGG19(checkpointing=checkpointing)
    return VGG19(weights=weights or "random", checkpointing=checkpointing)


class BareLoop:
    """The steps of `fit` in a plain Python loop, with a content term at conv_3 and a style term.

    Args:
        network: ``SlimVGG19`` or ``VGG19``.
        size: edge of the square image in px.
        device: ``cpu`` or ``cuda``.
        precision: precision of the network, ``32-true`` or ``bf16-mixed``.
        optimizer: ``L-BFGS`` or ``Adam``.
        weights: file of VGG-19's weights; random ones by default.
        layers: layers of the style term.
        style_loss: the style term itself; by default that of the reference.
        checkpointing: whether to use activation checkpointing.
    """

    def __init__(
        self,
        network: str,
        size: int,
        device: str,
        precision: str,
        optimizer: str = "L-BFGS",
        weights: str | None = None,
        layers: list[str] = GRAM_LAYERS,
        style_loss: Loss | None = None,
        checkpointing: bool = False,
    ) -> None:
        self.device, self.precision = device, precision
        content, style = load_images(size, device)
        losses = {"content": ContentLoss(["conv_3"]), "style": style_loss or GramLoss(layers, weight=1e6)}
        self.module = StyleTransfer(create_network(network, weights, checkpointing), losses).to(device)
        with self.autocast():
            self.module.set_targets(StagePictures(content, [style], [1.0]))
        self.module.set_image(content)
        image = self.module.image
        self.optimizer: Optimizer = lbfgs([image]) if optimizer == "L-BFGS" else Adam([image], lr=0.02)

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns the context in which the network computes in its precision."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def evaluate(self) -> Tensor:
        """Computes the objective and the gradient of the image, and returns the objective."""
        self.module.image.grad = None
        with self.autocast():
            objective = total(self.module.criterion(self.module.image))
        objective.backward()  # type: ignore[no-untyped-call]
        return objective

    def step(self) -> None:
        """Evaluates the objective once and updates the image once."""
        evaluate: Callable[[], Any] = self.evaluate
        self.optimizer.step(evaluate)
