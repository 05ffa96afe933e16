"""A film as input: the selected frames, their times, and the cuts between shots."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.resize import resize
from nst_lightning.video.container_reader import ContainerReader
from nst_lightning.video.cuts import CutDetector
from nst_lightning.video.picture_readers import AnimationReader, NumberedFrames, is_animation
from nst_lightning.video.reader import DecodedFrame, FilmReader, Pixels

# Endings that always mean a film. Files that end in gif, webp or png are films if they have several frames.
FILM_ENDINGS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".ogv",
    ".flv",
    ".wmv",
    ".3gp",
)


@dataclass(frozen=True)
class FrameSelection:
    """A range of frames of a film.

    Attributes:
        first: number of the first frame, from 0.
        last: number of the last frame, inclusive; None for the last frame of the film.
        stride: every stride-th frame is selected.
    """

    first: int = 0
    last: int | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        if self.first < 0:
            raise InputError(f"Expected `first` to be 0 or more, but got {self.first}.")
        if self.last is not None and self.last < self.first:
            raise InputError(f"Expected `last` to be {self.first}, the first frame, or more, but got {self.last}.")
        if self.stride < 1:
            raise InputError(f"Expected `stride` to be 1 or more, but got {self.stride}.")

    def mark(self, frames: Iterator[DecodedFrame]) -> Iterator[tuple[DecodedFrame, bool]]:
        """Yields the frames up to the last selected one, each with whether it is selected."""
        for number, frame in enumerate(frames):
            yield frame, number >= self.first and (number - self.first) % self.stride == 0
            if number == self.last:
                return


@dataclass(frozen=True)
class FilmInfo:
    """Facts about the selected frames of a film.

    Attributes:
        times: when each selected frame is shown, in seconds of the file.
        end: when the last selected frame stops being shown.
        cuts: numbers of the selected frames that begin a shot, including 0.
        height: height in px, for square pixels.
        width: width in px, for square pixels.
        problem: why the film ends early, or None if the file is complete.
    """

    times: list[Fraction]
    end: Fraction
    cuts: list[int]
    height: int
    width: int
    problem: str | None


def is_film(path: Path) -> bool:
    """Whether a path is a film, judged by its ending; folders are films, and so are files with several pictures."""
    ending = path.suffix.lower()
    return path.is_dir() or ending in FILM_ENDINGS or (ending in (".gif", ".webp", ".png") and is_animation(path))


def open_reader(path: Path, rate: float) -> FilmReader:
    """Creates the reader for a film.

    Args:
        path: film file, animation, or folder of numbered frames.
        rate: frames per second of a folder.

    Raises:
        InputError: the path does not exist, or the folder has no numbered frames.
    """
    if path.is_dir():
        return NumberedFrames(path, rate)
    # A pipe would be waited for without an end.
    if not path.is_file():
        raise InputError(f"Expected a film, but there is none at {path}.")
    return AnimationReader(path) if is_animation(path) else ContainerReader(path)


class Film:
    """The selected frames of a film, by number and at any size.

    The constructor decodes the film once in order to know its frames. Later, frames are decoded on demand: the next
    frame is quick, an earlier one restarts the decoder. Only one frame is held in memory.

    Args:
        path: film file, animation, or folder of numbered frames.
        selection: frames to use; all by default.
        rate: frames per second of a folder.

    Raises:
        InputError: the file is not a film, or has none of the selected frames.
    """

    def __init__(self, path: Path, selection: FrameSelection | None = None, rate: float = 24.0) -> None:
        self.path = path
        self.selection = selection or FrameSelection()
        self.reader = open_reader(path, rate)
        self.info = _read_info(self.reader, self.selection, path)
        self._stream: Iterator[Pixels] = iter(())
        self._number = len(self)

    def __len__(self) -> int:
        return len(self.info.times)

    def frame(self, number: int, height: int, width: int) -> Tensor:
        """Reads a frame at a size.

        Args:
            number: number of the frame among the selected ones, from 0.
            height: height of the result in px.
            width: width of the result in px.

        Returns:
            ``(1, 3, height, width)`` in [0, 1].

        Raises:
            InputError: the film has lost frames since it was opened.
        """
        # Decoders only move forward.
        if number <= self._number:
            self._stream, self._number = self._decode_selected(), -1
        while self._number < number:
            try:
                pixels = next(self._stream)
            except StopIteration as error:
                raise InputError(
                    f"Expected {len(self)} frames in {self.path}, as when it was opened, but now it has only "
                    f"{self._number + 1}: do not change it while it is read."
                ) from error
            self._number += 1
        return _convert_to_tensor(pixels, height, width)

    def frames(self, height: int, width: int) -> Iterator[Tensor]:
        """Yields all frames in order at a size; see :meth:`frame`."""
        for pixels in self._decode_selected():
            yield _convert_to_tensor(pixels, height, width)

    def shot_start(self, number: int) -> int:
        """Returns the number of the first frame in the shot of a frame."""
        return max(cut for cut in self.info.cuts if cut <= number)

    def clone(self) -> "Film":
        """Returns the same film with a position of its own, so that both can be read at the same time."""
        other = copy(self)
        other.close()
        return other

    def close(self) -> None:
        """Closes the file; the next access opens it again."""
        self._stream, self._number = iter(()), len(self)

    def _decode_selected(self) -> Iterator[Pixels]:
        for frame, is_selected in self.selection.mark(self.reader.decode()):
            if is_selected:
                yield frame.pixels


def _convert_to_tensor(pixels: Pixels, height: int, width: int) -> Tensor:
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
    return resize(image, height, width)


def _read_info(reader: FilmReader, selection: FrameSelection, path: Path) -> FilmInfo:
    """Decodes a film up to the last selected frame."""
    times: list[Fraction] = []
    cuts: list[int] = []
    detector, end, shape, count = CutDetector(), Fraction(0), (0, 0), 0
    for frame, is_selected in selection.mark(reader.decode()):
        count, end = count + 1, frame.time + frame.duration
        if is_selected:
            if detector.is_cut(frame.pixels):
                cuts.append(len(times))
            times.append(frame.time)
            shape = shape if times[1:] else frame.pixels.shape[:2]
    if not times and count:
        raise InputError(
            f"Expected frames from number {selection.first} on, but {path} has {count} frames: lower data.first."
        )
    if not times:
        reason = f": {reader.problem}" if reader.problem else ""
        raise InputError(f"Expected a film, but {path} has no frame that can be read{reason}.")
    # Enlarging one direction makes pixels square without a loss of detail.
    (height, width), aspect = shape, reader.pixel_aspect
    height, width = (height, round(width * aspect)) if aspect >= 1 else (round(height / aspect), width)
    return FilmInfo(times, end, cuts, height, width, reader.problem)
