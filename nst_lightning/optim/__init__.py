"""Optimizers of an image: L-BFGS, the range of pixel values, and optimizer state across image sizes."""

from nst_lightning.optim.bounds import keep_within
from nst_lightning.optim.lbfgs import CompactLBFGS

__all__ = ["CompactLBFGS", "keep_within"]
