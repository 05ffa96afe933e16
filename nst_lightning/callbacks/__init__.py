"""Callbacks of a run: results, checkpoints, previews, progress bar, Ctrl-C and safeguards."""

from nst_lightning.callbacks.averaging import ImageAveraging
from nst_lightning.callbacks.checkpoint import CheckpointWriter
from nst_lightning.callbacks.films import FilmWriter
from nst_lightning.callbacks.finite_guard import FiniteGuard
from nst_lightning.callbacks.interrupt import GracefulInterrupt
from nst_lightning.callbacks.live import LiveSteering
from nst_lightning.callbacks.picture_preview import PicturePreview
from nst_lightning.callbacks.previews import ImageLogger
from nst_lightning.callbacks.progress_bar import StageProgressBar
from nst_lightning.callbacks.result import ResultWriter
from nst_lightning.callbacks.small_parts import SmallPartReporter
from nst_lightning.callbacks.snapshots import SnapshotWriter
from nst_lightning.callbacks.summary import RunSummary

__all__ = [
    "CheckpointWriter",
    "FilmWriter",
    "FiniteGuard",
    "GracefulInterrupt",
    "ImageAveraging",
    "ImageLogger",
    "LiveSteering",
    "PicturePreview",
    "ResultWriter",
    "RunSummary",
    "SmallPartReporter",
    "SnapshotWriter",
    "StageProgressBar",
]
