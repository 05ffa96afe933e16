"""What the image is before the first step."""

import torch
from torch import Tensor

from nst_lightning.errors import InputError
from nst_lightning.images.io import read_image
from nst_lightning.images.resize import resize
from nst_lightning.samples import locate

NAMES = ("content", "style", "noise", "gaussian")


def initial_image(
    name: str, content: Tensor | None, style: Tensor | None, height: int, width: int, seed: int
) -> Tensor:
    """The image to start from.

    Args:
        name: ``content``, ``style``, ``noise`` (uniform), ``gaussian``, an image file or ``sample:NAME``.
        content: ``(1, 3, height, width)`` in [0, 1], or None.
        style: ``(1, 3, any, any)`` in [0, 1], or None.
        height: of the image in px.
        width: likewise.
        seed: of the noise.

    Returns:
        ``(1, 3, height, width)`` in [0, 1], on the CPU.

    Raises:
        InputError: a picture that was not given, or a file that cannot be read.
    """
    if name == "noise":
        return from_noise(height, width, seed)
    if name == "gaussian":
        return from_gaussian(height, width, seed)
    if name == "content":
        return resize(_given(content, name), height, width).clone()
    if name == "style":
        return resize(_given(style, name), height, width).clone()
    return from_file(name, height, width)


def from_noise(height: int, width: int, seed: int) -> Tensor:
    """Noise that is uniform in [0, 1], ``(1, 3, height, width)``."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def from_gaussian(height: int, width: int, seed: int) -> Tensor:
    """Normal noise of mean 0.5 and standard deviation 0.25, clipped to [0, 1], ``(1, 3, height, width)``."""
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.25 * noise).clamp(0, 1)


def from_file(path: str, height: int, width: int) -> Tensor:
    """A picture from a file, resized to ``(1, 3, height, width)``."""
    try:
        return resize(read_image(locate(path)).image, height, width)
    except InputError as error:
        raise InputError(f"Expected `initialization` to be {', '.join(NAMES)} or an image file. {error}") from error


def _given(picture: Tensor | None, name: str) -> Tensor:
    if picture is None:
        raise InputError(f"Expected a {name} to start from, but none is given: add --data.{name} FILE.")
    return picture
