"""The plain loop that everything is compared with: the PyTorch tutorial's, written down once more.

VGG-19 as torchvision lays it out, in float32, weights frozen, L-BFGS as torch has it. It is the tutorial at its best:
nothing is printed or clipped, the network ends at the deepest layer, features are taken in a loop.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones import VGG19

Features = list[Tensor]


class PlainLoop:
    """Content at conv_3 with weight 1 and Gram matrices of all convolutions with weight 1e6.

    Args:
        backbone: whose weights are taken, as deep as it is built.
        content: ``(1, 3, height, width)``, also the start.
        style: likewise.
        history: pairs that L-BFGS keeps; torch's default is 100.
    """

    def __init__(self, backbone: VGG19, content: Tensor, style: Tensor, history: int = 100) -> None:
        self.weights = [tensor.detach().contiguous() for _, tensor in backbone.named_weights()]
        self.pooled = backbone.block_starts
        self.mean, self.std = backbone.mean, backbone.std
        with torch.no_grad():
            self.content_target = self.features(content)[2]
            self.style_targets = [gram(value) for value in self.features(style)]
        self.image = content.clone().requires_grad_()
        self.optimizer = torch.optim.LBFGS(
            [self.image], max_iter=1, history_size=history, tolerance_grad=0.0, tolerance_change=0.0
        )

    def features(self, image: Tensor) -> Features:
        """Outputs of the convolutions."""
        value = (image - self.mean) / self.std
        found = []
        for number, (weight, bias) in enumerate(zip(self.weights[::2], self.weights[1::2], strict=True), 1):
            if number in self.pooled:
                value = functional.max_pool2d(value, 2)
            value = functional.conv2d(value, weight, bias, padding=1)
            found.append(value)
            value = functional.relu(value)
        return found

    def objective(self, image: Tensor) -> Tensor:
        """The weighted sum of both terms."""
        found = self.features(image)
        style = [functional.mse_loss(gram(f), t) for f, t in zip(found, self.style_targets, strict=True)]
        return functional.mse_loss(found[2], self.content_target) + 1e6 * torch.stack(style).sum()

    def step(self) -> float:
        """One evaluation and one update; returns the objective before it."""
        evaluate: Callable[[], Tensor] = self._evaluate
        loss: Tensor = self.optimizer.step(evaluate)  # type: ignore[no-untyped-call]
        return loss.item()

    def _evaluate(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.objective(self.image)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def gram(features: Tensor) -> Tensor:
    """The tutorial's Gram matrix."""
    batch, channels, height, width = features.size()
    rows = features.view(batch * channels, height * width)
    return torch.mm(rows, rows.t()).div(batch * channels * height * width)
