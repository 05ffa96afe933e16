"""Terrain: a height map of mountains around a lake, its light, and how a camera sees it."""

from typing import NamedTuple

import numpy as np

from nst_lightning.samples.drawing.canvas import blur, smooth
from nst_lightning.samples.drawing.noise import Array, fractal, read, value_noise

SIDE = 1000
REACH = 3600.0
CELL = REACH / SIDE


class View(NamedTuple):
    """Where each pixel of a picture meets the terrain, and how far away; far beyond `REACH` is sky."""

    x: Array
    z: Array


def _ridges(rng: np.random.Generator, cell: float, octaves: int) -> Array:
    """Return sharp ridges, finer ones growing on the coarser ones."""
    total, weight = np.zeros((SIDE, SIDE), dtype=np.float32), np.ones((SIDE, SIDE), dtype=np.float32)
    for octave in range(octaves):
        size = cell / 2.03**octave
        ridge = (1 - np.abs(value_noise(rng, (SIDE, SIDE), (size, size))) * 1.45) ** 2
        total += 0.45**octave * ridge * weight
        weight = np.clip(ridge * 1.5, 0.2, 1)
    return total / 1.75


def heights(rng: np.random.Generator) -> Array:
    """Raise the terrain.

    Args:
        rng: The source of chance.

    Returns:
        Heights, rows from near to far, columns from left to right; the lake lies below 0.
    """
    z, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) * CELL
    x = x - REACH / 2
    rough = fractal(rng, (SIDE, SIDE), 150, 7, 0.5)
    rolling = fractal(rng, (SIDE, SIDE), 90, 3)
    shore = np.hypot((x + 60) / (430 + 0.30 * z), (z - 330) / 760) - 1 + 0.10 * rough
    land = 85 * np.clip(shore, -0.25, 1.4) + (9 * rough + 16 * rolling) * smooth(0.0, 0.4, shore)
    peaks = _ridges(rng, 1150 / CELL, 8)
    chain = smooth(1250, 2700, z + 0.25 * np.abs(x) + 60 * rough)
    valley = 0.72 + 0.28 * smooth(60, 900, np.abs(x - 130 + 0.10 * (z - 1800)))
    land += 900 * chain * valley * np.clip(peaks, 0, 1.25)
    sides = smooth(380, 1300, np.abs(x + 40)) * smooth(500, 1500, z)
    return np.asarray(land + 190 * sides * peaks, dtype=np.float32)


def sunlight(height: Array, toward: tuple[float, float, float]) -> tuple[Array, Array]:
    """Light the terrain.

    Args:
        height: The heights.
        toward: Direction to the sun: right, up, far.

    Returns:
        The light on each place (0 in the shade), and how level the ground is (1 is flat).
    """
    far, right = np.gradient(height, CELL)
    length = np.sqrt(1 + far**2 + right**2)
    sun = np.array(toward) / np.linalg.norm(toward)
    lit = np.clip((-right * sun[0] + sun[1] - far * sun[2]) / length, 0, 1)
    z, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    clear = np.ones_like(height)
    flat = np.hypot(sun[0], sun[2])
    for step in 1.6 * 1.25 ** np.arange(16):
        above = read(height, x + step * sun[0] / flat, z + step * sun[2] / flat) - height - step * CELL * sun[1] / flat
        clear = np.minimum(clear, smooth(0.9 * step, -0.5 * step, above))
    return np.asarray(lit * blur(clear, 1), dtype=np.float32), (1 / length).astype(np.float32)


def look(height: Array, size: tuple[int, int], eye: float, horizon: float, focus: float) -> View:
    """Find what each pixel sees, from the near edge of the terrain.

    Args:
        height: The heights.
        size: Rows and columns of the picture.
        eye: Height of the camera.
        horizon: The row of the horizon.
        focus: Focal length, in pixels.

    Returns:
        What is seen.
    """
    rows, columns = size
    aim = (np.arange(columns, dtype=np.float32) - columns / 2) / focus
    z = np.geomspace(70.0, REACH - 5, 900).astype(np.float32)[:, None]
    seen = read(np.maximum(height, 0.0), (aim * z + REACH / 2) / CELL, np.broadcast_to(z, (900, columns)) / CELL)
    upper = np.minimum.accumulate(horizon - (seen - eye) / z * focus, axis=0)
    depth = np.full(size, 1e6, dtype=np.float32)
    wanted = np.arange(rows, dtype=np.float32)
    for column in range(columns):
        profile = upper[:, column]
        found = np.searchsorted(-profile, -wanted)
        hit = (found < 900) & (found > 0)
        k = found[hit]
        part = (profile[k - 1] - wanted[hit]) / np.maximum(profile[k - 1] - profile[k], 1e-4)
        depth[hit, column] = z[k - 1, 0] + np.clip(part, 0, 1) * (z[k, 0] - z[k - 1, 0])
        depth[found == 0, column] = z[0, 0]
    return View(aim[None] * depth, depth)
