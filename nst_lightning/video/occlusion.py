"""Reliability of optical flow: occlusions and motion boundaries."""

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.video.warp import find_inside, warp


def estimate_reliability(backward: Tensor, forward: Tensor) -> Tensor:
    """Estimates how reliably the flow finds each pixel of a frame in an earlier frame.

    The reliability is 0 where forward and backward flow disagree (the pixel was hidden before), at motion boundaries,
    and where the flow points outside of the earlier frame. Ruder, Dosovitskiy and Brox 2016, section 4.3, with their
    constants; as in their code, a small blur grows the unreliable regions.

    Args:
        backward: ``(batch, 2, height, width)`` in px, from each pixel of the frame to the earlier frame.
        forward: ``(batch, 2, height, width)`` in px, from each pixel of the earlier frame to the frame.

    Returns:
        ``(batch, 1, height, width)`` in [0, 1].
    """
    unreliable = find_disocclusions(backward, forward) | find_motion_boundaries(backward) | (find_inside(backward) == 0)
    return _grow_unreliable(unreliable, sigma=0.8)


def find_disocclusions(backward: Tensor, forward: Tensor) -> Tensor:
    """Finds pixels that were hidden before: forward flow does not lead back to where backward flow started.

    Args:
        backward: ``(batch, 2, height, width)`` in px, from each pixel of a frame to an earlier frame.
        forward: ``(batch, 2, height, width)`` in px, from each pixel of the earlier frame to the frame.

    Returns:
        Boolean, ``(batch, 1, height, width)``.
    """
    returned = warp(forward, backward, "linear")
    error = (returned + backward).square().sum(1, keepdim=True)
    lengths = returned.square().sum(1, keepdim=True) + backward.square().sum(1, keepdim=True)
    return error >= 0.01 * lengths + 0.5


def find_motion_boundaries(flow: Tensor) -> Tensor:
    """Finds pixels where the gradient of the flow is large in comparison with the flow.

    Args:
        flow: ``(batch, 2, height, width)`` in px.

    Returns:
        Boolean, ``(batch, 1, height, width)``.
    """
    vertical = functional.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    horizontal = functional.pad(flow[..., :, 1:] - flow[..., :, :-1], (0, 1))
    squared_gradient = (vertical.square() + horizontal.square()).sum(1, keepdim=True)
    return squared_gradient > 0.01 * flow.square().sum(1, keepdim=True) + 0.002


def _grow_unreliable(unreliable: Tensor, sigma: float) -> Tensor:
    """Returns 1 for reliable pixels and less near unreliable ones, which stay 0.

    Blurs -1 (unreliable) and 1 (reliable) and clips at 0, so that only the reliable side loses.
    """
    signs = torch.where(unreliable, -1.0, 1.0)
    offsets = torch.arange(-3, 4, dtype=signs.dtype, device=signs.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(signs, (3, 3, 3, 3), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return blurred.clamp(0, 1) * ~unreliable
