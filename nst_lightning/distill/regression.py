"""Ridge regression between the features of two networks."""

import torch
from torch import Tensor


def to_rows(features: Tensor, max_rows: int) -> Tensor:
    """Reshapes features to one row per position and keeps evenly spaced rows.

    Args:
        features: ``(batch, channels, height, width)``.
        max_rows: about how many rows to keep; fewer than twice as many remain.

    Returns:
        ``(positions, channels)``.
    """
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    return rows[:: max(1, len(rows) // max_rows)]


def fit_ridge_regression(inputs: Tensor, outputs: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Fits the linear map with a bias that predicts outputs from inputs with the smallest squared error.

    Args:
        inputs: ``(positions, features)``.
        outputs: ``(positions, targets)``.
        ridge: regularization added to each input's variance, as a share of the mean variance of the inputs.

    Returns:
        Weights ``(targets, features)`` and bias ``(targets,)``, float32.
    """
    inputs, outputs = inputs.double(), outputs.double()
    mean_in, mean_out = inputs.mean(0), outputs.mean(0)
    centered = inputs - mean_in
    covariance = centered.T @ centered
    # The constant makes the system solvable if all inputs are constant.
    damping = ridge * covariance.diagonal().mean() + 1e-12
    covariance = covariance + damping * torch.eye(len(covariance), dtype=torch.float64, device=covariance.device)
    weight = torch.linalg.solve(covariance, centered.T @ (outputs - mean_out)).T
    return weight.float(), (mean_out - weight @ mean_in).float()
