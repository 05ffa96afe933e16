"""What happens beside the steps of a run."""

from nst_lightning.callbacks.averaging import ImageAveraging
from nst_lightning.callbacks.bar import StageProgressBar
from nst_lightning.callbacks.checkpoints import CheckpointWriter
from nst_lightning.callbacks.films import FilmWriter
from nst_lightning.callbacks.guard import FiniteGuard, GracefulInterrupt
from nst_lightning.callbacks.images import ImageLogger, ResultWriter
from nst_lightning.callbacks.snapshots import SnapshotWriter
from nst_lightning.callbacks.summary import RunSummary

__all__ = [
    "CheckpointWriter",
    "FilmWriter",
    "FiniteGuard",
    "GracefulInterrupt",
    "ImageAveraging",
    "ImageLogger",
    "ResultWriter",
    "RunSummary",
    "SnapshotWriter",
    "StageProgressBar",
]
