"""Canvas tools: coordinates, colors, masks, compositing, blur, and relief light."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.noise import Array, array

Color = tuple[float, float, float]


def grid(width: int, height: int, scale: int) -> tuple[Array, Array]:
    """Return the coordinates of every pixel center, in pixels of the finished picture.

    Args:
        width: Width of the finished picture.
        height: Height of the finished picture.
        scale: How many times finer the canvas is.

    Returns:
        x and y, each of `height * scale` rows and `width * scale` columns.
    """
    x = (np.arange(width * scale) + 0.5) / scale
    y = (np.arange(height * scale) + 0.5) / scale
    across, down = np.meshgrid(x, y)
    return array(across), array(down)


def hexcolor(text: str) -> Color:
    """Turn "c08040" into a color of three numbers between 0 and 1."""
    red, green, blue = (int(text[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def smooth(low: float, high: float, value: ArrayLike) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high` (which may be the smaller)."""
    t = np.clip((np.asarray(value, dtype=np.float32) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def ramp(value: ArrayLike, stops: Sequence[tuple[float, str]]) -> Array:
    """Look up colors along a gradient.

    Args:
        value: Where to look.
        stops: Positions, rising, each with its color in hexadecimal.

    Returns:
        Colors, of the shape of `value` and three channels.
    """
    places = [place for place, _ in stops]
    colors = np.array([hexcolor(text) for _, text in stops])
    channels = [np.interp(np.asarray(value), places, colors[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def over(canvas: Array, mask: Array, paint: ArrayLike) -> None:
    """Lay paint over a canvas, in place.

    Args:
        canvas: Rows by columns by three channels.
        mask: How opaque the paint is at each pixel, 0 to 1.
        paint: One color, or one for each pixel.
    """
    canvas += mask[..., None] * (np.asarray(paint, dtype=np.float32) - canvas)


def polygon_mask(shape: tuple[int, int], points: ArrayLike, scale: float) -> Array:
    """Fill a polygon.

    Args:
        shape: Rows and columns of the mask.
        points: Corners, as x and y in pixels of the finished picture.
        scale: How many times finer the mask is.

    Returns:
        1 inside and 0 outside.
    """
    image = Image.new("L", (shape[1], shape[0]))
    corners = (np.asarray(points, dtype=np.float64) * scale).ravel().tolist()
    ImageDraw.Draw(image).polygon(corners, fill=255)
    return np.asarray(image, dtype=np.float32) / 255.0


def _box_blur(field: Array, radius: int, axis: int) -> Array:
    pad = [(0, 0)] * field.ndim
    pad[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(field, pad, mode="edge"), axis=axis, dtype=np.float64)
    size = 2 * radius + 1
    count = field.shape[axis]
    high = np.take(sums, range(size, size + count), axis=axis)
    low = np.take(sums, range(count), axis=axis)
    return np.asarray((high - low) / size, dtype=np.float32)


def blur(field: Array, radius: float, passes: int = 2) -> Array:
    """Blur by repeated box means, close to a Gaussian of deviation `radius`.

    Args:
        field: Rows by columns, with or without channels.
        radius: Deviation of the blur, in pixels of the field.
        passes: How many means; more is smoother.

    Returns:
        The blurred field.
    """
    box = max(1, round(radius * (3.0 / passes) ** 0.5))
    for _ in range(passes):
        field = _box_blur(_box_blur(field, box, 0), box, 1)
    return field


def relief(height: Array, strength: float, angle: float = -2.2) -> Array:
    """Light a height field from one side.

    Args:
        height: The heights.
        strength: How strongly slopes show.
        angle: Where the light comes from, in radians (the default is the upper left).

    Returns:
        A factor for each pixel, 1 where the surface is flat.
    """
    down, across = np.gradient(height)
    slope = (across * np.cos(angle) + down * np.sin(angle)) * strength
    return array(1.0 - 0.5 * np.tanh(slope))


def finish(canvas: Array, width: int, height: int) -> Image.Image:
    """Turn a canvas of numbers into the finished picture.

    Args:
        canvas: Rows by columns by three channels, 0 to 1.
        width: Width of the picture.
        height: Height of the picture.

    Returns:
        The picture.
    """
    pixels = (np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    image = Image.fromarray(pixels)
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
