"""The picture while it is painted, and when it is done."""

import io
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch import Tensor

from nst_lightning.callbacks.run import CONFIGURATION, run_folder, steps_planned
from nst_lightning.errors import InputError
from nst_lightning.image import check_writable, to_pil, write_image

RESULT = "stylized.png"
"""Name of the result in the run folder."""

PREVIEW = 1024
"""Longest edge in px of a picture in TensorBoard."""


class ImageLogger(pl.Callback):
    """Shows the image in TensorBoard while it is painted, and once what it is painted from.

    Args:
        every_n_steps: how often.
    """

    def __init__(self, every_n_steps: int = 25) -> None:
        if every_n_steps < 1:
            raise InputError(f"Expected `previews.every_n_steps` to be positive, but got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._shown_at = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows content, styles and start, unless a resumed run has shown them."""
        if trainer.global_step > 0:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        pictures = data.pictures([stage for stage in data.stages if stage.frame == 0][-1])
        if pictures.content is not None:
            self._show(trainer, "image/content", pictures.content)
        for number, style in enumerate(pictures.styles, 1):
            self._show(trainer, "image/style" if len(pictures.styles) == 1 else f"image/style_{number}", style)
        self._show(trainer, "image/start", pl_module.image)  # type: ignore[arg-type]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Shows the image when it is due; of a film the first frame alone, for each is shown when it is done."""
        first = trainer.datamodule.stages[trainer.current_epoch].frame == 0  # type: ignore[attr-defined]
        if pl_module.due(self.every_n_steps) and first:  # type: ignore[operator]
            self._show_image(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows the result."""
        self._show_image(trainer, pl_module)

    def _show_image(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._shown_at != trainer.global_step:
            self._show(trainer, "image/stylized", pl_module.image)  # type: ignore[arg-type]
            self._shown_at = trainer.global_step

    def _show(self, trainer: pl.Trainer, name: str, image: Tensor) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer = logger.experiment.file_writer
                assert writer is not None
                writer.add_summary(_preview(name, image), trainer.global_step)


def _preview(name: str, image: Tensor) -> Summary:
    """A picture for TensorBoard as JPEG: its own PNG takes fifteen times as long and has five times the bytes.

    It is kept small, since TensorBoard sums its bytes in Python, while the steps wait.
    """
    picture, buffer = to_pil(image.detach().float()), io.BytesIO()
    picture.thumbnail((PREVIEW, PREVIEW))
    picture.save(buffer, "JPEG", quality=90)
    encoded = Summary.Image(
        height=picture.height, width=picture.width, colorspace=3, encoded_image_string=buffer.getvalue()
    )
    return Summary(value=[Summary.Value(tag=name, image=encoded)])


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
