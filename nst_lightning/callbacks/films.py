"""The frames of a film as they are done, and the film when all of them are."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from nst_lightning.callbacks.frame_records import RECORDS, FrameRecord, means, read_records, write_records
from nst_lightning.data.film import FilmData
from nst_lightning.data.plan import Stage
from nst_lightning.errors import InputError
from nst_lightning.images.io import to_pil
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.training.run_folder import run_folder
from nst_lightning.video.flicker import WarpingError, error_of
from nst_lightning.video.frames import FOLDER
from nst_lightning.video.source import Pixels
from nst_lightning.video.writer import check_film_writable, write_film

RESULT = "film.mp4"
"""Name of the result in the run folder."""

COMPARED = "compare"
"""What is added to the name of a film that shows content and result side by side."""

SHOWN = 100
"""How many frames TensorBoard gets at most; of longer films every so many-th."""

STRIP = 8
"""How many frames the strip has at most."""


class FilmWriter(pl.Callback):
    """Writes each frame when it is done, and the film at the end, also when that comes early.

    Args:
        data: the film.
        output: file to write besides ``film.mp4`` in the run folder: mp4, mov, mkv, webm, gif or webp by its ending; a
            folder for PNG files without one.
        announce: whether to say where the result is.
    """

    def __init__(self, data: FilmData, output: str | None = None, announce: bool = True) -> None:
        self.data = data
        self.announce = announce
        self.output = None if output is None else check_film_writable(output)
        self._folder: Path | None = None
        self._records: list[FrameRecord] = []
        self._began = self._frame_began = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finds the place of the frames."""
        self.open(run_folder(trainer))

    def numbers(self) -> dict[str, Any]:
        """The film in numbers; see :func:`nst_lightning.callbacks.frame_records.means`."""
        return means(self._records)

    def open(self, folder: Path | None) -> None:
        """Takes the frames to be in a run folder; without one they are nowhere when the run is over."""
        self._folder = folder
        if folder is not None:
            self.data.keep_frames(folder / FOLDER)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes sure that a resumed run has the frames that were painted before."""
        self._began = self._frame_began = time.monotonic()
        frame = self._stage(trainer).frame
        if trainer.ckpt_path is not None:
            self.complete(frame, Path(trainer.ckpt_path), pl_module.image)  # type: ignore[arg-type]
        self._records = [] if self._folder is None else read_records(self._folder / RECORDS, frame)

    def complete(self, count: int, checkpoint: Path, image: Tensor) -> None:
        """Makes sure that the first frames are there.

        Args:
            count: how many.
            checkpoint: that the run goes on from; the frames of its run are taken where that was another one.
            image: of that checkpoint: where only the last frame is missing, it could not be written, and is this.

        Raises:
            InputError: there are others missing.
        """
        frames, others = self.data.frames, checkpoint.parent.parent / FOLDER
        for number in frames.missing(count):
            found = others / frames.path(number).name
            if found.exists():
                frames.folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found, frames.path(number))
            elif number == count - 1:
                frames.write(number, image)
            else:
                raise InputError(
                    f"Expected the painted frames 0 to {count - 1} in {frames.folder}, but number {number} is missing: "
                    "start the film anew, without --ckpt_path."
                )

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Writes the frame after its last step."""
        stages, number = self.data.stages, trainer.current_epoch
        stage = stages[number]
        last_of_frame = number + 1 == len(stages) or stages[number + 1].frame != stage.frame
        if pl_module.stage_step == stage.steps and last_of_frame:
            self._write_frame(trainer, stage, pl_module.image)  # type: ignore[arg-type]

    def _write_frame(self, trainer: pl.Trainer, stage: Stage, image: Tensor) -> None:
        frames = self.data.frames
        try:
            frames.write(stage.frame, image)
        except OSError as error:
            raise InputError(
                f"Expected to write {frames.path(stage.frame)}, but {error}. The {stage.frame} frames before it are "
                "kept: make room, and the same command with --ckpt_path last goes on."
            ) from error
        self._records.append(self._record(trainer, stage))
        self._frame_began = time.monotonic()
        if self._folder is not None:
            write_records(self._folder / RECORDS, self._records)
        self._show(trainer, self._records[-1])

    def _record(self, trainer: pl.Trainer, stage: Stage) -> FrameRecord:
        terms: dict[str, Tensor] = trainer.lightning_module.terms  # type: ignore[assignment]
        error, compared = self._flicker(stage.frame)
        return FrameRecord(
            frame=stage.frame,
            time=float(self.data.timing(stage.frame + 1).times[-1]),
            steps=stage.steps,
            seconds=time.monotonic() - self._frame_began,
            losses={name: float(value) for name, value in terms.items()},
            warping_error=error,
            compared=compared,
        )

    def _flicker(self, frame: int) -> tuple[float | None, float]:
        motion, frames = self.data.motion(frame), self.data.frames
        if motion is None:
            return None, 0.0
        return error_of(WarpingError(), frames.read(frame), frames.read(frame - 1), motion)

    def _show(self, trainer: pl.Trainer, record: FrameRecord) -> None:
        numbers = {"seconds": record.seconds} | {f"loss/{name}": value for name, value in record.losses.items()}
        if record.warping_error is not None:
            numbers["warping_error"] = record.warping_error
        for logger in _tensorboards(trainer):
            for name, value in numbers.items():
                logger.experiment.add_scalar(f"film/{name}", value, record.frame)
            if record.frame % -(-(self._stage(trainer, -1).frame + 1) // SHOWN) == 0:
                logger.experiment.add_image("film/frame", self.data.frames.read(record.frame)[0], record.frame)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the film of all frames that are done, and says where it is."""
        count = self.data.frames.count()
        if count == 0:
            print("No frame of the film is done yet.")
            return
        for logger in _tensorboards(trainer):
            logger.experiment.add_image("film/strip", self._strip(count), trainer.global_step)
        self.write(count)

    def write(self, count: int) -> None:
        """Writes the film of the first frames, where that is wanted, and says where it is."""
        paths = [path for path in (self._folder and self._folder / RESULT, self.output) if path is not None]
        for path in paths:
            self._write_film(path, self.data.frames.pixels(count), count)
            if self.data.compare:
                self._write_film(_compared(path), self._side_by_side(count), count)
        if self.announce:
            self._announce(paths, count)

    def _announce(self, paths: list[Path], count: int) -> None:
        total, took = self.data.stages[-1].frame + 1, time.monotonic() - self._began
        height, width = self.data.shape(self.data.stages[-1])
        places = ", ".join(map(str, paths)) or "not written to a file"
        print(f"{width}x{height} px, {count} of {total} frames, {took:.0f} s: {places}")

    def _write_film(self, path: Path, pictures: Iterator[Pixels], count: int) -> None:
        try:
            write_film(path, pictures, self.data.timing(count), self.data.sound(count))
        except OSError as error:
            raise InputError(
                f"Expected to write {path}, but {error}. The {count} frames are kept in {self.data.frames.folder}: "
                "make room, and the same command with --ckpt_path last writes the film."
            ) from error

    def _side_by_side(self, count: int) -> Iterator[Pixels]:
        contents = self.data.contents(self.data.stages[-1])
        for content, pixels in zip(contents, self.data.frames.pixels(count), strict=False):
            yield np.hstack([np.asarray(to_pil(content)), pixels])

    def _strip(self, count: int) -> Tensor:
        """Some frames side by side, ``(3, height, width)``."""
        numbers = sorted({round(number * (count - 1) / (STRIP - 1)) for number in range(STRIP)})
        images = [self.data.frames.read(number) for number in numbers]
        height, width = images[0].shape[-2:]
        height, width = fit_long_edge(height, width, min(256, max(height, width)))
        return torch.cat([resize(image, height, width)[0] for image in images], dim=2)

    def _stage(self, trainer: pl.Trainer, number: int | None = None) -> Stage:
        return self.data.stages[trainer.current_epoch if number is None else number]


def _compared(path: Path) -> Path:
    return path.with_name(f"{path.stem}_{COMPARED}{path.suffix}")


def _tensorboards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
