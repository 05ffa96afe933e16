"""What happens beside the steps of a run."""

from nst_lightning.callbacks.bar import StageProgressBar
from nst_lightning.callbacks.checkpoints import CheckpointWriter
from nst_lightning.callbacks.clamp import ClampImage
from nst_lightning.callbacks.guard import FiniteGuard, GracefulInterrupt
from nst_lightning.callbacks.images import ImageLogger, ResultWriter

__all__ = [
    "CheckpointWriter",
    "ClampImage",
    "FiniteGuard",
    "GracefulInterrupt",
    "ImageLogger",
    "ResultWriter",
    "StageProgressBar",
]
