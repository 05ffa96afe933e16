"""Feature vectors at sample positions of a picture."""

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine


def draw_positions(count: int, seed: int) -> Tensor:
    """Draws positions that cover a picture evenly: a scrambled Sobol sequence.

    Random positions leave gaps and form clusters; these do not. The first positions of a longer sequence cover the
    picture evenly as well.

    Args:
        count: number of positions.
        seed: seed of the scrambling.

    Returns:
        ``(count, 2)``, vertical and horizontal position as shares of height and width, in [0, 1).
    """
    sequence = SobolEngine(2, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    return sequence.draw(count, dtype=torch.float32)


def sample_bilinear(features: Tensor, positions: Tensor, periodic: bool = False) -> Tensor:
    """Reads a feature map at positions by bilinear interpolation.

    A position has the same place in the picture in layers of every size: the centers of a map's values are at
    ``(k + 1/2) / size``.

    Args:
        features: ``(batch, channels, height, width)``.
        positions: ``(count, 2)``; see :func:`draw_positions`.
        periodic: whether the map repeats beyond its edges; otherwise its edge values are repeated.

    Returns:
        ``(batch, count, channels)``, in float32 or float64.
    """
    batch, channels, height, width = features.shape
    precision = torch.float64 if features.dtype == torch.float64 else torch.float32
    # No copy if the feature map is channels-last, as those of the networks are.
    rows = features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    # A value of a small map is read many times, and the sum of its gradients needs the precision.
    rows = rows.to(precision) if height * width <= 4 * len(positions) else rows
    vertical, horizontal = positions.to(features.device, precision).unbind(1)
    top, bottom, down = _neighbors(vertical, height, periodic)
    left, right, across = _neighbors(horizontal, width, periodic)
    indices = torch.cat([row * width + column for row in (top, bottom) for column in (left, right)])
    shares = torch.cat([v * h for v in (1 - down, down) for h in (1 - across, across)])
    # Not `rows[:, indices]`, whose gradient is summed in an order that differs from run to run.
    corners = rows.index_select(1, indices).to(precision) * shares[:, None]
    return corners.unflatten(1, (4, -1)).sum(dim=1)  # type: ignore[no-untyped-call,no-any-return]


def _neighbors(shares: Tensor, size: int, periodic: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the indices before and after a position, and how far it is from the first to the second."""
    coordinates = shares * size - 0.5
    if not periodic:
        coordinates = coordinates.clamp(0, size - 1)
    before = coordinates.floor()
    if periodic:
        return before.long() % size, (before.long() + 1) % size, coordinates - before
    return before.long(), (before.long() + 1).clamp_max(size - 1), coordinates - before
