"""Optimizers of an image."""

from nst_lightning.optim.bounds import keep_within
from nst_lightning.optim.lbfgs import CompactLBFGS

__all__ = ["CompactLBFGS", "keep_within"]
