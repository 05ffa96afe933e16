"""The reference that everything is compared with: the loop of the PyTorch tutorial, written independently.

VGG-19 as torchvision builds it, in float32 with frozen weights, and torch's L-BFGS. The loop is as fast as the tutorial
can be: it prints and clips nothing, ends at the deepest layer, and collects the features in a Python loop.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.backbones import VGG19


class ReferenceLoop:
    """Style transfer with content at conv_3, weight 1, and Gram matrices of all convolutions, weight 1e6.

    Args:
        backbone: source of the weights; all convolutions that it has built are used.
        content: ``(1, 3, height, width)`` in [0, 1]; the image starts as a copy of it.
        style: ``(1, 3, height, width)`` in [0, 1].
        history: number of pairs that L-BFGS stores; torch's default is 100.
    """

    def __init__(self, backbone: VGG19, content: Tensor, style: Tensor, history: int = 100) -> None:
        self.weights = [tensor.detach().contiguous() for _, tensor in backbone.named_weights()]
        self.block_starts = backbone.block_starts
        self.mean, self.std = backbone.mean, backbone.std
        with torch.no_grad():
            self.content_target = self.features(content)[2]
            self.style_targets = [tutorial_gram(value) for value in self.features(style)]
        self.image = content.clone().requires_grad_()
        self.optimizer = torch.optim.LBFGS(
            [self.image], max_iter=1, history_size=history, tolerance_grad=0.0, tolerance_change=0.0
        )

    def features(self, image: Tensor) -> list[Tensor]:
        """Returns the outputs of all convolutions, before their ReLU.

        Args:
            image: ``(1, 3, height, width)`` in [0, 1].
        """
        value = (image - self.mean) / self.std
        outputs = []
        for number, (weight, bias) in enumerate(zip(self.weights[::2], self.weights[1::2], strict=True), 1):
            if number in self.block_starts:
                value = functional.max_pool2d(value, 2)
            value = functional.conv2d(value, weight, bias, padding=1)
            outputs.append(value)
            value = functional.relu(value)
        return outputs

    def objective(self, image: Tensor) -> Tensor:
        """Returns the weighted sum of the content and style losses.

        Args:
            image: ``(1, 3, height, width)`` in [0, 1].
        """
        features = self.features(image)
        style = [
            functional.mse_loss(tutorial_gram(value), target)
            for value, target in zip(features, self.style_targets, strict=True)
        ]
        return functional.mse_loss(features[2], self.content_target) + 1e6 * torch.stack(style).sum()

    def step(self) -> float:
        """Evaluates the objective once, updates the image once, and returns the objective before the update."""
        evaluate: Callable[[], Tensor] = self._evaluate
        loss: Tensor = self.optimizer.step(evaluate)  # type: ignore[no-untyped-call]
        return loss.item()

    def _evaluate(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.objective(self.image)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def tutorial_gram(features: Tensor) -> Tensor:
    """Returns the Gram matrix as the tutorial computes it, ``(batch * channels, batch * channels)``."""
    batch, channels, height, width = features.size()
    rows = features.view(batch * channels, height * width)
    return torch.mm(rows, rows.t()).div(batch * channels * height * width)
