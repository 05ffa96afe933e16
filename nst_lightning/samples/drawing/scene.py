"""A scene painted piece by piece: a canvas with shared textures, boxes, and polygons."""

import numpy as np

from nst_lightning.samples.drawing.canvas import Color, grid, hexcolor, over, polygon_mask, smooth
from nst_lightning.samples.drawing.noise import array, fractal

WIDTH, HEIGHT, SCALE = 768, 576, 2


class Scene:
    """The canvas and the textures shared by everything on it."""

    def __init__(self, seed: int) -> None:
        """Start an empty scene, its textures drawn from a seed."""
        self.rng = np.random.default_rng(seed)
        self.x, self.y = grid(WIDTH, HEIGHT, SCALE)
        self.shape = self.x.shape
        self.fine = fractal(self.rng, self.shape, 8, 4, 0.7)
        self.stain = fractal(self.rng, self.shape, 120, 6, 0.6, stretch=0.6)
        self.canvas = np.zeros((*self.shape, 3), dtype=np.float32)

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Return a part of the canvas."""
        rows = slice(max(0, int(top * SCALE)), max(0, int(bottom * SCALE)))
        return rows, slice(max(0, int(left * SCALE)), max(0, int(right * SCALE)))

    def box(self, left: float, top: float, right: float, bottom: float, color: Color, opacity: float = 1.0) -> None:
        """Fill a rectangle, with a little texture."""
        place = self.window(left - 1, top - 1, right + 1, bottom + 1)
        x, y = self.x[place], self.y[place]
        away = np.maximum(np.maximum(left - x, x - right), np.maximum(top - y, y - bottom))
        shade = array(color) * (1 + 0.05 * self.fine[place])[..., None]
        over(self.canvas[place], opacity * smooth(0.3, -0.3, away), shade)

    def polygon(
        self, points: list[tuple[float, float]], color: Color, grain: float = 0.05, opacity: float = 1.0
    ) -> None:
        """Fill a polygon, with a little texture."""
        x, y = zip(*points, strict=True)
        place = self.window(min(x) - 1, min(y) - 1, max(x) + 1, max(y) + 1)
        corner = np.array([place[1].start, place[0].start]) / SCALE
        mask = polygon_mask(self.x[place].shape, np.array(points) - corner, SCALE)
        over(self.canvas[place], opacity * mask, array(color) * (1 + grain * self.fine[place])[..., None])


def tint(color: str, factor: float) -> Color:
    """Return a color, lighter or darker by a factor."""
    red, green, blue = (min(1.0, channel * factor) for channel in hexcolor(color))
    return red, green, blue
