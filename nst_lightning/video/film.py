"""A film to be painted: which of its frames, when they are shown, where it cuts; decoded as it goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.resize import resize
from nst_lightning.video.container import Container
from nst_lightning.video.cuts import CutFinder
from nst_lightning.video.pictures import Animation, Numbered, is_animation
from nst_lightning.video.source import Decoded, Pixels, Source

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv", ".3gp")
"""Files that are films by their names; gif and webp are where they have several pictures, folders always."""


@dataclass(frozen=True)
class Selection:
    """Which frames of a film are meant.

    Attributes:
        first: number of the first one, from 0.
        last: number of the last one, itself among them; the film's last one where None.
        stride: every how many-th.
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

    def of(self, decoded: Iterator[Decoded]) -> Iterator[tuple[Decoded, bool]]:
        """The frames up to the last one, each with whether it is among those that are meant."""
        for number, frame in enumerate(decoded):
            yield frame, number >= self.first and (number - self.first) % self.stride == 0
            if number == self.last:
                return


@dataclass(frozen=True)
class Contents:
    """What a first reading of a film found.

    Attributes:
        times: when each selected frame is shown, in seconds of the source.
        end: when the last one is no longer shown.
        cuts: numbers of the selected frames that begin something new, the first one among them.
        height: in px, with square pixels.
        width: likewise.
        problem: what is wrong with the file, or None.
    """

    times: list[Fraction]
    end: Fraction
    cuts: list[int]
    height: int
    width: int
    problem: str | None


def is_film(path: Path) -> bool:
    """Whether a path is a film's; of a file that does not exist by its name."""
    ending = path.suffix.lower()
    return path.is_dir() or ending in ENDINGS or (ending in (".gif", ".webp", ".png") and is_animation(path))


def open_source(path: Path, rate: float) -> Source:
    """The class that reads a film.

    Args:
        path: a film, an animation, or a folder of numbered frames.
        rate: frames a second of a folder.

    Raises:
        InputError: there is no such film.
    """
    if not path.exists():
        raise InputError(f"Expected a film, but there is none at {path}.")
    if path.is_dir():
        return Numbered(path, rate)
    return Animation(path) if is_animation(path) else Container(path)


class Film:
    """The selected frames of a film, by number and at any size.

    It is read once to the end when it is opened, to know its frames before any is painted. After that it is decoded as
    frames are asked for: going on is quick, going back starts it anew. Only one picture is kept.

    Args:
        path: a film, an animation, or a folder of numbered frames.
        selection: which frames.
        rate: frames a second of a folder.

    Raises:
        InputError: there is no film, or it has none of the frames.
    """

    def __init__(self, path: Path, selection: Selection | None = None, rate: float = 24.0) -> None:
        self.path = path
        self.selection = selection or Selection()
        self.source = open_source(path, rate)
        self.contents = _read_through(self.source, self.selection, path)
        self._stream: Iterator[Pixels] = iter(())
        self._number = len(self)

    def __len__(self) -> int:
        return len(self.contents.times)

    def frame(self, number: int, height: int, width: int) -> Tensor:
        """A frame at a size, ``(1, 3, height, width)`` in [0, 1]."""
        return at_size(self._pixels(number), height, width)

    def frames(self, height: int, width: int) -> Iterator[Tensor]:
        """All frames in their order at a size; see :meth:`frame`."""
        for pixels in self._selected():
            yield at_size(pixels, height, width)

    def shot(self, number: int) -> int:
        """The number of the frame with which the shot of a frame begins."""
        return max(cut for cut in self.contents.cuts if cut <= number)

    def close(self) -> None:
        """Lets the file go."""
        self._stream, self._number = iter(()), len(self)

    def _pixels(self, number: int) -> Pixels:
        if number <= self._number:
            self._stream, self._number = self._selected(), -1
        while self._number < number:
            pixels = next(self._stream)
            self._number += 1
        return pixels

    def _selected(self) -> Iterator[Pixels]:
        for frame, meant in self.selection.of(self.source.decoded()):
            if meant:
                yield frame.pixels


def at_size(pixels: Pixels, height: int, width: int) -> Tensor:
    """A decoded picture as ``(1, 3, height, width)`` in [0, 1]."""
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
    return resize(image, height, width)


def _read_through(source: Source, selection: Selection, path: Path) -> Contents:
    times: list[Fraction] = []
    cuts: list[int] = []
    finder, end, shape, read = CutFinder(), Fraction(0), (0, 0), 0
    for frame, meant in selection.of(source.decoded()):
        read, end = read + 1, frame.time + frame.duration
        if meant:
            if finder.begins(frame.pixels):
                cuts.append(len(times))
            times.append(frame.time)
            shape = shape if times[1:] else frame.pixels.shape[:2]
    if not times:
        raise InputError(_nothing(read, selection, source, path))
    height, width = _square(*shape, source.stretch)
    return Contents(times, end, cuts, height, width, source.problem)


def _square(height: int, width: int, stretch: Fraction) -> tuple[int, int]:
    """The size with square pixels, never smaller than as it is stored."""
    return (height, round(width * stretch)) if stretch >= 1 else (round(height / stretch), width)


def _nothing(read: int, selection: Selection, source: Source, path: Path) -> str:
    if read:
        return f"Expected frames from number {selection.first} on, but {path} has {read} frames: lower data.first."
    return (
        f"Expected a film, but {path} has no frame that can be read{f': {source.problem}' if source.problem else ''}."
    )
