"""The boats of the harbour."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from nst_lightning.samples.drawing.canvas import hexcolor
from nst_lightning.samples.drawing.noise import Array, array, fractal
from nst_lightning.samples.drawing.scene import SCALE

FINE = 4


class Boat(NamedTuple):
    """What a boat looks like, and where it lies (all lengths in pixels of the finished picture)."""

    x: float
    y: float
    length: float
    hull: str
    trim: str
    mast: float
    right: bool


class Sprite(NamedTuple):
    """A painted boat: colors, opacity, and the place of its upper left corner and water line on the canvas."""

    color: Array
    opacity: Array
    left: int
    top: int
    water: int


class _Draft:
    """A drawing of a boat, bow to the right, with the middle of its water line at the origin."""

    def __init__(self, plan: Boat) -> None:
        self.half, self.above, self.below = plan.length * 0.72, max(plan.mast, plan.length * 0.5) + 14, 8.0
        size = (round(2 * self.half * FINE), round((self.above + self.below) * FINE))
        self.image = Image.new("RGBA", size, (90, 80, 70, 0))
        self.draw = ImageDraw.Draw(self.image)

    def place(self, points: list[tuple[float, float]]) -> list[float]:
        """Return points in pixels of the draft."""
        return [v for x, y in points for v in ((x + self.half) * FINE, (y + self.above) * FINE)]

    def polygon(self, points: list[tuple[float, float]], color: str, tone: float = 1.0) -> None:
        """Fill a polygon."""
        self.draw.polygon(self.place(points), fill=_ink(color, tone))

    def line(self, points: list[tuple[float, float]], color: str, width: float, tone: float = 1.0) -> None:
        """Draw a line."""
        self.draw.line(self.place(points), fill=_ink(color, tone), width=max(2, round(width * FINE)))


def _ink(color: str, tone: float) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, round(255 * channel * tone)) for channel in hexcolor(color))
    return red, green, blue, 255


def _pale(color: str) -> bool:
    return sum(hexcolor(color)) > 2.2


def _hull(draft: _Draft, plan: Boat) -> None:
    """Draw the hull in strips, dark toward the water and toward the bow."""
    t = np.linspace(0, 1, 60)
    high = plan.length * (0.135 + 0.02 * (plan.mast == 0))
    sheer = -high * (0.86 + 0.75 * (t - 0.38) ** 2 + 0.55 * t**5)
    strips = 26
    for i in range(strips):
        upper, lower = i / strips, (i + 1.3) / strips
        rows = []
        for v in (upper, lower):
            rake = 0.5 - 0.075 * v**1.4
            x = plan.length * (-0.5 + 0.035 * v + (rake + 0.5 - 0.035 * v) * t)
            rows.append(list(zip(x.tolist(), (sheer * (1 - v) + 1.5 * v).tolist(), strict=True)))
        plank = 0.86 if i % 4 == 0 else 1.0
        color = plan.trim if i in (1, 2) else "7a2a22" if upper > 0.86 else plan.hull
        for a in range(0, 59, 3):
            b = min(a + 3, 59)
            tone = plank * (1.10 - 0.42 * upper**1.5 - 0.22 * (a / 59 - 0.25) ** 2 * 2)
            draft.polygon([*rows[0][a : b + 1], *rows[1][a : b + 1][::-1]], color, tone)
    rim = list(zip((plan.length * (t - 0.5)).tolist(), (sheer - 0.6).tolist(), strict=True))
    draft.line(rim, "5a3a24", 1.5)
    draft.line([(x, y - 0.7) for x, y in rim], "e2c79a", 0.6)


def _cabin(draft: _Draft, plan: Boat, color: str) -> None:
    size = plan.length
    deck, top = -0.115 * size, -0.205 * size
    draft.polygon([(-0.22 * size, deck), (-0.20 * size, top), (0.10 * size, top), (0.15 * size, deck)], color)
    draft.polygon([(0.02 * size, deck), (0.03 * size, top), (0.10 * size, top), (0.15 * size, deck)], color, 0.72)
    draft.polygon(
        [(-0.23 * size, top), (-0.22 * size, top - 2.4), (0.12 * size, top - 2.4), (0.13 * size, top)], plan.trim, 0.9
    )
    for x in (-0.17, -0.10, -0.03, 0.06):
        left, right = x * size, (x + 0.045) * size
        draft.polygon(
            [(left, top + 3), (right, top + 3), (right, top + 0.055 * size), (left, top + 0.055 * size)], "20303c"
        )
        draft.line([(left + 0.6, top + 3.6), (right - 1, top + 3.6)], "9fb8c4", 0.8)


def _sail(draft: _Draft, size: float, mast: float, boom: float) -> None:
    """Draw the sail, furled on its boom."""
    t = np.linspace(0, 1, 24)
    sag = 0.055 * size * np.sin(np.pi * np.clip(t * 0.96 + 0.02, 0, 1)) ** 0.5 * (0.95 + 0.05 * np.cos(t * 44))
    along = mast - 2 - t * (0.45 * size)
    for shift, tone in ((0.0, 0.70), (0.3, 0.86), (0.55, 1.0)):
        upper = list(zip(along.tolist(), (boom - sag).tolist(), strict=True))
        lower = list(zip(along.tolist(), (boom - sag * shift).tolist(), strict=True))
        draft.polygon(
            [*upper, *lower[::-1]] if shift else [*upper, *[(x, boom) for x, _ in lower[::-1]]], "e8dcc0", tone
        )
    for k in range(1, 8):
        x = mast - 2 - k * 0.056 * size
        draft.line([(x, boom - 0.055 * size), (x + 0.8, boom + 1.5)], "8a7a60", 0.6)


def _rigging(draft: _Draft, plan: Boat) -> None:
    size, foot, top = plan.length, -0.12 * plan.length, -plan.mast
    mast = 0.06 * size
    draft.line([(mast, foot), (mast, top)], "6b4a2e", 2.2)
    draft.line([(mast - 0.5, foot), (mast - 0.5, top)], "d9b07a", 0.9)
    boom = foot - 0.10 * size
    draft.line([(mast, boom), (-0.43 * size, boom + 2)], "6b4a2e", 1.8)
    _sail(draft, size, mast, boom)
    for x, y in ((0.49, -0.20), (-0.49, -0.15), (0.12, -0.125), (0.0, -0.125)):
        draft.line([(mast, top + 3), (x * size, y * size)], "3a3430", 0.45)
    for k in range(1, 9):
        y = foot + (top - foot) * k / 10
        reach = 0.06 * size * (1 - k / 10)
        draft.line([(mast - reach, y), (mast + reach, y)], "3a3430", 0.4)
    draft.polygon(
        [(mast, top - 1), (mast - 11, top + 2), (mast, top + 5)], plan.trim if _pale(plan.hull) else plan.hull
    )


def _fenders(draft: _Draft, rng: np.random.Generator, plan: Boat) -> None:
    size = plan.length
    for x in (-0.33, -0.08, 0.17):
        cx, cy = x * size, -0.062 * size
        box = draft.place([(cx - 2.2, cy - 3.2), (cx + 2.2, cy + 3.2)])
        draft.draw.ellipse(box, fill=_ink("e8e2d2", 0.9))
        draft.line([(cx, cy - 3), (cx, -0.115 * size)], "e0d8c4", 0.5)
    if plan.mast == 0:
        for x in (-0.2, 0.08):
            draft.polygon(
                [
                    (x * size, -0.13 * size),
                    ((x + 0.11) * size, -0.13 * size),
                    ((x + 0.1) * size, -0.105 * size),
                    (x * size, -0.105 * size),
                ],
                "c99a5f",
                0.9,
            )
        draft.line([(-0.30 * size, -0.17 * size), (0.26 * size, -0.125 * size)], "c9a06a", 1.4)
        for _ in range(9):
            x = (-0.42 + 0.12 * rng.random()) * size
            draft.line([(x, -0.13 * size), (x + rng.normal(0, 3), -0.19 * size)], "7a6a50", 0.8)


def boat(rng: np.random.Generator, plan: Boat) -> Sprite:
    """Paint a boat.

    Args:
        rng: The source of chance.
        plan: What it looks like, and where it lies.

    Returns:
        The boat, ready to be laid on a canvas.
    """
    draft = _Draft(plan)
    if plan.mast:
        _cabin(draft, plan, "b98a58" if _pale(plan.hull) else "e6dcc6")
        _rigging(draft, plan)
    _hull(draft, plan)
    _fenders(draft, rng, plan)
    image = draft.image if plan.right else draft.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    size = (image.width * SCALE // FINE, image.height * SCALE // FINE)
    pixels = np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float32) / 255.0
    texture = 1 + 0.05 * fractal(rng, pixels.shape[:2], 24, 5, 0.65, stretch=3)
    across = np.linspace(1.12, 0.84, size[0], dtype=np.float32)
    warm = array([1.03, 0.97, 0.87])
    color = pixels[..., :3] * (texture * across)[..., None] * warm
    left, top = round((plan.x - draft.half) * SCALE), round((plan.y - draft.above) * SCALE)
    return Sprite(color.astype(np.float32), pixels[..., 3], left, top, round(plan.y * SCALE))


def lay(canvas: Array, sprite: Sprite, flipped: bool = False) -> None:
    """Lay a boat on a canvas, in place.

    Args:
        canvas: The canvas.
        sprite: The boat.
        flipped: Whether to lay it upside down below its water line, as its reflection.
    """
    rows = np.arange(sprite.opacity.shape[0]) + sprite.top
    columns = np.arange(sprite.opacity.shape[1]) + sprite.left
    color, opacity = sprite.color, sprite.opacity
    if flipped:
        rows = 2 * sprite.water - 1 - rows
        color = color * 0.8
    down = (rows >= 0) & (rows < canvas.shape[0])
    across = (columns >= 0) & (columns < canvas.shape[1])
    place = np.ix_(rows[down], columns[across])
    mask = opacity[down][:, across, None]
    canvas[place] = canvas[place] * (1 - mask) + color[down][:, across] * mask
