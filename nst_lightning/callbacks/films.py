"""Writes each frame of a film after its last step, and the film at the end of the run."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from nst_lightning.callbacks.frame_records import (
    RECORDS_FILE,
    FrameRecord,
    read_records,
    summarize_records,
    write_records,
)
from nst_lightning.data.film_content import FilmContent
from nst_lightning.data.plan import Stage
from nst_lightning.data.transfer import TransferData
from nst_lightning.errors import InputError
from nst_lightning.images.atomic import atomic_path
from nst_lightning.images.io import to_pil
from nst_lightning.images.resize import fit_long_edge, resize
from nst_lightning.training.run_state import RunState
from nst_lightning.video.flicker import WarpingError, measure_frame
from nst_lightning.video.frames import FRAMES_FOLDER
from nst_lightning.video.reader import Pixels
from nst_lightning.video.writer import check_film_writable, write_film

# Name of the result in the run folder.
FILM_FILE = "film.mp4"

# Added to the name of a film that shows content and result next to each other.
COMPARE_SUFFIX = "_compare"

# Maximum number of frames in TensorBoard; longer films are sampled evenly.
MAX_LOGGED_FRAMES = 100

# Maximum number of frames in the film strip in TensorBoard.
STRIP_FRAMES = 8


class FilmWriter(pl.Callback):
    """Writes each frame after its last step, and the film when the run ends, also if it is stopped early.

    Args:
        data: the data of the run, set up, with a film as content.
        output: file to write in addition to ``film.mp4`` in the run folder: mp4, mov, mkv, webm, gif or webp, or a
            folder for PNG files if there is no ending.
        announce: whether to print where the result is.
    """

    def __init__(self, data: TransferData, output: str | None = None, announce: bool = True) -> None:
        if data.film is None:
            raise TypeError("Expected data with a film as content, but got other content or data that is not set up.")
        self.data = data
        self.film: FilmContent = data.film
        self.announce = announce
        self.output = None if output is None else check_film_writable(output)
        self._folder: Path | None = None
        self._records: list[FrameRecord] = []
        self._run_start = self._frame_start = time.monotonic()

    def summarize(self) -> dict[str, Any]:
        """See :func:`nst_lightning.callbacks.frame_records.summarize_records`."""
        return summarize_records(self._records)

    def open(self, folder: Path | None) -> None:
        """Uses a run folder for the frames and the film; without one, the frames are deleted after the run."""
        self._folder = folder
        if folder is not None:
            self.film.keep_frames(folder / FRAMES_FOLDER)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Uses the run folder."""
        self.open(RunState.of(trainer).folder)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks that a resumed run has its painted frames."""
        run = RunState.of(trainer)
        self._run_start = self._frame_start = time.monotonic()
        if trainer.ckpt_path is not None:
            self.complete(run.stage.frame, Path(trainer.ckpt_path), run.image)
        self._records = [] if self._folder is None else read_records(self._folder / RECORDS_FILE, run.stage.frame)

    def complete(self, count: int, checkpoint: Path, image: Tensor) -> None:
        """Restores missing frames of a resumed run.

        Frames are copied from the run folder of the checkpoint if that is another one. A missing last frame is the
        image of the checkpoint: the run was stopped because that frame could not be written.

        Args:
            count: number of frames that are painted.
            checkpoint: file that the run is resumed from.
            image: image in the checkpoint.

        Raises:
            InputError: other frames are missing.
        """
        # The checkpoint is `checkpoints/last.ckpt` in the run folder.
        frames, source = self.film.frames, checkpoint.parent.parent / FRAMES_FOLDER
        for number in frames.missing(count):
            copy = source / frames.path(number).name
            if copy.exists():
                with atomic_path(frames.path(number)) as temporary:
                    shutil.copyfile(copy, temporary)
            elif number == count - 1:
                frames.write(number, image)
            else:
                raise InputError(
                    f"Expected the painted frames 0 to {count - 1} in {frames.folder}, but number {number} is missing: "
                    "start the film again, without --ckpt_path."
                )

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *unused: Any) -> None:
        """Writes the frame after its last step."""
        run, stages, number = RunState.of(trainer), self.data.stages, trainer.current_epoch
        is_last_size = number + 1 == len(stages) or stages[number + 1].frame != run.stage.frame
        if run.is_stage_done and is_last_size:
            self._write_frame(run)

    def _write_frame(self, run: RunState) -> None:
        frames, number = self.film.frames, run.stage.frame
        try:
            frames.write(number, run.image)
        except OSError as error:
            raise InputError(
                f"Expected to write {frames.path(number)}, but {error}. The {number} frames before it are kept: free "
                "some disk space and resume with the same command and --ckpt_path last."
            ) from error
        record = self._measure(run)
        self._records.append(record)
        self._frame_start = time.monotonic()
        if self._folder is not None:
            write_records(self._folder / RECORDS_FILE, self._records)
        self._log(run, record)

    def _measure(self, run: RunState) -> FrameRecord:
        number = run.stage.frame
        motion = self.film.motion(number)
        error, compared = None, 0.0
        if motion is not None:
            # Read from the files, because the film consists of their 8-bit values.
            error, compared = measure_frame(WarpingError(), self._finish(number), self._finish(number - 1), motion)
        return FrameRecord(
            frame=number,
            time=float(self.film.timing(number + 1).times[-1]),
            steps=run.module.stage_step,
            seconds=time.monotonic() - self._frame_start,
            losses={name: float(value) for name, value in run.terms.items()},
            warping_error=error,
            compared=compared,
        )

    def _log(self, run: RunState, record: FrameRecord) -> None:
        curves = {"seconds": record.seconds} | {f"loss/{name}": value for name, value in record.losses.items()}
        if record.warping_error is not None:
            curves["warping_error"] = record.warping_error
        every = -(-self._total_frames // MAX_LOGGED_FRAMES)
        for logger in run.tensorboard_loggers:
            for name, value in curves.items():
                logger.experiment.add_scalar(f"film/{name}", value, record.frame)
            if record.frame % every == 0:
                logger.experiment.add_image("film/frame", self._finish(record.frame)[0], record.frame)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the film from all painted frames, and prints where it is."""
        count = self.film.frames.count()
        if count == 0:
            print("No frame of the film is finished yet.")
            return
        for logger in RunState.of(trainer).tensorboard_loggers:
            logger.experiment.add_image("film/strip", self._make_strip(count), trainer.global_step)
        self.write(count)

    def write(self, count: int) -> None:
        """Writes the film from the first ``count`` frames into the run folder and to `output`, and prints where."""
        paths = [path for path in (self._folder and self._folder / FILM_FILE, self.output) if path is not None]
        for path in paths:
            self._write_film(path, self._pixels(count), count)
            if self.film.options.compare:
                compare_path = path.with_name(f"{path.stem}{COMPARE_SUFFIX}{path.suffix}")
                self._write_film(compare_path, self._compare_frames(count), count)
        if self.announce:
            seconds = time.monotonic() - self._run_start
            height, width = self.data.shape(self._last_stage)
            places = ", ".join(map(str, paths)) or "not written to a file"
            print(f"{width}x{height} px, {count} of {self._total_frames} frames, {seconds:.0f} s: {places}")

    def _write_film(self, path: Path, pictures: Iterator[Pixels], count: int) -> None:
        try:
            write_film(path, pictures, self.film.timing(count), self.film.sound(count))
        except OSError as error:
            raise InputError(
                f"Expected to write {path}, but {error}. The {count} frames are kept in {self.film.frames.folder}: "
                "free some disk space, and the same command with --ckpt_path last writes the film."
            ) from error

    def _compare_frames(self, count: int) -> Iterator[Pixels]:
        """Yields the first frames with content and result next to each other."""
        contents = self.film.content_frames(self._last_stage)
        for content, pixels in zip(contents, self._pixels(count), strict=False):
            yield np.hstack([np.asarray(to_pil(content)), pixels])

    def _make_strip(self, count: int) -> Tensor:
        """Puts evenly sampled frames next to each other, ``(3, height, width)``."""
        numbers = sorted({round(number * (count - 1) / (STRIP_FRAMES - 1)) for number in range(STRIP_FRAMES)})
        images = [self._finish(number) for number in numbers]
        height, width = images[0].shape[-2:]
        height, width = fit_long_edge(height, width, min(256, max(height, width)))
        return torch.cat([resize(image, height, width)[0] for image in images], dim=2)

    def _finish(self, number: int) -> Tensor:
        """Reads a painted frame and gives it the colors of the result, ``(1, 3, height, width)`` in [0, 1]."""
        return self.data.finish(self.film.frames.read(number), number)

    def _pixels(self, count: int) -> Iterator[Pixels]:
        """Yields the first frames of the film as ``(height, width, 3)``, 8-bit."""
        if not self.data.changes_result:
            return self.film.frames.pixels(count)
        return (np.asarray(to_pil(self._finish(number))) for number in range(count))

    @property
    def _last_stage(self) -> Stage:
        return self.data.stages[-1]

    @property
    def _total_frames(self) -> int:
        return self._last_stage.frame + 1
