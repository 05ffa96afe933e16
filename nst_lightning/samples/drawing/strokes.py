"""Brush strokes: paths along a flow, and bristly strokes with a relief of paint."""

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.noise import Array, read


def follow(angle: Array, starts: Array, steps: int, stride: float) -> Array:
    """Trace paths along a field of directions.

    Args:
        angle: The direction at each pixel, in radians.
        starts: Middle of each path, as x and y, in pixels of `angle`.
        steps: How many points a path has.
        stride: Distance between points.

    Returns:
        Paths by points by two coordinates.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    halves = []
    for sign in (-1.0, 1.0):
        points = [starts]
        for _ in range(steps // 2):
            x, y = points[-1][:, 0], points[-1][:, 1]
            step = np.stack([read(cosine, x, y), read(sine, x, y)], axis=1)
            points.append(points[-1] + sign * stride * step)
        halves.append(points)
    return np.stack(halves[0][:0:-1] + halves[1], axis=1).astype(np.float32)


def scatter(rng: np.random.Generator, shape: tuple[int, int], spacing: float, jitter: float = 1.0) -> Array:
    """Spread points evenly but not regularly, in random order.

    Args:
        rng: The source of chance.
        shape: Rows and columns to cover.
        spacing: Distance between neighbors.
        jitter: How far points stray from the lattice, in spacings.

    Returns:
        Points by two coordinates, x and y.
    """
    rows, columns = int(shape[0] / spacing) + 2, int(shape[1] / spacing) + 2
    lattice = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    points = (lattice + (rng.random(lattice.shape) - 0.5) * jitter - 0.25) * spacing
    return rng.permutation(points).astype(np.float32)


class Canvas:
    """A wet canvas: its colors, and the thickness of its paint."""

    def __init__(self, shape: tuple[int, int], ground: tuple[int, int, int]) -> None:
        """Stretch a canvas.

        Args:
            shape: Rows and columns.
            ground: Color of the bare canvas, 0 to 255.
        """
        self.color = Image.new("RGB", (shape[1], shape[0]), ground)
        self.thickness = Image.new("L", (shape[1], shape[0]), 90)

    def stroke(
        self, rng: np.random.Generator, paths: Array, width: float, colors: Array, bristles: int, spread: float = 0.07
    ) -> None:
        """Paint strokes of many bristles.

        Args:
            rng: The source of chance.
            paths: Paths by points by two coordinates.
            width: Width of a stroke.
            colors: Color of each path, 0 to 1.
            bristles: How many bristles the brush has.
            spread: How far the colors of the bristles differ.
        """
        tangent = np.gradient(paths, axis=1)
        tangent /= np.linalg.norm(tangent, axis=2, keepdims=True) + 1e-6
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=2)
        offsets = (np.arange(bristles) - (bristles - 1) / 2) / max(bristles - 1, 1) * width
        line = max(2, round(1.7 * width / bristles))
        shades = colors[:, None] + rng.normal(0, spread, (len(paths), bristles, 1)) * (0.6 + 0.8 * colors[:, None])
        shades = (np.clip(shades, 0, 1) * 255).astype(np.uint8)
        levels = np.clip(rng.normal(128, 42, (len(paths), bristles)), 20, 250).astype(int)
        trim = rng.integers(0, max(1, paths.shape[1] // 4), (len(paths), bristles, 2))
        ink, bump = ImageDraw.Draw(self.color), ImageDraw.Draw(self.thickness)
        for i, path in enumerate(paths):
            for j in range(bristles):
                first, last = int(trim[i, j, 0]), path.shape[0] - int(trim[i, j, 1])
                points = (path[first:last] + normal[i, first:last] * offsets[j]).ravel().tolist()
                ink.line(points, fill=tuple(shades[i, j].tolist()), width=line)
                bump.line(points, fill=int(levels[i, j]), width=line)

    def arrays(self) -> tuple[Array, Array]:
        """Return the colors and the thickness, both 0 to 1."""
        color = np.asarray(self.color, dtype=np.float32) / 255.0
        return color, np.asarray(self.thickness, dtype=np.float32) / 255.0
