"""Keeps an image in its range while first-order optimizers paint."""

from typing import Any

import torch
from torch.optim import LBFGS, Optimizer

from nst_lightning.optim.lbfgs import CompactLBFGS


def keep_within(optimizer: Optimizer) -> Optimizer:
    """Has an optimizer clip what it optimizes to [0, 1] after each of its steps, except L-BFGS; returns it.

    L-BFGS builds its curvature from differences of images and of gradients; clipping would falsify those pairs (it made
    the PyTorch tutorial's loss explode). Its image is clipped only where it is shown or written.
    """
    if not isinstance(optimizer, LBFGS | CompactLBFGS):
        optimizer.register_step_post_hook(_clip)
    return optimizer


@torch.no_grad()
def _clip(optimizer: Optimizer, *unused: Any) -> None:
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            tensor.clamp_(0, 1)
