"""Keeps pixel values in [0, 1] while a first-order optimizer changes them."""

from typing import Any

import torch
from torch.optim import LBFGS, Optimizer

from nst_lightning.optim.lbfgs import CompactLBFGS


def keep_within(optimizer: Optimizer) -> Optimizer:
    """Makes an optimizer clip its parameters to [0, 1] after each step, unless it is L-BFGS.

    L-BFGS estimates curvature from differences between images and between gradients. Clipping falsifies these pairs
    (it made the loss of the PyTorch tutorial explode), so an image optimized by L-BFGS is clipped only when it is shown
    or written.

    Args:
        optimizer: any optimizer of images.

    Returns:
        The same optimizer.
    """
    if not isinstance(optimizer, LBFGS | CompactLBFGS):
        optimizer.register_step_post_hook(_clip)
    return optimizer


@torch.no_grad()
def _clip(optimizer: Optimizer, *unused: Any) -> None:
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            tensor.clamp_(0, 1)
