"""The picture while it is painted, and when it is done."""

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from nst_lightning.callbacks.run_folder import CONFIGURATION, run_folder, steps_planned
from nst_lightning.images.io import check_writable, write_image

RESULT = "stylized.png"
"""Name of the result in the run folder."""


class ResultWriter(pl.Callback):
    """Writes the image when the run ends, also when it ends early, with the configuration in the file.

    Args:
        output: file to write besides ``stylized.png`` in the run folder; jpg, png, webp or tiff by its ending.
        announce: whether to say where the result is.
    """

    def __init__(self, output: str | None = None, announce: bool = True) -> None:
        self.announce = announce
        self.output = None if output is None else check_writable(output)
        self._began = time.monotonic()
        self._started = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._began = time.monotonic()

    def on_train_batch_end(self, *unused: Any) -> None:
        """Notes that there is something to write."""
        self._started = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the result and says where it is."""
        self._write(trainer, pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Writes what was reached."""
        if self._started:
            self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        image: Tensor = pl_module.image  # type: ignore[assignment]
        folder = run_folder(trainer)
        paths = [path for path in (folder and folder / RESULT, self.output) if path is not None]
        for path in paths:
            write_result(trainer, pl_module, path)
        if self.announce:
            self._announce(trainer, image, paths)

    def _announce(self, trainer: pl.Trainer, image: Tensor, paths: list[Path]) -> None:
        took = time.monotonic() - self._began
        print(
            f"{image.shape[-1]}x{image.shape[-2]} px, step {trainer.global_step} of {steps_planned(trainer)}, "
            f"{took:.0f} s: {', '.join(map(str, paths)) or 'not written to a file'}"
        )


def write_result(trainer: pl.Trainer, pl_module: pl.LightningModule, path: Path) -> None:
    """Writes the image as it is, with the content's transparency and the run's configuration in the file."""
    image: Tensor = pl_module.image  # type: ignore[assignment]
    alpha = trainer.datamodule.alpha(*image.shape[-2:])  # type: ignore[attr-defined]
    write_image(path, image, alpha, _configuration(run_folder(trainer)))


def _configuration(folder: Path | None) -> str:
    path = None if folder is None else folder / CONFIGURATION
    return path.read_text() if path is not None and path.exists() else ""
