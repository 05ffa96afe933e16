"""A start that is worth most of the work: the student's weights by linear algebra, layer by layer.

Of each layer of the teacher, the channels that best span the others are chosen; a ridge regression then predicts them
from the student's own features of the layer before.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import LAYERS, Teachers

POSITIONS = 24_000
"""Places at which the regressions are fitted."""

RIDGE = 1e-4
"""Share of the mean variance of the regressors that is added to each."""


def spanning_channels(features: Tensor, count: int) -> Tensor:
    """Channels whose span comes nearest to all others: a QR decomposition with column pivoting.

    Worked on the channels' inner products (a pivoted Cholesky decomposition), which chooses the same.

    Args:
        features: ``(positions, channels)``.
        count: how many to choose, at most ``channels``.

    Returns:
        Their numbers, ``(count,)``, the most telling first.
    """
    centered = (features - features.mean(0)).double()
    rest = centered.T @ centered
    chosen: list[int] = []
    for _ in range(count):
        energies = rest.diagonal().clone()
        energies[chosen] = -1
        best = int(energies.argmax())
        chosen.append(best)
        rest = rest - rest[:, best, None] * rest[best] / rest[best, best].clamp_min(1e-30)
    return torch.tensor(chosen)


def ridge_regression(inputs: Tensor, outputs: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """Linear map with a bias that predicts outputs from inputs with the least squared error.

    Args:
        inputs: ``(positions, features)``.
        outputs: ``(positions, targets)``.
        ridge: share of the inputs' mean variance that is added to each of them.

    Returns:
        Weights ``(targets, features)`` and bias ``(targets,)``.
    """
    inputs, outputs = inputs.double(), outputs.double()
    mean_in, mean_out = inputs.mean(0), outputs.mean(0)
    centered = inputs - mean_in
    covariance = centered.T @ centered
    damping = ridge * covariance.diagonal().mean() + 1e-12
    covariance = covariance + damping * torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    weight = torch.linalg.solve(covariance, centered.T @ (outputs - mean_out)).T
    return weight.float(), (mean_out - weight @ mean_in).float()


@torch.no_grad()
def start(student: Student, teachers: Teachers, images: Tensor, seed: int = 0) -> None:
    """Sets every weight of the student.

    Args:
        student: built.
        teachers: what it learns from.
        images: pictures ``(batch, 3, height, width)``; the more varied, the better.
        seed: of the places that are looked at.
    """
    features = dict(teachers(images))
    generator = torch.Generator().manual_seed(seed)
    value = functional.pad((images - student.mean) / student.std, (1, 1, 1, 1))
    for number, (layer, convolution) in enumerate(zip(LAYERS, student.convolutions, strict=False), 1):
        assert isinstance(convolution, nn.Conv2d)
        if number in student.block_starts:
            value = functional.max_pool2d(value, 2)
        if number > 1:
            value = functional.pad(value, (1, 1, 1, 1))
        _fit(convolution, value, features.pop(layer), generator)
        value = functional.relu(functional.conv2d(value, convolution.weight, convolution.bias))


def _fit(convolution: nn.Conv2d, padded: Tensor, target: Tensor, generator: torch.Generator) -> None:
    batch, _, height, width = target.shape
    places = torch.randint(batch * height * width, (POSITIONS,), generator=generator)
    which, row, column = places // (height * width), places // width % height, places % width
    offsets = [(down, along) for down in range(3) for along in range(3)]
    patches = torch.stack([padded[which, :, row + down, column + along] for down, along in offsets], dim=2)
    outputs = target[which, :, row, column]
    chosen = spanning_channels(functional.relu(outputs), min(convolution.out_channels, outputs.shape[1]))
    weight, bias = ridge_regression(patches.flatten(1), outputs[:, chosen])
    convolution.weight[: len(chosen)] = weight.view(len(chosen), *convolution.weight.shape[1:])
    convolution.bias[: len(chosen)] = bias  # type: ignore[index]
