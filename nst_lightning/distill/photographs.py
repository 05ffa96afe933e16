"""Pictures to learn from: folders, the tenth that is kept aside, and random crops."""

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

SUFFIXES = (".jpg", ".jpeg", ".png")
SMALLEST = 64


def find_photographs(folders: Sequence[str]) -> tuple[Path, ...]:
    """Every picture in the folders, sorted by path.

    Raises:
        InputError: a folder holds none.
    """
    found: list[Path] = []
    for folder in folders:
        pictures = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES)
        if not pictures:
            raise InputError(f"Expected photographs ({', '.join(SUFFIXES)}) in {folder}, but there are none.")
        found += pictures
    return tuple(found)


def split(paths: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The pictures to learn from and the tenth that is kept aside, told apart by a hash of the file name."""
    aside = tuple(path for path in paths if _hash(path.name) % 10 == 0)
    return tuple(path for path in paths if path not in set(aside)), aside


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


@cache
def _read(path: Path) -> Tensor:
    """A picture in eight bits, ``(3, height, width)``; kept, since decoding costs more than the memory is worth."""
    with Image.open(path) as picture:
        return torch.from_numpy(numpy.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def read(path: Path) -> Tensor:
    """A picture, ``(1, 3, height, width)``, sRGB in [0, 1]."""
    return _read(path)[None].float() / 255


def random_crop(paths: Sequence[Path], size: int, generator: torch.Generator) -> Tensor:
    """A random part of a random picture at a random scale, ``(1, 3, size, size)``, perhaps mirrored or turned."""
    picture = read(paths[int(torch.randint(len(paths), (1,), generator=generator))])
    shortest = min(picture.shape[2:])
    edge = int(_between(generator, min(0.6 * size, shortest), min(2.5 * size, shortest)))
    top, left = (int(torch.randint(extent - edge + 1, (1,), generator=generator)) for extent in picture.shape[2:])
    crop = picture[..., top : top + edge, left : left + edge]
    crop = functional.interpolate(crop, (size, size), mode="bilinear", antialias=True)
    flips = [axis for axis in (2, 3) if torch.rand(1, generator=generator) < (0.1 if axis == 2 else 0.5)]
    return crop.flip(flips) if flips else crop


def _between(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def jitter(crop: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Changes of color and, now and then, noise or a second picture shining through.

    An image that is being painted is no photograph: it has noise, colors outside of the gamut, two pictures in one.
    """
    contrast = _between(generator, 0.7, 1.4)
    tint = 0.15 * torch.randn(1, 3, 1, 1, generator=generator)
    strength = torch.rand(3, generator=generator)
    crop = (crop - 0.5) * contrast + 0.5
    if strength[0] < 0.5:
        crop = crop + tint
    if strength[1] < 0.25:
        crop = torch.lerp(crop, other, _between(generator, 0.1, 0.6))
    if strength[2] < 0.35:
        noise = torch.randn(crop.shape, generator=generator)
        if strength[2] < 0.15:
            coarse = functional.avg_pool2d(noise, 4)
            noise = noise + 4 * functional.interpolate(coarse, crop.shape[2:], mode="bilinear")
        crop = crop + _between(generator, 0.01, 0.15) * noise
    return crop


class Crops:
    """Batches of crops, ``(batch, 3, size, size)``; the same batches for the same seed.

    Args:
        paths: the pictures.
        batches: how many batches there are.
        batch_size: crops in each.
        size: px.
        seed: of the first batch; the others count up.
        jittered: whether to change colors and add noise; otherwise the pictures stay as they are.
    """

    def __init__(
        self, paths: Sequence[Path], batches: int, batch_size: int, size: int, seed: int, jittered: bool = True
    ) -> None:
        if size < SMALLEST:
            raise InputError(f"Expected a `size` of crops of at least {SMALLEST} px, but got {size}.")
        self.paths, self.batches, self.batch_size = paths, batches, batch_size
        self.size, self.seed, self.jittered = size, seed, jittered

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        for number in range(self.batches):
            generator = torch.Generator().manual_seed(self.seed + number)
            crops = [random_crop(self.paths, self.size, generator) for _ in range(self.batch_size)]
            if self.jittered:
                crops = [jitter(crop, crops[n - 1], generator) for n, crop in enumerate(crops)]
            yield torch.cat(crops)
