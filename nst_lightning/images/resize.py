"""Resizing of images."""

import torch
from torch import Tensor
from torch.nn import functional


def fit_long_edge(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width of a picture whose long edge is made ``size`` px, at least 1 px each."""
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


@torch.no_grad()
def resize(image: Tensor, height: int, width: int) -> Tensor:
    """An image at another size: bicubic, antialiased, clipped to [0, 1].

    Args:
        image: ``(batch, channels, height, width)`` in [0, 1].
        height: of the result in px.
        width: likewise.
    """
    if image.shape[-2:] == (height, width):
        return image
    return functional.interpolate(image, size=(height, width), mode="bicubic", antialias=True).clamp(0, 1)
