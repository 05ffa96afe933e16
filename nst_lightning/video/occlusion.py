"""Where optical flow can be relied on."""

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.video.warp import inside, warp


def reliability(backward: Tensor, forward: Tensor) -> Tensor:
    """How far each pixel of a frame was seen in the frame before, at the place the flow says: from 0 to 1.

    0 where forward and backward flow disagree (what is seen for the first time), at the boundaries of motion, and where
    the flow comes from outside the picture. Ruder, Dosovitskiy and Brox 2016, section 4.3, with their constants; as in
    their code the unreliable regions are grown by a small blur.

    Args:
        backward: ``(batch, 2, height, width)`` in px, from each pixel of this frame to the frame before.
        forward: from each pixel of the frame before to this one.

    Returns:
        ``(batch, 1, height, width)``.
    """
    unreliable = disoccluded(backward, forward) | motion_boundaries(backward) | (inside(backward) == 0)
    return _grown(unreliable, sigma=0.8)


def disoccluded(backward: Tensor, forward: Tensor) -> Tensor:
    """Where going back by one flow and forth by the other does not come home, ``(batch, 1, height, width)``."""
    returned = warp(forward, backward, "linear")
    off = (returned + backward).square().sum(1, keepdim=True)
    lengths = returned.square().sum(1, keepdim=True) + backward.square().sum(1, keepdim=True)
    return off >= 0.01 * lengths + 0.5


def motion_boundaries(flow: Tensor) -> Tensor:
    """Where a flow changes from pixel to pixel more than its length explains, ``(batch, 1, height, width)``."""
    down = functional.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    along = functional.pad(flow[..., :, 1:] - flow[..., :, :-1], (0, 1))
    steepness = (down.square() + along.square()).sum(1, keepdim=True)
    return steepness > 0.01 * flow.square().sum(1, keepdim=True) + 0.002


def _grown(unreliable: Tensor, sigma: float) -> Tensor:
    """1 where reliable; a blur of -1 and 1, clipped at 0, so that it takes from the reliable side alone."""
    signs = torch.where(unreliable, -1.0, 1.0)
    reach = torch.arange(-3, 4, dtype=signs.dtype, device=signs.device)
    kernel = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(signs, (3, 3, 3, 3), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return blurred.clamp(0, 1) * ~unreliable
