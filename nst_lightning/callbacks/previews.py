"""Previews of the image in TensorBoard."""

import io
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.io import to_pil

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
        if pl_module.is_due(self.every_n_steps) and first:  # type: ignore[operator]
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
