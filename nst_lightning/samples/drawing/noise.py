"""Random fields: value noise, fractal noise, and reading a field at arbitrary places."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Array = NDArray[np.float32]


def array(values: ArrayLike) -> Array:
    """Return numbers as an array of the type used throughout."""
    return np.asarray(values, dtype=np.float32)


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Array:
    """Draw smooth noise of mean zero.

    Args:
        rng: The source of chance.
        shape: Rows and columns of the result.
        cell: Height and width of one bump, in pixels.

    Returns:
        Noise of roughly -1 to 1.
    """
    rows, columns = shape[0] / cell[0], shape[1] / cell[1]
    lattice = rng.random((int(rows) + 6, int(columns) + 6), dtype=np.float32) * 2.0 - 1.0
    image = Image.fromarray(lattice)
    box = (2.0, 2.0, 2.0 + columns, 2.0 + rows)
    resized = image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized, dtype=np.float32)


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cell: float,
    octaves: int = 5,
    gain: float = 0.5,
    stretch: float = 1.0,
) -> Array:
    """Add up octaves of noise.

    Args:
        rng: The source of chance.
        shape: Rows and columns of the result.
        cell: Size of the largest bumps, in pixels.
        octaves: How many octaves, each half the size of the last.
        gain: Strength of an octave relative to the last.
        stretch: How many times wider than high a bump is.

    Returns:
        Noise of mean zero and unit deviation.
    """
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        size = max(cell / 2**octave, 1.0)
        total += gain**octave * value_noise(rng, shape, (size, size * stretch))
    total -= total.mean()
    return np.asarray(total / (total.std() + 1e-6), dtype=np.float32)


def read(field: Array, x: ArrayLike, y: ArrayLike) -> Array:
    """Read a field between its pixels, holding its border outside.

    Args:
        field: Rows by columns, or rows by columns by channels.
        x: Columns to read at.
        y: Rows to read at, of the same shape.

    Returns:
        The values, of the shape of `x` (with the channels, if any).
    """
    height, width = field.shape[:2]
    x = np.clip(array(x), 0, width - 1.001)
    y = np.clip(array(y), 0, height - 1.001)
    left, top = x.astype(np.int32), y.astype(np.int32)
    across, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
    if field.ndim == 3:
        across, down = across[..., None], down[..., None]
    flat = field.reshape(height * width, *field.shape[2:])
    corner = top * width + left
    upper = flat[corner] * (1 - across) + flat[corner + 1] * across
    lower = flat[corner + width] * (1 - across) + flat[corner + width + 1] * across
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)
