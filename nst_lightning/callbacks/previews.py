"""Previews of the image in TensorBoard."""

import io
from typing import Any

import lightning.pytorch as pl
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.io import to_pil
from nst_lightning.training.run_state import RunState

# Longest edge in px of a preview. TensorBoard sums its bytes in Python while the run waits.
PREVIEW_SIZE = 1024


class ImageLogger(pl.Callback):
    """Shows the image in TensorBoard during the run, and content and styles once at its start.

    Args:
        every_n_steps: steps between two previews.
    """

    def __init__(self, every_n_steps: int = 25) -> None:
        if every_n_steps < 1:
            raise InputError(f"Expected `previews.every_n_steps` to be positive, but got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._last_step = -1

    def on_train_start(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Shows content, styles and the initial image, except in a resumed run."""
        run = RunState.of(trainer)
        if run.step > 0:
            return
        pictures = run.data.pictures([stage for stage in run.data.stages if stage.frame == 0][-1])
        if pictures.content is not None:
            _show(run, "image/content", pictures.content)
        for number, style in enumerate(pictures.styles, 1):
            _show(run, "image/style" if len(pictures.styles) == 1 else f"image/style_{number}", style)
        _show(run, "image/start", run.image)

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Shows the image if it is due, in a film only during the first frame: FilmWriter shows complete frames."""
        run = RunState.of(trainer)
        if run.is_due(self.every_n_steps) and run.stage.frame == 0:
            self._show_image(run)

    def on_train_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        """Shows the result."""
        self._show_image(RunState.of(trainer))

    def _show_image(self, run: RunState) -> None:
        # The last step of a run may have been due already.
        if self._last_step != run.step:
            _show(run, "image/stylized", run.result)
            self._last_step = run.step


def _show(run: RunState, name: str, image: Tensor) -> None:
    for logger in run.tensorboard_loggers:
        writer = logger.experiment.file_writer
        assert writer is not None
        writer.add_summary(encode_preview(name, image), run.step)


def encode_preview(name: str, image: Tensor) -> Summary:
    """Encodes an image ``(1, 3, height, width)`` in [0, 1] for TensorBoard, as a JPEG of at most ``PREVIEW_SIZE`` px.

    The PNG that TensorBoard writes takes fifteen times as long and has five times the bytes.
    """
    picture, buffer = to_pil(image.detach().float()), io.BytesIO()
    picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    picture.save(buffer, "JPEG", quality=90)
    encoded = Summary.Image(
        height=picture.height, width=picture.width, colorspace=3, encoded_image_string=buffer.getvalue()
    )
    return Summary(value=[Summary.Value(tag=name, image=encoded)])
