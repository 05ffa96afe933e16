"""The result of a still image."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from nst_lightning.data.transfer import TransferData
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
        # The error that ended the run says more; on a full disk it is the same one.
        with suppress(OSError):
            if self._has_steps:
                self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        run = RunState.of(trainer)
        if not run.writes:
            return
        paths = self._write_files(run.folder, run.result, run.data)
        if self.announce:
            height, width = run.image.shape[-2:]
            seconds = time.monotonic() - self._start_time
            print(
                f"{width}x{height} px, step {run.step} of {run.planned_steps}, "
                f"{seconds:.0f} s: {', '.join(map(str, paths)) or 'not written to a file'}"
            )

    def write_again(self, folder: Path | None, image: Tensor, data: TransferData) -> None:
        """Writes the result of a run that is finished, and prints where.

        Args:
            folder: the run folder.
            image: the image in the checkpoint of the run.
            data: the data of the run.
        """
        paths = self._write_files(folder, data.finish(image, 0), data)
        if self.announce:
            print(", ".join(map(str, paths)) or "not written to a file")

    def _write_files(self, folder: Path | None, result: Tensor, data: TransferData) -> list[Path]:
        """Writes the result into all files, also if one of them fails.

        Raises:
            OSError: a file cannot be written.
        """
        paths = [path for path in (folder and folder / IMAGE_NAME, self.output) if path is not None]
        errors = []
        for path in paths:
            try:
                write_result(folder, path, result, data, self.depth)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return paths


def write_result(folder: Path | None, path: Path, result: Tensor, data: TransferData, depth: Depth = 8) -> None:
    """Writes a result with the content's transparency; the file includes the configuration in the run folder.

    Args:
        folder: the run folder.
        path: file to write.
        result: ``(1, 3, height, width)``.
        data: the data of the run.
        depth: bits of each channel.
    """
    config = None if folder is None else folder / CONFIG_NAME
    text = config.read_text() if config is not None and config.exists() else ""
    write_image(path, result, data.alpha(*result.shape[-2:]), text, depth)
