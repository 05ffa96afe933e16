"""Initialization of the student by linear algebra, layer by layer.

In each layer of the teacher, the channels that best span the others are selected. A ridge regression then predicts
them from the student's own features of the previous layer. Training starts from these weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nst_lightning.distill.regression import fit_ridge_regression
from nst_lightning.distill.student import Student
from nst_lightning.distill.teachers import DISTILLED_LAYERS, Teachers

# Positions of a layer at which its weights are fitted.
REGRESSION_POSITIONS = 24_000

# Regularization of the regressions, as a share of the mean variance of their inputs.
START_RIDGE = 1e-4


def select_spanning_channels(features: Tensor, count: int) -> Tensor:
    """Selects the channels whose span is nearest to all others.

    This is a QR decomposition with column pivoting. It runs as a pivoted Cholesky decomposition of the channels'
    covariance, which selects the same channels and needs no more memory than that matrix.

    Args:
        features: ``(positions, channels)``.
        count: number of channels to select, at most ``channels``.

    Returns:
        Channel indices, ``(count,)``; each explains the most of the variance that those before it leave.
    """
    centered = (features - features.mean(0)).double()
    residual = centered.T @ centered
    selected: list[int] = []
    for _ in range(count):
        energies = residual.diagonal().clone()
        energies[selected] = -1  # a channel is selected once
        best = int(energies.argmax())
        selected.append(best)
        residual = residual - residual[:, best, None] * residual[best] / residual[best, best].clamp_min(1e-30)
    return torch.tensor(selected)


@torch.no_grad()
def initialize_student(student: Student, teachers: Teachers, images: Tensor, seed: int = 0) -> None:
    """Sets every weight of the student so that its channels predict selected channels of the teachers.

    Args:
        student: a network that is built.
        teachers: the networks it learns from.
        images: pictures ``(batch, 3, height, width)``; varied pictures give better weights.
        seed: seed of the positions at which the weights are fitted.
    """
    features = dict(teachers(images))
    generator = torch.Generator().manual_seed(seed)
    value = functional.pad((images - student.mean) / student.std, (1, 1, 1, 1))
    for number, (layer, convolution) in enumerate(zip(DISTILLED_LAYERS, student.convolutions, strict=False), 1):
        assert isinstance(convolution, nn.Conv2d)
        if number in student.block_starts:
            value = functional.max_pool2d(value, 2)
        if number > 1:
            value = functional.pad(value, (1, 1, 1, 1))
        _fit_convolution(convolution, value, features.pop(layer), generator)
        value = functional.relu(functional.conv2d(value, convolution.weight, convolution.bias))


def _fit_convolution(convolution: nn.Conv2d, padded: Tensor, target: Tensor, generator: torch.Generator) -> None:
    """Fits one convolution to predict spanning channels of ``target`` from its padded input."""
    batch, _, height, width = target.shape
    positions = torch.randint(batch * height * width, (REGRESSION_POSITIONS,), generator=generator)
    picture, row, column = positions // (height * width), positions // width % height, positions % width
    offsets = [(down, right) for down in range(3) for right in range(3)]
    patches = torch.stack([padded[picture, :, row + down, column + right] for down, right in offsets], dim=2)
    outputs = target[picture, :, row, column]
    # Selected after the ReLU, because the next layer reads only rectified values.
    selected = select_spanning_channels(functional.relu(outputs), min(convolution.out_channels, outputs.shape[1]))
    weight, bias = fit_ridge_regression(patches.flatten(1), outputs[:, selected], START_RIDGE)
    convolution.weight[: len(selected)] = weight.view(len(selected), *convolution.weight.shape[1:])
    convolution.bias[: len(selected)] = bias  # type: ignore[index]
