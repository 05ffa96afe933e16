"""Readouts that make distances between a student's features equal distances between its teacher's features.

The linear readout ``A f + b`` that best predicts the teacher's features has as many outputs as the teacher has
channels, which is slow. Content and Gram losses depend only on lengths and angles of feature vectors. The readout is
therefore projected onto its principal directions, as many as the student has channels, and scaled by the square root
of the ratio of the widths.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.distill.regression import fit_ridge_regression

# Regularization of the regression, as a share of the mean variance of the student's features.
READOUT_RIDGE = 1e-5


@dataclass(frozen=True)
class FittedReadout:
    """A linear map of the student's features, fitted to the teacher's.

    Attributes:
        weight: ``(channels, student's channels)``.
        bias: ``(channels,)``.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Maps ``(positions, student's channels)`` to ``(positions, channels)``."""
        return rows @ self.weight.T + self.bias

    def scale(self, factor: float) -> "FittedReadout":
        """Returns a readout whose outputs are multiplied by ``factor``."""
        return FittedReadout(factor * self.weight, factor * self.bias)


def fit_readout(student: Tensor, teacher: Tensor) -> FittedReadout:
    """Fits the linear readout that best predicts the teacher's features.

    Args:
        student: ``(positions, student's channels)``.
        teacher: ``(positions, teacher's channels)``.

    Returns:
        A readout with one output per channel of the teacher.
    """
    return FittedReadout(*fit_ridge_regression(student, teacher, READOUT_RIDGE))


def condense_readout(readout: FittedReadout, student: Tensor, channels: int) -> FittedReadout:
    """Reduces a readout to fewer outputs and preserves lengths and angles as well as possible.

    Args:
        readout: a prediction of the teacher's features.
        student: ``(positions, student's channels)``, at which lengths and angles are preserved.
        channels: number of outputs.

    Returns:
        The readout in its leading principal directions. Rotations of these are equivalent; the one that makes the
        weight symmetric is returned, so that each output stays close to the student's channel of the same index.
    """
    predicted = readout(student).double()
    _, vectors = torch.linalg.eigh(predicted.T @ predicted)
    directions = vectors[:, -min(channels, vectors.shape[1]) :].T
    weight, bias = directions @ readout.weight.double(), directions @ readout.bias.double()
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    rotation = right.T @ left.T
    return FittedReadout((rotation @ weight).float(), (rotation @ bias).float())


def measure_unexplained_share(readout: FittedReadout, student: Tensor, teacher: Tensor) -> float:
    """Measures the share of the variance of the teacher's features that a readout leaves unexplained.

    Args:
        readout: a prediction of the teacher's features, fitted at other positions.
        student: ``(positions, student's channels)``.
        teacher: ``(positions, teacher's channels)``.

    Returns:
        0 for an exact prediction, 1 for one that is no better than the mean of each channel.
    """
    error = (readout(student) - teacher).double().square().sum()
    return float(error / (teacher - teacher.mean(0)).double().square().sum())
