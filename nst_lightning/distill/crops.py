"""Random crops of photographs: finding the files, holding some out, cropping and augmentation."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from nst_lightning.errors import InputError

PHOTOGRAPH_SUFFIXES = (".jpg", ".jpeg", ".png")
MIN_CROP_SIZE = 64


def find_photographs(folders: Sequence[str]) -> tuple[Path, ...]:
    """Finds every picture in the folders (not in their subfolders), sorted by path within each folder.

    Args:
        folders: paths of folders.

    Raises:
        InputError: a folder contains no picture.
    """
    paths: list[Path] = []
    for folder in folders:
        pictures = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in PHOTOGRAPH_SUFFIXES)
        if not pictures:
            raise InputError(f"Expected photographs ({', '.join(PHOTOGRAPH_SUFFIXES)}) in {folder}, but got none.")
        paths += pictures
    return tuple(paths)


def split_validation(paths: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Splits photographs into those to train on and about a tenth for validation.

    A hash of the file name decides, so that a photograph stays on its side when others are added.

    Args:
        paths: all photographs.

    Returns:
        Training and validation photographs.
    """
    validation = tuple(path for path in paths if _hash_name(path.name) % 10 == 0)
    return tuple(path for path in paths if path not in set(validation)), validation


def _hash_name(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


# Cached as bytes: decoding a picture for each crop costs more time than the memory is worth.
@cache
def _decode_photograph(path: Path) -> Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(numpy.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def read_photograph(path: Path) -> Tensor:
    """Reads a picture as ``(1, 3, height, width)``, sRGB in [0, 1]."""
    return _decode_photograph(path)[None].float() / 255


def draw_crop(paths: Sequence[Path], size: int, generator: torch.Generator) -> Tensor:
    """Draws a random part of a random picture at a random scale, sometimes flipped.

    Args:
        paths: the pictures.
        size: edge of the crop in px.
        generator: source of the random numbers.

    Returns:
        ``(1, 3, size, size)``, sRGB in [0, 1].
    """
    picture = read_photograph(paths[int(torch.randint(len(paths), (1,), generator=generator))])
    shortest = min(picture.shape[2:])
    edge = int(_draw_uniform(generator, min(0.6 * size, shortest), min(2.5 * size, shortest)))
    top, left = (int(torch.randint(extent - edge + 1, (1,), generator=generator)) for extent in picture.shape[2:])
    crop = picture[..., top : top + edge, left : left + edge]
    crop = functional.interpolate(crop, (size, size), mode="bilinear", antialias=True)
    # Photographs are rarely upside down.
    flips = [axis for axis in (2, 3) if torch.rand(1, generator=generator) < (0.1 if axis == 2 else 0.5)]
    return crop.flip(flips) if flips else crop


def _draw_uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def jitter(crop: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Changes contrast and color at random, and sometimes blends in another picture or adds noise.

    An image during an optimization differs from photographs in the same ways: it has noise, colors outside the gamut,
    and structures of two pictures.

    Args:
        crop: ``(1, 3, height, width)``, sRGB in [0, 1].
        other: the picture to blend in, of the same shape.
        generator: source of the random numbers.

    Returns:
        The same shape, not clipped to [0, 1].
    """
    contrast = _draw_uniform(generator, 0.7, 1.4)
    tint = 0.15 * torch.randn(1, 3, 1, 1, generator=generator)
    chances = torch.rand(3, generator=generator)
    crop = (crop - 0.5) * contrast + 0.5
    if chances[0] < 0.5:
        crop = crop + tint
    if chances[1] < 0.25:
        crop = torch.lerp(crop, other, _draw_uniform(generator, 0.1, 0.6))
    if chances[2] < 0.35:
        noise = torch.randn(crop.shape, generator=generator)
        if chances[2] < 0.15:
            coarse = functional.avg_pool2d(noise, 4)
            noise = noise + 4 * functional.interpolate(coarse, crop.shape[2:], mode="bilinear")
        crop = crop + _draw_uniform(generator, 0.01, 0.15) * noise
    return crop


class Crops:
    """An iterable of batches of crops, ``(batch, 3, size, size)``; the same seed gives the same batches.

    Args:
        paths: the pictures.
        batches: number of batches.
        batch_size: number of crops per batch.
        size: edge of a crop in px.
        seed: seed of the first batch; batch ``n`` has ``seed + n``.
        is_jittered: whether to change colors and add noise (see :func:`jitter`).

    Raises:
        InputError: ``size`` is less than 64 px.
    """

    def __init__(
        self, paths: Sequence[Path], batches: int, batch_size: int, size: int, seed: int, is_jittered: bool = True
    ) -> None:
        if size < MIN_CROP_SIZE:
            raise InputError(f"Expected a `size` of crops of at least {MIN_CROP_SIZE} px, but got {size}.")
        self.paths, self.batches, self.batch_size = paths, batches, batch_size
        self.size, self.seed, self.is_jittered = size, seed, is_jittered

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        for number in range(self.batches):
            generator = torch.Generator().manual_seed(self.seed + number)
            crops = [draw_crop(self.paths, self.size, generator) for _ in range(self.batch_size)]
            if self.is_jittered:
                crops = [jitter(crop, crops[n - 1], generator) for n, crop in enumerate(crops)]
            yield torch.cat(crops)
