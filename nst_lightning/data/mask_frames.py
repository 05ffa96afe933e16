"""Masks at the size and in the frame of a stage: still, moved along a film, or films themselves."""

import os
from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor

from nst_lightning.data.content_source import ContentSource
from nst_lightning.data.film_content import FilmContent
from nst_lightning.data.masks import (
    OWN_ALPHA,
    MaskSource,
    check_mask,
    check_not_empty,
    check_proportions,
    convert_to_gray,
    describe_mask,
    read_mask,
    split_label,
)
from nst_lightning.errors import InputError
from nst_lightning.images.io import Picture
from nst_lightning.images.resize import resize
from nst_lightning.samples import locate
from nst_lightning.video.film import Film, is_film
from nst_lightning.video.picture_readers import list_numbered_files
from nst_lightning.video.warp import warp


class Mask(ABC):
    """A mask of the image."""

    @abstractmethod
    def at(self, shape: tuple[int, int], frame: int = 0) -> Tensor:
        """Returns the mask ``(1, 1, height, width)`` in [0, 1].

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.
        """


class StillMask(Mask):
    """One mask for all frames.

    Args:
        plane: ``(1, 1, height, width)`` in [0, 1], of any size.
        content: the content.
        moves: whether the mask follows the motion since the first frame of each shot.
    """

    def __init__(self, plane: Tensor, content: ContentSource, moves: bool = False) -> None:
        self.plane = plane
        self.content = content
        self.moves = moves

    def at(self, shape: tuple[int, int], frame: int = 0) -> Tensor:
        """See :meth:`Mask.at`."""
        flow = self.content.shot_flow(frame) if self.moves else None
        if flow is None:
            return resize(self.plane, *shape)
        # The mask itself is sampled once, however many frames have passed, so that its edges stay sharp.
        moved = warp(resize(self.plane, *flow.shape[-2:]), flow, "linear").clamp(0, 1)
        return resize(moved, *shape)


class MaskFrames(ABC):
    """The masks of a film in their order."""

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of masks."""

    @abstractmethod
    def read(self, number: int) -> Tensor:
        """Reads a mask, ``(1, 1, height, width)`` in [0, 1]."""


class FolderMasks(MaskFrames):
    """A folder of numbered masks, each in one of the forms of :func:`read_mask`.

    Args:
        folder: the folder.
        label: label of an area, for color-coded pictures; or None.
        name: name of the option in messages.

    Raises:
        InputError: the folder has no numbered pictures.
    """

    def __init__(self, folder: Path, label: str | None, name: str) -> None:
        self.files = list_numbered_files(folder)
        self.suffix = "" if label is None else f"#{label}"
        self.name = name
        if not self.files:
            raise InputError(f"Expected a folder of numbered masks for {name}, but {folder} has no such pictures.")

    def __len__(self) -> int:
        return len(self.files)

    def read(self, number: int) -> Tensor:
        """See :meth:`MaskFrames.read`."""
        return read_mask(f"{self.files[number]}{self.suffix}", self.name)


class DecodedMasks(MaskFrames):
    """A film file or an animation of gray masks.

    Args:
        path: the file.
        name: name of the mask in messages.

    Raises:
        InputError: the file is not a film.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.film = Film(path)
        self.name = name

    def __len__(self) -> int:
        return len(self.film)

    def read(self, number: int) -> Tensor:
        """See :meth:`MaskFrames.read`."""
        image = self.film.frame(number, self.film.info.height, self.film.info.width)
        return convert_to_gray(Picture(image), self.name)


class FilmMask(Mask):
    """A mask of its own for each painted frame. All are read once in order to check them.

    Args:
        frames: the masks.
        numbers: number of the mask of each painted frame.
        content: the content.
        invert: whether to exchange black and white.
        name: name of the mask in messages.

    Raises:
        InputError: a mask cannot be read, has other proportions than the film, or all are empty.
    """

    def __init__(self, frames: MaskFrames, numbers: list[int], content: ContentSource, invert: bool, name: str) -> None:
        self.frames = frames
        self.numbers = numbers
        self.invert = invert
        self._last: tuple[int, Tensor] | None = None
        highest = 0.0
        for frame in range(len(numbers)):
            plane = self._read(frame)
            check_proportions((plane.shape[-2], plane.shape[-1]), (content.height, content.width), name)
            highest = max(highest, float(plane.max()))
        check_not_empty(highest, name)

    def at(self, shape: tuple[int, int], frame: int = 0) -> Tensor:
        """See :meth:`Mask.at`."""
        return resize(self._read(frame), *shape)

    def _read(self, frame: int) -> Tensor:
        # Several stages and maps use the mask of a frame, and decoders only move forward.
        if self._last is None or self._last[0] != frame:
            plane = self.frames.read(self.numbers[frame])
            self._last = frame, 1 - plane if self.invert else plane
        return self._last[1]


def open_mask(source: MaskSource, name: str, content: ContentSource, moves: bool, invert: bool = False) -> Mask:
    """Opens a mask of the image and checks it.

    Args:
        source: a mask as for :func:`read_mask`, or a film or folder of masks.
        name: name of the option in messages.
        content: the content.
        moves: whether a still mask follows the motion of a film.
        invert: whether to exchange black and white.

    Raises:
        InputError: the mask cannot be used.
    """
    described = describe_mask(name, source)
    if isinstance(source, str | os.PathLike) and source != OWN_ALPHA:
        file, label = split_label(os.fspath(source))
        path = locate(file)
        if is_film(path):
            return _open_film_mask(path, label, described, content, invert)
    plane = read_mask(source, name, content.picture)
    plane = 1 - plane if invert else plane
    check_mask(plane, (content.height, content.width), described)
    return StillMask(plane, content, moves)


def _open_film_mask(path: Path, label: str | None, name: str, content: ContentSource, invert: bool) -> FilmMask:
    if not isinstance(content, FilmContent):
        raise InputError(f"Expected {name} to be one picture, because the content is no film, but it has several.")
    if label is not None and not path.is_dir():
        raise InputError(f"Expected a picture or a folder of pictures before # in {name}, but got a film.")
    frames: MaskFrames = FolderMasks(path, label, name) if path.is_dir() else DecodedMasks(path, name)
    return FilmMask(frames, _number_masks(len(frames), content, name), content, invert, name)


def _number_masks(count: int, content: FilmContent, name: str) -> list[int]:
    """Returns the number of the mask of each painted frame."""
    painted, selection = content.frame_count, content.options.selection
    if count == painted:
        return list(range(painted))
    whole = content.count_all_frames()
    if count != whole:
        raise InputError(
            f"Expected {name} to have {painted} masks, one for each painted frame, or {whole}, one for each frame of "
            f"the film, but it has {count}."
        )
    return [selection.first + number * selection.stride for number in range(painted)]
