"""Fur: thousands of tapered hairs, each with the color and the light of its root."""

import numpy as np
from PIL import ImageDraw

from nst_lightning.samples.drawing.noise import Array, read


def comb(rng: np.random.Generator, angle: Array, length: Array, roots: Array, points: int = 6) -> Array:
    """Grow hairs along a field of directions.

    Args:
        rng: The source of chance.
        angle: The direction at each place, in radians.
        length: The length at each place.
        roots: Where hairs grow, as x and y.
        points: How many points a hair has.

    Returns:
        Hairs by points by two coordinates.
    """
    turn = read(angle, roots[:, 0], roots[:, 1]) + rng.normal(0, 0.16, len(roots))
    step = read(length, roots[:, 0], roots[:, 1]) * (0.7 + 0.6 * rng.random(len(roots))) / (points - 1)
    curl = rng.normal(0, 0.09, len(roots))
    hair = [roots]
    for i in range(points - 1):
        bend = turn + curl * i
        hair.append(hair[-1] + step[:, None] * np.stack([np.cos(bend), np.sin(bend)], axis=1))
    return np.stack(hair, axis=1).astype(np.float32)


def draw_fur(draw: ImageDraw.ImageDraw, hairs: Array, colors: Array, scale: int, width: int = 3) -> None:
    """Draw hairs in their order, dark at the root and light at the tip.

    Args:
        draw: Where to draw.
        hairs: Hairs by points by two coordinates.
        colors: The color of each hair, 0 to 1.
        scale: How many times finer the canvas is.
        width: Width of a root, in pixels of the canvas.
    """
    middle = hairs.shape[1] // 2 + 1
    lower = (hairs[:, :middle] * scale).reshape(len(hairs), -1).tolist()
    upper = (hairs[:, middle - 1 :] * scale).reshape(len(hairs), -1).tolist()
    dark = (np.clip(colors * 0.86, 0, 1) * 255).astype(int).tolist()
    light = (np.clip(colors * 1.10 + 0.015, 0, 1) * 255).astype(int).tolist()
    for root, tip, first, second in zip(lower, upper, dark, light, strict=True):
        draw.line(root, fill=tuple(first), width=width)
        draw.line(tip, fill=tuple(second), width=max(1, width - 1))
