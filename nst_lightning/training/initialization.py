"""The image before the first step."""

from pathlib import Path

import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.samples import locate

INITIALIZATIONS = ("content", "style", "noise", "gaussian")


def initial_image(
    name: str, content: Tensor | None, style: Tensor | None, height: int, width: int, seed: int
) -> Tensor:
    """Creates the image before the first step.

    Args:
        name: ``content``, ``style``, ``noise`` (uniform), ``gaussian``, an image file or ``sample:NAME``.
        content: ``(1, 3, height, width)`` in [0, 1], or None.
        style: ``(1, 3, any, any)`` in [0, 1], or None.
        height: height of the image in px.
        width: width of the image in px.
        seed: seed of the noise.

    Returns:
        ``(1, 3, height, width)`` in [0, 1], on the CPU.

    Raises:
        InputError: the picture is missing, or the file cannot be read.
    """
    if name == "noise":
        return draw_noise(height, width, seed)
    if name == "gaussian":
        return draw_gaussian(height, width, seed)
    if name == "content":
        return resize(_require(content, name), height, width).clone()
    if name == "style":
        return resize(_require(style, name), height, width).clone()
    return read_initial(name, height, width)


def check_initialization(name: str) -> None:
    """Checks that an initialization is known or names an image file that can be read.

    Raises:
        InputError: it is neither.
    """
    if name not in INITIALIZATIONS:
        read_image(_locate_initial(name))


def draw_noise(height: int, width: int, seed: int) -> Tensor:
    """Draws uniform noise in [0, 1], ``(1, 3, height, width)``."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def draw_gaussian(height: int, width: int, seed: int) -> Tensor:
    """Draws normal noise of mean 0.5 and standard deviation 0.25, clipped to [0, 1], ``(1, 3, height, width)``."""
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.25 * noise).clamp(0, 1)


def read_initial(path: str, height: int, width: int) -> Tensor:
    """Reads an image file and resizes it to ``(1, 3, height, width)``."""
    return resize(read_image(_locate_initial(path)).image, height, width)


def _locate_initial(name: str) -> Path:
    path = locate(name)
    if not path.exists():
        known = ", ".join(INITIALIZATIONS)
        raise InputError(f"Expected `initialization` to be {known} or an image file, but there is no file {name}.")
    return path


def _require(picture: Tensor | None, name: str) -> Tensor:
    if picture is None:
        raise InputError(f"Expected a {name} to start from, but none is given: add --data.{name} FILE.")
    return picture
