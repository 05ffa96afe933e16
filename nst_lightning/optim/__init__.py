"""Optimizers of an image."""

from nst_lightning.optim.lbfgs import CompactLBFGS

__all__ = ["CompactLBFGS"]
