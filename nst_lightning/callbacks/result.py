"""The result of a still image."""

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from nst_lightning.images.io import Depth, check_writable, write_image
from nst_lightning.training.run_folder import CONFIG_NAME
from nst_lightning.training.run_state import RunState

# Name of the stylized image in a run folder.
IMAGE_NAME = "stylized.png"


class ResultWriter(pl.Callback):
    """Writes the image when the run ends, also when it ends early; the file includes the configuration.

    Args:
        output: file to write in addition to ``stylized.png`` in the run folder; jpg, png, webp or tiff by its ending.
        announce: whether to print the size, the number of steps, the seconds and the paths.
        depth: bits of each channel of both files; 16 for png and tiff only.
    """

    def __init__(self, output: str | None = None, announce: bool = True, depth: Depth = 8) -> None:
        self.announce = announce
        self.depth = depth
        self.output = None if output is None else check_writable(output, depth)
        self._start_time = time.monotonic()
        self._has_steps = False

    def on_train_start(self, *unused: Any) -> None:
        """Starts the clock."""
        self._start_time = time.monotonic()

    def on_train_batch_end(self, *unused: Any) -> None:
        """Records that there is a result to write."""
        self._has_steps = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the result."""
        self._write(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Writes the image as it is when an error or Ctrl-C ends the run."""
        if self._has_steps:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        run = RunState.of(trainer)
        if not run.writes:
            return
        paths = [path for path in (run.folder and run.folder / IMAGE_NAME, self.output) if path is not None]
        for path in paths:
            write_result(run, path, self.depth)
        if self.announce:
            height, width = run.image.shape[-2:]
            seconds = time.monotonic() - self._start_time
            print(
                f"{width}x{height} px, step {run.step} of {run.planned_steps}, "
                f"{seconds:.0f} s: {', '.join(map(str, paths)) or 'not written to a file'}"
            )


def write_result(run: RunState, path: Path, depth: Depth = 8) -> None:
    """Writes the current result with the content's transparency; the file includes the configuration of the run."""
    config = None if run.folder is None else run.folder / CONFIG_NAME
    text = config.read_text() if config is not None and config.exists() else ""
    write_image(path, run.result, run.data.alpha(*run.image.shape[-2:]), text, depth)
