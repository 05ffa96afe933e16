"""Read-outs by which distances between a student's features become distances between its teacher's.

The features that best predict the teacher's, ``A f + b``, are as many as the teacher's: too many to be quick. Only
lengths and angles among them matter to content and Gram terms, so they are turned into their principal directions,
of which as many are kept as the student has channels, and divided by the root of the ratio of the widths.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nst_lightning.distill.start import ridge_regression

RIDGE = 1e-5


@dataclass(frozen=True)
class ReadOut:
    """A linear map of features.

    Attributes:
        weight: ``(channels, student's channels)``.
        bias: ``(channels,)``.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Maps ``(positions, student's channels)``."""
        return rows @ self.weight.T + self.bias

    def scaled(self, factor: float) -> "ReadOut":
        """The same map with a larger outcome."""
        return ReadOut(factor * self.weight, factor * self.bias)


def best_prediction(student: Tensor, teacher: Tensor) -> ReadOut:
    """The linear map that predicts the teacher's features best.

    Args:
        student: ``(positions, student's channels)``.
        teacher: ``(positions, teacher's channels)``.
    """
    return ReadOut(*ridge_regression(student, teacher, RIDGE))


def condensed(prediction: ReadOut, student: Tensor, channels: int) -> ReadOut:
    """The prediction in fewer channels, with lengths and angles kept as well as can be.

    Args:
        prediction: of a teacher's features.
        student: ``(positions, student's channels)``, at which lengths and angles are to be kept.
        channels: how many are wanted.

    Returns:
        Of all such maps the one nearest to a symmetric one: each channel stays near to the student's own.
    """
    predicted = prediction(student).double()
    _, vectors = torch.linalg.eigh(predicted.T @ predicted)
    directions = vectors[:, -min(channels, vectors.shape[1]) :].T
    weight, bias = directions @ prediction.weight.double(), directions @ prediction.bias.double()
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    turn = right.T @ left.T
    return ReadOut((turn @ weight).float(), (turn @ bias).float())


def unexplained(prediction: ReadOut, student: Tensor, teacher: Tensor) -> float:
    """Variance of the teacher's features that a prediction leaves, as a share of all their variance.

    Args:
        prediction: fitted at other positions.
        student: ``(positions, student's channels)``.
        teacher: ``(positions, teacher's channels)``.
    """
    error = (prediction(student) - teacher).double().square().sum()
    return float(error / (teacher - teacher.mean(0)).double().square().sum())
