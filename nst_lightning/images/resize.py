"""Resizing of images."""

import torch
from torch import Tensor
from torch.nn import functional

from nst_lightning.functional.periodic import interpolate_periodic


def fit_long_edge(height: int, width: int, size: int) -> tuple[int, int]:
    """Computes the height and width at which a picture keeps its proportions and has a long edge of ``size`` px.

    Args:
        height: original height in px.
        width: original width in px.
        size: long edge of the result in px.

    Returns:
        Height and width in px, at least 1 each.
    """
    scale = size / max(height, width)
    # The short edge of a panorama could round to 0.
    return max(1, round(height * scale)), max(1, round(width * scale))


@torch.no_grad()
def resize(image: Tensor, height: int, width: int, periodic: bool = False) -> Tensor:
    """Resizes an image with antialiased bicubic interpolation and clips it to [0, 1].

    Args:
        image: ``(batch, channels, height, width)`` in [0, 1].
        height: height of the result in px.
        width: width of the result in px.
        periodic: whether the image is a tile: interpolation at an edge then reads the opposite edge.

    Returns:
        ``(batch, channels, height, width)``; `image` itself if it has that size already.
    """
    if image.shape[-2:] == (height, width):
        return image
    if periodic:
        return interpolate_periodic(image, height, width, "bicubic").clamp(0, 1)
    resized = image.new_empty(*image.shape[:2], height, width)
    # Channel by channel: the result is the same, and the intermediate picture, resized in width alone, is smaller.
    for channel in range(image.shape[1]):
        plane = image[:, channel : channel + 1]
        resized[:, channel : channel + 1] = functional.interpolate(
            plane, size=(height, width), mode="bicubic", antialias=True
        )
    return resized.clamp_(0, 1)
